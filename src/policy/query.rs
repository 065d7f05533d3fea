//! How the query strings of a resource are to be read: which parameters name fields, and how.
//!
//! Pure: what `query:` of a resource file says, checked. The reading itself is the guard's.

use std::collections::BTreeMap;

/// The language in which a CRM is asked for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Django REST: `field__lookup=`, `ordering=`, `search=`.
    Django,
    /// `OData`: `$filter=`, `$orderby=`, `$select=`, `$expand=`, `$apply=`.
    OData,
    /// JSON:API: `filter[..]=`, `sort=`, `include=`, `fields[..]=`.
    JsonApi,
    /// Directus: `filter={json}`, `filter[a][_eq]=`, `sort=`, `aggregate[..]=`.
    Directus,
    /// `EspoCRM`: `where[0][attribute]=`, `orderBy=`, `select=`.
    EspoCrm,
    /// Salesforce: `q=` with SOQL.
    Salesforce,
    /// `field=value`, and what many APIs add to it.
    #[default]
    Plain,
}

impl Dialect {
    /// Every dialect with the word that policies use for it.
    pub const ALL: [(&'static str, Self); 7] = [
        ("django", Self::Django),
        ("odata", Self::OData),
        ("jsonapi", Self::JsonApi),
        ("directus", Self::Directus),
        ("espocrm", Self::EspoCrm),
        ("salesforce", Self::Salesforce),
        ("plain", Self::Plain),
    ];
}

/// What becomes of a parameter that would tell what its sender may not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Oracle {
    /// The request is refused.
    #[default]
    Refuse,
    /// The parameter is taken out, and the rest is asked.
    Drop,
}

/// What a resource says of its query strings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryRules {
    /// The language of the parameters.
    pub dialect: Dialect,
    /// What becomes of a parameter that would tell too much.
    pub oracle: Oracle,
    /// Parameters that search in many fields at once, beside those of the dialect.
    pub search: Vec<String>,
    /// Parameters whose values name fields to sort by, beside those of the dialect.
    pub ordering: Vec<String>,
    /// Parameters that name no field and tell nothing of one: `page`, `page_size`.
    pub ignore: Vec<String>,
    /// Fields that may be filtered and sorted by, beside those that the registry knows; of use
    /// where the resource is strict.
    pub filters: Vec<String>,
    /// Whether parameters that nothing declares are refused.
    pub strict: bool,
    /// What a search looks at, as dotted names; empty where nobody has said.
    pub search_fields: Vec<String>,
    /// Members that lead to records of another resource: name of the member, name of the resource.
    pub relations: BTreeMap<String, String>,
}
