//! What of a request the CRM recognises its caller by: the configured cookies and headers, no more.
//!
//! Refuses a credential that stands twice, since the CRM might read the other one, and an
//! `Authorization` beside it that would not be sent along, since the CRM might act on that instead.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::{AuthorizationScheme, Credentials};
use crate::identity::refusal::Refusal;

/// A request, and what of it counts.
pub(super) struct Presented<'a> {
    pub(super) kinds: &'a Credentials,
    pub(super) headers: &'a HeaderMap,
}

impl<'a> Presented<'a> {
    /// Takes every credential by name and value, in an order that does not depend on the request.
    /// Answers whether there is any.
    pub(super) fn each(&self, mut take: impl FnMut(&[u8], &'a [u8])) -> Result<bool, Refusal> {
        let mut any = false;
        for name in &self.kinds.cookies {
            if let Some(value) = self.cookie(name)? {
                take(b"cookie", b"");
                take(name.as_bytes(), value);
                any = true;
            }
        }
        for name in &self.kinds.headers {
            if let Some(value) = self.header(name, Refusal::RepeatedCredential)? {
                take(name.as_str().as_bytes(), value);
                any = true;
            }
        }
        let authorization = self.header(&AUTHORIZATION, Refusal::RepeatedAuthorization)?;
        match authorization {
            Some(value) if self.reads(value) => {
                take(AUTHORIZATION.as_str().as_bytes(), value);
                any = true;
            }
            Some(_) if any => return Err(Refusal::UnsentAuthorization),
            Some(_) | None => {}
        }
        Ok(any)
    }

    /// Puts the same credentials into the headers of a question.
    pub(super) fn copy_to(&self, headers: &mut HeaderMap) -> Option<()> {
        let mut cookies: Vec<u8> = Vec::new();
        for name in &self.kinds.cookies {
            if let Some(value) = self.cookie(name).ok()? {
                if !cookies.is_empty() {
                    cookies.extend_from_slice(b"; ");
                }
                cookies.extend_from_slice(name.as_bytes());
                cookies.push(b'=');
                cookies.extend_from_slice(value);
            }
        }
        if !cookies.is_empty() {
            headers.insert(COOKIE, sensitive(&cookies)?);
        }
        for name in &self.kinds.headers {
            if let Some(value) = self.headers.get(name) {
                headers.insert(name.clone(), sensitive(value.as_bytes())?);
            }
        }
        if let Some(value) = self.headers.get(AUTHORIZATION)
            && self.reads(value.as_bytes())
        {
            headers.insert(AUTHORIZATION, sensitive(value.as_bytes())?);
        }
        Some(())
    }

    /// The one value of a header.
    fn header(&self, name: &HeaderName, twice: Refusal) -> Result<Option<&'a [u8]>, Refusal> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(HeaderValue::as_bytes);
        if values.next().is_some() { Err(twice) } else { Ok(value) }
    }

    /// The one value of a cookie. HTTP/2 may send the pairs in headers of their own.
    fn cookie(&self, name: &str) -> Result<Option<&'a [u8]>, Refusal> {
        let pairs = self.headers.get_all(COOKIE).iter();
        let pairs = pairs.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
        let mut values = pairs.filter_map(|pair| {
            let pair = pair.trim_ascii();
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            let (found, value) = pair.split_at_checked(equals)?;
            (found.trim_ascii_end() == name.as_bytes()).then(|| value.get(1..).unwrap_or_default())
        });
        let value = values.next();
        if values.next().is_some() { Err(Refusal::RepeatedCredential) } else { Ok(value) }
    }

    /// Whether the CRM reads an `Authorization` of this scheme.
    fn reads(&self, value: &[u8]) -> bool {
        let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
        self.kinds.authorization.iter().any(|known| {
            let name = match known {
                AuthorizationScheme::Basic => "basic",
                AuthorizationScheme::Bearer => "bearer",
                AuthorizationScheme::Token => "token",
            };
            scheme.eq_ignore_ascii_case(name.as_bytes())
        })
    }
}

