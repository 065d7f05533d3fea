//! Runs the program and looks at what it prints.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The program, without anything of this terminal's own.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldgate"));
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "LINES"] {
        command.env_remove(name);
    }
    command.env("COLUMNS", "100").current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// Runs it without input.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, b"")
}

/// Runs it with this standard input.
pub(crate) fn run_with(arguments: &[&str], input: &[u8]) -> Ran {
    finish(program().args(arguments), input)
}

/// Runs a command that a test has prepared.
pub(crate) fn finish(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that refuses its input early does not read it to the end.
    let feeding = std::thread::spawn(move || drop(pipe.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs it, and compares exit code and a part of what it says on standard error.
#[track_caller]
pub(crate) fn check(arguments: &[&str], code: i32, said: &str) -> Ran {
    let ran = run(arguments);
    assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
    assert!(ran.err.contains(said), "{arguments:?}: {ran:?}");
    ran
}

/// A folder with these files; names may have folders in them.
pub(crate) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// A path as an argument.
pub(crate) fn argument(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A policy folder that `check` has nothing to say about, but for one warning in `resources`.
pub(crate) const DOUBTFUL: [(&str, &str); 2] = [
    (
        "policies/resources/lead.yaml",
        "resource: lead
routes:
  - { methods: [GET], path: /leads/, records: \"$[*]\" }
fields:
  email: { pii: true, mask: redact }
",
    ),
    ("policies/roles/viewer.yaml", "role: viewer\n"),
];
