//! What a company counts, and where its CRM keeps it: the rules that a plan is compiled from.

use super::component::ComponentName;
use super::moment::{DateForm, Zone};
use super::number::Thousandths;
use crate::json::path::{FieldPath, Selector};

/// Where an input stands in a record.
///
/// Invariant: one or more plain names, so that a record need not be held for it.
#[derive(Debug, Clone, PartialEq)]
pub struct InputPath {
    path: FieldPath,
    names: Vec<Box<[u8]>>,
}

impl InputPath {
    /// `None` where the path says more than names: filters, indices, wildcards, `..`.
    #[must_use]
    pub fn new(path: FieldPath) -> Option<Self> {
        let names: Option<Vec<Box<[u8]>>> = path
            .segments()
            .iter()
            .map(|segment| match segment.selectors.as_slice() {
                [Selector::Name(name)] if !segment.descendant => Some(name.as_bytes().into()),
                _ => None,
            })
            .collect();
        let names = names.filter(|names| !names.is_empty())?;
        Some(Self { path, names })
    }

    /// The path of `below` in each element of the list at this path. Only dotted paths walk
    /// through lists, so both must be dotted.
    #[must_use]
    pub fn then(&self, below: &Self) -> Option<Self> {
        if !self.path.through_arrays() || !below.path.through_arrays() {
            return None;
        }
        FieldPath::parse(&format!("{}.{}", self.path, below.path)).ok().and_then(Self::new)
    }

    /// The path as it was written.
    #[must_use]
    pub fn path(&self) -> &FieldPath {
        &self.path
    }

    pub(super) fn names(&self) -> &[Box<[u8]>] {
        &self.names
    }

    /// Whether both select the same values. A single name walks through nothing, so its spelling
    /// makes no difference.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.names == other.names
            && (self.names.len() == 1 || self.path.through_arrays() == other.path.through_arrays())
    }
}

/// What each component can contribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weights([Thousandths; 6]);

impl Default for Weights {
    fn default() -> Self {
        Self([25, 20, 15, 20, 15, 5].map(Thousandths::whole))
    }
}

impl Weights {
    /// The weight of a component.
    #[must_use]
    pub fn of(&self, name: ComponentName) -> Thousandths {
        self.0.get(name as usize).copied().unwrap_or_default()
    }

    /// Replaces the weight of a component.
    pub fn set(&mut self, name: ComponentName, weight: Thousandths) {
        if let Some(place) = self.0.get_mut(name as usize) {
            *place = weight;
        }
    }

    /// What all of them together can contribute.
    #[must_use]
    pub fn sum(&self) -> Thousandths {
        Thousandths::new(self.0.iter().map(|weight| weight.count()).sum())
    }
}

/// What a status is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusFactor {
    /// The status, compared without regard to the case of ASCII letters.
    pub name: String,
    /// From 0 to 1.
    pub factor: Thousandths,
}

/// A field that should be filled.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked {
    /// Where it stands.
    pub path: InputPath,
    /// It holds money: the string `"0.00"` counts as the number it spells.
    pub is_money: bool,
}

/// A field that counts when it is truthy.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Where it stands.
    pub path: InputPath,
    /// What it adds: up to 1 for engagement, up to 100 for custom fields.
    pub weight: Thousandths,
}

/// Where the activities of the last 30 days are counted.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ActivityRule {
    /// Nowhere: the component contributes nothing.
    #[default]
    Nowhere,
    /// A number in the record.
    Count(InputPath),
    /// A list in the record: where the moment of each activity stands.
    Moments(InputPath),
    /// Observed reads and writes of another resource.
    Observed {
        /// The resource whose records are activities.
        resource: String,
        /// Where an activity names its lead.
        lead: FieldPath,
        /// Where an activity says when it was; `None` is when it was observed.
        at: Option<FieldPath>,
    },
    /// Asked of the CRM.
    Fetch(FetchRule),
}

/// How activities are asked of the CRM.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchRule {
    /// The resource that the answer holds; who may not see its moments may not see what they add.
    pub resource: String,
    /// Path and query, with `{id}` in place of the lead's id.
    pub target: String,
    /// Where the activities stand in the answer.
    pub records: FieldPath,
    /// Where an activity says when it was.
    pub at: FieldPath,
    /// Most activities that are read of one answer.
    pub most: u32,
    /// How long an answer is good for.
    pub good_for: time::Duration,
}

/// Where a number of activities came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActivitySource {
    /// The record itself.
    Record,
    /// Reads and writes that passed by.
    Observed,
    /// The CRM was asked.
    Fetched,
    /// Nobody knows any.
    None,
}

/// How many activities the last 30 days saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activities {
    /// How many.
    pub count: u32,
    /// Who says so.
    pub source: ActivitySource,
}

impl Activities {
    /// None are known.
    pub const NONE: Self = Self { count: 0, source: ActivitySource::None };
}

/// Everything that a plan is compiled from. [`Default`] is what holds where a policy says nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Where the status stands.
    pub status: Option<InputPath>,
    /// Where the date of creation stands.
    pub created_at: Option<InputPath>,
    /// The zone of dates that name none.
    pub zone: Zone,
    /// Forms of dates beside those that need no word.
    pub date_forms: Vec<DateForm>,
    /// Where activities are counted.
    pub activities: ActivityRule,
    /// What each component can contribute.
    pub weights: Weights,
    /// What each status is worth.
    pub statuses: Vec<StatusFactor>,
    /// What any other status is worth.
    pub unknown_status: Thousandths,
    /// The CRM's own words for statuses, and the status that each means.
    pub aliases: Vec<(String, String)>,
    /// Fields that should be filled.
    pub tracked: Vec<Tracked>,
    /// Signs of interest.
    pub engagement: Vec<Signal>,
    /// Fields of the company's own.
    pub custom_fields: Vec<Signal>,
}

const STATUSES: [(&str, u32); 6] = [
    ("new", 300),
    ("contacted", 500),
    ("qualified", 800),
    ("unqualified", 100),
    ("converted", 1000),
    ("lost", 0),
];

const TRACKED: [(&str, bool); 7] = [
    ("email", false),
    ("phone", false),
    ("company_name", false),
    ("industry", false),
    ("annual_revenue", true),
    ("budget", true),
    ("title", false),
];

const ENGAGEMENT: [(&str, u32); 3] =
    [("email_opened", 300), ("link_clicked", 300), ("form_submitted", 400)];

fn input(name: &str) -> Option<InputPath> {
    FieldPath::parse(name).ok().and_then(InputPath::new)
}

impl Default for Rules {
    fn default() -> Self {
        let statuses = STATUSES.map(|(name, factor)| StatusFactor {
            name: name.to_owned(),
            factor: Thousandths::new(factor),
        });
        let tracked = TRACKED.iter().filter_map(|(name, is_money)| {
            Some(Tracked { path: input(name)?, is_money: *is_money })
        });
        let engagement = ENGAGEMENT.iter().filter_map(|(name, weight)| {
            Some(Signal { path: input(name)?, weight: Thousandths::new(*weight) })
        });
        Self {
            status: input("status"),
            created_at: input("created_at"),
            zone: Zone::UTC,
            date_forms: Vec::new(),
            activities: ActivityRule::Nowhere,
            weights: Weights::default(),
            statuses: statuses.into(),
            unknown_status: Thousandths::new(500),
            aliases: Vec::new(),
            tracked: tracked.collect(),
            engagement: engagement.collect(),
            custom_fields: Vec::new(),
        }
    }
}
