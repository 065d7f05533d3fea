//! Documents with some values changed: everything else stays as it was written.

use super::tree::{Child, Content, Value};

/// What becomes of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It stays as it is.
    Keep,
    /// It goes, with its name.
    Drop,
    /// Another text takes its place.
    Put(Vec<u8>),
}

/// What becomes of a container, by what becomes of its children, in order. `appended` are whole
/// members (`"name":value`) that come behind them.
pub(super) fn rebuild(
    text: &[u8],
    value: &Value,
    outcomes: &[Outcome],
    appended: &[Vec<u8>],
) -> Outcome {
    let (children, close) = match &value.content {
        Content::Object(children) => (children, b'}'),
        Content::List(children) => (children, b']'),
        _ => return Outcome::Keep,
    };
    if appended.is_empty() && outcomes.iter().all(|outcome| *outcome == Outcome::Keep) {
        return Outcome::Keep;
    }
    let slice = |start: usize, end: usize| text.get(start..end).unwrap_or_default();
    let mut out = slice(value.start, value.start + 1).to_vec();
    let mut is_first = true;
    let mut separate = |out: &mut Vec<u8>| {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
    };
    let behind =
        |at: usize| children.get(at + 1).map_or(value.end - 1, |next: &Child| next.lead - 1);
    for (at, (child, outcome)) in children.iter().zip(outcomes).enumerate() {
        let replaced = match outcome {
            Outcome::Drop => continue,
            Outcome::Keep => slice(child.value.start, child.value.end),
            Outcome::Put(bytes) => bytes,
        };
        separate(&mut out);
        out.extend_from_slice(slice(child.lead, child.value.start));
        out.extend_from_slice(replaced);
        out.extend_from_slice(slice(child.value.end, behind(at)));
    }
    for member in appended {
        separate(&mut out);
        out.extend_from_slice(member);
    }
    out.push(close);
    Outcome::Put(out)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    #[track_caller]
    fn check(text: &str, outcomes: &[Outcome], appended: &[&str], expect: &str) {
        let tree = Tree::parse(text.as_bytes()).unwrap();
        let appended: Vec<_> = appended.iter().map(|member| member.as_bytes().to_vec()).collect();
        let out = match rebuild(tree.text, &tree.root, outcomes, &appended) {
            Outcome::Put(bytes) => String::from_utf8(bytes).unwrap(),
            Outcome::Keep => text.to_owned(),
            Outcome::Drop => String::new(),
        };
        assert_eq!(out, expect);
    }

    #[test]
    fn what_is_not_touched_stays_as_it_was() {
        use Outcome::{Drop, Keep, Put};
        let text = r#"{ "a" : 1.10 , "b":[ 2 ],"c" :3 }"#;
        check(text, &[Keep, Keep, Keep], &[], text);
        check(text, &[Drop, Keep, Keep], &[], r#"{ "b":[ 2 ],"c" :3 }"#);
        check(text, &[Keep, Drop, Keep], &[], r#"{ "a" : 1.10 ,"c" :3 }"#);
        check(text, &[Keep, Keep, Drop], &[], r#"{ "a" : 1.10 , "b":[ 2 ]}"#);
        check(text, &[Drop, Drop, Drop], &[r#""d":4"#], r#"{"d":4}"#);
        check(
            text,
            &[Keep, Put(b"7".to_vec()), Drop],
            &[r#""d":4"#],
            r#"{ "a" : 1.10 , "b":7,"d":4}"#,
        );
        check("{}", &[], &[r#""d":4"#], r#"{"d":4}"#);
        check("[1, 2]", &[Drop, Keep], &[], "[ 2]");
    }
}
