//! Django REST: `field__lookup=value`, `ordering=`, `search=`, and the names that packages add.

use super::names::{parameter, path, shown, sort_keys};
use super::pairs::Pair;
use super::{Asked, Path, searched};

/// Lookups and transforms that may end a name.
const LOOKUPS: [&str; 48] = [
    "exact",
    "iexact",
    "contains",
    "icontains",
    "in",
    "gt",
    "gte",
    "lt",
    "lte",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
    "range",
    "date",
    "year",
    "iso_year",
    "month",
    "day",
    "week",
    "week_day",
    "iso_week_day",
    "quarter",
    "time",
    "hour",
    "minute",
    "second",
    "isnull",
    "regex",
    "iregex",
    "search",
    "trigram_similar",
    "trigram_word_similar",
    "unaccent",
    "lower",
    "upper",
    "length",
    "len",
    "overlap",
    "contained_by",
    "has_key",
    "has_keys",
    "has_any_keys",
    "ne",
    "not",
    "min",
    "max",
    "after",
];

pub(super) fn read(pair: &Pair) -> Vec<Asked> {
    match parameter(&pair.name).as_str() {
        "ordering" | "orderby" | "order" | "sort" | "sortby" => sort_keys(&pair.value),
        "search" | "q" | "query" => vec![searched(&pair.value)],
        "fields" | "only" | "include" | "expand" => shown(&pair.value, &[".", "__"]),
        "page" | "pagesize" | "limit" | "offset" | "format" | "cursor" | "omit" | "exclude" => {
            vec![Asked::Harmless]
        }
        word if super::plain::is_conventional(word) => super::plain::read(pair),
        // `search[value]=`, as grids send it.
        _ if pair.name.split_once('[').is_some_and(|(head, _)| is_conventional(head)) => {
            super::plain::read(pair)
        }
        _ => match path_of(&pair.name) {
            None => vec![Asked::Unread],
            Some(path) => {
                let mut asked = super::plain::without_operators(&path);
                asked.insert(0, Asked::Unknown(path));
                asked
            }
        },
    }
}

fn is_conventional(head: &str) -> bool {
    super::plain::is_conventional(&parameter(head))
}

/// The field of a filter. Whatever stands behind it may be a lookup, a transform, a key of a JSON
/// field or the field of a relation; a name that is one of the first two is not kept, for fields
/// are called `date` and `year` too.
fn path_of(name: &str) -> Option<Path> {
    // `name!=value` and `name~=value` negate.
    let name = name.trim_end_matches(['!', '~', '<', '>', '^', '$', '*']);
    let name = name.strip_suffix("[]").unwrap_or(name);
    let mut path = path(name, &["__", ".", "[", "]["])
        .or_else(|| super::names::brackets(name).and_then(|parts| all_names(&parts)))?;
    while path.len() > 1 && path.last().is_some_and(|last| LOOKUPS.contains(&last.as_str())) {
        path.pop();
    }
    Some(path)
}

fn all_names(parts: &[String]) -> Option<Path> {
    let mut path = Path::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        path.extend(super::names::path(part, &["__", "."])?);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use crate::policy::query::Dialect::Django;

    #[test]
    fn filters_orderings_and_searches() {
        check(Django, "page=2&page_size=50&format=json", true);
        check(Django, "status=new&status__in=a,b&created_at__gte=2026-01-01", true);
        check(Django, "ordering=-created_at,status", true);
        check(Django, "owner__name=x&owner__name__icontains=y", true);
        check(Django, "fields=id,email&expand=owner", true);
        check(Django, "search[value]=&search[regex]=false&status_min=1&created_after=2", true);
        for asked in [
            "ssn=9",
            "ssn__startswith=9",
            "SSN__startswith=9",
            "ss%6E__startswith=9",
            "ssn!=9",
            "ssn__trigram_similar=9",
            "ssn__some_lookup=9",
            "ssn[]=9",
            "ssn[gt]=9",
            "ssn.gt=9",
            "email__isnull=true",
            "ordering=ssn",
            "ordering=-ssn",
            "ordering=%2Bssn",
            "ordering=+ssn",
            "ordering=status,ssn",
            "Ordering=ssn",
            "ordering[]=ssn",
            "ordering=status&ordering=ssn",
            "ordering=Lower(ssn)",
            "o=1;ssn=9",
            "status=1&ssn=9",
            "search=9",
            "search=a&search=",
            "sort_field=ssn",
            "filter=ssn",
            "group_by=ssn",
            "keyword=9",
            "owner__email=x",
            "owner__email__startswith=x",
            "account__vat_number=1",
            "account__vat_number__startswith=1",
            "fields=ssn",
            "ssn%2525=1",
            "%2573sn=1",
            "search[value]=9",
            "search[value][]=9",
            "columns[3][search][value]=9",
            "ssn_min=9",
            "ssn_after=9",
            "ssn_prefix=9",
            "ssnContains=9",
            "min_ssn=9",
            "account__vat_number_min=9",
            "s.s.n=9",
        ] {
            check(Django, asked, false);
        }
    }
}
