//! One file as read, before it is known to fit the others. Best effort: a part with a fault is
//! missing here and has its finding, so that the other parts can still be judged.

use std::collections::BTreeMap;

use http::Method;

use super::actions::ActionsDraft;
use crate::condition::Condition;
use crate::json::path::FieldPath;
use crate::policy::emits::{Create, Emit, Events};
use crate::policy::query::QueryRules;
use crate::policy::set::{Entry, Field, Global, Origin, Route, Writes};
use crate::policy::template::PathTemplate;
use crate::policy::{Combine, Mode};

/// A name and where it is declared.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) origin: Origin,
}

/// A file of `resources/`.
pub(super) struct ResourceDraft {
    pub(super) named: Named,
    pub(super) id: Option<FieldPath>,
    pub(super) combine: Combine,
    pub(super) writes: Writes,
    pub(super) query: QueryDraft,
    pub(super) routes: Vec<RouteDraft>,
    pub(super) fields: Vec<Field>,
    pub(super) emits: Vec<Emit>,
    pub(super) events: EventsDraft,
    pub(super) actions: ActionsDraft,
}

/// `events:` of a resource.
#[derive(Default)]
pub(super) struct EventsDraft {
    pub(super) off: bool,
    pub(super) success: Condition,
    pub(super) creates: Vec<CreateDraft>,
}

/// One entry of `creates:`.
pub(super) struct CreateDraft {
    pub(super) resource: Named,
    pub(super) at: FieldPath,
    /// `None` is `<resource>.created`.
    pub(super) event: Option<Named>,
    pub(super) on: Vec<Method>,
    pub(super) routes: Option<Vec<usize>>,
}

impl EventsDraft {
    /// `ids` says where a record of each resource keeps its id.
    pub(super) fn into_events(self, ids: &BTreeMap<String, FieldPath>) -> Events {
        let creates = self.creates.into_iter().map(|draft| {
            let resource = draft.resource.name;
            Create {
                at: draft.at,
                id: ids.get(&resource).cloned(),
                event: draft
                    .event
                    .map_or_else(|| format!("{resource}.created"), |event| event.name),
                on: draft.on,
                routes: draft.routes,
                resource,
            }
        });
        Events { off: self.off, success: self.success, creates: creates.collect() }
    }
}

/// `query:`, and where the resources are named that it speaks of.
#[derive(Default)]
pub(super) struct QueryDraft {
    pub(super) rules: QueryRules,
    pub(super) relations: Vec<Named>,
}

/// One route, and its path in parsed form.
pub(super) struct RouteDraft {
    pub(super) route: Route,
    pub(super) template: PathTemplate,
    pub(super) origin: Origin,
}

/// A file of `roles/`.
pub(super) struct RoleDraft {
    pub(super) named: Named,
    pub(super) default: Option<Mode>,
    pub(super) default_origin: Option<Origin>,
    pub(super) sections: Vec<SectionDraft>,
    pub(super) reveal: Vec<RevealDraft>,
}

/// The masks of one resource that a role may turn back.
pub(super) struct RevealDraft {
    pub(super) resource: Named,
    pub(super) paths: Vec<(FieldPath, Origin)>,
}

/// What a role says of one resource.
pub(super) struct SectionDraft {
    pub(super) resource: Named,
    pub(super) default: Option<Mode>,
    pub(super) default_origin: Option<Origin>,
    pub(super) entries: Vec<Entry>,
}

/// `global.yaml`.
#[derive(Default)]
pub(super) struct GlobalDraft {
    pub(super) global: Global,
    pub(super) default_mode: Option<Mode>,
    pub(super) default_origin: Option<Origin>,
    /// Where `unmatched: global_only` stands.
    pub(super) global_only: Option<Origin>,
    /// The paths of [`Global::passthrough`], in the same order.
    pub(super) templates: Vec<PathTemplate>,
}
