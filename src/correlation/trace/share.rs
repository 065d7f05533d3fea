//! The share of traces that are kept, decided by the trace id alone.
//!
//! The rule is that of OpenTelemetry's `TraceIdRatioBased`: the low eight bytes of the id, without
//! their last bit, are below the share of 2^63. Every service with the same share, whatever it is
//! written in, therefore keeps the same traces without asking another.

use super::TraceId;

/// How many of all traces are kept.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(f64);

/// The number is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a share is a number from 0 to 1")]
pub struct ShareError;

impl Share {
    /// Every trace.
    pub const ALL: Self = Self(1.0);
    /// No trace.
    pub const NONE: Self = Self(0.0);

    /// A share from 0 (none) to 1 (all).
    ///
    /// # Errors
    /// The number is none of these.
    pub fn new(share: f64) -> Result<Self, ShareError> {
        if (0.0..=1.0).contains(&share) { Ok(Self(share)) } else { Err(ShareError) }
    }

    /// The share as a number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// Whether a trace belongs to the share.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the product lies between 0 and 2^63, and how it is rounded is part of the rule"
    )]
    pub fn keeps(self, trace: TraceId) -> bool {
        if self.0 >= 1.0 {
            return true;
        }
        let bound = (self.0 * (1_u64 << 63) as f64) as u64;
        let [_, _, _, _, _, _, _, _, low @ ..] = trace.to_bytes();
        u64::from_be_bytes(low) >> 1 < bound
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::SpanKind;
    use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_are_between_nothing_and_everything() {
        for good in [0.0, 0.1, 1.0] {
            assert_eq!(Share::new(good).map(Share::get), Ok(good));
        }
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::new(bad), Err(ShareError));
        }
    }

    #[test]
    fn about_as_many_are_kept_as_the_share_says() {
        let share = Share::new(0.1).unwrap();
        let kept = (0..100_000_u64).filter(|index| {
            let mut id = [1; 16];
            id[8..].copy_from_slice(&index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            share.keeps(TraceId::from_bytes(id).unwrap())
        });
        let kept = kept.count();
        assert!((9_500..10_500).contains(&kept), "{kept}");
    }

    proptest! {
        #[test]
        fn every_service_with_this_share_agrees(id: [u8; 16], share in 0.0..=1.0_f64) {
            prop_assume!(id != [0; 16]);
            let theirs = Sampler::TraceIdRatioBased(share)
                .should_sample(
                    None,
                    opentelemetry::TraceId::from_bytes(id),
                    "",
                    &SpanKind::Server,
                    &[],
                    &[],
                )
                .decision;
            let ours = Share::new(share).unwrap().keeps(TraceId::from_bytes(id).unwrap());
            prop_assert_eq!(ours, theirs == SamplingDecision::RecordAndSample);
        }

        #[test]
        fn a_larger_share_keeps_what_a_smaller_one_keeps(
            id: [u8; 16], one in 0.0..=1.0_f64, other in 0.0..=1.0_f64
        ) {
            prop_assume!(id != [0; 16]);
            let trace = TraceId::from_bytes(id).unwrap();
            let (small, large) = (one.min(other), one.max(other));
            let keeps = |share| Share::new(share).unwrap().keeps(trace);
            prop_assert!(!keeps(small) || keeps(large));
        }
    }
}
