//! Fieldgate: a sidecar proxy that gives any CRM's HTTP/JSON API field permissions and masking.
//!
//! The rooms and the one-way rule between them are drawn in `docs/architecture.md`.

pub mod admin;
pub mod audit;
pub mod cli;
pub mod condition;
pub mod config;
pub mod correlation;
pub mod deed;
pub mod demo;
pub mod diagnostic;
pub mod event;
pub mod fail_point;
pub mod guard;
pub mod identity;
pub mod json;
pub mod mask;
pub mod outbound;
pub mod policy;
pub mod problem;
pub mod proxy;
pub mod score;
pub mod score_history;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod workflow;
pub mod yaml;
