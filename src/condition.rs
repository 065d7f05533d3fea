//! Conditions over facts: compiled once, evaluated without errors, explained leaf by leaf.
//!
//! Pure: no clock, no I/O, no logging.
