//! JSON as bytes: a push tokenizer, path automata and the splicing filter.
//!
//! Pure: no clock, no I/O, no logging. Knows nothing of roles or masks; what to do with a value is
//! told by the automaton, how to replace it by a [`filter::Replacer`].

pub mod path;
