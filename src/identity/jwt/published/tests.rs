//! When keys are fetched, how often, and how long they serve.

use std::sync::Mutex as StdMutex;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::EncodingKey;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde_json::{Value, json};

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::config::{ClaimNames, Endpoint, Jwt, JwtKeys};
use crate::identity::answers::Unknown;
use crate::identity::arrival::Arrival;
use crate::identity::jwt::JwtSource;
use crate::identity::refusal::Refusal;
use crate::identity::role_names::RoleNames;
use crate::identity::tests::{Heard, arriving, at_once};
use crate::outbound::tests::{Stub, reply};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://idp.example";

/// A key pair with an id.
struct Pair {
    id: &'static str,
    pair: KeyPair,
}

impl Pair {
    fn new(id: &'static str) -> Self {
        Self { id, pair: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap() }
    }

    fn jwk(&self) -> Value {
        let point = self.pair.der_bytes();
        let part = |range| BASE64URL_NOPAD.encode(&point[range]);
        json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "x": part(1..33), "y": part(33..65) })
    }

    fn token(&self, kid: &str) -> String {
        self.signed(&json!({ "alg": "ES256", "kid": kid }), ISSUER)
    }

    fn signed(&self, header: &Value, issuer: &str) -> String {
        let claims = json!({ "iss": issuer, "sub": "ann", "exp": NOW + 60, "roles": ["admin"] });
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(header), part(&claims));
        let key = EncodingKey::from_ec_der(&self.pair.serialize_der());
        let signed = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::ES256);
        format!("{message}.{}", signed.unwrap())
    }
}

/// An issuer whose answer can be changed; `None` is a failure.
struct Issuer {
    stub: Stub,
    answer: Arc<StdMutex<Option<Value>>>,
}

impl Issuer {
    async fn start(keys: &[Value]) -> Self {
        let answer = Arc::new(StdMutex::new(Some(json!({ "keys": keys }))));
        let said = Arc::clone(&answer);
        let stub = Stub::start(move |_| match &*said.lock().unwrap() {
            Some(set) => reply("200 OK", &set.to_string()),
            None => reply("500 Internal Server Error", ""),
        })
        .await;
        Self { stub, answer }
    }

    fn says(&self, keys: Option<&[Value]>) {
        *self.answer.lock().unwrap() = keys.map(|keys| json!({ "keys": keys }));
    }

    fn fetches(&self) -> usize {
        self.stub.seen().len()
    }

    fn source(&self, heard: &Heard) -> JwtSource {
        let location = KeySetLocation::Url(Endpoint {
            host: "127.0.0.1".to_owned(),
            port: self.stub.address.port(),
            tls: None,
            target: "/jwks.json".to_owned(),
        });
        source(location, heard)
    }
}

fn source(location: KeySetLocation, heard: &Heard) -> JwtSource {
    let settings = Jwt {
        keys: JwtKeys::Set(KeySet {
            location,
            algorithm: None,
            refresh: Duration::from_secs(300),
            max_age: Duration::from_secs(3600),
            timeout: Duration::from_secs(5),
        }),
        issuer: Some(ISSUER.to_owned()),
        audience: None,
        leeway: Duration::ZERO,
        claims: ClaimNames { subject: "sub".to_owned(), roles: "roles".to_owned(), tenant: None },
    };
    let names = RoleNames::new(None);
    JwtSource::build(&settings, names, &|_| unreachable!(), heard.told()).ok().unwrap()
}

async fn find(source: &JwtSource, token: &str, at: Instant) -> Result<String, Unknown> {
    let headers = http::HeaderMap::new();
    let now: SystemTime = UNIX_EPOCH + Duration::from_secs(NOW);
    let arrival = Arrival { at, ..arriving(&headers, now) };
    source.find(token, &arrival).await.map(|principal| principal.subject)
}

fn refused(refusal: Refusal) -> Result<String, Unknown> {
    Err(Unknown::Refused(refusal))
}

