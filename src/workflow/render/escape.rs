//! How a value is written where it goes.

use std::borrow::Cow;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::json::text::quote;

/// What a part of an address keeps as it is (RFC 3986, unreserved).
const UNRESERVED: &percent_encoding::AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A value of its own, or a text that people read.
    Plain,
    /// A text that people read, and never another value.
    Text,
    /// HTML, between tags or in an attribute with quotes.
    Html,
    /// A part of an address.
    Url,
    /// A text that is JSON as a whole; slots stand between quotes in it.
    Json,
    /// One line: a header, a subject, an address of a mail.
    Line,
    /// A part of an address that is one already.
    GivenUrl,
}

impl Place {
    /// The place of a text inside a list or an object at this place.
    pub(super) fn inside(self) -> Self {
        match self {
            Self::Json => Self::Plain,
            Self::Plain | Self::Text | Self::Html | Self::Url | Self::Line | Self::GivenUrl => self,
        }
    }

    /// The place of what is a part of the text as it stands, and not a value in it.
    pub(super) fn as_given(self) -> Self {
        match self {
            Self::Url => Self::GivenUrl,
            Self::Plain | Self::Text | Self::Html | Self::Json | Self::Line | Self::GivenUrl => {
                self
            }
        }
    }

    /// Whether a slot that stands alone may be another value than a text.
    pub(super) fn keeps_types(self) -> bool {
        match self {
            Self::Plain | Self::Json => true,
            Self::Text | Self::Html | Self::Url | Self::Line | Self::GivenUrl => false,
        }
    }

    /// A value as it is written there; `None` where it may not stand there.
    pub(super) fn escaped(self, value: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::Plain | Self::Text => Some(Cow::Borrowed(value)),
            Self::Html => Some(Cow::Owned(html(value))),
            Self::Url => Some(utf8_percent_encode(value, UNRESERVED).into()),
            Self::Json => {
                let mut quoted = Vec::with_capacity(value.len() + 2);
                quote(value, &mut quoted);
                let quoted = String::from_utf8(quoted).ok()?;
                let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
                Some(Cow::Owned(inner.to_owned()))
            }
            Self::Line | Self::GivenUrl => {
                (!value.chars().any(char::is_control)).then_some(Cow::Borrowed(value))
            }
        }
    }
}

fn html(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
