//! One SQLite file that says yes only after an fsync, and the few verbs that the rooms need of it.
