//! The `correlation` room.
