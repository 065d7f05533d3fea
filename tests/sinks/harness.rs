//! Messages to deliver, and certificates.

use fieldgate::event::{Delivered, DeliveryFailure, Message};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::value::RawValue;
use time::macros::datetime;
use uuid::Uuid;

/// A message about a deal; `number` tells it from others.
pub(crate) fn message(number: u64) -> Message {
    Message {
        id: Uuid::from_u128(0x0190_a5c8_7e60_7cc3_98c8_0000_0000_0000 + u128::from(number)),
        event_type: "deal.stage_changed".to_owned(),
        source: "https://crm.example.com".to_owned(),
        resource: "deal".to_owned(),
        record: Some("42".to_owned()),
        time: datetime!(2026-03-01 12:30:00 UTC),
        tenant: Some("acme".to_owned()),
        actor: Some("Ann Lee".to_owned()),
        correlation_id: format!("req-{number}"),
        traceparent: None,
        policy_revision: "r1".to_owned(),
        sequence: Some(number),
        causation: None,
        data: RawValue::from_string(format!(r#"{{"new_stage":"won","number":{number}}}"#)).unwrap(),
    }
}

pub(crate) fn failed(reason: DeliveryFailure) -> Delivered {
    Delivered::Failed { reason, retry_after: None }
}

/// An authority and a certificate of it for `name`, all PEM.
pub(crate) struct Certificates {
    pub(crate) authority: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) fn certificates(name: &str) -> Certificates {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = leaf.signed_by(&key, &issuer).unwrap();
    Certificates {
        authority: authority_certificate.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}
