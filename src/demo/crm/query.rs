//! The query string as Django reads and writes it.
//!
//! Pure. Refuses nothing: malformed escapes stay as they are, invalid UTF-8 is replaced.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What Python's `quote_plus` escapes; the space is dealt with by itself.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~').remove(b' ');

/// The parameters of a request, each name with all its values.
#[derive(Debug, Default)]
pub(super) struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    /// Reads what stands behind the `?`.
    pub(super) fn parse(text: &str) -> Self {
        let mut parameters: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.entry(decode(name)).or_default().push(decode(value));
        }
        Self(parameters)
    }

    /// The value of a parameter; the last one where it is repeated.
    pub(super) fn last(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.last().map(String::as_str)
    }

    /// Every parameter with the value that counts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, values)| Some((name.as_str(), values.last()?.as_str())))
    }

    /// The query string with `page` set, or without it; sorted by name, as Django REST does.
    pub(super) fn with_page(&self, page: Option<usize>) -> String {
        let mut parameters = self.0.clone();
        match page {
            Some(page) => parameters.insert("page".to_owned(), vec![page.to_string()]),
            None => parameters.remove("page"),
        };
        let pairs: Vec<String> = parameters
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        pairs.join("&")
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string().replace(' ', "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_the_last_counts() {
        let query = Query::parse("a=1&&b=x+y%20z&a=%C3%A9&c&d=%zz&e=%ff&f=1=2");
        let seen: Vec<_> = query.iter().collect();
        let expected =
            [("a", "é"), ("b", "x y z"), ("c", ""), ("d", "%zz"), ("e", "\u{fffd}"), ("f", "1=2")];
        assert_eq!(seen, expected);
        assert_eq!(query.last("z"), None);
    }

    #[test]
    fn links_keep_every_parameter() {
        let query = Query::parse("search=zo%C3%AB+x&page=2&email=a%2Bb%40c&email=z");
        assert_eq!(query.with_page(Some(3)), "email=a%2Bb%40c&email=z&page=3&search=zo%C3%AB+x");
        assert_eq!(query.with_page(None), "email=a%2Bb%40c&email=z&search=zo%C3%AB+x");
        assert_eq!(Query::parse("page=2").with_page(None), "");
    }
}
