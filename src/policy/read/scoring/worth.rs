//! What the inputs are worth. A company may say so for itself.

use crate::diagnostic::{Finding, Span};
use crate::policy::read::reader::Reader;
use crate::policy::read::resource::place_of;
use crate::policy::set::Origin;
use crate::score::{ComponentName, InputPath, Rules, Signal, StatusFactor, Thousandths, Tracked};
use crate::yaml::{Fields, Key, Node, Value};

/// Longest word for a status.
const LONGEST_WORD: usize = 64;

/// What a file says of worth; what it leaves out stays as it was.
#[derive(Default)]
pub(super) struct Worth {
    weights: Vec<(ComponentName, Thousandths)>,
    /// Where `weights` stands.
    pub(super) weights_at: Option<Origin>,
    statuses: Vec<StatusFactor>,
    unknown_status: Option<Thousandths>,
    pub(super) aliases: Vec<Alias>,
    tracked: Option<Vec<Tracked>>,
    engagement: Option<Vec<Signal>>,
    custom_fields: Option<Vec<Signal>>,
    /// Where the longest list of fields stands, should there be too many.
    pub(super) fields_at: Option<Origin>,
}

/// A word of the CRM for a status.
pub(super) struct Alias {
    word: String,
    pub(super) status: String,
    pub(super) origin: Origin,
}

impl Worth {
    pub(super) fn lay_over(&self, rules: &mut Rules) {
        for (name, weight) in &self.weights {
            rules.weights.set(*name, *weight);
        }
        for new in &self.statuses {
            let known = rules.statuses.iter_mut();
            match known.into_iter().find(|known| known.name.eq_ignore_ascii_case(&new.name)) {
                Some(known) => known.factor = new.factor,
                None => rules.statuses.push(new.clone()),
            }
        }
        if let Some(factor) = self.unknown_status {
            rules.unknown_status = factor;
        }
        for alias in &self.aliases {
            rules.aliases.retain(|(word, _)| !word.eq_ignore_ascii_case(&alias.word));
            rules.aliases.push((alias.word.clone(), alias.status.clone()));
        }
        if let Some(tracked) = &self.tracked {
            rules.tracked.clone_from(tracked);
        }
        if let Some(engagement) = &self.engagement {
            rules.engagement.clone_from(engagement);
        }
        if let Some(custom_fields) = &self.custom_fields {
            rules.custom_fields.clone_from(custom_fields);
        }
    }
}

impl Reader {
    pub(super) fn worth(&mut self, fields: &mut Fields<'_>) -> Worth {
        let mut worth = Worth::default();
        if let Some(node) = self.optional(fields, "weights") {
            worth.weights = self.weights(node);
            worth.weights_at = Some(self.origin(node.span));
        }
        if let Some(node) = self.optional(fields, "statuses") {
            worth.statuses = self.statuses(node);
        }
        if let Some(node) = self.optional(fields, "unknown_status") {
            worth.unknown_status = self.decimal(node, "`unknown_status`", 1);
        }
        if let Some(node) = self.optional(fields, "aliases") {
            worth.aliases = self.aliases(node);
        }
        if let Some(node) = self.optional(fields, "tracked") {
            worth.tracked = self.tracked(node);
            worth.fields_at = Some(self.origin(node.span));
        }
        if let Some(node) = self.optional(fields, "engagement") {
            worth.engagement = self.signals(node, "`engagement`", 1);
            worth.fields_at = Some(self.origin(node.span));
        }
        if let Some(node) = self.optional(fields, "custom_fields") {
            worth.custom_fields = self.signals(node, "`custom_fields`", 100);
            worth.fields_at = Some(self.origin(node.span));
        }
        worth
    }

    fn weights(&mut self, node: &Node) -> Vec<(ComponentName, Thousandths)> {
        let Some(mut fields) = self.checker.map(node, "`weights`") else { return Vec::new() };
        let mut weights = Vec::new();
        for name in ComponentName::ALL {
            if let Some(node) = self.optional(&mut fields, name.word()) {
                let weight = self.decimal(node, &format!("the weight of `{}`", name.word()), 100);
                weights.extend(weight.map(|weight| (name, weight)));
            }
        }
        fields.finish(&mut self.checker);
        weights
    }

    fn statuses(&mut self, node: &Node) -> Vec<StatusFactor> {
        let Some(mut fields) = self.checker.map(node, "`statuses`") else { return Vec::new() };
        let mut statuses = Vec::new();
        for (key, node) in fields.take_rest() {
            let name = self.status_word(key);
            let factor = self.decimal(node, &format!("the factor of `{}`", key.name), 1);
            let (Some(name), Some(factor)) = (name, factor) else { continue };
            statuses.push(StatusFactor { name, factor });
        }
        statuses
    }

