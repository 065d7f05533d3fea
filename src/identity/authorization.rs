//! The `Authorization` header, as far as identity reads it: one bearer token or nothing.
//!
//! Refuses a repeated header: the CRM behind might read the other one.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::bounds::MAX_TOKEN_BYTES;
use super::refusal::Refusal;

/// What follows the `Bearer` scheme, or `None` where the request has no such credential.
///
/// Another scheme counts as none: a proxy in front may have used it up already.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Refusal::RepeatedAuthorization);
    }
    let mut parts = value.as_bytes().splitn(2, |byte| *byte == b' ');
    let is_bearer = parts.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"));
    Ok(is_bearer.then(|| trim_spaces(parts.next().unwrap_or_default())))
}

/// The token as text, where it has the form of RFC 6750 (`b64token`) and a bearable length.
pub(super) fn token(credential: &[u8]) -> Result<&str, Refusal> {
    if credential.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::TokenTooLong);
    }
    let text = std::str::from_utf8(credential).map_err(|_| Refusal::MalformedToken)?;
    let body = text.trim_end_matches('=');
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if body.is_empty() || !body.bytes().all(is_token_byte) {
        return Err(Refusal::MalformedToken);
    }
    Ok(text)
}

fn trim_spaces(bytes: &[u8]) -> &[u8] {
    let from_start = bytes.iter().position(|byte| *byte != b' ').unwrap_or(bytes.len());
    let to_end = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    bytes.get(from_start..to_end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(values: &[&str], expected: Result<Option<&str>, Refusal>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let found = bearer(&headers)
            .and_then(|credential| credential.map(token).transpose())
            .map(|token| token.map(str::to_owned));
        assert_eq!(found, expected.map(|token| token.map(str::to_owned)), "{values:?}");
    }

    #[test]
    fn one_bearer_token_or_nothing() {
        let longest = "a".repeat(MAX_TOKEN_BYTES);
        check(&[], Ok(None));
        check(&["Bearer abc"], Ok(Some("abc")));
        check(&["bEARER   a.b~c+d/e_f-g=="], Ok(Some("a.b~c+d/e_f-g==")));
        check(&[&format!("Bearer {longest}")], Ok(Some(&longest)));
        check(&["Basic YWxhZGRpbg=="], Ok(None));
        check(&["Bearerabc"], Ok(None));
        check(&[""], Ok(None));
    }

    #[test]
    fn what_is_refused() {
        check(&["Bearer a", "Bearer a"], Err(Refusal::RepeatedAuthorization));
        check(&["Bearer a", "Basic a"], Err(Refusal::RepeatedAuthorization));
        check(&["Bearer"], Err(Refusal::MalformedToken));
        check(&["Bearer   "], Err(Refusal::MalformedToken));
        check(&["Bearer ="], Err(Refusal::MalformedToken));
        check(&["Bearer a b"], Err(Refusal::MalformedToken));
        check(&["Bearer a, Bearer b"], Err(Refusal::MalformedToken));
        check(&["Bearer a=b"], Err(Refusal::MalformedToken));
        check(&["Bearer \u{e4}"], Err(Refusal::MalformedToken));
        check(
            &[&format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES + 1))],
            Err(Refusal::TokenTooLong),
        );
    }
}
