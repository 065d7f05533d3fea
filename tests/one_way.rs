//! Keeps the one-way rule of `docs/architecture.md`: a room names rooms above it, and pure rooms
//! name nothing that touches the world.
//!
//! Works on the text of `src/` without comments, strings and test modules. A new edge fails here
//! first: think about whether it belongs, then write it down.

#![cfg(test)]
#![expect(clippy::string_slice, reason = "a source that is cut badly is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[path = "one_way/source.rs"]
mod source;

use source::{Source, names_crate, paths_from, words};

/// Every room, in the order of the house, and the rooms that it names. All stand above it.
const HOUSE: &[(&str, &[&str])] = &[
    ("diagnostic", &[]),
    ("yaml", &["diagnostic"]),
    ("problem", &[]),
    ("json", &[]),
    ("mask", &["diagnostic", "yaml"]),
    ("condition", &["json"]),
    ("score", &["json"]),
    ("policy", &["diagnostic", "yaml", "json", "mask", "condition", "score"]),
    ("guard", &["json", "mask", "policy"]),
    ("config", &["diagnostic", "yaml", "json"]),
    ("outbound", &["config"]),
    ("correlation", &[]),
    ("identity", &["json", "config", "outbound"]),
    ("telemetry", &["config", "correlation", "identity"]),
    ("fail_point", &[]),
    ("store", &["fail_point"]),
    ("score_history", &["score", "store"]),
    ("audit", &["mask", "config", "telemetry", "store"]),
    ("event", &["json", "condition", "policy", "config", "fail_point", "store"]),
    ("workflow", WORKFLOW),
    ("deed", &["json", "condition", "policy", "config", "fail_point", "event", "workflow"]),
    ("token_map", &["mask", "config", "telemetry", "store"]),
    ("reveal", &["mask", "policy", "config", "identity", "telemetry", "audit", "token_map"]),
    ("admin", ADMIN),
    ("proxy", PROXY),
    ("server", &[]),
    ("demo", &[]),
    ("cli", &[]),
    ("main", &[]),
];

/// Runs are caused by events and written to a store, or to servers that the settings name.
const WORKFLOW: &[&str] =
    &["diagnostic", "json", "condition", "policy", "config", "fail_point", "store", "event"];

/// Operators look into nearly everything that is kept.
const ADMIN: &[&str] = &[
    "diagnostic",
    "problem",
    "policy",
    "config",
    "correlation",
    "identity",
    "telemetry",
    "store",
    "audit",
    "event",
    "workflow",
    "deed",
    "reveal",
];

/// The street goes through nearly every room. It names `diagnostic` because a snapshot that does not
/// compile is told to whoever wrote the policies.
const PROXY: &[&str] = &[
    "diagnostic",
    "problem",
    "json",
    "mask",
    "condition",
    "score",
    "policy",
    "guard",
    "config",
    "correlation",
    "identity",
    "telemetry",
    "score_history",
    "fail_point",
    "audit",
    "event",
    "deed",
    "token_map",
];

/// They wire everything together, so they may name every room above them; their lists stay empty.
const COMPOSES: &[&str] = &["server", "cli", "main"];

/// Rooms without I/O, clock, randomness and logging.
const PURE: &[&str] = &["json", "mask", "condition", "score", "policy", "guard"];

/// What is pure in rooms that are not.
const PURE_FILES: &[&str] = &["event/detect.rs"];

/// The dependencies that a pure room may name; every other one of `Cargo.toml` is refused.
const PURE_CRATES: &[&str] = &[
    "aes_gcm_siv",
    "aes_siv",
    "arc_swap",
    "data_encoding",
    "hkdf",
    "hmac",
    "http",
    "jsonpath_rust",
    "matchit",
    "memchr",
    "percent_encoding",
    "rand",
    "secrecy",
    "sha2",
    "simdutf8",
    "strsim",
    "subtle",
    "thiserror",
    "time",
    "wide",
    "zeroize",
];

/// What one pure room may name beyond these, and why. Conditions come in by the API as parsed JSON;
/// no body ever does. `ring` in `mask` is a module of its own, not the crate of that name.
const PURE_CRATES_OF: &[(&str, &str)] = &[("condition", "serde_json"), ("mask", "ring")];

/// What of `std` touches the world.
const WORLDLY: &[&str] = &["env", "fs", "io", "net", "os", "process", "thread", "time"];

/// The files of pure rooms that read from disk or write there, and what of `std` they need for it.
const LOADERS: &[(&str, &[&str])] = &[
    ("policy/load.rs", &["fs", "io"]),
    ("policy/overlay.rs", &["fs", "io"]),
    ("mask/ring/load.rs", &["env", "fs", "io", "os"]),
];

/// Words that read a clock or print, whatever path they come by.
const WORLDLY_WORDS: &[&str] =
    &["Instant", "SystemTime", "now_utc", "now_local", "println", "eprintln", "print", "eprint"];

