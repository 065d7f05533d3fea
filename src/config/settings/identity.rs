//! How callers are recognised, as checked.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Method};
use ipnet::IpNet;
use secrecy::SecretString;

use super::super::path_pattern::PathPattern;
use super::UpstreamTls;
use crate::json::path::FieldPath;

/// One entry of the list: a source, and what its names for roles mean here.
#[derive(Debug)]
pub struct IdentityEntry {
    /// The source.
    pub source: IdentitySource,
    /// What the source's names mean; `None` where they are the roles of the policies themselves.
    pub roles: Option<RoleMap>,
}

/// One way to recognise a caller.
#[derive(Debug)]
pub enum IdentitySource {
    /// `Authorization: Bearer` with a JWT.
    Jwt(Jwt),
    /// `Authorization: Bearer` with a token that its issuer explains (RFC 7662).
    Introspection(Introspection),
    /// Whatever the CRM itself takes for a credential; it is asked whose it is.
    WhoAmI(WhoAmI),
    /// `Authorization: Bearer` with one of these tokens.
    StaticTokens(Vec<StaticToken>),
    /// Headers set by a proxy in front that has authenticated the caller.
    TrustedHeaders(TrustedHeaders),
    /// The certificate that a client has shown on a TLS listener.
    ClientCertificate(ClientCertificate),
}

/// How a JWT is verified and read.
#[derive(Debug)]
pub struct Jwt {
    /// What signatures are checked with.
    pub keys: JwtKeys,
    /// Required `iss`.
    pub issuer: Option<String>,
    /// Required `aud`.
    pub audience: Option<String>,
    /// Clock skew allowed, at most 60 s.
    pub leeway: Duration,
    /// Where subject, roles and tenant stand.
    pub claims: ClaimNames,
}

impl Jwt {
    /// `leeway` unless set.
    pub const LEEWAY: Duration = Duration::from_secs(30);
    /// The most that `leeway` may be.
    pub const MAX_LEEWAY: Duration = Duration::from_secs(60);
    /// `roles_claim` unless set.
    pub const ROLES_CLAIM: &'static str = "roles";
    /// The fewest bytes of a secret for HS256.
    pub const MIN_SECRET_BYTES: usize = 32;
}

/// What the signatures of JWTs are checked with.
#[derive(Debug)]
pub enum JwtKeys {
    /// One key for one algorithm, read at start.
    Single {
        /// The one algorithm accepted; the token's own `alg` must equal it.
        algorithm: JwtAlgorithm,
        /// The file with the key: PEM public key, or the raw secret for HS256.
        path: PathBuf,
    },
    /// The issuer's published set (RFC 7517), which changes while Fieldgate runs.
    Set(KeySet),
}

/// Where a set of keys is, and how long it holds.
#[derive(Debug)]
pub struct KeySet {
    /// Where it is.
    pub location: KeySetLocation,
    /// Only keys for this algorithm are used; `None` takes each key for its own.
    pub algorithm: Option<JwtAlgorithm>,
    /// Age from which it is read again, while it still serves.
    pub refresh: Duration,
    /// Age from which it no longer serves.
    pub max_age: Duration,
    /// How long its server may take.
    pub timeout: Duration,
}

impl KeySet {
    /// `refresh` unless set.
    pub const REFRESH: Duration = Duration::from_secs(300);
    /// `max_age` unless set.
    pub const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
}

/// Where a set of keys is.
#[derive(Debug)]
pub enum KeySetLocation {
    /// A file, such as one that a sidecar keeps up to date.
    File(PathBuf),
    /// The issuer's `jwks_uri`.
    Url(Endpoint),
}

/// The JWT algorithms that can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl JwtAlgorithm {
    /// Every algorithm with the name that RFC 7518 and RFC 8037 give it.
    pub const ALL: [(&'static str, Self); 4] = [
        ("HS256", Self::Hs256),
        ("RS256", Self::Rs256),
        ("ES256", Self::Es256),
        ("EdDSA", Self::EdDsa),
    ];
}

