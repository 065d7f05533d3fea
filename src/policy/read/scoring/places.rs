//! Where the inputs stand: in the record, or where activities are counted.

use crate::diagnostic::Finding;
use crate::policy::read::draft::Named;
use crate::policy::read::reader::Reader;
use crate::policy::scoring::Listing;
use crate::score::{ActivityRule, DateForm, FetchRule, InputPath, Rules, Zone};
use crate::yaml::{Fields, Node};

/// Most activities that are read of one answer, and what holds where nothing is said.
const MOST_FETCHED: (u64, u32) = (1000, 200);

/// Longest target of a fetch.
const LONGEST_TARGET: usize = 1024;

/// What a file says of places; what it leaves out stays as it was.
#[derive(Default)]
pub(super) struct Places {
    status: Option<InputPath>,
    created_at: Option<InputPath>,
    zone: Option<Zone>,
    date_forms: Option<Vec<DateForm>>,
    activities: Option<ActivityRule>,
    pub(super) listing: Option<Listing>,
    /// The resource that activities are counted by, to be known.
    pub(super) activity_resource: Option<Named>,
}

impl Places {
    pub(super) fn lay_over(&self, rules: &mut Rules) {
        if self.status.is_some() {
            rules.status.clone_from(&self.status);
        }
        if self.created_at.is_some() {
            rules.created_at.clone_from(&self.created_at);
        }
        if let Some(zone) = self.zone {
            rules.zone = zone;
        }
        if let Some(forms) = &self.date_forms {
            rules.date_forms.clone_from(forms);
        }
        if let Some(activities) = &self.activities {
            rules.activities.clone_from(activities);
        }
    }
}

impl Reader {
    pub(super) fn places(&mut self, fields: &mut Fields<'_>) -> Places {
        let mut places = Places::default();
        if let Some(node) = self.optional(fields, "status") {
            places.status = self.input_at(node, "`status`");
        }
        if let Some(node) = self.optional(fields, "created_at") {
            places.created_at = self.input_at(node, "`created_at`");
        }
        if let Some(node) = self.optional(fields, "timezone") {
            places.zone = self.zone(node);
        }
        if let Some(node) = self.optional(fields, "date_formats") {
            places.date_forms = self.date_forms(node);
        }
        if let Some(node) = self.optional(fields, "activities") {
            places.activities = self.activities(node, &mut places.activity_resource);
        }
        if let Some(node) = self.optional(fields, "listing") {
            places.listing = self.listing(node);
        }
        places
    }

    fn zone(&mut self, node: &Node) -> Option<Zone> {
        let text = self.checker.text(node, "`timezone`")?;
        let zone = Zone::parse(text);
        if zone.is_none() {
            let finding =
                Finding::error("policy::bad_timezone", format!("`{text}` is no offset from UTC"))
                    .label("for dates that name no zone")
                    .help("write `UTC` or an offset such as `\"+03:00\"`; names like `Europe/Berlin` are not read, for their offset changes");
            self.report(finding, node.span);
        }
        zone
    }

    fn date_forms(&mut self, node: &Node) -> Option<Vec<DateForm>> {
        let nodes = self.checker.list(node, "`date_formats`")?;
        let mut forms = Vec::new();
        for node in nodes {
            let form = self.word(node, "a date format", &DateForm::ALL)?;
            let is_slash = |form: &DateForm| *form != DateForm::DayDotMonth;
            let clash = forms.contains(&form) || is_slash(&form) && forms.iter().any(is_slash);
            if clash {
                let finding = Finding::error(
                    "policy::repeated_field",
                    "this format cannot stand beside the one before",
                )
                .label("the same dates could mean two days")
                .help("keep one of the two");
                self.report(finding, node.span);
                return None;
            }
            forms.push(form);
        }
        Some(forms)
    }

    /// `{ count: ... }`, `{ list: ..., at: ... }`, `{ observed: ... }` or `{ fetch: ... }`.
    fn activities(&mut self, node: &Node, resource: &mut Option<Named>) -> Option<ActivityRule> {
        let mut fields = self.checker.map(node, "`activities`")?;
        let count = self.optional(&mut fields, "count");
        let list = self.optional(&mut fields, "list");
        let at = self.optional(&mut fields, "at");
        let observed = self.optional(&mut fields, "observed");
        let fetch = self.optional(&mut fields, "fetch");
        fields.finish(&mut self.checker);
        match (count, list, at, observed, fetch) {
            (Some(count), None, None, None, None) => {
                self.input_at(count, "`count`").map(ActivityRule::Count)
            }
            (None, Some(list), Some(at), None, None) => self.listed(list, at),
            (None, None, None, Some(observed), None) => self.observed(observed, resource),
            (None, None, None, None, Some(fetch)) => self.fetch(fetch, resource),
            _ => {
                let finding = Finding::error(
                    "policy::bad_activities",
                    "activities are counted in one place",
                )
                .label("one of `count`, `list` with `at`, `observed` and `fetch` belongs here")
                .help("write `{ count: activity_count }`, `{ list: activities, at: created_at }`, `{ observed: { resource: activity, lead: lead, at: at } }` or `{ fetch: { ... } }`");
                self.report(finding, node.span);
                None
            }
        }
    }

