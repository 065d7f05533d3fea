//! `mask:` — a strategy as written.

use super::reader::Reader;
use crate::diagnostic::{Finding, suggest};
use crate::mask::{JsonReplacement, Partial, Strategy};
use crate::yaml::{Fields, Key, Node, Value};

const STRATEGIES: [&str; 6] = ["redact", "hash", "encrypt", "tokenize", "partial", "as"];
const REDACTED: &str = "[REDACTED]";
/// Beyond this a mask is a mistake, and the masked value would be longer than any real one.
const MAX_LENGTH: u64 = 1000;

impl Reader {
    /// The value behind `mask:`: a word, or a strategy with its parameters.
    pub(super) fn strategy(&mut self, key: &Key, node: &Node) -> Option<Strategy> {
        match &node.value {
            Value::Text(word) => self.strategy_word(word, node),
            Value::Map(entries) => {
                if let [(name, parameters)] = entries.as_slice() {
                    return self.strategy_with(name, parameters);
                }
                let message = format!("a mask is one strategy, here are {}", entries.len());
                let finding = Finding::error("policy::unknown_strategy", message)
                    .label("one strategy belongs here")
                    .help("write `mask: redact` or `mask: { partial: { show_first: 2 } }`");
                self.report(finding, key.span);
                None
            }
            other => {
                let finding = Finding::error(
                    "policy::unknown_strategy",
                    format!("a mask is a strategy, not {}", other.kind()),
                )
                .label("a strategy belongs behind this key")
                .help(format!(
                    "one of `{}`; for a fixed JSON value write `mask: {{ as: null }}`",
                    STRATEGIES.join("`, `")
                ));
                self.report(finding, key.span);
                None
            }
        }
    }

    fn strategy_word(&mut self, word: &str, node: &Node) -> Option<Strategy> {
        let help = match word {
            "redact" => return Some(Strategy::Redact { text: REDACTED.to_owned() }),
            "hash" => return Some(Strategy::Hash),
            "encrypt" => return Some(Strategy::Encrypt),
            "tokenize" => return Some(Strategy::Tokenize),
            "partial" => return Some(Strategy::Partial(partial(&PartialAsWritten::default()))),
            "as" => "say as what: `mask: { as: null }`".to_owned(),
            _ => suggest(word, STRATEGIES),
        };
        let finding = Finding::error(
            "policy::unknown_strategy",
            format!("unknown masking strategy `{word}`"),
        )
        .label("not a strategy")
        .help(help);
        self.report(finding, node.span);
        None
    }

    fn strategy_with(&mut self, name: &Key, node: &Node) -> Option<Strategy> {
        match name.name.as_str() {
            "as" => self.replacement(name, node).map(Strategy::Typed),
            "redact" => {
                let mut fields = self.checker.map(node, "`redact`")?;
                let text = match self.optional(&mut fields, "text") {
                    Some(text) => self.checker.text(text, "`text`").map(ToOwned::to_owned),
                    None => Some(REDACTED.to_owned()),
                };
                fields.finish(&mut self.checker);
                Some(Strategy::Redact { text: text? })
            }
            "partial" => {
                let fields = self.checker.map(node, "`partial`")?;
                self.partial_parameters(fields).map(|written| Strategy::Partial(partial(&written)))
            }
            "tokenize" => {
                let mut fields = self.checker.map(node, "`tokenize`")?;
                let vault = match self.optional(&mut fields, "vault") {
                    Some(vault) => self.checker.boolean(vault, "`vault`"),
                    None => Some(false),
                };
                fields.finish(&mut self.checker);
                Some(if vault? { Strategy::Vault } else { Strategy::Tokenize })
            }
            "hash" | "encrypt" => {
                let finding = Finding::error(
                    "policy::bad_parameter",
                    format!("`{}` takes no parameters", name.name),
                )
                .label("only the word")
                .help(format!("write `mask: {}`; the key comes from the key ring", name.name));
                self.report(finding, name.span);
                None
            }
            other => {
                let finding = Finding::error(
                    "policy::unknown_strategy",
                    format!("unknown masking strategy `{other}`"),
                )
                .label("not a strategy")
                .help(suggest(other, STRATEGIES));
                self.report(finding, name.span);
                None
            }
        }
    }

    /// `as:` — the JSON value that takes the place of the real one.
    fn replacement(&mut self, key: &Key, node: &Node) -> Option<JsonReplacement> {
        Some(match &node.value {
            Value::Null => JsonReplacement::Null,
            Value::Bool(value) => JsonReplacement::Bool(*value),
            Value::Integer(value) => JsonReplacement::Integer(*value),
            Value::Text(value) => JsonReplacement::Text(value.clone()),
            Value::List(items) if items.is_empty() => JsonReplacement::EmptyList,
            Value::Map(entries) if entries.is_empty() => JsonReplacement::EmptyObject,
            Value::Float(_) | Value::List(_) | Value::Map(_) => {
                let finding = Finding::error(
                    "policy::bad_parameter",
                    format!("`as` cannot be {}", full_kind(&node.value)),
                )
                .label("this value")
                .help("one of `null`, `true`, `false`, a whole number, a string, `[]` or `{}`");
                self.report(finding, key.span);
                return None;
            }
        })
    }