/// Where claims say who calls; dots walk into objects.
#[derive(Debug, Clone)]
pub struct ClaimNames {
    /// The claim with the subject.
    pub subject: String,
    /// The claim with the roles: a string, a list, or an object whose truthy members are roles.
    pub roles: String,
    /// The claim with the tenant.
    pub tenant: Option<String>,
}

impl ClaimNames {
    /// `subject_claim` unless set.
    pub const SUBJECT: &'static str = "sub";
}

/// How an issuer is asked about its tokens (RFC 7662).
#[derive(Debug)]
pub struct Introspection {
    /// Where to ask.
    pub endpoint: Endpoint,
    /// Who asks.
    pub client_id: String,
    /// What proves it.
    pub client_secret: SecretString,
    /// Required `iss`.
    pub issuer: Option<String>,
    /// Required `aud`.
    pub audience: Option<String>,
    /// Where subject, roles and tenant stand.
    pub claims: ClaimNames,
    /// How answers are kept.
    pub keep: Keep,
}

impl Introspection {
    /// `roles_claim` unless set.
    pub const ROLES_CLAIM: &'static str = "scope";
    /// `ttl` unless set.
    pub const TTL: Duration = Duration::from_secs(60);
}

/// How the CRM is asked who a caller is.
#[derive(Debug)]
pub struct WhoAmI {
    /// Where to ask.
    pub place: WhoAmIPlace,
    /// What of a request goes along, and nothing else.
    pub credentials: Credentials,
    /// Where the answer has the subject.
    pub subject: AnswerPath,
    /// Where the answer has roles; a name, a list of names, or an object with truthy members.
    pub roles: Vec<AnswerPath>,
    /// Where the answer has the tenant.
    pub tenant: Option<AnswerPath>,
    /// How answers are kept.
    pub keep: Keep,
    /// Requests after which the caller's answer, and every other of the same subject, is forgotten.
    pub forget: Vec<ForgetRoute>,
}

impl WhoAmI {
    /// `ttl` unless set.
    pub const TTL: Duration = Duration::from_secs(300);
}

/// Where the CRM tells who somebody is.
#[derive(Debug)]
pub enum WhoAmIPlace {
    /// A path and query of the upstream.
    Upstream(String),
    /// Another server.
    Elsewhere(Endpoint),
}

/// What of a request says who sends it.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Names of cookies.
    pub cookies: Vec<String>,
    /// Headers, such as that of an API key.
    pub headers: Vec<HeaderName>,
    /// Schemes of `Authorization`.
    pub authorization: Vec<AuthorizationScheme>,
}

/// A scheme of `Authorization` that the CRM itself reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationScheme {
    /// User and password.
    Basic,
    /// A token.
    Bearer,
    /// A token, as Django REST framework spells it.
    Token,
}

impl AuthorizationScheme {
    /// Every scheme with the word that the configuration uses for it.
    pub const ALL: [(&'static str, Self); 3] =
        [("basic", Self::Basic), ("bearer", Self::Bearer), ("token", Self::Token)];
}

/// How long answers of another server are kept.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// That somebody is known.
    pub ttl: Duration,
    /// That a credential does not hold.
    pub negative_ttl: Duration,
    /// How long the server may take.
    pub timeout: Duration,
}

impl Keep {
    /// `negative_ttl` unless set.
    pub const NEGATIVE: Duration = Duration::from_secs(10);
    /// `timeout` unless set.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// The longest that an answer may be kept.
    pub const LONGEST: Duration = Duration::from_secs(3600);
}

/// A request that ends what a credential stands for.
#[derive(Debug, Clone)]
pub struct ForgetRoute {
    /// The methods; empty means all.
    pub methods: Vec<Method>,
    /// The path.
    pub path: PathPattern,
}

/// A place in a JSON answer.
#[derive(Clone, PartialEq)]
pub struct AnswerPath(pub(crate) FieldPath);

impl AnswerPath {
    /// The path.
    #[must_use]
    pub fn path(&self) -> &FieldPath {
        &self.0
    }
}

impl fmt::Debug for AnswerPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AnswerPath({})", self.0)
    }
}

