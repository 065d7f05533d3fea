//! Canonical paths: one form, that says what was said, and that no server reads in another way.

use std::path::Path;
use std::sync::LazyLock;

use fieldgate::diagnostic::SourceFile;
use fieldgate::policy::{self, CanonicalPath, RouteTable};
use percent_encoding::percent_decode;

const RESOURCE: &str = r#"resource: lead
routes:
  - { methods: [GET], path: /api/v1/leads/, records: "$[*]" }
  - { methods: [GET, PATCH], path: "/api/v1/leads/{id}/", records: "$" }
"#;

static ROUTES: LazyLock<RouteTable> = LazyLock::new(|| {
    let files = [
        SourceFile::new("resources/lead.yaml", RESOURCE),
        SourceFile::new("roles/viewer.yaml", "role: viewer\n"),
    ];
    let set = policy::read(Path::new(""), &files).set.expect("the policies are good");
    RouteTable::new(&set).expect("the routes are apart")
});

/// The path of a request target.
pub fn canonical_path(raw: &[u8]) {
    let Ok(path) = CanonicalPath::parse(raw) else { return };
    let text = path.as_str();
    assert!(text.starts_with('/') && text.is_ascii());
    assert_eq!(CanonicalPath::parse(text).as_ref(), Ok(&path), "the form is not canonical");
    let decoded: Vec<u8> = percent_decode(text.as_bytes()).collect();
    assert_eq!(decoded, percent_decode(raw).collect::<Vec<_>>(), "it says something else");

    // Decoded once more, or with backslashes and parameters as some servers read them, it still has
    // the same segments.
    let decoded = String::from_utf8(decoded).expect("a canonical path is UTF-8 when decoded");
    assert_eq!(decoded.matches('/').count(), text.matches('/').count());
    assert!(!decoded.contains(['\\', ';', '\0', '\r', '\n']) && !decoded.contains("//"));
    let twice: Vec<u8> = percent_decode(decoded.as_bytes()).collect();
    assert_eq!(twice, decoded.as_bytes(), "decoding twice makes a difference");
    for segment in decoded.split('/') {
        assert!(!matches!(segment.trim(), "." | ".."), "a segment of dots");
    }
    assert!(!format!("{path:?}").contains("leads"));
    let _ = ROUTES.find(&http::Method::GET, &path);
}
