//! What survives: the gate is killed again and again while writers write, and in the end its
//! journal is held against what the CRM did and against what the clients were told.
//!
//! `FIELDGATE_CRASH_ROUNDS` makes it longer, see `make soak`.

#![cfg(test)]

mod crm;
mod gate;
mod rounds;
mod store_faults;
