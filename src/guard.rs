//! Guards: what a request may write, what it may ask, and masks that come back in a write.
//!
//! Pure: no clock, no I/O, no logging. Bodies and query strings come in as bytes, together with
//! what the policies say of them; what may be forwarded, or the reason why nothing may, goes out.
//! Refuses whatever has two readings: of two, the CRM could take the one that was not looked at.
//! Fields are named in refusals, values never are.

mod equal;
mod form;
mod leaves;
mod media;
mod multipart;
mod patch;
pub mod query;
mod splice;
mod tree;
mod violations;
mod write;
mod write_back;

pub use media::{Form, Unsupported};
pub use violations::{Unreadable, violations};
pub use write::{Denied, Look, Rights, Settled, Tally, Update, look, settle};
pub use write_back::{Current, Known, LookedUp, Vaulted};
