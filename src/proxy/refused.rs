//! The one table that turns a reason into a status, and the answer that says so.

use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora_core::Result;
use pingora_http::ResponseHeader;

use crate::problem::{CONTENT_TYPE, Problem};
use crate::telemetry::Refusal;

/// A refusal before any byte of an answer was sent.
#[derive(Debug)]
pub(super) struct Refused {
    /// Why.
    pub(super) reason: Refusal,
    /// Names of the fields that it is about.
    pub(super) fields: Vec<String>,
    /// What to authenticate with.
    pub(super) challenge: Option<HeaderValue>,
    /// The status of the CRM's own error, where that error cannot be shown.
    pub(super) kept_status: Option<StatusCode>,
}

impl From<Refusal> for Refused {
    fn from(reason: Refusal) -> Self {
        Self { reason, fields: Vec::new(), challenge: None, kept_status: None }
    }
}

/// Status and title of each reason.
fn row(reason: Refusal) -> (StatusCode, &'static str) {
    use StatusCode as S;
    match reason {
        Refusal::BadPath => (S::BAD_REQUEST, "The path has more than one reading"),
        Refusal::MalformedRequest => (S::BAD_REQUEST, "The request head has more than one reading"),
        Refusal::MethodOverride => (S::BAD_REQUEST, "Method overrides are not accepted"),
        Refusal::Upgrade => (S::BAD_REQUEST, "Protocol upgrades are not accepted here"),
        Refusal::RequestJsonInvalid => (S::BAD_REQUEST, "The request body is not valid JSON"),
        Refusal::RequestFormInvalid => {
            (S::BAD_REQUEST, "The request body has more than one reading")
        }
        Refusal::ScoreRequestInvalid => (S::BAD_REQUEST, "The request for scores cannot be read"),
        Refusal::ScoreWithheld => (S::FORBIDDEN, "Scores are not told here"),
        Refusal::NoSuchLead => (S::NOT_FOUND, "There is no such lead"),
        Refusal::ScoringRefused => {
            (S::UNPROCESSABLE_ENTITY, "The scoring rules are not put in force")
        }
        Refusal::BadQuery => (S::BAD_REQUEST, "The query has more than one reading"),
        Refusal::CredentialsMissing => (S::UNAUTHORIZED, "Credentials are required"),
        Refusal::CredentialsInvalid => (S::UNAUTHORIZED, "The credentials do not hold"),
        Refusal::TenantMismatch => (S::FORBIDDEN, "The request names another company"),
        Refusal::NoKnownRole => (S::FORBIDDEN, "No role of the caller is known"),
        Refusal::NoRoute => (S::FORBIDDEN, "No policy allows this route"),
        Refusal::FieldNotEditable => (S::FORBIDDEN, "A field may not be written"),
        Refusal::OracleParam => (S::FORBIDDEN, "A field may not be asked by"),
        Refusal::MaskedValueWriteback => (S::CONFLICT, "A masked value cannot be written back"),
        Refusal::PreconditionUnknown => {
            (S::PRECONDITION_FAILED, "The condition of the request cannot hold")
        }
        Refusal::HeadTimeout | Refusal::BodyTimeout => {
            (S::REQUEST_TIMEOUT, "The request took too long to arrive")
        }
        Refusal::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "The request body is too large"),
        Refusal::RequestEncoded => (S::UNSUPPORTED_MEDIA_TYPE, "The request body is encoded"),
        Refusal::RequestNotJson => (S::UNSUPPORTED_MEDIA_TYPE, "The request body cannot be read"),
        Refusal::HeadTooLarge => {
            (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request head is too large")
        }
        Refusal::UpstreamConnect
        | Refusal::UpstreamClosed
        | Refusal::UpstreamMalformed
        | Refusal::UpstreamEncoded
        | Refusal::UpstreamPartialContent
        | Refusal::UpstreamSwitchedProtocols
        | Refusal::UpstreamNotJson
        | Refusal::UpstreamNoRecord
        | Refusal::UpstreamTooLarge
        | Refusal::JsonInvalid
        | Refusal::JsonTooDeep
        | Refusal::JsonTruncated
        | Refusal::ValueTooLong
        | Refusal::RecordTooLong
        | Refusal::MaskFailed => (S::BAD_GATEWAY, "The upstream answer cannot be shown"),
        Refusal::IdentityUnavailable => {
            (S::SERVICE_UNAVAILABLE, "Nobody can tell at the moment who calls")
        }
        Refusal::StoreUnavailable
        | Refusal::Overloaded
        | Refusal::HeldBytesExhausted
        | Refusal::PolicyNotReady
        | Refusal::KeysNotReady
        | Refusal::AuditUnavailable
        | Refusal::Draining => (S::SERVICE_UNAVAILABLE, "Not available at the moment"),
        Refusal::UpstreamConnectTimeout
        | Refusal::UpstreamFirstByteTimeout
        | Refusal::UpstreamIdleTimeout
        | Refusal::UpstreamTotalTimeout => {
            (S::GATEWAY_TIMEOUT, "The upstream took too long to answer")
        }
        Refusal::ClientGone | Refusal::Internal => {
            (S::INTERNAL_SERVER_ERROR, "The request could not be handled")
        }
    }
}

