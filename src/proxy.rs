//! The street: a request walks in, is decided, exchanged with the CRM, filtered and accounted for.
//!
//! pingora carries the traffic. A governed exchange is made here, from `request_filter`, because
//! pingora sends a response's head before its body has been seen: here the head waits for the
//! body. Ungoverned routes take pingora's own path.

mod account;
mod activities;
mod admit;
mod answer;
mod budget;
mod call;
mod collector;
mod context;
mod errand;
mod field_rules;
mod fresh_read;
mod gate;
mod governance;
mod guards;
pub(crate) mod head_clock;
mod masking;
mod passthrough;
mod recording;
mod refused;
mod request_head;
mod response_head;
mod score_call;
mod score_desk;
mod score_keeping;
mod score_reading;
mod score_refresh;
mod score_street;
mod scorer;
mod sightings;
mod unwind;
mod upstream;
mod views;
mod write_back;

pub use errand::Errands;
pub use gate::{Gate, GateParts};
pub use governance::{Governance, Tokens};
pub use masking::{AnswerFilter, Masks};
pub use recording::{Readers, Recorder};
pub use score_desk::{Configure, Configured, ScoreDesk};
pub use score_keeping::{ScoreKeeper, ScoreKeeping};
pub use score_refresh::{Progress, RefreshParts, ScoreRefresher};
pub use upstream::{Crm, CrmError};
