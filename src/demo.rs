//! What a stranger needs to see Fieldgate work: a CRM to stand in front of, somebody who wants to
//! know what happens in it, and a mail server that keeps what it gets.
//!
//! Nothing here knows of policies or masks.

pub mod crm;
pub mod mailbox;
pub mod receiver;
