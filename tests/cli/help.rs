//! Help texts, the page that repeats them, completions, and what clap itself refuses.

use std::path::Path;

use crate::harness::{check, finish, program, run};

const COMMANDS: [&str; 32] = [
    "",
    "run",
    "demo",
    "check",
    "mask",
    "score",
    "score explain",
    "score refresh",
    "keys",
    "keys new",
    "audit",
    "audit query",
    "audit verify",
    "audit subject",
    "audit export",
    "events",
    "events list",
    "events show",
    "events tail",
    "events replay",
    "events dead",
    "events retry",
    "workflows",
    "workflows list",
    "workflows run",
    "workflows test",
    "runs",
    "runs list",
    "runs show",
    "runs retry",
    "runs cancel",
    "completions",
];

fn help(command: &str, flag: &str, columns: &str) -> String {
    let mut program = program();
    program.args(command.split_whitespace()).arg(flag).env("COLUMNS", columns);
    let ran = finish(&mut program, b"");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{command}");
    // clap pads empty lines.
    ran.out.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[test]
fn long_help_in_a_wide_terminal() {
    for command in COMMANDS {
        let name = format!("help_{}", command.replace(' ', "_"));
        insta::assert_snapshot!(name, help(command, "--help", "120"));
    }
}

#[test]
fn short_help_is_short_and_names_the_exit_codes_once() {
    for command in COMMANDS {
        let text = help(command, "-h", "80");
        assert!(text.lines().count() < 40, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
    assert!(help("", "-h", "80").contains("Exit codes: 0 good, 1 findings, 2 usage"));
}

/// Run with `UPDATE_DOCS=1` to write the texts into the page.
#[test]
fn the_documentation_has_these_help_texts() {
    const MARK: &str = "<!-- What follows is written by a test: UPDATE_DOCS=1 cargo test --test cli the_documentation -->\n\n";
    let texts: Vec<String> = COMMANDS
        .iter()
        .map(|command| {
            let text = help(command, "--help", "80");
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            let title = format!("fieldgate {command}");
            format!("### `{}`\n\n```text\n{}\n```\n", title.trim_end(), text.trim_end())
        })
        .collect();
    let texts = texts.join("\n");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (prose, found) = text.split_once(MARK).expect("the page has the mark");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, format!("{prose}{MARK}{texts}")).unwrap();
        return;
    }
    assert_eq!(found, texts, "docs/cli.md is not up to date");
}

#[test]
fn the_commands_are_those_that_clap_knows() {
    fn names(command: &clap::Command, above: &str, found: &mut Vec<String>) {
        found.push(above.to_owned());
        for command in command.get_subcommands() {
            names(command, format!("{above} {}", command.get_name()).trim(), found);
        }
    }
    let mut found = Vec::new();
    names(&fieldgate::cli::command(), "", &mut found);
    assert_eq!(found, COMMANDS);
    fieldgate::cli::command().debug_assert();
}

#[test]
fn version() {
    let ran = check(&["--version"], 0, "");
    assert_eq!(ran.out, format!("fieldgate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn usage_errors_exit_with_two() {
    check(&[], 2, "Usage: fieldgate <COMMAND>");
    check(&["chek"], 2, "'check'");
    check(&["check", "--frmat", "json"], 2, "'--format'");
    check(&["check", "policies", "--config", "fieldgate.yaml"], 2, "cannot be used with");
    check(&["mask", "--role", "admin"], 2, "--route <METHOD PATH>");
    check(&["mask", "--role", "admin", "--route", "/leads/"], 2, "a method and a path are needed");
    check(&["keys", "new", "--id", "a-b"], 2, "1 to 16 ASCII letters and digits");
    check(&["completions", "tcsh"], 2, "possible values: bash");
    check(&["demo", "--listen", "localhost"], 2, "--listen <ADDRESS>");
    check(&["demo", "--admin-listen", "0.0.0.0:9901"], 2, "must be on 127.0.0.1");
    check(
        &["demo", "--listen", "127.0.0.1:7", "--admin-listen", "127.0.0.1:7"],
        2,
        "`--listen` and `--admin-listen` cannot both be 127.0.0.1:7",
    );
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = check(&["completions", shell], 0, "").out;
        for word in ["demo", "check", "completions", "error-body", "crm-listen"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut shell = std::process::Command::new("sh");
    shell.arg("-c").arg("{ \"$0\" completions zsh; echo \"code $?\" >&2; } | true");
    let ran = finish(shell.arg(env!("CARGO_BIN_EXE_fieldgate")), b"");
    assert_eq!(ran.err, "code 0\n");
}

#[test]
fn there_is_no_colour_unless_someone_can_see_it() {
    let plain = run(&["--help"]).out + &run(&["check", "tests/fixtures/policies/ten_faults"]).out;
    assert!(!plain.contains('\x1b'), "{plain}");
    let check = ["check", "tests/fixtures/policies/ten_faults"];
    let forced = finish(program().args(check).env("CLICOLOR_FORCE", "1"), b"").out;
    assert!(forced.contains("\x1b["), "{forced}");
    let mut both = program();
    both.args(check).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1");
    assert!(!finish(&mut both, b"").out.contains('\x1b'));
}
