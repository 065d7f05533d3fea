//! The street through real sockets: an upstream, Fieldgate and a client, all on free ports.

#![cfg(test)]

mod attack;
mod harness;
mod passthrough;
mod questions;
mod roles;
mod spellings;
mod writes;
