//! Whoever has hashes and tokens, knows how they are made, and tries a million phone numbers, finds
//! none of them without the key. Their digests come from another library than the masks.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use data_encoding::{BASE32_NOPAD_NOCASE, HEXLOWER};

use super::super::binding::{Binding, Purpose};
use super::{SECRETS, Strategy, inner, masked_email, ring};

const CANDIDATES: u64 = 1_000_000;
const FIRST: u64 = 15_550_000_000;

/// Sixteen bytes that stand in a mask where the value went in.
type Mark = [u8; 16];

fn mark(bytes: &[u8]) -> Mark {
    bytes[..16].try_into().unwrap()
}

/// The marks of some numbers, and whose they are.
fn leaked() -> HashMap<Mark, u64> {
    let ring = ring(&["k1"]);
    let mut leaked = HashMap::new();
    for number in (0..CANDIDATES).step_by(9_973).map(|at| FIRST + at) {
        let raw = format!("\"+{number}\"");
        let hash = masked_email(&ring, &Strategy::Hash, &raw);
        let hash = HEXLOWER.decode(inner(&hash).strip_prefix("hash:").unwrap().as_bytes()).unwrap();
        leaked.insert(mark(&hash), number);
        for strategy in [Strategy::Tokenize, Strategy::Vault] {
            let token = masked_email(&ring, &strategy, &raw);
            let body = inner(&token).strip_prefix("token_").unwrap();
            let token = BASE32_NOPAD_NOCASE.decode(body.as_bytes()).unwrap();
            // Behind the length of the key id and the key id `k1`.
            leaked.insert(mark(&token[3..]), number);
        }
    }
    leaked
}

/// One way to come from a text to a digest.
type Guess = Box<dyn Fn(&str) -> [u8; 32] + Send + Sync>;

/// The ways of somebody without the key: plain digests, and keys that are known or likely.
fn guesses() -> Vec<Guess> {
    let keyed = |key: &[u8]| -> Guess {
        let key = Key::new(HMAC_SHA256, key);
        Box::new(move |text| sign(&key, text.as_bytes()).as_ref().try_into().unwrap())
    };
    let plain = |before: &'static str| -> Guess {
        Box::new(move |text| {
            let salted = [before.as_bytes(), text.as_bytes()].concat();
            digest(&SHA256, &salted).as_ref().try_into().unwrap()
        })
    };
    let derived = |secret: [u8; 32], purpose| {
        let binding = Binding { tenant: "acme", field: "lead.email" };
        binding.derive::<32>(&secret, purpose).unwrap().to_vec()
    };
    let other = data_encoding::BASE64.decode(SECRETS[1].as_bytes()).unwrap().try_into().unwrap();
    vec![
        plain(""),
        plain("acme.lead.email."),
        keyed(b"k1"),
        keyed(&derived([0; 32], Purpose::Hash)),
        keyed(&derived(other, Purpose::Hash)),
        keyed(&derived(other, Purpose::Vault)),
    ]
}

/// Row 36: without the key a dictionary finds nothing.
#[test]
fn a_million_phone_numbers_find_nothing_without_the_key() {
    let leaked = leaked();
    assert!(leaked.len() > 250, "{}", leaked.len());
    // Most candidates are told by two bytes of what they come to.
    let mut begins = vec![false; 1 << 16];
    for mark in leaked.keys() {
        begins[usize::from(u16::from_be_bytes([mark[0], mark[1]]))] = true;
    }
    let guesses = guesses();
    let found = |range: std::ops::Range<u64>| {
        let mut found = 0;
        for number in range.map(|at| FIRST + at) {
            let quoted = format!("\"+{number}\"");
            for guess in &guesses {
                for text in [quoted.as_str(), inner(&quoted)] {
                    let digest = guess(text);
                    for half in [&digest[..16], &digest[16..]] {
                        let is_likely = begins[usize::from(u16::from_be_bytes([half[0], half[1]]))];
                        found += usize::from(is_likely && leaked.contains_key(&mark(half)));
                    }
                }
            }
        }
        found
    };
    let half = CANDIDATES / 2;
    let total = std::thread::scope(|scope| {
        let first = scope.spawn(|| found(0..half));
        found(half..CANDIDATES) + first.join().unwrap()
    });
    assert_eq!(total, 0);
}

#[test]
fn with_the_key_every_number_is_found() {
    let leaked = leaked();
    let ring = ring(&["k1"]);
    let mut found = 0;
    // The same dictionary, around the numbers that leaked.
    for number in (0..CANDIDATES).filter(|at| at % 9_973 < 20).map(|at| FIRST + at) {
        let hash = masked_email(&ring, &Strategy::Hash, &format!("\"+{number}\""));
        let hash = HEXLOWER.decode(inner(&hash).strip_prefix("hash:").unwrap().as_bytes()).unwrap();
        found += usize::from(leaked.get(&mark(&hash)) == Some(&number));
    }
    assert_eq!(found, leaked.len() / 3);
}
