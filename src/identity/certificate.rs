//! A client's certificate as a credential: the names in a leaf that the handshake has verified.
//!
//! Refuses a leaf that has expired since (a connection may live long), and a subject or tenant that
//! is not exactly one name. Names are read once a connection; who they stand for is decided once a
//! request.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::Principal;
use super::bounds::is_name;
use super::refusal::Refusal;
use super::role_names::RoleNames;
use crate::config::{CertificateName, ClientCertificate};

/// Most names taken from one certificate; one with more is taken for none.
const MOST_NAMES: usize = 256;

/// What a client's certificate says, read from a leaf that TLS has verified.
pub struct ShownCertificate {
    not_before: SystemTime,
    not_after: SystemTime,
    names: Vec<(CertificateName, String)>,
}

impl ShownCertificate {
    /// Reads a leaf. Verifies nothing: the handshake has.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut names = Vec::new();
        let subject = certificate.subject();
        for (kind, attributes) in [
            (CertificateName::CommonName, subject.iter_common_name().collect::<Vec<_>>()),
            (CertificateName::Organization, subject.iter_organization().collect()),
            (CertificateName::OrganizationalUnit, subject.iter_organizational_unit().collect()),
        ] {
            for attribute in attributes {
                names.push((kind, attribute.as_str().ok()?.to_owned()));
            }
        }
        let alternative = certificate.subject_alternative_name().ok()?;
        for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => {
                    names.push((CertificateName::Dns, (*name).to_owned()));
                }
                GeneralName::RFC822Name(name) => {
                    names.push((CertificateName::Email, (*name).to_owned()));
                }
                GeneralName::URI(name) => names.push((CertificateName::Uri, (*name).to_owned())),
                _ => {}
            }
        }
        let validity = certificate.validity();
        (names.len() <= MOST_NAMES).then_some(Self {
            not_before: moment(validity.not_before.timestamp())?,
            not_after: moment(validity.not_after.timestamp())?,
            names,
        })
    }

    fn all(&self, kind: CertificateName) -> impl Iterator<Item = &str> {
        self.names.iter().filter(move |(one, _)| *one == kind).map(|(_, name)| name.as_str())
    }

    fn only(&self, kind: CertificateName) -> Option<String> {
        let mut names = self.all(kind);
        let name = names.next().filter(|name| is_name(name))?;
        names.next().is_none().then(|| name.to_owned())
    }

    /// Whom the certificate names, at `now`.
    pub(super) fn principal(
        &self,
        settings: ClientCertificate,
        roles: &RoleNames,
        now: SystemTime,
    ) -> Result<Principal, Refusal> {
        if now > self.not_after {
            return Err(Refusal::Expired);
        }
        if now < self.not_before {
            return Err(Refusal::NotYetValid);
        }
        let subject = self.only(settings.subject).ok_or(Refusal::BadSubject)?;
        let tenant = match settings.tenant {
            None => None,
            Some(kind) => Some(self.only(kind).ok_or(Refusal::BadTenant)?),
        };
        let roles = roles.of(self.all(settings.roles), tenant.as_deref())?;
        Ok(Principal { subject, roles, tenant })
    }
}

/// Names stay out.
impl fmt::Debug for ShownCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ShownCertificate({} names)", self.names.len())
    }
}

fn moment(timestamp: i64) -> Option<SystemTime> {
    match u64::try_from(timestamp) {
        Ok(seconds) => UNIX_EPOCH.checked_add(Duration::from_secs(seconds)),
        Err(_) => Some(UNIX_EPOCH),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;
    use crate::config::CertificateName::{
        CommonName, Dns, Email, Organization, OrganizationalUnit, Uri,
    };

    fn shown(change: impl FnOnce(&mut CertificateParams)) -> Option<ShownCertificate> {
        let mut params = CertificateParams::new(vec!["export.crm.internal".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "nightly-export");
        params.distinguished_name.push(DnType::OrganizationName, "acme");
        params.distinguished_name.push(DnType::OrganizationalUnitName, "finance");
        let mail = SanType::Rfc822Name("export@acme.example".try_into().unwrap());
        let uri = SanType::URI("spiffe://acme/export".try_into().unwrap());
        params.subject_alt_names.extend([mail, uri]);
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 12, 31);
        change(&mut params);
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        ShownCertificate::read(&der)
    }

    fn mid_2026() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_782_000_000)
    }

    #[track_caller]
    fn check(settings: ClientCertificate, expected: (&str, &[&str], Option<&str>)) {
        let found = shown(|_| {}).unwrap();
        let found = found.principal(settings, &RoleNames::new(None), mid_2026()).unwrap();
        assert_eq!(found.subject, expected.0);
        assert_eq!(found.roles, expected.1);
        assert_eq!(found.tenant.as_deref(), expected.2);
    }

    fn settings(
        subject: CertificateName,
        roles: CertificateName,
        tenant: Option<CertificateName>,
    ) -> ClientCertificate {
        ClientCertificate { subject, roles, tenant }
    }

    #[test]
    fn each_name_can_be_the_subject() {
        let unit = OrganizationalUnit;
        check(settings(CommonName, unit, None), ("nightly-export", &["finance"], None));
        check(
            settings(Dns, unit, Some(Organization)),
            ("export.crm.internal", &["finance"], Some("acme")),
        );
        check(
            settings(Email, CommonName, None),
            ("export@acme.example", &["nightly-export"], None),
        );
        // `spiffe://...` is no role of a policy.
        check(settings(Uri, Uri, None), ("spiffe://acme/export", &[], None));
    }

    #[track_caller]
    fn check_refused(
        change: impl FnOnce(&mut CertificateParams),
        now: SystemTime,
        expected: Refusal,
    ) {
        let settings = settings(Dns, CommonName, Some(Organization));
        let found = shown(change).unwrap().principal(settings, &RoleNames::new(None), now);
        assert_eq!(found, Err(expected));
    }

    #[test]
    fn what_is_refused() {
        let year = Duration::from_secs(366 * 86_400);
        check_refused(|_| {}, mid_2026() + year, Refusal::Expired);
        check_refused(|_| {}, mid_2026() - year, Refusal::NotYetValid);
        check_refused(
            |params| params.subject_alt_names.push(SanType::DnsName("b".try_into().unwrap())),
            mid_2026(),
            Refusal::BadSubject,
        );
        check_refused(|params| params.subject_alt_names.clear(), mid_2026(), Refusal::BadSubject);
        check_refused(
            |params| assert!(params.distinguished_name.remove(DnType::OrganizationName)),
            mid_2026(),
            Refusal::BadTenant,
        );
        assert!(ShownCertificate::read(b"no certificate").is_none());
    }

    #[test]
    fn names_do_not_show() {
        assert_eq!(format!("{:?}", shown(|_| {}).unwrap()), "ShownCertificate(6 names)");
    }
}
