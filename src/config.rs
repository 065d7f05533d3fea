//! The sidecar's own configuration: one YAML file, read whole, every fault reported at once.
//!
//! `settings` has the shapes as checked; the file as written never leaves this room.

mod settings;

pub use settings::*;
