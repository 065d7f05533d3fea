//! Sinks against real receivers: HTTP on real sockets, and a `nats-server` that is killed.

#![cfg(test)]

mod built;
mod harness;
mod line;
mod nats;
mod nats_server;
mod receiver;
mod webhook;
