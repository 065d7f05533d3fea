//! JSON:API: `filter[..]=`, `sort=`, `include=`, `fields[type]=`, `page[..]=`.

use super::names::{brackets, parameter, path, shown, sort_keys};
use super::pairs::Pair;
use super::{Asked, Path};
use crate::policy::plan::folded;

/// How filters put fields into values: `filter[x][condition][path]=ssn`.
const NAMES_A_FIELD: [&str; 3] = ["path", "field", "attribute"];

/// Words of filters that are no field.
const FRAME: [&str; 9] =
    ["condition", "group", "conjunction", "operator", "value", "memberof", "and", "or", "not"];

pub(super) fn read(pair: &Pair, resource: &str) -> Vec<Asked> {
    let Some(parts) = brackets(&pair.name) else { return vec![Asked::Unread] };
    let Some((head, below)) = parts.split_first() else { return vec![Asked::Unread] };
    match parameter(head).as_str() {
        "sort" => sort_keys(&pair.value),
        "include" => shown(&pair.value, &["."]),
        "page" => vec![Asked::Harmless],
        "fields" => fields(below, &pair.value, resource),
        "filter" if below.is_empty() => {
            // An expression of whatever language the server has chosen.
            vec![if pair.value.trim().is_empty() { Asked::Harmless } else { Asked::Unread }]
        }
        "filter" => filter(below, &pair.value),
        _ => super::plain::read(pair),
    }
}

/// Fields of a type: those of this resource, or of one that is included.
fn fields(below: &[String], value: &str, resource: &str) -> Vec<Asked> {
    let asked = shown(value, &["."]);
    let Some(kind) = below.first() else { return asked };
    let is_own = folded(kind).starts_with(&folded(resource));
    let with_kind = asked.iter().map(|asked| match asked {
        Asked::Shown(path) if !is_own => {
            Asked::Shown(std::iter::once(kind.clone()).chain(path.iter().cloned()).collect())
        }
        other => other.clone(),
    });
    // Which member the type is included by is not known, so the field is asked for here too.
    let with_kind: Vec<_> = with_kind.collect();
    asked.into_iter().chain(with_kind).collect()
}

fn filter(below: &[String], value: &str) -> Vec<Asked> {
    let last = below.last().map(|last| last.to_ascii_lowercase()).unwrap_or_default();
    if NAMES_A_FIELD.contains(&last.as_str()) {
        // The name may as well be that of a field.
        let mut asked = sort_keys(value);
        asked.extend(names(below));
        return asked;
    }
    names(below)
}

fn names(below: &[String]) -> Vec<Asked> {
    let mut whole = Path::new();
    let words = below.iter().filter(|part| {
        let word = part.to_ascii_lowercase();
        let is_index = part.bytes().all(|byte| byte.is_ascii_digit());
        !is_index && !FRAME.contains(&word.as_str()) && !NAMES_A_FIELD.contains(&word.as_str())
    });
    for part in words {
        let part = part.trim_start_matches(['$', '!', '-']);
        match path(part, &[".", "__"]) {
            Some(names) => whole.extend(names),
            None => return vec![Asked::Unread],
        }
    }
    vec![if whole.is_empty() { Asked::Harmless } else { Asked::Unknown(whole) }]
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use crate::policy::query::Dialect::JsonApi;

    #[test]
    fn filters_sorts_and_includes() {
        for fine in [
            "page[number]=2&page[size]=3",
            "filter[status]=new&filter[status][eq]=a&filter[owner.name]=x",
            "filter[x][condition][path]=status&filter[x][condition][operator]=%3D&filter[x][condition][value]=ssn",
            "sort=-created_at,owner.name",
            "include=owner,owner.team",
            "fields[leads]=status,email&fields[users]=name",
        ] {
            check(JsonApi, fine, true);
        }
        for asked in [
            "filter[ssn]=9",
            "filter%5Bssn%5D=9",
            "filter[ssn][startsWith]=9",
            "filter[s-s-n]=9",
            "filter[or][0][ssn]=9",
            "filter[owner.email]=x",
            "filter[account][vat_number]=x",
            "filter[x][condition][path]=ssn",
            "filter[x][path]=ssn",
            "filter=equals(ssn,'9')",
            "filter=[{\"name\":\"ssn\",\"op\":\"eq\",\"val\":\"9\"}]",
            "filter[ssn=9",
            "filter[ssn_start]=9",
            "filter[frame][ssn]=9",
            "sort=ssn",
            "sort=status,-ssn",
            "include=people.ssn",
            "fields[leads]=ssn",
            "fields[users]=ssn",
            "fields=ssn",
            "ssn=9",
            "q=9",
        ] {
            check(JsonApi, asked, false);
        }
    }
}