#[test]
fn every_room_names_only_rooms_above_it() {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files() {
        found.entry(file.room.clone()).or_default().extend(file.rooms_named());
    }
    let known: BTreeSet<&str> = HOUSE.iter().map(|(room, _)| *room).collect();
    let rooms: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(known, rooms, "a room is not in the list, or no longer in `src/`");
    for (at, (room, may_name)) in HOUSE.iter().enumerate() {
        let above: BTreeSet<&str> = HOUSE[..at].iter().map(|(room, _)| *room).collect();
        for name in *may_name {
            assert!(above.contains(name), "`{room}` may not name `{name}`, which stands below it");
        }
        let names: BTreeSet<&str> = found[*room].iter().map(String::as_str).collect();
        if COMPOSES.contains(room) {
            assert!(names.is_subset(&above), "`{room}` names {names:?}");
        } else {
            let may_name: BTreeSet<&str> = may_name.iter().copied().collect();
            assert_eq!(names, may_name, "what `{room}` names is not what the list says");
        }
    }
}

#[test]
fn the_architecture_page_has_the_same_order() {
    let page = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let table = page.split("| room |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows = table.lines().skip(2).filter_map(|row| row.split('|').nth(1));
    let written: Vec<&str> = rows
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(|room| room.trim_end_matches('/'))
        .collect();
    let listed: Vec<&str> = HOUSE.iter().map(|(room, _)| *room).collect();
    assert_eq!(written, listed);
}

#[test]
fn pure_rooms_do_not_touch_the_world() {
    let crates = refused_crates();
    let mut faults = Vec::new();
    let is_pure = |file: &&Source| {
        let path = file.path.to_string_lossy();
        PURE.contains(&file.room.as_str()) || PURE_FILES.contains(&path.as_ref())
    };
    for file in files().iter().filter(is_pure) {
        let loader = LOADERS.iter().find(|(path, _)| Path::new(path) == file.path);
        let allowed = loader.map_or(&[][..], |(_, allowed)| allowed);
        let names = |root| paths_from(&file.code, root).into_iter();
        let of_std = names("std").filter(|name| WORLDLY.contains(&name.as_str()));
        let of_std = of_std.filter(|name| !allowed.contains(&name.as_str()));
        faults.extend(of_std.map(|name| format!("{}: std::{name}", file.path.display())));
        let drawn = names("rand").filter(|name| !name.ends_with("Rng") || name.len() > 9);
        faults.extend(drawn.map(|name| format!("{}: rand::{name}", file.path.display())));
        let own = |name: &&String| PURE_CRATES_OF.contains(&(file.room.as_str(), name.as_str()));
        let of_crates = crates.iter().filter(|name| !own(name));
        let of_crates = of_crates.filter(|name| names_crate(&file.code, name));
        faults.extend(of_crates.map(|name| format!("{}: {name}", file.path.display())));
        let read = words(&file.code).filter(|word| WORLDLY_WORDS.contains(word));
        faults.extend(read.map(|word| format!("{}: {word}", file.path.display())));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The reading of sources itself: what counts as naming a room.
#[test]
fn what_names_a_room() {
    check("use crate::json::Refusal;", &["json"]);
    check("use crate::{json, mask::{self, load}, policy as rules};", &["json", "mask", "policy"]);
    check("fn f() { crate::mask::load(path) }", &["mask"]);
    check("pub(crate) use crate :: yaml ;", &["yaml"]);
    check("use super::yaml;", &["yaml"]);
    check("use super::super::yaml;", &["yaml"]);
    check("use self::policy::set;", &[]);
    check("// crate::json\n/* crate::mask /* crate::yaml */ */ /// [`crate::json`]\n", &[]);
    check(r##"const A: &str = "crate::json \" crate::mask"; r#"" crate::yaml"#;"##, &[]);
    check("let quote = '\"'; use crate::mask; let other = '\"';", &["mask"]);
    check("fn f<'a>(x: &'a str) { let y = b'\\''; crate::json::f(x) }", &["json"]);
    check(
        "#[cfg(test)]\nmod tests { use crate::mask; fn f() { {} } }\nuse crate::json;",
        &["json"],
    );
    check("#[cfg(test)]\nuse crate::mask;\nuse crate::json;", &["json"]);
    check("#[cfg(test)]\n#[rustfmt::skip]\nmod tests;\nuse crate::json;", &["json"]);
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let file = Source::new("guard.rs".into(), text);
    let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(file.rooms_named(), expected, "{text}");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file but the list of modules and those that hold only tests.
fn files() -> Vec<Source> {
    let source = root().join("src");
    let mut files = Vec::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(&source).unwrap().to_owned();
            let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
            if is_test || below == Path::new("lib.rs") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(Source::new(below, &std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(files.len() > 100, "the sources were not found");
    files
}

/// The dependencies of the package that no pure room may name, as Rust names them.
fn refused_crates() -> Vec<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    let names: Vec<String> = dependencies
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.replace('-', "_"))
        .collect();
    for name in PURE_CRATES {
        assert!(names.iter().any(|dependency| dependency == name), "`{name}` is no dependency");
    }
    names.into_iter().filter(|name| !PURE_CRATES.contains(&name.as_str())).collect()
}
