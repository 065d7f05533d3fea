//! A search body in JSON as the pairs that would ask the same: `{"a":{"b":[1]}}` is `a[b][0]=1`.

use super::pairs::{Malformed, Pair};
use crate::guard::tree::{Content, Tree, Value};

/// Most pairs of one body.
const MOST_PAIRS: usize = 4096;

/// The pairs of a JSON object.
pub(super) fn json(body: &[u8]) -> Result<Vec<Pair>, Malformed> {
    let tree = Tree::parse(body).map_err(|_| Malformed)?;
    if !matches!(tree.root.content, Content::Object(_)) {
        return Err(Malformed);
    }
    let mut pairs = Vec::new();
    flatten(&tree.root, String::new(), &mut pairs)?;
    Ok(pairs)
}

fn flatten(value: &Value, name: String, pairs: &mut Vec<Pair>) -> Result<(), Malformed> {
    if pairs.len() > MOST_PAIRS {
        return Err(Malformed);
    }
    let below = |key: &str| {
        if name.is_empty() { key.to_owned() } else { format!("{name}[{key}]") }
    };
    let text = match &value.content {
        Content::Object(members) if !members.is_empty() => {
            for member in members {
                // Nobody's fields are called so, and brackets would make other names of them.
                if member.name.is_empty() || member.name.contains(['[', ']', '\0']) {
                    return Err(Malformed);
                }
                flatten(&member.value, below(&member.name), pairs)?;
            }
            return Ok(());
        }
        Content::List(elements) if !elements.is_empty() => {
            for (index, element) in elements.iter().enumerate() {
                flatten(&element.value, below(&index.to_string()), pairs)?;
            }
            return Ok(());
        }
        Content::Object(_) | Content::List(_) | Content::Null => String::new(),
        Content::Bool(value) => value.to_string(),
        Content::Number(digits) => digits.clone(),
        Content::Text(text) => text.clone(),
    };
    pairs.push(Pair { name, value: text, raw: pairs.len() });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_pairs() {
        let pairs = json(br#"{"a":{"b":[1,{"c":"x"}]},"d":null,"e":[]}"#).unwrap();
        let pairs: Vec<_> =
            pairs.iter().map(|pair| format!("{}={}", pair.name, pair.value)).collect();
        assert_eq!(pairs, ["a[b][0]=1", "a[b][1][c]=x", "d=", "e="]);
        for broken in ["[]", "7", "{", r#"{"a]":1}"#, r#"{"a":1,"a":2}"#] {
            assert_eq!(json(broken.as_bytes()), Err(Malformed), "{broken}");
        }
    }
}
