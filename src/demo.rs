//! What a stranger needs to see Fieldgate work: a CRM to stand in front of.
//!
//! Nothing here knows of policies or masks.

pub mod crm;
