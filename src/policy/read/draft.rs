//! One file as read, before it is known to fit the others. Best effort: a part with a fault is
//! missing here and has its finding, so that the other parts can still be judged.

use crate::json::path::FieldPath;
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
    pub(super) sections: Vec<SectionDraft>,
}

/// What a role says of one resource.
pub(super) struct SectionDraft {
    pub(super) resource: Named,
    pub(super) default: Option<Mode>,
    pub(super) entries: Vec<Entry>,
}

/// `global.yaml`.
#[derive(Default)]
pub(super) struct GlobalDraft {
    pub(super) global: Global,
    pub(super) default_mode: Option<Mode>,
    /// Where `unmatched: global_only` stands.
    pub(super) global_only: Option<Origin>,
    /// The paths of [`Global::passthrough`], in the same order.
    pub(super) templates: Vec<PathTemplate>,
}
