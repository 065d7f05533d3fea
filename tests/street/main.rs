//! The street through real sockets: an upstream, Fieldgate and a client, all on free ports.

#![cfg(test)]

mod canary;
mod harness;
mod heads;
mod lists;
mod memory;
mod passthrough;
mod raw;
mod roles;
