//! The street through real sockets: an upstream, Fieldgate and a client, all on free ports.

#![cfg(test)]
#![allow(
    clippy::string_slice,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::needless_for_each,
    clippy::wrong_self_convention,
    clippy::inconsistent_struct_constructor,
    clippy::useless_format,
    clippy::too_many_lines,
    clippy::items_after_statements,
    clippy::needless_raw_string_hashes,
    reason = "short tests matter more here than speed, and a panic is a failure"
)]

mod answers;
mod attack;
mod callers;
mod canary;
mod collector;
mod drain;
mod faults;
mod guarded_writes;
mod harness;
mod heads;
mod kept_scores;
mod ledger;
mod limits;
mod lists;
mod memory;
mod oracle;
mod panics;
mod passthrough;
mod program;
mod prometheus;
mod protocol;
mod questions;
mod raw;
mod reload;
mod roles;
mod score_api;
mod score_refresh;
mod scores;
mod spellings;
mod traces;
mod workflows;
mod writes;