    fn partial_parameters(&mut self, mut fields: Fields<'_>) -> Option<PartialAsWritten> {
        let mut are_good = true;
        let mut length = |reader: &mut Self, fields: &mut Fields<'_>, name: &'static str| {
            let node = reader.optional(fields, name)?;
            let length = reader.length(node, name);
            are_good &= length.is_some();
            length
        };
        let show_first = length(self, &mut fields, "show_first");
        let show_last = length(self, &mut fields, "show_last");
        let fixed_length = length(self, &mut fields, "fixed_length");
        let mut flag = |reader: &mut Self, fields: &mut Fields<'_>, name: &'static str| {
            let Some(node) = reader.optional(fields, name) else { return false };
            let flag = reader.checker.boolean(node, &format!("`{name}`"));
            are_good &= flag.is_some();
            flag.unwrap_or(false)
        };
        let keep_domain = flag(self, &mut fields, "keep_domain");
        let keep_separators = flag(self, &mut fields, "keep_separators");
        let mask_char = match self.optional(&mut fields, "mask_char") {
            None => Some('*'),
            Some(node) => self.mask_char(node),
        };
        fields.finish(&mut self.checker);
        let mask_char = mask_char.filter(|_| are_good)?;
        Some(PartialAsWritten {
            show_first,
            show_last,
            mask_char: Some(mask_char),
            keep_domain,
            keep_separators,
            fixed_length,
        })
    }

    fn length(&mut self, node: &Node, name: &str) -> Option<usize> {
        let length = self.checker.count(node, &format!("`{name}`"))?;
        if length > MAX_LENGTH {
            let finding =
                Finding::error("policy::bad_parameter", format!("`{name}` is over {MAX_LENGTH}"))
                    .label("too many characters")
                    .help("a mask shows a few characters at most");
            self.report(finding, node.span);
            return None;
        }
        usize::try_from(length).ok()
    }

    fn mask_char(&mut self, node: &Node) -> Option<char> {
        let text = self.checker.text(node, "`mask_char`")?;
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(one), None) if !one.is_control() => Some(one),
            _ => {
                let finding = Finding::error(
                    "policy::bad_parameter",
                    "`mask_char` is one character that can be printed",
                )
                .label("not one character")
                .help("write `mask_char: \"*\"`");
                self.report(finding, node.span);
                None
            }
        }
    }
}

fn full_kind(value: &Value) -> &'static str {
    match value {
        Value::Float(_) => "a number with a fraction",
        Value::List(_) => "a list with elements",
        Value::Map(_) => "an object with members",
        other => other.kind(),
    }
}

/// The parameters of `partial` that a policy gives.
#[derive(Debug, Default)]
struct PartialAsWritten {
    show_first: Option<usize>,
    show_last: Option<usize>,
    mask_char: Option<char>,
    keep_domain: bool,
    keep_separators: bool,
    fixed_length: Option<usize>,
}

