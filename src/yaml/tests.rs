use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::diagnostic::{Finding, SourceFile};

fn parsed(text: &str) -> Result<Node, Finding> {
    parse(&SourceFile::new("f.yaml", text))
}

/// Every key and value of a document with the text that a finding would underline.
fn outline(text: &str) -> String {
    fn line(node: &Node, text: &str, depth: usize, out: &mut String) {
        let shown = |span: Span| text.get(span.start..span.start + span.len).unwrap();
        let value = match &node.value {
            Value::List(_) | Value::Map(_) => node.value.kind().to_owned(),
            scalar => format!("{scalar:?}"),
        };
        let indent = "  ".repeat(depth);
        writeln!(out, "{indent}{value} at {:?}", shown(node.span)).unwrap();
        match &node.value {
            Value::List(items) => items.iter().for_each(|item| line(item, text, depth + 1, out)),
            Value::Map(entries) => entries.iter().for_each(|(key, value)| {
                writeln!(out, "{indent}- key {:?} at {:?}", key.name, shown(key.span)).unwrap();
                line(value, text, depth + 1, out);
            }),
            _ => {}
        }
    }
    let mut out = String::new();
    line(&parsed(text).unwrap(), text, 0, &mut out);
    out
}

#[test]
fn scalars_are_underlined_as_written() {
    insta::assert_snapshot!(outline("a: 1\nb: 'two'\nc: \"\\u00e9 x\"\nd: one\n  two\ne: |\n  x\n"), @r#"
    a mapping at "a"
    - key "a" at "a"
      Integer(1) at "1"
    - key "b" at "b"
      Text("two") at "'two'"
    - key "c" at "c"
      Text("é x") at "\"\\u00e9 x\""
    - key "d" at "d"
      Text("one two") at "one\n  two"
    - key "e" at "e"
      Text("x\n") at "x\n"
    "#);
}

#[test]
fn multi_byte_text_shifts_no_place() {
    insta::assert_snapshot!(outline("ä: ö # ü\nß: 'é'\n日: {本: \"語\", x: y}\r\nz: w\r\n"), @r#"
    a mapping at "ä"
    - key "ä" at "ä"
      Text("ö") at "ö"
    - key "ß" at "ß"
      Text("é") at "'é'"
    - key "日" at "日"
      a mapping at "{本: \"語\", x: y}"
      - key "本" at "本"
        Text("語") at "\"語\""
      - key "x" at "x"
        Text("y") at "y"
    - key "z" at "z"
      Text("w") at "w"
    "#);
}

#[test]
fn containers_are_underlined_where_they_begin() {
    insta::assert_snapshot!(
        outline("a: {x: 1, y: []}\nb:\n  c: 1\n  d: 2\ne:\n  - 1\n  - k: v\nf: {\n  g: {} }\nh: [\n  1]\n"),
        @r#"
        a mapping at "a"
        - key "a" at "a"
          a mapping at "{x: 1, y: []}"
          - key "x" at "x"
            Integer(1) at "1"
          - key "y" at "y"
            a list at "[]"
        - key "b" at "b"
          a mapping at "c"
          - key "c" at "c"
            Integer(1) at "1"
          - key "d" at "d"
            Integer(2) at "2"
        - key "e" at "e"
          a list at "1"
            Integer(1) at "1"
            a mapping at "k"
            - key "k" at "k"
              Text("v") at "v"
        - key "f" at "f"
          a mapping at "g"
          - key "g" at "g"
            a mapping at "{}"
        - key "h" at "h"
          a list at "1"
            Integer(1) at "1"
        "#
    );
}

#[test]
fn values_left_out_are_underlined_at_their_key() {
    insta::assert_snapshot!(outline("a:\nb: ~\nc:\n  - \n  - x\nd: {e: , f}\n"), @r#"
    a mapping at "a"
    - key "a" at "a"
      Null at "a"
    - key "b" at "b"
      Null at "~"
    - key "c" at "c"
      a list at "-"
        Null at "-"
        Text("x") at "x"
    - key "d" at "d"
      a mapping at "{e: , f}"
      - key "e" at "e"
        Null at "e"
      - key "f" at "f"
        Null at "f"
    "#);
}

#[test]
fn aliases_are_underlined_where_they_are_used_and_their_insides_where_they_are_written() {
    insta::assert_snapshot!(outline("a: &x {p: 1}\nb: *x\nc: [&y z, *y]\n"), @r#"
    a mapping at "a"
    - key "a" at "a"
      a mapping at "{p: 1}"
      - key "p" at "p"
        Integer(1) at "1"
    - key "b" at "b"
      a mapping at "*x"
      - key "p" at "p"
        Integer(1) at "1"
    - key "c" at "c"
      a list at "[&y z, *y]"
        Text("z") at "z"
        Text("z") at "*y"
    "#);
}

#[track_caller]
fn check_scalar(written: &str, expected: &str) {
    let Value::Map(entries) = parsed(&format!("k: {written}")).unwrap().value else {
        panic!("not a mapping")
    };
    assert_eq!(format!("{:?}", entries[0].1.value), expected, "{written}");
}

#[test]
fn plain_scalars_follow_the_core_schema() {
    for empty in ["", "~", "null", "Null", "NULL"] {
        check_scalar(empty, "Null");
    }
    check_scalar("true", "Bool(true)");
    check_scalar("FALSE", "Bool(false)");
    for text in ["yes", "no", "on", "off", "y", "nUll", "tRue", "5s", "10MiB", "12:30", "1_000"] {
        check_scalar(text, &format!("Text({text:?})"));
    }
    for text in ["2024-01-01", "127.0.0.1:80", "::1", "+", ".", "1.2.3", "1e", "0x", "0xg"] {
        check_scalar(text, &format!("Text({text:?})"));
    }
    // People write codes with leading zeros, and mean every digit of them.
    for text in ["0755", "-007", "00", "00.5"] {
        check_scalar(text, &format!("Text({text:?})"));
    }
    check_scalar("0", "Integer(0)");
    check_scalar("-12", "Integer(-12)");
    check_scalar("+12", "Integer(12)");
    check_scalar("0x1F", "Integer(31)");
    check_scalar("0o17", "Integer(15)");
    check_scalar("9223372036854775807", "Integer(9223372036854775807)");
    check_scalar("9223372036854775808", "Float(9.223372036854776e18)");
    check_scalar("1.5", "Float(1.5)");
    check_scalar("-0.5e-3", "Float(-0.0005)");
    check_scalar(".5", "Float(0.5)");
    check_scalar("'1'", "Text(\"1\")");
    check_scalar("\"true\"", "Text(\"true\")");
    check_scalar("!!str 5", "Text(\"5\")");
    check_scalar("!!str", "Text(\"\")");
}

#[test]
fn keys_that_are_not_text_are_the_text_as_written() {
    let Value::Map(entries) = parsed("1: a\ntrue: b\n1.50: c\n0x1: d\n'~': e\n").unwrap().value
    else {
        panic!("not a mapping")
    };
    let names: Vec<&str> = entries.iter().map(|(key, _)| key.name.as_str()).collect();
    assert_eq!(names, ["1", "true", "1.50", "0x1", "~"]);
}

#[test]
fn an_empty_file_is_an_empty_value() {
    for text in ["", "\n\n", "# only a comment\n", "---\n", "\u{feff}"] {
        assert!(matches!(parsed(text).unwrap().value, Value::Null), "{text:?}");
    }
}

#[track_caller]
fn check_refused(text: &str, place: (usize, usize), underlined: &str, message: &str) {
    let finding = parsed(text).unwrap_err();
    assert_eq!(finding.message(), message);
    let (_, line, column) = finding.position().unwrap();
    assert_eq!(((line, column), finding.underlined().unwrap()), (place, underlined), "{message}");
}

#[test]
fn syntax_errors_are_underlined_at_their_place() {
    check_refused("a: 1\nb: [1, 2\nc: 3\n", (3, 2), ":", "a `:` cannot stand here");
    check_refused("a: {x: 1\n", (1, 4), "{", "this `{` is never closed");
    check_refused("a: 'x\nb: 1\n", (2, 1), "b", "a quoted text runs on to here");
    check_refused("a: 'x", (1, 4), "'", "this quote is never closed");
    check_refused("é: ü: x\n", (1, 5), ":", "a `:` cannot stand here");
    check_refused("a: 1\n  b: 2\n", (2, 4), ":", "a `:` cannot stand here");
    check_refused("a:\n  b: 1\n c: 2\n", (3, 2), "c", "a key is expected here");
    check_refused("a: [::1]:80\n", (1, 9), ":", "a key is expected here");
    check_refused("- a\nb: c\n", (2, 1), "b", "`- ` is expected here");
    check_refused("a:\n\tb: 1\n", (2, 2), "b", "a tab cannot indent");
    check_refused("é: @x\n", (1, 4), "@", "a value cannot start with `@`");
    check_refused("a: `x`\n", (1, 4), "`", "a value cannot start with ```");
    check_refused(
        "a: \u{7}\n",
        (1, 4),
        "\u{7}",
        "the control character `\\u{7}` cannot stand here",
    );
    check_refused("a: {b: ${C}}\n", (1, 9), "{", "`,` or `}` is missing before this");
    check_refused("a: 'x' y\n", (1, 8), "y", "nothing may follow a closing quote");
    check_refused("a: \"\\q\"\n", (1, 4), "\"", "this text holds an unknown escape");
    check_refused("a: *nope\n", (1, 4), "*", "no anchor of this name stands above");
    check_refused("a: - b\n", (1, 4), "-", "a list cannot start here");
    check_refused("a: }\n", (1, 4), "}", "this bracket closes nothing");
}

#[test]
fn an_open_bracket_further_up_is_named() {
    let finding = parsed("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
    assert_eq!(
        finding.remedy(),
        Some("the `[` on line 2 is still open here; close it, or quote the value")
    );
}

#[test]
fn what_would_mean_something_else_than_it_seems_is_refused() {
    check_refused("a: 1\nb: 2\na: 3\n", (3, 1), "a", "`a` is given twice");
    check_refused("x: {é: 1, 'é': 2}\n", (1, 11), "'é'", "`é` is given twice");
    check_refused(
        "'x at line 4': 1\n'x at line 4': 2\n",
        (2, 1),
        "'x at line 4'",
        "`x at line 4` is given twice",
    );
    check_refused("a: &x {b: 1}\n<<: *x\n", (2, 1), "<<", "`<<` merges are not read here");
    check_refused("a: !foo bar\n", (1, 4), "!foo", "the tag `!foo` is not read here");
    check_refused("a: !!int 5\n", (1, 4), "!!int", "the tag `!!int` is not read here");
    check_refused("a: !!set {}\n", (1, 4), "!!set", "the tag `!!set` is not read here");
    check_refused("a: 1\n---\nb: 2\n", (2, 1), "---", "the file holds more than one YAML document");
    check_refused("[a, b]: c\n", (1, 1), "[", "a key must be a string, not a list");
    check_refused("? {a: b}\n: c\n", (1, 3), "{", "a key must be a string, not a mapping");
    check_refused("a: &x y\n*x : c\n", (2, 1), "*x", "a key must be a string, not an alias");
    check_refused("~: c\n", (1, 1), "~", "a key must be a string, and this one is empty");
    check_refused("a: &x [*x]\n", (1, 8), "*x", "this alias repeats a value inside itself");
    check_refused("a: 1e999\n", (1, 4), "1e999", "`1e999` is not a finite number");
    check_refused("a: -.inf\n", (1, 4), "-.inf", "`-.inf` is not a finite number");
}

#[test]
fn nesting_and_aliases_are_bounded() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parsed(&nested(64)).is_ok());
    for text in [nested(65), nested(100_000), "[".repeat(300), "- ".repeat(300)] {
        let message = parsed(&text).unwrap_err().message().to_owned();
        assert!(message.ends_with("lists and mappings stand one in another"), "{message}");
    }
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        writeln!(bomb, "a{level}: &a{level} [{below}]").unwrap();
    }
    assert_eq!(parsed(&bomb).unwrap_err().message(), "the aliases of this file unfold to too much");
    let deep = format!("a: &a {}\nb: [*a]\n", nested(63));
    assert_eq!(parsed(&deep).unwrap_err().message(), "the aliases of this file unfold to too much");
}

/// Walks a document of the form `name: text, count: 1, flag: true, list: [..]`.
fn findings_of(text: &str) -> Vec<(String, String)> {
    let source = SourceFile::new("f.yaml", text);
    let root = parse(&source).unwrap();
    let mut checker = Checker::new(source);
    if let Some(mut fields) = checker.map(&root, "the file") {
        if let Some(node) = fields.require(&mut checker, "name") {
            checker.text(node, "`name`");
        }
        if let Some(node) = fields.take("count") {
            checker.count(node, "`count`");
        }
        if let Some(node) = fields.take("flag") {
            checker.boolean(node, "`flag`");
        }
        if let Some(node) = fields.take("list") {
            checker.list(node, "`list`");
        }
        fields.finish(&mut checker);
    }
    let told =
        |finding: Finding| (finding.message().to_owned(), finding.underlined().unwrap().to_owned());
    checker.into_findings().into_iter().map(told).collect()
}

#[track_caller]
fn check_findings(text: &str, expected: &[(&str, &str)]) {
    let expected: Vec<(String, String)> = expected
        .iter()
        .map(|(message, underlined)| ((*message).to_owned(), (*underlined).to_owned()))
        .collect();
    assert_eq!(findings_of(text), expected);
}

#[test]
fn the_checker_reports_every_fault_where_it_stands() {
    check_findings("name: x\ncount: 3\nflag: true\nlist: [1]\n", &[]);
    check_findings("name: x\ncount:\nflag: ~\n", &[]);
    check_findings("5\n", &[("the file is a number, not a mapping", "5")]);
    check_findings("count: 3\n", &[("`name` is missing", "count")]);
    check_findings("name:\ncount: 3\n", &[("`name` has no value", "name")]);
    check_findings(
        "name: 5\ncount: -1\nflag: yes\nlist:\n  k: v\nnmae: x\n",
        &[
            ("`name` is a number, not a string", "5"),
            ("`count` is a number, not a whole number from 0", "-1"),
            ("`flag` is a string, not `true` or `false`", "yes"),
            ("`list` is a mapping, not a list", "k"),
            ("unknown key `nmae`", "nmae"),
        ],
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic_and_every_place_lies_in_the_text(
        text in prop_oneof![any::<String>(), "[ab:\\-\\[\\]{}&*!|>'\"#~\t \n\u{e9}%@,?0-9.<]{0,80}"]
    ) {
        let source = SourceFile::new("f.yaml", text);
        match parse(&source) {
            Ok(node) => check_places(&node, source.text()),
            Err(finding) => prop_assert!(finding.underlined().is_some(), "{finding:?}"),
        }
    }
}

#[track_caller]
fn check_places(node: &Node, text: &str) {
    let inside = |span: Span| text.get(span.start..span.start + span.len).is_some();
    assert!(inside(node.span), "{node:?}");
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| check_places(item, text)),
        Value::Map(entries) => entries.iter().for_each(|(key, value)| {
            assert!(inside(key.span), "{key:?}");
            check_places(value, text);
        }),
        _ => {}
    }
}
