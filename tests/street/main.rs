//! The street through real sockets: an upstream, Fieldgate and a client, all on free ports.

#![cfg(test)]

mod harness;
mod passthrough;
mod roles;
