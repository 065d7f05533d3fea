//! Tokens known by their SHA-256: for machines, demos and tests.
//!
//! Digests are compared in constant time and all of them every time, so the time taken tells
//! nothing of how near a guess came.

use std::collections::HashSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::Principal;
use super::bounds::{is_name, is_role_name};
use super::fault::SourceFault;
use super::refusal::Refusal;
use super::role_names::RoleNames;
use crate::config::StaticToken;

/// The static tokens of one source. Has no `Debug`: digests of short tokens can be guessed.
pub(super) struct StaticTokens {
    tokens: Vec<(Digest256, Arc<Principal>)>,
}

type Digest256 = [u8; 32];

impl StaticTokens {
    /// Takes the tokens over, or tells every fault in them.
    pub(super) fn build(
        settings: &[StaticToken],
        names: &RoleNames,
    ) -> Result<Self, Vec<SourceFault>> {
        let mut faults = Vec::new();
        let mut tokens = Vec::with_capacity(settings.len());
        let mut digests = HashSet::new();
        if settings.is_empty() {
            faults.push(SourceFault::NoTokens);
        }
        for (index, token) in (1..).zip(settings) {
            if !digests.insert(token.sha256) {
                faults.push(SourceFault::RepeatedToken { index });
            }
            if !is_name(&token.subject) {
                faults.push(SourceFault::BadSubject { index });
            }
            if token.tenant.as_deref().is_some_and(|tenant| !is_name(tenant)) {
                faults.push(SourceFault::BadTenant { index });
            }
            let is_fault = |role: &&String| !names.has_map() && !is_role_name(role);
            for role in token.roles.iter().filter(is_fault) {
                faults.push(SourceFault::BadRole { index, role: role.clone() });
            }
            match names.of(token.roles.iter().map(String::as_str), token.tenant.as_deref()) {
                Ok(roles) => {
                    let (subject, tenant) = (token.subject.clone(), token.tenant.clone());
                    let principal = Arc::new(Principal { subject, roles, tenant });
                    tokens.push((token.sha256, principal));
                }
                Err(_) => faults.push(SourceFault::TooManyRoles { index }),
            }
        }
        if faults.is_empty() { Ok(Self { tokens }) } else { Err(faults) }
    }

    /// Who the token stands for.
    pub(super) fn find(&self, token: &str) -> Result<Arc<Principal>, Refusal> {
        let digest: Digest256 = Sha256::digest(token.as_bytes()).into();
        // One more than the index of the match; zero means none.
        let mut found = 0_u64;
        for (number, (known, _)) in (1_u64..).zip(&self.tokens) {
            found.conditional_assign(&number, digest.ct_eq(known));
        }
        found
            .checked_sub(1)
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| self.tokens.get(index))
            .map(|(_, principal)| Arc::clone(principal))
            .ok_or(Refusal::UnknownToken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(token: &str, subject: &str, roles: &[&str]) -> StaticToken {
        StaticToken {
            sha256: Sha256::digest(token.as_bytes()).into(),
            subject: subject.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            tenant: Some("acme".to_owned()),
        }
    }

    #[test]
    fn a_token_stands_for_its_subject() {
        let settings = [
            known("demo-admin", "ann", &["admin"]),
            known("demo-support", "bob", &["support", "reader", "support"]),
        ];
        let tokens = StaticTokens::build(&settings, &RoleNames::new(None));
        let tokens = tokens.ok().unwrap();
        assert_eq!(tokens.find("demo-admin").unwrap().subject, "ann");
        let bob = tokens.find("demo-support").unwrap();
        assert_eq!(bob.roles, ["reader", "support"]);
        assert_eq!(bob.tenant.as_deref(), Some("acme"));
        for stranger in ["demo-admi", "demo-admin ", "DEMO-ADMIN", ""] {
            assert_eq!(tokens.find(stranger), Err(Refusal::UnknownToken), "{stranger:?}");
        }
    }

    #[track_caller]
    fn check(settings: &[StaticToken], expected: &[&str]) {
        let faults = StaticTokens::build(settings, &RoleNames::new(None)).err().unwrap_or_default();
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn every_fault_is_told() {
        check(&[], &["the list of static tokens is empty"]);
        let mut odd = known("b", "", &["Domain Users", "a\u{1b}"]);
        odd.tenant = Some("a\nb".to_owned());
        let many: Vec<String> = (0..65).map(|number| format!("r{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        check(
            &[known("a", "ann", &[]), odd, known("a", "bob", &[]), known("c", "cy", &many)],
            &[
                "the subject of static token 2 must be 1 to 256 printable characters",
                "the tenant of static token 2 must be 1 to 256 printable characters",
                "static token 2: role `Domain Users` must be 1 to 64 of `A-Z a-z 0-9 _ . : -`",
                "static token 2: role `a\\u{1b}` must be 1 to 64 of `A-Z a-z 0-9 _ . : -`",
                "static token 3 has the digest of an earlier one",
                "static token 4 has more than 64 roles",
            ],
        );
    }
}