/// Fills in what a policy leaves out. Two characters stay at either end, but who names one end
/// means nothing of the other to be shown, and a kept domain is the end already.
fn partial(written: &PartialAsWritten) -> Partial {
    let defaults = Partial::default();
    let (show_first, show_last) = match (written.show_first, written.show_last) {
        (None, None) if written.keep_domain => (defaults.show_first, 0),
        (None, None) => (defaults.show_first, defaults.show_last),
        (first, last) => (first.unwrap_or(0), last.unwrap_or(0)),
    };
    Partial {
        show_first,
        show_last,
        mask_char: written.mask_char.unwrap_or(defaults.mask_char),
        keep_domain: written.keep_domain,
        keep_separators: written.keep_separators,
        fixed_length: written.fixed_length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::SourceFile;
    use crate::yaml::Checker;

    fn parse(text: &str) -> Result<Strategy, Vec<&'static str>> {
        let source = SourceFile::new("mask.yaml", format!("mask: {text}\n"));
        let node = crate::yaml::parse(&source).unwrap();
        let Value::Map(entries) = &node.value else { panic!("a mapping") };
        let mut reader = Reader { checker: Checker::new(source) };
        let strategy = reader.strategy(&entries[0].0, &entries[0].1);
        let codes: Vec<_> = reader.checker.into_findings().iter().map(Finding::code).collect();
        if codes.is_empty() { Ok(strategy.unwrap()) } else { Err(codes) }
    }

    #[track_caller]
    fn check(text: &str, expect: Strategy) {
        assert_eq!(parse(text), Ok(expect), "{text}");
    }

    #[track_caller]
    fn check_fault(text: &str, expect: &[&str]) {
        assert_eq!(parse(text), Err(expect.to_vec()), "{text}");
    }

    #[test]
    fn words_and_replacements() {
        check("redact", Strategy::Redact { text: "[REDACTED]".to_owned() });
        check("{ redact: { text: gone } }", Strategy::Redact { text: "gone".to_owned() });
        check("{ redact: {} }", Strategy::Redact { text: "[REDACTED]".to_owned() });
        check("hash", Strategy::Hash);
        check("encrypt", Strategy::Encrypt);
        check("tokenize", Strategy::Tokenize);
        check("{ tokenize: {} }", Strategy::Tokenize);
        check("{ tokenize: { vault: false } }", Strategy::Tokenize);
        check("{ tokenize: { vault: true } }", Strategy::Vault);
        check("{ as: null }", Strategy::Typed(JsonReplacement::Null));
        check("{ as: }", Strategy::Typed(JsonReplacement::Null));
        check("{ as: 0 }", Strategy::Typed(JsonReplacement::Integer(0)));
        check("{ as: -7 }", Strategy::Typed(JsonReplacement::Integer(-7)));
        check("{ as: false }", Strategy::Typed(JsonReplacement::Bool(false)));
        check("{ as: \"\" }", Strategy::Typed(JsonReplacement::Text(String::new())));
        check("{ as: \"0\" }", Strategy::Typed(JsonReplacement::Text("0".to_owned())));
        check("{ as: [] }", Strategy::Typed(JsonReplacement::EmptyList));
        check("{ as: {} }", Strategy::Typed(JsonReplacement::EmptyObject));
    }

    #[track_caller]
    fn check_ends(parameters: &str, expect: (usize, usize)) {
        match parse(&format!("{{ partial: {{ {parameters} }} }}")) {
            Ok(Strategy::Partial(partial)) => {
                assert_eq!((partial.show_first, partial.show_last), expect, "{parameters}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn which_ends_stay_readable() {
        check("partial", Strategy::Partial(Partial::default()));
        check("{ partial: {} }", Strategy::Partial(Partial::default()));
        check_ends("", (2, 2));
        check_ends("show_first: 3", (3, 0));
        check_ends("show_last: 4", (0, 4));
        check_ends("show_last: 0", (0, 0));
        check_ends("show_first: 1, show_last: 1", (1, 1));
        check_ends("keep_domain: true", (2, 0));
        check_ends("keep_domain: true, show_first: 1", (1, 0));
        check_ends("keep_domain: true, show_last: 1", (0, 1));
        check_ends("keep_domain: false, keep_separators: true", (2, 2));
    }

    #[test]
    fn all_parameters_of_partial() {
        check(
            "{ partial: { show_first: 1, show_last: 2, mask_char: \"•\", keep_domain: true, keep_separators: true, fixed_length: 6 } }",
            Strategy::Partial(Partial {
                show_first: 1,
                show_last: 2,
                mask_char: '•',
                keep_domain: true,
                keep_separators: true,
                fixed_length: Some(6),
            }),
        );
    }

    #[test]
    fn faults() {
        check_fault("redacted", &["policy::unknown_strategy"]);
        check_fault("as", &["policy::unknown_strategy"]);
        check_fault("7", &["policy::unknown_strategy"]);
        check_fault("", &["policy::unknown_strategy"]);
        check_fault("{}", &["policy::unknown_strategy"]);
        check_fault("{ redact: {}, partial: {} }", &["policy::unknown_strategy"]);
        check_fault("{ md5: {} }", &["policy::unknown_strategy"]);
        check_fault("{ hash: { key: a } }", &["policy::bad_parameter"]);
        check_fault("{ tokenize: { vault: yes } }", &["yaml::wrong_kind"]);
        check_fault("{ tokenize: { vault: } }", &["policy::no_value"]);
        check_fault("{ tokenize: { key: k1 } }", &["yaml::unknown_key"]);
        check_fault("{ as: 1.5 }", &["policy::bad_parameter"]);
        check_fault("{ as: [1] }", &["policy::bad_parameter"]);
        check_fault("{ as: { a: 1 } }", &["policy::bad_parameter"]);
        check_fault("{ redact: gone }", &["yaml::wrong_kind"]);
        check_fault("{ redact: { txt: gone } }", &["yaml::unknown_key"]);
        check_fault("{ redact: { text: 7 } }", &["yaml::wrong_kind"]);
        check_fault("{ partial: { show_first: -1 } }", &["yaml::wrong_kind"]);
        check_fault("{ partial: { show_first: 2.5 } }", &["yaml::wrong_kind"]);
        check_fault("{ partial: { show_first: } }", &["policy::no_value"]);
        check_fault("{ partial: { show_last: 1001 } }", &["policy::bad_parameter"]);
        check_fault("{ partial: { mask_char: ab } }", &["policy::bad_parameter"]);
        check_fault("{ partial: { mask_char: \"\" } }", &["policy::bad_parameter"]);
        check_fault("{ partial: { mask_char: \"\\n\" } }", &["policy::bad_parameter"]);
        check_fault("{ partial: { keep_domain: maybe } }", &["yaml::wrong_kind"]);
        check_fault(
            "{ partial: { show_frist: 2, keep_domain: 1 } }",
            &["yaml::wrong_kind", "yaml::unknown_key"],
        );
    }
}
