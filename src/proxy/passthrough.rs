//! Passthrough routes: no API, no caller, pingora's own path; but global entries hold on any route,
//! so an answer labelled as JSON is filtered as it streams by.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use pingora_http::ResponseHeader;

use super::governance::Governance;
use super::masking::{AnswerFilter, reason, touched};
use super::response_head;
use crate::json::filter::{FilterLimits, Tally};
use crate::policy::{CanonicalPath, InForce};
use crate::telemetry::{Refusal, Touched};

/// A request on a passthrough route, and its answer as far as it must be filtered.
pub(super) struct OpenCall {
    path: CanonicalPath,
    is_head: bool,
    /// The policies that let it pass.
    policies: Arc<InForce<Governance>>,
    filter: Option<AnswerFilter>,
    has_begun: bool,
}

impl OpenCall {
    pub(super) fn new(
        path: CanonicalPath,
        method: &Method,
        policies: Arc<InForce<Governance>>,
    ) -> Self {
        Self { path, is_head: *method == Method::HEAD, policies, filter: None, has_begun: false }
    }

    /// The canonical path to forward.
    pub(super) fn path(&self) -> &CanonicalPath {
        &self.path
    }

    pub(super) fn has_global_entries(&self) -> bool {
        !self.policies.snapshot.set().global.entries.is_empty()
    }

    pub(super) fn tally(&self) -> Option<&Tally> {
        self.filter.as_ref().map(AnswerFilter::tally)
    }

    /// Reads the head of the answer, and rewrites it where the body will be filtered.
    pub(super) fn begin_answer(
        &mut self,
        head: &mut ResponseHeader,
        limits: FilterLimits,
        is_http2: bool,
    ) -> Result<(), Refusal> {
        if !self.has_global_entries() || !is_json(head) {
            return Ok(());
        }
        response_head::check(head)?;
        for speaks_of_the_unfiltered_body in [
            header::CONTENT_LENGTH,
            header::ETAG,
            header::LAST_MODIFIED,
            header::ACCEPT_RANGES,
            header::HeaderName::from_static("content-md5"),
            header::HeaderName::from_static("digest"),
            header::HeaderName::from_static("content-digest"),
            header::HeaderName::from_static("repr-digest"),
        ] {
            head.remove_header(&speaks_of_the_unfiltered_body);
        }
        let has_no_body = self.is_head
            || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
        if has_no_body {
            return Ok(());
        }
        if !is_http2 {
            // Without it the answer would be delimited by the end of the connection.
            head.insert_header(header::TRANSFER_ENCODING, "chunked")
                .map_err(|_| Refusal::Internal)?;
        }
        self.filter = Some(self.policies.snapshot.answer_filter(None, &[], None, true, limits)?);
        Ok(())
    }

    /// What became of the fields of the answer so far.
    pub(super) fn touched(&mut self) -> Touched {
        self.filter.as_mut().map(touched).unwrap_or_default()
    }

    /// Replaces a chunk of the body by what may leave of it.
    pub(super) fn filter(&mut self, body: &mut Option<Bytes>, ends: bool) -> Result<(), Refusal> {
        let Some(filter) = &mut self.filter else { return Ok(()) };
        let mut out = Vec::new();
        if let Some(chunk) = body.take().filter(|chunk| !chunk.is_empty()) {
            self.has_begun = true;
            filter.push(&chunk, &mut out).map_err(reason)?;
        }
        if ends && self.has_begun {
            filter.finish(&mut out).map_err(reason)?;
        }
        *body = (!out.is_empty()).then(|| out.into());
        Ok(())
    }
}

fn is_json(head: &ResponseHeader) -> bool {
    let labels = head.headers.get_all(header::CONTENT_TYPE).iter();
    labels
        .map(HeaderValue::as_bytes)
        .any(|label| label.to_ascii_lowercase().windows(4).any(|window| window == b"json"))
}