#[tokio::test]
async fn keys_are_fetched_once_and_then_nobody_waits() {
    let key = Pair::new("one");
    let issuer = Issuer::start(&[key.jwk()]).await;
    let source = issuer.source(&Heard::default());
    let start = Instant::now();
    assert_eq!(find(&source, &key.token("one"), start).await, Ok("ann".to_owned()));
    // Polled once: with the key at hand nothing waits.
    assert_eq!(at_once(find(&source, &key.token("one"), start)), Ok("ann".to_owned()));
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn a_rotated_key_is_found_at_once() {
    let (old, new) = (Pair::new("old"), Pair::new("new"));
    let issuer = Issuer::start(&[old.jwk()]).await;
    let source = issuer.source(&Heard::default());
    let start = Instant::now();
    assert!(find(&source, &old.token("old"), start).await.is_ok());
    issuer.says(Some(&[new.jwk()]));
    assert_eq!(find(&source, &new.token("new"), start).await, Ok("ann".to_owned()));
    assert_eq!(find(&source, &old.token("old"), start).await, refused(Refusal::UnknownKey));
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_keys_fetches_once_a_pause() {
    let key = Pair::new("one");
    let issuer = Issuer::start(&[key.jwk()]).await;
    let source = Arc::new(issuer.source(&Heard::default()));
    let start = Instant::now();
    assert!(find(&source, &key.token("one"), start).await.is_ok());
    for (round, at) in [start, start + PAUSE, start + PAUSE + PAUSE].into_iter().enumerate() {
        let flood: Vec<_> = (0..300)
            .map(|number| {
                let (source, token) =
                    (Arc::clone(&source), key.token(&format!("{round}-{number}")));
                tokio::spawn(async move { find(&source, &token, at).await })
            })
            .collect();
        for one in flood {
            assert_eq!(one.await.unwrap(), refused(Refusal::UnknownKey));
        }
        assert_eq!(issuer.fetches(), 2 + round);
    }
    assert!(find(&source, &key.token("one"), start).await.is_ok());
}

#[tokio::test]
async fn the_last_good_set_serves_until_it_is_too_old() {
    let key = Pair::new("one");
    let issuer = Issuer::start(&[key.jwk()]).await;
    let heard = Heard::default();
    let source = issuer.source(&heard);
    let start = Instant::now();
    let token = key.token("one");
    assert!(find(&source, &token, start).await.is_ok());
    issuer.says(None);
    // Old enough to be fetched again, behind the request's back and in vain.
    assert_eq!(at_once(find(&source, &token, start + Duration::from_secs(300))), Ok("ann".into()));
    while heard.outcomes().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(heard.outcomes(), [AskedOutcome::Answered, AskedOutcome::Failed]);
    assert!(find(&source, &token, start + Duration::from_secs(3599)).await.is_ok());
    let too_old = start + Duration::from_secs(3600);
    assert_eq!(find(&source, &token, too_old).await, Err(Unknown::Unavailable));
    // Within the pause nobody asks again, and still nobody is guessed.
    let fetches = issuer.fetches();
    assert_eq!(find(&source, &token, too_old).await, Err(Unknown::Unavailable));
    assert_eq!(issuer.fetches(), fetches);
    issuer.says(Some(&[key.jwk()]));
    assert_eq!(find(&source, &token, too_old + PAUSE).await, Ok("ann".to_owned()));
}

#[tokio::test]
async fn a_set_without_a_usable_key_does_not_replace_a_good_one() {
    let key = Pair::new("one");
    let issuer = Issuer::start(&[key.jwk()]).await;
    let source = issuer.source(&Heard::default());
    let start = Instant::now();
    assert!(find(&source, &key.token("one"), start).await.is_ok());
    issuer.says(Some(&[]));
    assert_eq!(find(&source, &key.token("two"), start).await, refused(Refusal::UnknownKey));
    assert!(find(&source, &key.token("one"), start).await.is_ok());
}

#[tokio::test]
async fn what_a_token_says_of_itself_is_not_believed() {
    let (key, other) = (Pair::new("one"), Pair::new("two"));
    let issuer = Issuer::start(&[key.jwk(), other.jwk()]).await;
    let source = issuer.source(&Heard::default());
    let start = Instant::now();
    let check = async |token: String, refusal| {
        assert_eq!(find(&source, &token, start).await, refused(refusal), "{token}");
    };
    check(key.token("two"), Refusal::BadSignature).await;
    check(key.signed(&json!({ "alg": "none", "kid": "one" }), ISSUER), Refusal::WrongAlgorithm)
        .await;
    check(key.signed(&json!({ "alg": "HS256", "kid": "one" }), ISSUER), Refusal::WrongAlgorithm)
        .await;
    check(key.signed(&json!({ "alg": "RS256", "kid": "one" }), ISSUER), Refusal::WrongAlgorithm)
        .await;
    check(key.signed(&json!({ "kid": "one" }), ISSUER), Refusal::WrongAlgorithm).await;
    let critical = json!({ "alg": "ES256", "kid": "one", "crit": ["b64"] });
    check(key.signed(&critical, ISSUER), Refusal::CriticalExtension).await;
    let stranger = Pair::new("three");
    let own_key = json!({ "alg": "ES256", "kid": "one", "jwk": stranger.jwk(), "jku": "http://x" });
    check(stranger.signed(&own_key, ISSUER), Refusal::BadSignature).await;
    let nameless = key.signed(&json!({ "alg": "ES256" }), ISSUER);
    assert_eq!(find(&source, &nameless, start).await, Ok("ann".to_owned()));
}

#[tokio::test]
async fn nobody_asks_an_issuer_about_the_tokens_of_another() {
    let key = Pair::new("one");
    let issuer = Issuer::start(&[key.jwk()]).await;
    let source = issuer.source(&Heard::default());
    let foreign = key.signed(&json!({ "alg": "ES256", "kid": "x" }), "https://other.example");
    assert_eq!(at_once(find(&source, &foreign, Instant::now())), refused(Refusal::OtherIssuer));
    assert_eq!(issuer.fetches(), 0);
}

#[tokio::test]
async fn keys_may_stand_in_a_file() {
    let (old, new) = (Pair::new("old"), Pair::new("new"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, json!({ "keys": [old.jwk()] }).to_string()).unwrap();
    let source = source(KeySetLocation::File(path.clone()), &Heard::default());
    let start = Instant::now();
    assert!(find(&source, &old.token("old"), start).await.is_ok());
    std::fs::write(&path, json!({ "keys": [new.jwk()] }).to_string()).unwrap();
    assert_eq!(find(&source, &new.token("new"), start).await, Ok("ann".to_owned()));
}