    fn listed(&mut self, list: &Node, at: &Node) -> Option<ActivityRule> {
        let input = self.input_at(list, "`list`");
        let moment = self.input_at(at, "`at`");
        let moments = input?.then(&moment?);
        if moments.is_none() {
            let finding = Finding::error(
                "policy::bad_input",
                "`list` and `at` are dotted paths, which walk through lists",
            )
            .label("a JSONPath names one value")
            .help("write `{ list: activities, at: created_at }`");
            self.report(finding, list.span);
        }
        moments.map(ActivityRule::Moments)
    }

    fn observed(&mut self, node: &Node, resource: &mut Option<Named>) -> Option<ActivityRule> {
        let mut fields = self.checker.map(node, "`observed`")?;
        let name = self.activity_resource(&mut fields, resource);
        let lead = fields.require(&mut self.checker, "lead");
        let lead = lead.and_then(|node| self.path_at(node, "`lead`"));
        let at_node = self.optional(&mut fields, "at");
        let at = at_node.map(|node| self.path_at(node, "`at`"));
        fields.finish(&mut self.checker);
        let at = match at {
            None => None,
            Some(at) => Some(at?),
        };
        Some(ActivityRule::Observed { resource: name?, lead: lead?, at })
    }

    fn fetch(&mut self, node: &Node, resource: &mut Option<Named>) -> Option<ActivityRule> {
        let mut fields = self.checker.map(node, "`fetch`")?;
        let name = self.activity_resource(&mut fields, resource);
        let target = fields.require(&mut self.checker, "path");
        let target = target.and_then(|node| self.target(node));
        let records = fields.require(&mut self.checker, "records");
        let records = records.and_then(|node| self.records(node, "`records`"));
        let at = fields.require(&mut self.checker, "at");
        let at = at.and_then(|node| self.path_at(node, "`at`"));
        let (most, usual) = MOST_FETCHED;
        let limit = self
            .optional(&mut fields, "limit")
            .map(|node| self.whole_number(node, "`limit`", most));
        let good_for = self.optional(&mut fields, "good_for");
        let good_for = good_for.map(|node| self.duration(node, "`good_for`"));
        fields.finish(&mut self.checker);
        Some(ActivityRule::Fetch(FetchRule {
            resource: name?,
            target: target?,
            records: records?,
            at: at?,
            most: limit.map_or(Some(usual), |limit| limit.and_then(|most| most.try_into().ok()))?,
            good_for: good_for.unwrap_or(Some(time::Duration::HOUR))?,
        }))
    }

    /// `{ path: ..., next: ..., total: ... }`
    fn listing(&mut self, node: &Node) -> Option<Listing> {
        let mut fields = self.checker.map(node, "`listing`")?;
        let target = fields.require(&mut self.checker, "path");
        let target = target.and_then(|node| self.listing_target(node));
        let mut path = |name| {
            let node = self.optional(&mut fields, name);
            node.map(|node| self.path_at(node, &format!("`{name}`")))
        };
        let (next, total) = (path("next"), path("total"));
        fields.finish(&mut self.checker);
        let next = match next {
            Some(next) => Some(next?),
            None => None,
        };
        let total = match total {
            Some(total) => Some(total?),
            None => None,
        };
        Some(Listing { target: target?, next, total })
    }

    fn listing_target(&mut self, node: &Node) -> Option<String> {
        let text = self.checker.text(node, "`path`")?;
        let is_target = is_ready_to_send(text) && !text.contains(['{', '}']);
        if !is_target {
            let finding = Finding::error(
                "policy::bad_listing",
                format!("`{text}` does not ask for a list of leads"),
            )
            .label("a path of the CRM belongs here")
            .help("write the path and query as the CRM wants them, in an order that stays: `\"/api/v1/leads/?page_size=100&ordering=id\"`");
            self.report(finding, node.span);
        }
        is_target.then(|| text.to_owned())
    }

    fn activity_resource(
        &mut self,
        fields: &mut Fields<'_>,
        resource: &mut Option<Named>,
    ) -> Option<String> {
        let node = fields.require(&mut self.checker, "resource")?;
        let name = self.checker.text(node, "`resource`")?;
        *resource = Some(Named { name: name.to_owned(), origin: self.origin(node.span) });
        Some(name.to_owned())
    }

    /// Path and query of a fetch. What stands for `{id}` is encoded later; the rest must be ready
    /// to be sent.
    fn target(&mut self, node: &Node) -> Option<String> {
        let text = self.checker.text(node, "`path`")?;
        let is_target = is_ready_to_send(text)
            && text.matches("{id}").count() == 1
            && text.replacen("{id}", "", 1).bytes().all(|byte| !matches!(byte, b'{' | b'}'));
        if !is_target {
            let finding = Finding::error(
                "policy::bad_activities",
                format!("`{text}` does not ask for the activities of one lead"),
            )
            .label("a path with `{id}` in it belongs here")
            .help("write the path and query as the CRM wants them, `{id}` once in place of the lead's id: `\"/api/v1/activities/?lead={id}\"`");
            self.report(finding, node.span);
        }
        is_target.then(|| text.to_owned())
    }
}

/// Whether a text is a path and query as they stand in a request.
fn is_ready_to_send(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`|".contains(&byte);
    text.starts_with('/')
        && !text.starts_with("//")
        && text.len() <= LONGEST_TARGET
        && text.bytes().all(is_plain)
}
