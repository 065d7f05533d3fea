//! The street through real sockets: an upstream, Fieldgate and a client, all on free ports.

#![cfg(test)]

mod answers;
mod canary;
mod drain;
mod faults;
mod harness;
mod heads;
mod limits;
mod lists;
mod memory;
mod passthrough;
mod program;
mod protocol;
mod raw;
mod reload;
mod roles;
mod writes;
