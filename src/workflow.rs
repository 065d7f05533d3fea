//! Workflows: events start runs, and a run performs its actions one after another.
//!
//! What a workflow is stands in the policies; here it is carried out. A run sees of an event what
//! its workflow's role may see, and nothing else.

pub mod action;
pub mod by_hand;
pub mod catalogue;
pub mod engine;
pub mod facts;
pub mod fleet;
pub mod json_form;
pub mod rehearsal;
pub mod render;
pub mod runs;
pub mod starter;
pub mod trial;
