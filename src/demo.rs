//! The `demo` room.