/// A URL that Fieldgate itself asks.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Host name or address literal, an IPv6 one without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Set where the URL is `https`.
    pub tls: Option<UpstreamTls>,
    /// Path and query.
    pub target: String,
}

/// A token known by its digest.
#[derive(Debug)]
pub struct StaticToken {
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// Who it stands for.
    pub subject: String,
    /// The roles it carries.
    pub roles: Vec<String>,
    /// The company it belongs to.
    pub tenant: Option<String>,
}

/// Headers from a trusted peer. From anyone else the same headers are stripped.
#[derive(Debug)]
pub struct TrustedHeaders {
    /// Whom to believe.
    pub peers: Vec<IpNet>,
    /// Header with the subject.
    pub subject: HeaderName,
    /// Header with the roles, separated by commas.
    pub roles: HeaderName,
    /// Header with the tenant.
    pub tenant: Option<HeaderName>,
}

/// What of a client's certificate says who it is.
#[derive(Debug, Clone, Copy)]
pub struct ClientCertificate {
    /// The subject; there must be exactly one.
    pub subject: CertificateName,
    /// The roles; all of them.
    pub roles: CertificateName,
    /// The tenant; there must be exactly one.
    pub tenant: Option<CertificateName>,
}

/// A name in a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateName {
    /// Common name of the subject.
    CommonName,
    /// Organisation of the subject.
    Organization,
    /// Organisational unit of the subject.
    OrganizationalUnit,
    /// Alternative name: a host.
    Dns,
    /// Alternative name: an e-mail address.
    Email,
    /// Alternative name: a URI, such as a SPIFFE id.
    Uri,
}

impl CertificateName {
    /// Every name with the word that the configuration uses for it.
    pub const ALL: [(&'static str, Self); 6] = [
        ("cn", Self::CommonName),
        ("o", Self::Organization),
        ("ou", Self::OrganizationalUnit),
        ("dns", Self::Dns),
        ("email", Self::Email),
        ("uri", Self::Uri),
    ];
}

/// What a source's names for roles mean here.
#[derive(Debug, Clone, Default)]
pub struct RoleMap {
    /// For every company.
    pub map: BTreeMap<String, Vec<String>>,
    /// For one company, by its name; a name that stands here is not looked up above.
    pub tenants: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// What becomes of a name that stands nowhere.
    pub unmapped: Unmapped,
}

/// What becomes of a name that no map has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unmapped {
    /// It is no role.
    #[default]
    Drop,
    /// It is the role of that name.
    Keep,
}

impl Unmapped {
    /// Both with the word that the configuration uses for them.
    pub const ALL: [(&'static str, Self); 2] = [("drop", Self::Drop), ("keep", Self::Keep)];
}

/// Longest role name.
pub const MAX_ROLE_CHARS: usize = 64;

/// Whether `name` can be a role: `[A-Za-z0-9_.:-]{1,64}`.
///
/// Identity providers send groups that are no role of ours ("Domain Users", "/sales/emea"). They
/// are left out, which is safe because policies can only declare names of this form: a name that
/// is left out is one that no policy knows.
#[must_use]
pub fn is_role_name(name: &str) -> bool {
    (1..=MAX_ROLE_CHARS).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte))
}

/// Where a request itself names a company, which must then be the caller's.
#[derive(Debug, Clone, Default)]
pub struct TenantNames {
    /// A header.
    pub header: Option<HeaderName>,
    /// Paths with a `{tenant}` in them.
    pub paths: Vec<PathPattern>,
}