fn sensitive(bytes: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(bytes).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds() -> Credentials {
        Credentials {
            cookies: vec!["sessionid".to_owned(), "tenant".to_owned()],
            headers: vec![HeaderName::from_static("x-api-key")],
            authorization: vec![AuthorizationScheme::Basic, AuthorizationScheme::Token],
        }
    }

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    /// What is sent along, as lines.
    fn sent(lines: &[(&str, &str)]) -> Result<Option<Vec<String>>, Refusal> {
        let (kinds, headers) = (kinds(), map(lines));
        let presented = Presented { kinds: &kinds, headers: &headers };
        let any = presented.each(|_, _| {})?;
        let mut out = HeaderMap::new();
        presented.copy_to(&mut out).unwrap();
        let mut lines: Vec<String> = out
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        assert_eq!(any, !lines.is_empty());
        Ok(any.then_some(lines))
    }

    #[track_caller]
    fn check(lines: &[(&str, &str)], expected: Result<&[&str], Refusal>) {
        let expected = expected.map(|lines| lines.iter().map(|line| (*line).to_owned()).collect());
        let found = sent(lines).map(Option::unwrap_or_default);
        assert_eq!(found, expected, "{lines:?}");
    }

    #[test]
    fn only_what_is_configured_goes_along() {
        check(&[], Ok(&[]));
        check(&[("cookie", "theme=dark"), ("x-user", "ann")], Ok(&[]));
        check(
            &[("cookie", "theme=dark; sessionid=a=b; csrf=x"), ("x-other", "1")],
            Ok(&["cookie: sessionid=a=b"]),
        );
        check(
            &[("cookie", "tenant=t"), ("cookie", "sessionid=s"), ("x-api-key", "k")],
            Ok(&["cookie: sessionid=s; tenant=t", "x-api-key: k"]),
        );
        check(&[("authorization", "BASIC YTpi")], Ok(&["authorization: BASIC YTpi"]));
        check(&[("authorization", "Token abc")], Ok(&["authorization: Token abc"]));
        check(&[("authorization", "Bearer abc")], Ok(&[]));
        check(&[("cookie", "SessionID=s; sessionid2=t; xsessionid=u")], Ok(&[]));
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        use Refusal::{RepeatedAuthorization, RepeatedCredential, UnsentAuthorization};
        check(&[("cookie", "sessionid=a; sessionid=b")], Err(RepeatedCredential));
        check(&[("cookie", "sessionid=a"), ("cookie", "sessionid=a")], Err(RepeatedCredential));
        check(&[("x-api-key", "a"), ("x-api-key", "b")], Err(RepeatedCredential));
        check(
            &[("authorization", "Basic a"), ("authorization", "Basic b")],
            Err(RepeatedAuthorization),
        );
        check(
            &[("cookie", "sessionid=a"), ("authorization", "Bearer b")],
            Err(UnsentAuthorization),
        );
    }

    fn taken(headers: &HeaderMap) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let kinds = kinds();
        let mut all = Vec::new();
        let any = Presented { kinds: &kinds, headers }
            .each(|name, value| all.push((name.to_vec(), value.to_vec())));
        any.ok().filter(|any| *any).map(|_| all)
    }

    proptest! {
        /// What is asked with is what the answer is kept under, whatever else a request carries.
        #[test]
        fn the_question_carries_what_the_digest_covers(
            lines in prop::collection::vec(
                (
                    prop::sample::select(vec!["cookie", "x-api-key", "authorization", "x-other"]),
                    "(sessionid|tenant|theme|Basic|Token|Bearer)?[=; a-c]{0,6}(; ?sessionid=[a-c]{0,2})?",
                ),
                0..5,
            ),
        ) {
            let lines: Vec<(&str, &str)> =
                lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let headers = map(&lines);
            if let Some(credential) = taken(&headers) {
                let kinds = kinds();
                let mut out = HeaderMap::new();
                let presented = Presented { kinds: &kinds, headers: &headers };
                prop_assert!(presented.copy_to(&mut out).is_some());
                prop_assert_eq!(taken(&out), Some(credential));
            }
        }
    }
}
