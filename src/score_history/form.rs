//! A kept score as JSON text in a row, and back. What cannot be read back is no score.

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::score::{ComponentName, Hundredths, Kept, KeptComponent, Score, Thousandths};

/// The text of a score. Its moment and total stand in columns of their own.
pub(super) fn text(score: &Score) -> String {
    let components = score.keep().components.map(|component| {
        json!({
            "name": component.name.word(),
            "weight": component.weight.count(),
            "factor": component.factor.count(),
            "contribution": component.contribution.count(),
            "explanation": component.explanation,
            "rests_on": component.rests_on,
            "rests_elsewhere": component.rests_elsewhere,
        })
    });
    json!(components).to_string()
}

/// The score of a text.
pub(super) fn score(text: &str, total: u8, calculated_at: OffsetDateTime) -> Option<Score> {
    let components: Vec<Value> = serde_json::from_str(text).ok()?;
    let components: Option<Vec<KeptComponent>> = components.iter().map(component).collect();
    let components = components?.try_into().ok()?;
    Score::recall(&Kept { total, calculated_at, components })
}

fn component(value: &Value) -> Option<KeptComponent> {
    let number = |name: &str| u32::try_from(value.get(name)?.as_u64()?).ok();
    let paths = value.get("rests_on")?.as_array()?.iter();
    let paths: Option<Vec<String>> = paths.map(|path| path.as_str().map(str::to_owned)).collect();
    Some(KeptComponent {
        name: ComponentName::from_word(value.get("name")?.as_str()?)?,
        weight: Thousandths::new(number("weight")?),
        factor: Thousandths::new(number("factor")?),
        contribution: Hundredths::new(number("contribution")?),
        explanation: value.get("explanation")?.as_str()?.to_owned(),
        rests_on: paths?,
        rests_elsewhere: value.get("rests_elsewhere")?.as_bool()?,
    })
}
