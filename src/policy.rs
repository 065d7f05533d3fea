//! Policies: files as written, checked into a [`PolicySet`], compiled into plans for the filter.
//!
//! Pure but for [`load`](self): no clock, no logging. A set that has an error is never used.

pub mod mode;
pub mod plan;
pub mod set;

pub use mode::{Combine, Mode};
pub use set::PolicySet;
