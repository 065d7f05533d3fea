//! Tokens that say nothing by themselves: their issuer is asked (RFC 7662).
//!
//! Refuses whatever is not `"active": true`, and what the issuer says when it contradicts the
//! configuration or the clock. An issuer that does not answer, or does not know *us*, makes nobody
//! known and nobody refused: it is unavailable.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderValue, Method, Request, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret as _;
use std::time::Duration;
use zeroize::Zeroizing;

use super::Principal;
use super::answers::{Answers, Said, Unknown};
use super::arrival::Arrival;
use super::claims::{Members, Times};
use super::fault::SourceFault;
use super::kind::{SourceKind, Told};
use super::refusal::Refusal;
use super::role_names::RoleNames;
use crate::config::{self, ClaimNames};
use crate::outbound::{Answer, Client};

/// One issuer to ask. Has no `Debug`, since it holds a secret.
pub(super) struct Introspection {
    client: Client,
    target: String,
    authorization: HeaderValue,
    issuer: Option<String>,
    audience: Option<String>,
    claims: ClaimNames,
    roles: RoleNames,
    answers: Answers,
}

impl Introspection {
    pub(super) fn build(
        settings: &config::Introspection,
        roles: RoleNames,
        told: Told,
    ) -> Result<Self, Vec<SourceFault>> {
        let endpoint = &settings.endpoint;
        let client = Client::new(
            &endpoint.host,
            endpoint.port,
            endpoint.tls.as_ref(),
            settings.keep.timeout,
        )
        .map_err(|fault| vec![SourceFault::Client(fault)])?;
        Ok(Self {
            client,
            target: endpoint.target.clone(),
            authorization: basic(settings).ok_or_else(|| vec![SourceFault::ClientSecret])?,
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            claims: settings.claims.clone(),
            roles,
            answers: Answers::new(SourceKind::Introspection, settings.keep, &mut rand::rng(), told),
        })
    }

    /// Whom the token names, as its issuer says.
    pub(super) async fn find(
        &self,
        token: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Arc<Principal>, Unknown> {
        let mut digest = self.answers.digest();
        digest.part(token.as_bytes());
        let digest = digest.finish();
        self.answers.find(digest, arrival.at, || self.ask(token, arrival.now)).await
    }

    async fn ask(&self, token: &str, now: SystemTime) -> Said {
        let Some(request) = self.question(token) else { return Said::Nothing };
        match self.client.send(request).await {
            Ok(answer) => self.understand(&answer, now),
            Err(_) => Said::Nothing,
        }
    }

    fn question(&self, token: &str) -> Option<Request<Bytes>> {
        let token = utf8_percent_encode(token, NON_ALPHANUMERIC);
        let body = format!("token={token}&token_type_hint=access_token");
        Request::builder()
            .method(Method::POST)
            .uri(&self.target)
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(body))
            .ok()
    }

    fn understand(&self, answer: &Answer, now: SystemTime) -> Said {
        // Anything else is about our own question, not about the token.
        if answer.status != StatusCode::OK {
            return Said::Nothing;
        }
        let Some(claims) = Members::parse(&answer.body) else { return Said::Nothing };
        if !claims.has("active") {
            return Said::Nothing;
        }
        if !claims.is_true("active") {
            return Said::Refused(Refusal::InactiveToken);
        }
        let read = || {
            claims.check_issuer(self.issuer.as_deref())?;
            claims.check_audience(self.audience.as_deref())?;
            let times = Times::if_any(&claims)?;
            times.check(now, Duration::ZERO)?;
            Ok((claims.principal(&self.claims, &self.roles)?, times.left(now)))
        };
        match read() {
            Ok((principal, left)) => Said::Known(principal, left),
            Err(refusal) => Said::Refused(refusal),
        }
    }
}

/// Client credentials as RFC 6749 has them in section 2.3.1: form-encoded, then Basic.
fn basic(settings: &config::Introspection) -> Option<HeaderValue> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let secret = Zeroizing::new(encoded(settings.client_secret.expose_secret()));
    let pair = Zeroizing::new(format!("{}:{}", encoded(&settings.client_id), secret.as_str()));
    let text = Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
