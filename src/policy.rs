//! Policies: files as written, checked into a [`PolicySet`], compiled into plans for the filter.
//!
//! Pure but for [`load()`] and [`fingerprint`], which read files: no clock, no logging. A set that has an
//! error is never used.

pub mod actions;
mod canonical;
pub mod emits;
mod load;
pub mod mode;
mod overlay;
mod path_relation;
pub mod plan;
pub mod query;
mod read;
mod router;
pub mod scoring;
pub mod set;
mod sight;
mod snapshot;
mod template;
pub mod workflow;
mod writes;

pub use canonical::{CanonicalPath, PathRefusal};
pub use load::{FileChange, Fingerprint, Loaded, fingerprint, load, load_with};
pub use mode::{Combine, Mode};
pub use overlay::{Checked, Overlay};
pub use read::{Read, read};
pub use router::{GovernedRoute, Match, RouteConflict, RouteTable};
pub use scoring::Scoring;
pub use set::PolicySet;
pub use sight::Sight;
pub use snapshot::{InForce, PolicyStore, ReloadOutcome, Watch};
pub use writes::Write;
