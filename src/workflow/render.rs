//! Fills in the templates of an action.
//!
//! Pure: the event, the time and the environment are arguments. A text that is one slot and nothing
//! else keeps the type of its value; in longer texts a value becomes text, escaped for where it goes:
//! an address percent-encodes, a JSON body quotes, a header or a line of a mail takes no line break.
//! Nothing that comes out of a slot is read as a template again.

mod escape;
mod filter;

use std::borrow::Cow;
use std::collections::BTreeMap;

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use self::escape::Place;
use self::filter::NoDate;
use super::action::{Action, ActionContext, RenderedAction};
use super::facts::EventFacts;
use crate::condition::{Fact, Value};
use crate::policy::workflow::template::{Part, Reference, Slot, Template};
use crate::policy::workflow::{ActionKind, Shape};

/// Why an action cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderFault {
    /// A variable that the configuration does not allow, or that is not set.
    #[error("the environment variable `{0}` is not allowed here, or not set")]
    Env(String),
    /// Not a template; when policies are read this is found.
    #[error("`{0}` is no template")]
    Template(String),
    /// A value with a line break or another control character where none may stand.
    #[error("what `{0}` is filled in with holds a control character")]
    Control(String),
    /// A reference to what is no date, or to one outside of what can be said.
    #[error("what `{0}` names is no date that `date` could show")]
    Date(String),
    /// A key that must hold something.
    #[error("`{0}` comes out empty")]
    Empty(&'static str),
    /// A key that takes one of a few words.
    #[error("`{0}` comes out as none of the words that it takes")]
    Word(&'static str),
}

/// Where a text goes that is filled in for an action which is rendered already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// Plain text.
    Plain,
    /// HTML: what is filled in is text in it and never markup.
    Html,
    /// A path: what is filled in is one segment of it.
    Path,
}

/// Fills in templates. The environment is what the configuration allows and nothing else.
#[derive(Debug, Clone, Default)]
pub struct Renderer {
    env: BTreeMap<String, String>,
}

/// What the slots of one action are filled in from.
struct Filling<'a> {
    renderer: &'a Renderer,
    context: &'a ActionContext,
    facts: EventFacts<'a>,
    variables: BTreeMap<Cow<'static, str>, Value<'static>>,
}

impl Renderer {
    /// A renderer that knows these variables.
    #[must_use]
    pub fn new(env: BTreeMap<String, String>) -> Self {
        Self { env }
    }

    /// One that fills in the names of variables for their values: for whoever is shown what an
    /// action would do, and is not told what the environment holds.
    #[must_use]
    pub fn for_show(&self) -> Self {
        Self::new(self.env.keys().map(|name| (name.clone(), format!("[env.{name}]"))).collect())
    }

    /// What the action will do.
    ///
    /// # Errors
    /// The first thing that cannot be filled in.
    pub fn render(
        &self,
        action: &Action,
        context: &ActionContext,
    ) -> Result<RenderedAction, RenderFault> {
        let facts = EventFacts::new(&context.event);
        let mut filling = Filling { renderer: self, context, facts, variables: BTreeMap::new() };
        // The texts of a mail may name its variables, so these come first.
        if let Some(variables @ Value::Object(_)) = action.payload.get("variables")
            && let Value::Object(filled) = filling.value(variables, Place::Plain)?
        {
            filling.variables = filled;
        }
        let mut payload = BTreeMap::new();
        for key in action.kind.payload() {
            let Some(written) = action.payload.get(key.name) else { continue };
            let value = if key.name == "variables" {
                Value::Object(filling.variables.clone())
            } else {
                let place = place_of(action.kind, key.name);
                match key.shape {
                    // A number alone in a slot is still a text where a text belongs.
                    Shape::Text | Shape::Word(_) => {
                        Value::Text(as_text(&filling.value(written, place)?).into())
                    }
                    Shape::Mapping | Shape::Any => filling.value(written, place)?,
                }
            };
            let is_text = matches!(key.shape, Shape::Text | Shape::Word(_));
            // Where any value may stand, `value: ""` is meant: it clears a field.
            let is_empty = is_nothing(&value) && (is_text || value != *written);
            if is_empty && key.is_required {
                return Err(RenderFault::Empty(key.name));
            }
            if is_empty && is_text {
                continue;
            }
            if let (Shape::Word(words), Value::Text(text)) = (key.shape, &value)
                && !words.contains(&text.as_ref())
            {
                return Err(RenderFault::Word(key.name));
            }
            payload.insert(key.name.to_owned(), value);
        }
        Ok(RenderedAction { kind: action.kind, payload })
    }

    /// A text that stands in a file of its own, filled in for a rendered action.
    ///
    /// # Errors
    /// The first thing that cannot be filled in.
    pub fn fill(
        &self,
        text: &str,
        kind: TextKind,
        action: &RenderedAction,
        context: &ActionContext,
    ) -> Result<String, RenderFault> {
        let facts = EventFacts::new(&context.event);
        let variables = match action.payload.get("variables") {
            Some(Value::Object(variables)) => variables.clone(),
            _ => BTreeMap::new(),
        };
        let filling = Filling { renderer: self, context, facts, variables };
        Ok(as_text(&filling.text(text, kind.place())?))
    }

