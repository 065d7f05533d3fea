//! The street through real sockets: an upstream, Fieldgate and a client, all on free ports.

#![cfg(test)]

mod canary;
mod collector;
mod harness;
mod heads;
mod ledger;
mod lists;
mod memory;
mod passthrough;
mod prometheus;
mod raw;
mod roles;
mod traces;
