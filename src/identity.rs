//! Who calls: subject, roles and tenant, verified.

/// A caller whose identity a source has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who it is, as the source names it.
    pub subject: String,
    /// The roles that the source gives, known to the policies or not.
    pub roles: Vec<String>,
    /// The company; `None` where the source has none.
    pub tenant: Option<String>,
}
