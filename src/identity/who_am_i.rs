//! The CRM's own word for who calls: it is asked with exactly the caller's credentials.
//!
//! Nothing but the configured cookies and headers goes along, and the host that the client asked
//! for, since a CRM of several companies tells them apart by it. A clear no (401, 403, a redirect to
//! a login page, an answer without a subject) refuses the caller; anything else that is not a
//! usable 200 makes nobody known and nobody refused: the source is unavailable, never a guess.

mod credentials;
mod reading;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};

use self::credentials::Presented;
use self::reading::Reading;
use super::Principal;
use super::answers::{Answers, Digest, Ending, Said, Unknown};
use super::arrival::Arrival;
use super::fault::SourceFault;
use super::kind::{SourceKind, Told};
use super::refusal::Refusal;
use super::role_names::RoleNames;
use crate::config::{self, AuthorizationScheme, ForgetRoute, WhoAmIPlace};
use crate::outbound::{Answer, Client};

/// One CRM to ask.
pub(super) struct WhoAmI {
    client: Client,
    target: String,
    /// The `Host` to ask for; `None` passes the client's on.
    host: Option<HeaderValue>,
    credentials: config::Credentials,
    reading: Reading,
    forget: Vec<ForgetRoute>,
    answers: Arc<Answers>,
}

impl WhoAmI {
    pub(super) fn build(
        settings: &config::WhoAmI,
        upstream: &config::Upstream,
        roles: RoleNames,
        told: Told,
    ) -> Result<Self, Vec<SourceFault>> {
        let timeout = settings.keep.timeout;
        let (client, target, host) = match &settings.place {
            WhoAmIPlace::Upstream(target) => {
                let tls = upstream.tls.as_ref();
                let client = Client::new(&upstream.host, upstream.port, tls, timeout);
                (client, target, upstream.host_header.clone())
            }
            WhoAmIPlace::Elsewhere(endpoint) => {
                let tls = endpoint.tls.as_ref();
                let client = Client::new(&endpoint.host, endpoint.port, tls, timeout);
                let host = client.as_ref().ok().map(Client::authority);
                (client, &endpoint.target, host)
            }
        };
        let client = client.map_err(|fault| vec![SourceFault::Client(fault)])?;
        let host = host.map(|host| HeaderValue::from_str(&host)).transpose();
        let answers = Answers::new(SourceKind::WhoAmI, settings.keep, &mut rand::rng(), told);
        Ok(Self {
            client,
            target: target.clone(),
            host: host.map_err(|_| vec![SourceFault::HostHeader])?,
            credentials: settings.credentials.clone(),
            reading: Reading::new(settings, roles),
            forget: settings.forget.clone(),
            answers: Arc::new(answers),
        })
    }

    /// Whether bearer tokens are among its credentials.
    pub(super) fn reads_bearer(&self) -> bool {
        self.credentials.authorization.contains(&AuthorizationScheme::Bearer)
    }

    /// Whether the `Authorization` header is.
    pub(super) fn reads_authorization(&self) -> bool {
        !self.credentials.authorization.is_empty()
    }

    /// The other headers that decide who calls.
    pub(super) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let cookie = (!self.credentials.cookies.is_empty()).then_some(&header::COOKIE);
        cookie.into_iter().chain(&self.credentials.headers)
    }

    /// The request's credential, where it carries one that the CRM reads.
    pub(super) fn credential(&self, arrival: &Arrival<'_>) -> Result<Option<Digest>, Refusal> {
        let mut digest = self.answers.digest();
        digest.part(self.host_for(arrival));
        let presented = Presented { kinds: &self.credentials, headers: arrival.headers };
        let any = presented.each(|name, value| {
            digest.part(name);
            digest.part(value);
        })?;
        Ok(any.then(|| digest.finish()))
    }

    /// Whom the CRM takes the caller for.
    pub(super) async fn find(
        &self,
        credential: Digest,
        arrival: &Arrival<'_>,
    ) -> Result<Arc<Principal>, Unknown> {
        self.answers.find(credential, arrival.at, || self.ask(arrival)).await
    }

    /// Begins to forget a caller, where the request is one that ends its credential.
    pub(super) fn ending(
        &self,
        method: &Method,
        path: &str,
        arrival: &Arrival<'_>,
    ) -> Option<Ending> {
        let ends = |route: &ForgetRoute| {
            (route.methods.is_empty() || route.methods.contains(method)) && route.path.matches(path)
        };
        if !self.forget.iter().any(ends) {
            return None;
        }
        let credential = self.credential(arrival).ok().flatten()?;
        Some(self.answers.end(credential))
    }

    fn host_for<'a>(&'a self, arrival: &Arrival<'a>) -> &'a [u8] {
        self.host.as_ref().map_or(arrival.host, HeaderValue::as_bytes)
    }

    async fn ask(&self, arrival: &Arrival<'_>) -> Said {
        let Some(request) = self.question(arrival) else { return Said::Nothing };
        match self.client.send(request).await {
            Ok(answer) => self.understand(&answer),
            Err(_) => Said::Nothing,
        }
    }

    fn question(&self, arrival: &Arrival<'_>) -> Option<Request<Bytes>> {
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(&self.target)
            .header(header::ACCEPT, "application/json")
            .header(header::HOST, self.host_for(arrival))
            .body(Bytes::new())
            .ok()?;
        Presented { kinds: &self.credentials, headers: arrival.headers }
            .copy_to(request.headers_mut())?;
        Some(request)
    }

    fn understand(&self, answer: &Answer) -> Said {
        match answer.status {
            StatusCode::OK => match self.reading.principal(&answer.body) {
                None => Said::Nothing,
                Some(Ok(principal)) => Said::Known(principal, Duration::MAX),
                Some(Err(refusal)) => Said::Refused(refusal),
            },
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT => Said::Refused(Refusal::NotRecognised),
            _ => Said::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
