//! What is done with one input of the fuzzer: one function for each parser.
//!
//! A target panics where a parser breaks a promise, not only where the parser panics itself. The
//! fuzzer calls them from `bin/`; `tests/fuzz_seeds.rs` calls them with the seeds on every test run.

mod canonical_path;
mod correlation;
mod document;
mod field_paths;
mod identity;
mod json_filter;
mod json_tokenizer;
mod key_ring;
mod masks;
mod plans;
mod policy_files;
mod query_guard;
mod sidecar_config;
mod write_back;
mod write_guard;

pub use canonical_path::canonical_path;
pub use correlation::correlation;
pub use field_paths::{field_paths, held_expressions};
pub use identity::{identify_claims, identify_headers};
pub use json_filter::json_filter;
pub use json_tokenizer::json_tokenizer;
pub use key_ring::key_ring;
pub use masks::masks;
pub use policy_files::policy_files;
pub use query_guard::query_guard;
pub use sidecar_config::sidecar_config;
pub use write_back::write_back;
pub use write_guard::write_guard;

/// Tries one input.
pub type Target = fn(&[u8]);

/// Every target by the name of its binary and of its folder of seeds.
pub const TARGETS: &[(&str, Target)] = &[
    ("canonical_path", canonical_path),
    ("correlation", correlation),
    ("field_paths", field_paths),
    ("held_expressions", held_expressions),
    ("identify_claims", identify_claims),
    ("identify_headers", identify_headers),
    ("json_filter", json_filter),
    ("json_tokenizer", json_tokenizer),
    ("key_ring", key_ring),
    ("masks", masks),
    ("policy_files", policy_files),
    ("query_guard", query_guard),
    ("sidecar_config", sidecar_config),
    ("write_back", write_back),
    ("write_guard", write_guard),
];

/// `text` cut into chunks of one to sixteen bytes, other ones for each `seed`.
fn chunks(text: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut state = u32::from(seed) | 0x100;
    let mut rest = text;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        let size = 1 + (state >> 28) as usize;
        let (chunk, behind) = rest.split_at(size.min(rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}
