//! The program as a shell sees it: help, exit codes, output.

mod check;
mod harness;
mod help;
mod keys;
mod mask;
mod start;
