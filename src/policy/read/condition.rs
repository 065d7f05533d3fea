//! Conditions as written in policy files, with the place of every fault.

use std::borrow::Cow;

use super::reader::Reader;
use crate::condition::{
    Condition, Field, Leaf, MAX_DEPTH, Number, Operator, Value as Constant, Wrong,
};
use crate::diagnostic::{Finding, Span, suggest};
use crate::yaml::{Fields, Node, Value};

/// What the fields of a condition belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The old and the new record.
    Records,
    /// One answer; nothing is old in it.
    Answer,
    /// One event; nothing is old in it but what it says itself.
    Event,
}

const FORMS: [&str; 3] = ["and", "or", "not"];

impl Reader {
    /// A condition. `{}` is the empty one, which is true.
    pub(super) fn condition(&mut self, node: &Node, over: Over) -> Option<Condition> {
        let mut fields = self.checker.map(node, "a condition")?;
        if fields.is_empty() {
            return Some(Condition::default());
        }
        let forms = FORMS.map(|form| fields.take_entry(form).map(|entry| (form, entry)));
        let forms: Vec<_> = forms.into_iter().flatten().collect();
        let Some((form, (key, inner))) = forms.first() else {
            return self.leaf(fields, over);
        };
        if forms.len() > 1 || !fields.is_empty() {
            self.wrong(&Wrong::NotOneForm, node.span);
            return None;
        }
        if matches!(inner.value, Value::Null) {
            self.no_value(key);
            return None;
        }
        let joined = if *form == "not" {
            Condition::negate(self.condition(inner, over)?)
        } else {
            let nodes = self.checker.list(inner, &format!("`{form}`"))?;
            if *form == "or" && nodes.is_empty() {
                self.wrong(&Wrong::EmptyOr, inner.span);
                return None;
            }
            let parts: Vec<_> = nodes.iter().map(|node| self.condition(node, over)).collect();
            let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
            if *form == "or" { Condition::any(parts) } else { Condition::all(parts) }
        };
        self.kept(joined, key.span)
    }

    /// `{ field, operator, value }`
    fn leaf(&mut self, mut fields: Fields<'_>, over: Over) -> Option<Condition> {
        let span = fields.span();
        let field = fields.require(&mut self.checker, "field");
        let field = field.and_then(|node| {
            let text = self.checker.text(node, "`field`")?;
            self.member_path(text, node.span, over)
        });
        let operator = fields.require(&mut self.checker, "operator");
        let operator = operator.and_then(|node| Some((self.operator(node)?, node.span)));
        // Unlike elsewhere, `null` is something that one can compare with.
        let value = fields.take_entry("value").map(|(_, node)| node);
        let may_be_meant = value.is_none() && !fields.is_empty();
        fields.finish(&mut self.checker);
        if may_be_meant {
            // `vlaue: won` is one fault, not two.
            return None;
        }
        let (field, (operator, at)) = (field?, operator?);
        if over != Over::Records && operator == Operator::Changed {
            self.wrong(&Wrong::NothingToChangeFrom, at);
            return None;
        }
        let constant = match value {
            Some(node) => Some(self.constant(node)?),
            None => None,
        };
        let span = match (operator, value) {
            (_, Some(value)) => value.span,
            (Operator::Changed, None) => span,
            (_, None) => at,
        };
        self.kept(Leaf::new(field, operator, constant), span).map(Condition::from)
    }

    /// A field of a record, `stage`, `old.stage` or `new.owner.id`, or of an answer.
    pub(super) fn member_path(&mut self, text: &str, span: Span, over: Over) -> Option<Field> {
        let field = match over {
            Over::Records => Field::parse(text),
            Over::Answer | Over::Event => Field::parse_plain(text),
        };
        self.kept(field.map_err(Wrong::from), span)
    }

    fn operator(&mut self, node: &Node) -> Option<Operator> {
        let word = self.checker.text(node, "`operator`")?;
        let unknown = || Wrong::UnknownOperator(word.to_owned());
        self.kept(Operator::from_word(word).ok_or_else(unknown), node.span)
    }