    fn aliases(&mut self, node: &Node) -> Vec<Alias> {
        let Some(mut fields) = self.checker.map(node, "`aliases`") else { return Vec::new() };
        let mut aliases = Vec::new();
        for (key, node) in fields.take_rest() {
            let word = self.status_word(key);
            let status = self.checker.text(node, &format!("the status of `{}`", key.name));
            let (Some(word), Some(status)) = (word, status) else { continue };
            let origin = self.origin(node.span);
            aliases.push(Alias { word, status: status.to_owned(), origin });
        }
        aliases
    }

    /// A word for a status. The policy's own are shown to people.
    fn status_word(&mut self, key: &Key) -> Option<String> {
        let word = key.name.trim();
        let is_word =
            !word.is_empty() && word.len() <= LONGEST_WORD && !word.chars().any(char::is_control);
        if !is_word {
            let message = format!("`{}` cannot be a status", key.name.escape_debug());
            let finding = Finding::error("policy::bad_name", message)
                .label("not a word")
                .help(format!("a status is 1 to {LONGEST_WORD} bytes, without line breaks"));
            self.report(finding, key.span);
        }
        is_word.then(|| word.to_owned())
    }

    /// `tracked:`, a list of paths; `{ budget: money }` where a field holds money.
    fn tracked(&mut self, node: &Node) -> Option<Vec<Tracked>> {
        let mut tracked = Vec::new();
        let mut seen = Seen::default();
        for node in self.checker.list(node, "`tracked`")? {
            let (text, span, is_money) = match &node.value {
                Value::Map(entries) => {
                    let [(key, kind)] = entries.as_slice() else {
                        self.checker.wrong_kind(node, "a tracked field", "one field");
                        continue;
                    };
                    if self.word(kind, "the kind of a field", &[("money", ())]).is_none() {
                        continue;
                    }
                    (key.name.as_str(), key.span, true)
                }
                _ => match self.checker.text(node, "a tracked field") {
                    Some(text) => (text, node.span, false),
                    None => continue,
                },
            };
            if let Some(path) = self.new_input(text, span, &mut seen) {
                tracked.push(Tracked { path, is_money });
            }
        }
        Some(tracked)
    }

    /// Paths and what each adds.
    fn signals(&mut self, node: &Node, what: &str, most: u32) -> Option<Vec<Signal>> {
        let mut signals = Vec::new();
        let mut seen = Seen::default();
        for (key, node) in self.checker.map(node, what)?.take_rest() {
            let path = self.new_input(&key.name, key.span, &mut seen);
            let weight = self.decimal(node, &format!("the weight of `{}`", key.name), most);
            let (Some(path), Some(weight)) = (path, weight) else { continue };
            signals.push(Signal { path, weight });
        }
        Some(signals)
    }

    /// A path that has not been in this list before.
    fn new_input(&mut self, text: &str, span: Span, seen: &mut Seen) -> Option<InputPath> {
        let path = self.input(text, span)?;
        if let Some((first, origin)) = seen.0.iter().find(|(known, _)| known.is_same(&path)) {
            let place = place_of(origin, self.checker.source());
            self.report_repeated(span, text, first.path().as_str(), &place, false);
            return None;
        }
        seen.0.push((path.clone(), self.origin(span)));
        Some(path)
    }

    /// A number from 0 to `most` with up to three decimals.
    fn decimal(&mut self, node: &Node, what: &str, most: u32) -> Option<Thousandths> {
        let number = match node.value {
            Value::Float(number) => Some(number),
            #[expect(clippy::cast_precision_loss, reason = "so large a number is refused")]
            Value::Integer(number) => Some(number as f64),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => None,
        };
        let Some(number) = number else {
            self.checker.wrong_kind(node, what, "a number");
            return None;
        };
        let decimal = Thousandths::from_decimal(number, most);
        if decimal.is_none() {
            let finding =
                Finding::error("policy::bad_number", format!("{what} cannot be {number}"))
                    .label("out of range, or too exact")
                    .help(format!("write a number from 0 to {most} with at most three decimals"));
            self.report(finding, node.span);
        }
        decimal
    }
}

/// The paths of one list so far, and where each stands.
#[derive(Default)]
struct Seen(Vec<(InputPath, Origin)>);
