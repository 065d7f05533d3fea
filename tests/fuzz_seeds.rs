//! Replays the seeds of the fuzz targets, and what they once found, without a fuzzer.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::PathBuf;

#[expect(unreachable_pub, reason = "the fuzzer's binaries need them public")]
#[path = "fuzz/targets.rs"]
mod targets;

use targets::TARGETS;

fn fuzz_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

#[test]
fn every_seed_holds() {
    for (name, target) in TARGETS {
        let mut seeds = 0;
        for entry in fuzz_folder().join("seeds").join(name).read_dir().unwrap() {
            let path = entry.unwrap().path();
            // The test prints this where a seed fails.
            println!("{}", path.display());
            target(&std::fs::read(path).unwrap());
            seeds += 1;
        }
        assert!(seeds > 0, "{name} has no seeds");
    }
}

/// A target that one of the three lists lacks would never run.
#[test]
fn every_target_has_a_binary_and_seeds() {
    let expected: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let names_in = |folder: &str| -> BTreeSet<String> {
        let entries = fuzz_folder().join(folder).read_dir().unwrap();
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        entries.map(|entry| stem(entry.unwrap().path())).collect()
    };
    assert_eq!(names_in("bin"), expected);
    assert_eq!(names_in("seeds"), expected);
    let manifest = std::fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
    for name in &expected {
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"bin/{name}.rs\"")));
    }
}
