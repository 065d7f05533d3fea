//! What a stranger needs to see Fieldgate work: a CRM to stand in front of, and somebody who wants to
//! know what happens in it.
//!
//! Nothing here knows of policies or masks.

pub mod crm;
pub mod receiver;
