//! Events through the real program: writes through sockets on one side, receivers on the other.

#![cfg(test)]
#![allow(
    clippy::maybe_infinite_iter,
    clippy::match_wild_err_arm,
    clippy::string_slice,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::items_after_statements,
    clippy::too_many_lines,
    clippy::doc_markdown,
    reason = "short tests matter more here than speed, and a panic is a failure"
)]

mod client;
mod commands;
#[path = "../crash/crm.rs"]
#[allow(dead_code, reason = "its ledger is for the crash suite")]
mod crm;
mod delivery;
mod faults;
#[path = "../crash/gate.rs"]
#[allow(dead_code, reason = "its fail points are for the crash suite")]
mod gate;
mod nats;
#[path = "../sinks/nats_server.rs"]
#[allow(dead_code, reason = "some signals are for the tests of the sink alone")]
mod nats_server;
mod receiver;
mod scene;
mod scripted;
mod workflows;