    /// A value to compare with, numbers with all the digits that were written.
    pub(super) fn constant(&mut self, node: &Node) -> Option<Constant<'static>> {
        Some(match &node.value {
            Value::Null => Constant::Null,
            Value::Bool(value) => Constant::Bool(*value),
            Value::Integer(number) => self.number(number.to_string(), node.span)?,
            Value::Float(number) => {
                // The text says more than an `f64` can. An alias has its number elsewhere.
                let text = self.checker.source().text();
                let written = text.get(node.span.start..node.span.start + node.span.len);
                let written = written.filter(|written| Number::parse(*written).is_some());
                let text = written.map_or_else(|| number.to_string(), ToOwned::to_owned);
                self.number(text, node.span)?
            }
            Value::Text(text) => Constant::Text(Cow::Owned(text.clone())),
            Value::List(items) => {
                let items = items.iter().map(|item| self.constant(item));
                Constant::List(items.collect::<Option<_>>()?)
            }
            Value::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    Some((Cow::Owned(key.name.clone()), self.constant(value)?))
                });
                Constant::Object(entries.collect::<Option<_>>()?)
            }
        })
    }

    fn number(&mut self, text: String, span: Span) -> Option<Constant<'static>> {
        self.kept(Number::parse(text).ok_or(Wrong::NotANumber), span).map(Constant::Number)
    }

    fn kept<T>(&mut self, read: Result<T, Wrong>, span: Span) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(wrong) => {
                self.wrong(&wrong, span);
                None
            }
        }
    }

    fn wrong(&mut self, wrong: &Wrong, span: Span) {
        let code = match wrong {
            Wrong::UnknownOperator(_) => "policy::unknown_operator",
            Wrong::Field(_) => "policy::bad_path",
            _ => "policy::bad_condition",
        };
        let finding = Finding::error(code, wrong.to_string()).label(label(wrong));
        self.report(finding.help(remedy(wrong)), span);
    }
}

/// Names that the operators have elsewhere.
const ALIASES: [(&str, Operator); 13] = [
    ("=", Operator::Eq),
    ("==", Operator::Eq),
    ("is", Operator::Eq),
    ("equals", Operator::Eq),
    ("!=", Operator::Ne),
    ("neq", Operator::Ne),
    ("not_equals", Operator::Ne),
    (">", Operator::Gt),
    (">=", Operator::Gte),
    ("<", Operator::Lt),
    ("<=", Operator::Lte),
    ("begins_with", Operator::StartsWith),
    ("present", Operator::Exists),
];

fn operator_meant_by(word: &str) -> String {
    match ALIASES.iter().find(|(alias, _)| *alias == word) {
        Some((_, operator)) => format!("did you mean `{operator}`?"),
        None => suggest(word, Operator::ALL.map(Operator::word)),
    }
}

fn label(wrong: &Wrong) -> &'static str {
    match wrong {
        Wrong::NotAMapping | Wrong::NotOneForm | Wrong::UnknownKey(_) => "several things at once",
        Wrong::NotAList(_) | Wrong::NeedsList => "a list belongs here",
        Wrong::EmptyOr => "nothing stands in it",
        Wrong::TooDeep => "one more",
        Wrong::NoField | Wrong::NoOperator => "a comparison",
        Wrong::Field(_) => "not a field",
        Wrong::UnknownOperator(_) => "not an operator",
        Wrong::NoValue(_) => "compares with nothing",
        Wrong::NeedsText(_) => "a string belongs here",
        Wrong::NeedsOrder(_) => "has no order",
        Wrong::NeedsBoolean => "`true` or `false` belongs here",
        Wrong::NotANumber => "not a number of JSON",
        Wrong::TakesNoValue => "one value too many",
        Wrong::ChangedOnOneSide | Wrong::NothingToChangeFrom => "compares two records",
    }
}

fn remedy(wrong: &Wrong) -> String {
    let text = match wrong {
        Wrong::UnknownOperator(word) => return operator_meant_by(word),
        Wrong::TooDeep => {
            return format!(
                "at most {MAX_DEPTH} conditions stand in each other; `and` and `or` take any number side by side"
            );
        }
        Wrong::NotAMapping | Wrong::NotOneForm | Wrong::UnknownKey(_) => {
            "put the parts under `and`: `{ and: [{ field: ..., operator: ... }, { or: [...] }] }`"
        }
        Wrong::NotAList(_) => "write the conditions as a list: `[{ ... }, { ... }]`",
        Wrong::EmptyOr => "list what may hold, or leave the condition out if it always holds",
        Wrong::NoField | Wrong::NoOperator | Wrong::NoValue(_) => {
            "write `{ field: stage, operator: eq, value: won }`"
        }
        Wrong::Field(_) => {
            "names with single dots between them: `stage`, `owner.id`, `old.stage`; lists and JSONPath are not walked here"
        }
        Wrong::NeedsList => "write `value: [won, lost]`; for one value there is `eq`",
        Wrong::NeedsText(_) => "put the value in quotes",
        Wrong::NeedsOrder(_) => "only these have an order; use `eq`, `in` or `exists`",
        Wrong::NeedsBoolean => {
            "`value: false` asks that the field has no value; `true` may be left out"
        }
        Wrong::NotANumber => "write a whole number or a decimal",
        Wrong::TakesNoValue => {
            "leave `value` out; for the value that it has now, add `{ field: stage, operator: eq, value: ... }` under `and`"
        }
        Wrong::ChangedOnOneSide => "write the field without `old.`",
        Wrong::NothingToChangeFrom => {
            "ask for what is there: `eq`, `in`, `exists`; a workflow starts by an event that `emits` of the resource declares with `changed`"
        }
    };
    text.to_owned()
}
