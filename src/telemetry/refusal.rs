//! Why an answer was refused or broken off: the one closed list of reasons.
//!
//! Pure. The names stand in log lines and metric labels, so they never change their meaning. Which
//! status a reason becomes is the proxy's table, not this one.

use std::fmt;

/// Declares the enum, its names and its meanings in one place, so that none can be forgotten.
macro_rules! refusals {
    ($($variant:ident $name:literal $meaning:literal)+) => {
        /// A reason for which the client did not get the CRM's answer, or not all of it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $(#[doc = $meaning] $variant,)+
        }

        impl Refusal {
            /// Every reason, in the order of the enum.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name, snake case.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What happened, in one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

refusals! {
    NoRoute "no_route" "No resource and no passthrough entry serves this method and path."
    BadPath "bad_path" "The path has an encoded slash, a backslash, a NUL or dot segments."
    MalformedRequest "malformed_request" "The request head is not one clear HTTP message."
    MethodOverride "method_override" "The request asks to be taken for another method."
    Upgrade "upgrade" "An upgrade or CONNECT on a governed route."
    HeadTooLarge "head_too_large" "The request head is larger than allowed."
    BodyTooLarge "body_too_large" "The request body is larger than allowed."
    HeadTimeout "head_timeout" "The client took too long to send its request head."
    BodyTimeout "body_timeout" "The client took too long to send its request body."
    CredentialsMissing "credentials_missing" "Nothing in the request says who calls."
    CredentialsInvalid "credentials_invalid" "What the request says of its caller does not hold."
    IdentityUnavailable "identity_unavailable" "Whoever knows the caller gave no usable answer."
    TenantMismatch "tenant_mismatch" "The request names another company than its caller's."
    NoKnownRole "no_known_role" "The caller has no role that the policies know."
    FieldNotEditable "field_not_editable" "The request writes a field that the caller may not write."
    MaskedValueWriteback "masked_value_writeback" "The request sends a mask back, or would erase what its sender cannot see, and the record could not be read to keep it."
    OracleParam "oracle_param" "The request filters, sorts or searches by a field that the caller may not see."
    BadQuery "bad_query" "The query has a broken escape, or more than one reading."
    PreconditionUnknown "precondition_unknown" "The request depends on a validator that was never given out."
    RequestEncoded "request_encoded" "The body of a governed write has a content coding."
    RequestNotJson "request_not_json" "The body of a governed request is neither JSON nor a form by its label."
    RequestJsonInvalid "request_json_invalid" "The body of a governed request is not valid JSON, or names a member twice."
    RequestFormInvalid "request_form_invalid" "The form or patch in a governed request has no reading, or more than one."
    ScoreRequestInvalid "score_request_invalid" "The request for scores cannot be read."
    ScoreWithheld "score_withheld" "The caller is told no scores."
    NoSuchLead "no_such_lead" "The CRM shows the caller no lead of this id."
    ScoringRefused "scoring_refused" "The scoring rules that were sent have faults, or could not be written."
    StoreUnavailable "store_unavailable" "The write could not be recorded, so it was not forwarded."
    Overloaded "overloaded" "Too many requests are under way."
    HeldBytesExhausted "held_bytes_exhausted" "Too many bytes of bodies are held at once."
    PolicyNotReady "policy_not_ready" "No policies are loaded."
    KeysNotReady "keys_not_ready" "A mask needs a key that is not loaded."
    AuditUnavailable "audit_unavailable" "The audit entry of the answer could not be written."
    Draining "draining" "The process is stopping."
    UpstreamConnect "upstream_connect" "The CRM could not be reached, or its certificate is not trusted."
    UpstreamConnectTimeout "upstream_connect_timeout" "Connecting to the CRM took too long."
    UpstreamFirstByteTimeout "upstream_first_byte_timeout" "The CRM took too long to begin its answer."
    UpstreamIdleTimeout "upstream_idle_timeout" "The CRM paused too long within its answer."
    UpstreamTotalTimeout "upstream_total_timeout" "The whole exchange with the CRM took too long."
    UpstreamClosed "upstream_closed" "The CRM closed the connection before its answer was complete."
    UpstreamMalformed "upstream_malformed" "The CRM's answer is not one clear HTTP message."
    UpstreamEncoded "upstream_encoded" "The CRM's answer has a content coding."
    UpstreamPartialContent "upstream_partial_content" "The CRM answered with a part (206)."
    UpstreamSwitchedProtocols "upstream_switched_protocols" "The CRM switched protocols unasked (101)."
    UpstreamNotJson "upstream_not_json" "The CRM's answer on a governed route is not JSON."
    UpstreamNoRecord "upstream_no_record" "The CRM did not show the record that was asked for."
    UpstreamTooLarge "upstream_too_large" "The CRM's answer is larger than allowed."
    JsonInvalid "json_invalid" "The answer is not valid JSON, or not valid UTF-8."
    JsonTooDeep "json_too_deep" "The answer nests deeper than allowed."
    JsonTruncated "json_truncated" "The answer ends within its JSON document."
    ValueTooLong "value_too_long" "A single value to be masked is longer than allowed."
    RecordTooLong "record_too_long" "A record that must be held is longer than allowed."
    MaskFailed "mask_failed" "A mask could not be computed."
    ClientGone "client_gone" "The client left before its answer was complete."
    Internal "internal" "A fault of Fieldgate itself."
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_snake_case() {
        let names: HashSet<&str> = Refusal::ALL.iter().map(|refusal| refusal.name()).collect();
        assert_eq!(names.len(), Refusal::ALL.len());
        for name in names {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        }
    }

    #[test]
    fn the_list_is_in_the_order_of_the_enum() {
        for (index, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*refusal as usize, index);
        }
    }
}