    /// A value that is declared elsewhere, filled in from `variables` first. A slot that stands
    /// alone keeps the type of its value.
    ///
    /// # Errors
    /// The first thing that cannot be filled in.
    pub fn fill_value(
        &self,
        value: &Value<'static>,
        variables: &BTreeMap<Cow<'static, str>, Value<'static>>,
        context: &ActionContext,
    ) -> Result<Value<'static>, RenderFault> {
        let facts = EventFacts::new(&context.event);
        let variables = variables.clone();
        Filling { renderer: self, context, facts, variables }.value(value, Place::Plain)
    }

    /// A text that is declared elsewhere, filled in from `variables` first.
    ///
    /// # Errors
    /// The first thing that cannot be filled in.
    pub fn fill_text(
        &self,
        text: &str,
        kind: TextKind,
        variables: &BTreeMap<Cow<'static, str>, Value<'static>>,
        context: &ActionContext,
    ) -> Result<String, RenderFault> {
        let facts = EventFacts::new(&context.event);
        let variables = variables.clone();
        let filling = Filling { renderer: self, context, facts, variables };
        Ok(as_text(&filling.text(text, kind.place())?))
    }
}

impl TextKind {
    fn place(self) -> Place {
        match self {
            Self::Plain => Place::Text,
            Self::Html => Place::Html,
            Self::Path => Place::Url,
        }
    }
}

/// Whether there is nothing in a value: no value, a text of white space, a list of such.
fn is_nothing(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => text.trim().is_empty(),
        Value::List(items) => items.iter().all(is_nothing),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

/// Where the text behind a key goes.
fn place_of(kind: ActionKind, key: &str) -> Place {
    match (kind, key) {
        (ActionKind::CallWebhook, "url") | (ActionKind::SendNotification, "link") => Place::Url,
        (ActionKind::CallWebhook, "body") => Place::Json,
        (ActionKind::CallWebhook, "headers")
        | (ActionKind::SendEmail, "to" | "subject")
        | (ActionKind::EnqueueExport, "email_to") => Place::Line,
        _ => Place::Plain,
    }
}

impl Filling<'_> {
    /// A value of a payload with every text in it filled in.
    fn value(&self, value: &Value<'static>, place: Place) -> Result<Value<'static>, RenderFault> {
        Ok(match value {
            Value::Text(text) => self.text(text, place)?,
            Value::List(items) => {
                // In a structure nothing needs quotes: it is written as JSON as a whole.
                let items = items.iter().map(|item| self.value(item, place.inside()));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let members = members
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), self.value(value, place.inside())?)));
                Value::Object(members.collect::<Result<_, RenderFault>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }

    fn text(&self, text: &str, place: Place) -> Result<Value<'static>, RenderFault> {
        if !text.contains("{{") {
            return Ok(Value::Text(Cow::Owned(text.to_owned())));
        }
        let template = Template::parse(text).map_err(|_| RenderFault::Template(text.to_owned()))?;
        if let Some(slot) = template.as_slot()
            && place.keeps_types()
        {
            return self.slot(slot);
        }
        let mut out = String::new();
        for part in template.parts() {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Slot(slot) => {
                    let value = as_text(&self.slot(slot)?);
                    let named = || RenderFault::Control(slot.reference.to_string());
                    // An address that is filled in from its beginning is a whole address, and what
                    // the configuration says is a part of it as it stands.
                    let is_env = matches!(slot.reference, Reference::Env(_));
                    let place = if out.is_empty() || is_env { place.as_given() } else { place };
                    out.push_str(&place.escaped(&value).ok_or_else(named)?);
                }
            }
        }
        Ok(Value::Text(Cow::Owned(out)))
    }

    /// The value of a slot, its filters applied; `null` where there is none.
    fn slot(&self, slot: &Slot) -> Result<Value<'static>, RenderFault> {
        let value = self.reference(&slot.reference)?;
        let mut filters = slot.filters.iter();
        let filtered = filters.try_fold(value, |value, filter| filter::apply(filter, value));
        filtered.map_err(|NoDate| RenderFault::Date(slot.reference.to_string()))
    }

    fn reference(&self, reference: &Reference) -> Result<Value<'static>, RenderFault> {
        let now = self.context.now;
        let text = |text: String| Value::Text(Cow::Owned(text));
        Ok(match reference {
            Reference::Today { days } => {
                let day = now.checked_add(Duration::days(i64::from(*days)));
                let day = day.ok_or_else(|| RenderFault::Date(reference.to_string()))?;
                text(day.date().to_string())
            }
            Reference::Now => text(rfc3339(now)),
            Reference::Env(name) => {
                let value = self.renderer.env.get(name);
                text(value.cloned().ok_or_else(|| RenderFault::Env(name.clone()))?)
            }
            Reference::Field(path) => {
                let (first, rest) = path.as_str().split_once('.').unwrap_or((path.as_str(), ""));
                if let Some(value) = self.variables.get(first) {
                    let mut names = rest.split('.').filter(|name| !name.is_empty());
                    let found = names.try_fold(value, |value, name| value.member(name));
                    return Ok(found.cloned().unwrap_or(Value::Null));
                }
                match path.as_str() {
                    "workflow.name" => return Ok(text(self.context.workflow.clone())),
                    "workflow.role" => return Ok(text(self.context.role.clone())),
                    "run.id" => return Ok(text(self.context.run.to_string())),
                    _ => {}
                }
                match self.facts.at(path) {
                    Fact::Known(value) => value.into_owned(),
                    Fact::Missing | Fact::Unknown => Value::Null,
                }
            }
        })
    }
}

fn rfc3339(time: OffsetDateTime) -> String {
    let seconds = time.replace_nanosecond(0).unwrap_or(time);
    seconds.format(&Rfc3339).unwrap_or_default()
}

/// A value inside a longer text: nothing where there is none, lists and objects as JSON.
fn as_text(value: &Value<'_>) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) => text.to_string(),
        Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
