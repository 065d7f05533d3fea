//! Who may ask the admin listener: the right `Host`, and the token where one is set.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::connections::LocalAddress;
use super::{AdminState, answer};
use crate::config::Admin as Settings;
use crate::problem::Problem;

/// Paths that need no token.
const OPEN: [&str; 2] = ["/livez", "/readyz"];

/// What requests are checked against.
pub(super) struct Guard {
    bound: IpAddr,
    hosts: Vec<String>,
    // The digest: comparing digests says nothing about the length of the token.
    token: Option<[u8; 32]>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Guard").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Guard {
    pub(super) fn new(settings: &Settings) -> Self {
        let digest = |token: &secrecy::SecretString| Sha256::digest(token.expose_secret()).into();
        Self {
            bound: settings.address.ip(),
            hosts: settings.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            token: settings.token.as_ref().map(digest),
        }
    }

    /// Whether `authority` names this listener. `reached` is the address that the client reached,
    /// which says more than the bound one where that is 0.0.0.0. The port is not looked at: a
    /// forwarded port is a legitimate way here, and a foreign page gives itself away by its name.
    fn is_own(&self, authority: &Authority, reached: Option<SocketAddr>) -> bool {
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host();
        let address =
            host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = address.parse::<IpAddr>() {
            let address = address.to_canonical();
            let is_bound = !address.is_unspecified() && address == self.bound.to_canonical();
            let is_reached = reached.is_some_and(|reached| address == reached.ip().to_canonical());
            return is_bound || is_reached || self.hosts.iter().any(|own| own == host);
        }
        let host = host.to_ascii_lowercase();
        host == "localhost" || self.hosts.contains(&host)
    }

    fn has_own_host(&self, request: &Request, reached: Option<SocketAddr>) -> bool {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Ok(host) = Authority::try_from(host.as_bytes()) else { return false };
        let is_own_target =
            request.uri().authority().is_none_or(|authority| self.is_own(authority, reached));
        self.is_own(&host, reached) && is_own_target
    }

    /// Whether a token is asked for at all.
    pub(super) fn has_secret(&self) -> bool {
        self.token.is_some()
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let Some(expected) = &self.token else { return true };
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let Some((scheme, token)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
            return false;
        };
        let digest: [u8; 32] = Sha256::digest(token).into();
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(digest.ct_eq(expected))
    }
}

/// Stands before every page, and dresses every answer.
pub(super) async fn check(
    State(state): State<AdminState>,
    reached: ConnectInfo<LocalAddress>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = if !state.guard.has_own_host(&request, reached.0.0) {
        answer(
            &Problem::new(StatusCode::MISDIRECTED_REQUEST, "foreign_host", "Foreign host")
                .detail("the `Host` header does not name this listener; see `admin.hosts`"),
        )
    } else if OPEN.contains(&request.uri().path()) || state.guard.has_token(request.headers()) {
        next.run(request).await
    } else {
        let mut response = answer(
            &Problem::new(StatusCode::UNAUTHORIZED, "admin_token", "Token required")
                .detail("this page needs the admin token as `Authorization: Bearer`"),
        );
        let challenge = HeaderValue::from_static("Bearer realm=\"fieldgate admin\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bound: &str, reached: &str, host: &str, expect: bool) {
        let settings = Settings {
            address: SocketAddr::new(bound.parse().unwrap(), 9901),
            token: None,
            hosts: vec!["Gate.Internal".into(), "192.0.2.9".into()],
        };
        let reached = SocketAddr::new(reached.parse().unwrap(), 9901);
        let mut request = Request::new(axum::body::Body::empty());
        request.headers_mut().insert(header::HOST, host.parse().unwrap());
        let is_own = Guard::new(&settings).has_own_host(&request, Some(reached));
        assert_eq!(is_own, expect, "{host}");
    }

    #[test]
    fn hosts() {
        for host in ["127.0.0.1", "127.0.0.1:9901", "localhost", "LOCALHOST:1234", "gate.internal"]
        {
            check("127.0.0.1", "127.0.0.1", host, true);
        }
        for host in [
            "evil.example",
            "evil.example:9901",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "localhost@evil.example",
            "evil.example@localhost",
            "192.0.2.1",
            "0.0.0.0",
            "[::1]",
            "localhost:9901/",
            "localhost evil",
            "127.1",
            "2130706433",
        ] {
            check("127.0.0.1", "127.0.0.1", host, false);
        }
    }

    #[test]
    fn a_wildcard_listener_is_named_by_the_address_reached() {
        check("0.0.0.0", "10.0.0.5", "10.0.0.5:9901", true);
        check("0.0.0.0", "10.0.0.5", "10.0.0.6:9901", false);
        check("0.0.0.0", "10.0.0.5", "0.0.0.0:9901", false);
        check("::", "::ffff:10.0.0.5", "10.0.0.5", true);
        check("::1", "::1", "[::1]:9901", true);
        check("0.0.0.0", "10.0.0.5", "192.0.2.9", true);
    }
}