/// Seconds after which a 503 is worth another try.
const RETRY_AFTER: &str = "1";

impl Refused {
    /// The status to answer with.
    pub(super) fn status(&self) -> StatusCode {
        self.kept_status.unwrap_or_else(|| row(self.reason).0)
    }

    /// Whether what follows on the connection cannot be trusted to be a request.
    pub(super) fn closes_connection(&self) -> bool {
        matches!(
            self.reason,
            Refusal::MalformedRequest
                | Refusal::BodyTooLarge
                | Refusal::HeadTooLarge
                | Refusal::BodyTimeout
                | Refusal::HeadTimeout
        )
    }

    /// Head and body of the answer.
    pub(super) fn answer(
        &self,
        correlation: (&HeaderName, &str),
        vary: &HeaderValue,
    ) -> Result<(ResponseHeader, Vec<u8>)> {
        let (_, title) = row(self.reason);
        let mut problem = match self.kept_status {
            Some(status) => {
                Problem::new(status, self.reason.name(), "The upstream error cannot be shown")
            }
            None => Problem::new(self.status(), self.reason.name(), title),
        };
        problem = problem.detail(self.reason.meaning()).correlation_id(correlation.1);
        if !self.fields.is_empty() {
            problem = problem.fields(self.fields.clone());
        }
        let body = problem.to_json();
        let mut head = ResponseHeader::build(self.status(), Some(8))?;
        head.insert_header(header::CONTENT_TYPE, CONTENT_TYPE)?;
        head.insert_header(header::CONTENT_LENGTH, body.len())?;
        head.insert_header(header::CACHE_CONTROL, "no-store")?;
        head.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
        head.insert_header(header::VARY, vary.clone())?;
        head.insert_header(correlation.0.clone(), correlation.1)?;
        if let Some(challenge) = &self.challenge {
            head.insert_header(header::WWW_AUTHENTICATE, challenge.clone())?;
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            head.insert_header(header::RETRY_AFTER, RETRY_AFTER)?;
        }
        Ok((head, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_an_error_status_and_an_answer_without_surprises() {
        let name = HeaderName::from_static("x-correlation-id");
        for reason in Refusal::ALL {
            let refused = Refused::from(*reason);
            assert!(refused.status().as_u16() >= 400, "{reason}");
            let vary = HeaderValue::from_static("Authorization");
            let (head, body) = refused.answer((&name, "abc-1"), &vary).unwrap();
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["status"], refused.status().as_u16());
            assert_eq!(problem["code"], reason.name());
            assert_eq!(problem["correlation_id"], "abc-1");
            assert_eq!(head.headers["content-length"], body.len().to_string());
            assert_eq!(head.headers["x-correlation-id"], "abc-1");
        }
    }

    #[test]
    fn an_error_of_the_crm_keeps_its_status() {
        let refused =
            Refused { kept_status: Some(StatusCode::NOT_FOUND), ..Refusal::JsonInvalid.into() };
        assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    }
}
