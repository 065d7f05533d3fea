//! The oracle guard: whatever the dialect, a parameter named like a restricted field never passes.

use std::sync::{Arc, LazyLock};

use fieldgate::guard::query::{Malformed, Sight, Verdict, decide, decide_body};
use fieldgate::policy::Mode;
use fieldgate::policy::plan::{Plan, Purpose};
use fieldgate::policy::query::{Dialect, Oracle, QueryRules};

use super::plans::{path, plan};

static PLAN: LazyLock<Arc<Plan>> = LazyLock::new(|| {
    let entries = vec![(path("$..ssn"), Mode::Hidden), (path("$..email"), Mode::Mask)];
    Arc::new(plan("$", Mode::View, entries, Purpose::ReadPart).expect("the plan is simple"))
});

struct OneRole(QueryRules);

impl Sight for OneRole {
    fn rules(&self, _: &str) -> Option<&QueryRules> {
        Some(&self.0)
    }

    fn plan(&self, _: &str) -> Option<Arc<Plan>> {
        Some(Arc::clone(&PLAN))
    }

    fn sees_all(&self, _: &str) -> bool {
        false
    }

    fn knows(&self, _: &str, name: &str) -> bool {
        ["ssn", "email"].contains(&name)
    }
}

/// Byte one: the dialect and whether parameters are dropped; then the query string, which is tried
/// as a JSON body too.
pub fn query_guard(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Ok(query) = std::str::from_utf8(rest) else { return };
    let at = usize::from(first >> 1) % Dialect::ALL.len();
    let Some((_, dialect)) = Dialect::ALL.get(at) else { return };
    let oracle = if first & 1 == 0 { Oracle::Refuse } else { Oracle::Drop };
    let sight = OneRole(QueryRules { dialect: *dialect, oracle, ..QueryRules::default() });
    match decide(&sight, "thing", query) {
        Ok(Verdict::Fine) => assert!(!asks_by_ssn(query), "passed as it is"),
        Ok(Verdict::Reduced { query: left, .. }) => {
            let left = left.unwrap_or_default();
            assert!(!asks_by_ssn(&left), "still there: {left}");
            assert_eq!(oracle, Oracle::Drop);
            assert_eq!(decide(&sight, "thing", &left), Ok(Verdict::Fine), "{left}");
        }
        Ok(Verdict::Refused { .. }) | Err(Malformed) => {}
    }
    let verdict = decide_body(&sight, "thing", true, rest);
    if let Ok(serde_json::Value::Object(members)) = serde_json::from_slice(rest)
        && members.contains_key("ssn")
    {
        assert_ne!(verdict, Ok(Verdict::Fine), "passed as a body");
    }
}

/// Whether a pair is named `ssn`, as a plain server reads the query.
fn asks_by_ssn(query: &str) -> bool {
    query.split(['&', ';']).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default().replace('+', " ");
        let name = percent_encoding::percent_decode_str(&name).decode_utf8_lossy().into_owned();
        // Inside of the brackets of an `OData` option a `;` separates other things.
        name == "ssn" && !query.contains('(')
    })
}
