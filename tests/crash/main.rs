//! What survives: the gate is killed again and again while writers write, and in the end its
//! journal is held against what the CRM did and against what the clients were told.
//!
//! `FIELDGATE_CRASH_ROUNDS` makes it longer, see `make soak`.

#![cfg(test)]
#![allow(
    clippy::string_slice,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::items_after_statements,
    clippy::too_many_lines,
    clippy::doc_markdown,
    reason = "short tests matter more here than speed, and a panic is a failure"
)]

mod crm;
mod gate;
mod rounds;
mod store_faults;
