//! What a source's names for roles mean in the policies: many to many, and per company.
//!
//! Pure. A name that no map has gives nothing unless the configuration says otherwise.

use std::collections::BTreeSet;

use super::bounds::{MAX_ROLES, is_role_name};
use super::refusal::Refusal;
use crate::config::{RoleMap, Unmapped};

/// How one source's names become roles.
#[derive(Debug, Clone)]
pub(super) struct RoleNames(Option<RoleMap>);

impl RoleNames {
    /// By this map; without one, names are the roles themselves.
    pub(super) fn new(map: Option<&RoleMap>) -> Self {
        Self(map.cloned())
    }

    /// Whether names mean something else here.
    pub(super) fn has_map(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a map has this name.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.0.as_ref().is_some_and(|map| {
            map.map.contains_key(name) || map.tenants.values().any(|own| own.contains_key(name))
        })
    }

    /// The roles, sorted, each once, so that equal callers have equal lists.
    pub(super) fn of<'a>(
        &'a self,
        names: impl IntoIterator<Item = &'a str>,
        tenant: Option<&str>,
    ) -> Result<Vec<String>, Refusal> {
        let mut roles: BTreeSet<&str> = BTreeSet::new();
        let map = self.0.as_ref();
        let own = map.zip(tenant).and_then(|(map, tenant)| map.tenants.get(tenant));
        let keeps = map.is_none_or(|map| map.unmapped == Unmapped::Keep);
        for name in names {
            let mapped = own.and_then(|own| own.get(name));
            match mapped.or_else(|| map?.map.get(name)) {
                Some(mapped) => roles.extend(mapped.iter().map(String::as_str)),
                None if keeps && is_role_name(name) => {
                    roles.insert(name);
                }
                None => {}
            }
            if roles.len() > MAX_ROLES {
                return Err(Refusal::TooManyRoles);
            }
        }
        Ok(roles.into_iter().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Written<'a> = &'a [(&'a str, &'a [&'a str])];

    fn names(written: Written<'_>) -> BTreeMap<String, Vec<String>> {
        let roles = |roles: &[&str]| roles.iter().map(|role| (*role).to_owned()).collect();
        written.iter().map(|(name, list)| ((*name).to_owned(), roles(list))).collect()
    }

    fn map(unmapped: Unmapped) -> RoleNames {
        let tenants = BTreeMap::from([(
            "acme".to_owned(),
            names(&[("sales", &["sales_rep"]), ("Guests", &[])]),
        )]);
        let map = names(&[
            ("CRM Admins", &["admin"]),
            ("sales", &["sales_rep", "marketing"]),
            ("Guests", &["support"]),
        ]);
        RoleNames::new(Some(&RoleMap { map, tenants, unmapped }))
    }

    #[track_caller]
    fn check(roles: &RoleNames, given: &[&str], tenant: Option<&str>, expected: &[&str]) {
        let found = roles.of(given.iter().copied(), tenant).unwrap();
        assert_eq!(found, expected, "{given:?} of {tenant:?}");
    }

    #[test]
    fn names_become_roles() {
        let drop = map(Unmapped::Drop);
        check(&drop, &["CRM Admins"], None, &["admin"]);
        check(&drop, &["sales", "CRM Admins", "sales"], None, &["admin", "marketing", "sales_rep"]);
        check(&drop, &["admin", "finance"], None, &[]);
        check(&map(Unmapped::Keep), &["finance", "Domain Users"], None, &["finance"]);
        check(&RoleNames::new(None), &["b", "a", "b", "no role"], None, &["a", "b"]);
    }

    #[test]
    fn a_company_may_mean_something_else() {
        let drop = map(Unmapped::Drop);
        check(&drop, &["sales"], Some("acme"), &["sales_rep"]);
        check(&drop, &["sales"], Some("other"), &["marketing", "sales_rep"]);
        check(&drop, &["CRM Admins", "Guests"], Some("acme"), &["admin"]);
        check(&map(Unmapped::Keep), &["Guests"], Some("acme"), &[]);
    }

    #[test]
    fn too_many_roles_are_refused_and_never_cut() {
        let many: Vec<String> = (0..=MAX_ROLES).map(|number| format!("r{number}")).collect();
        let found = RoleNames::new(None).of(many.iter().map(String::as_str), None);
        assert_eq!(found, Err(Refusal::TooManyRoles));
        let found = map(Unmapped::Drop).of(many.iter().map(String::as_str), None);
        assert_eq!(found, Ok(Vec::new()));
    }
}
