//! Write-back: whatever is sent, what its sender may not write stays as the CRM has it.

use std::sync::LazyLock;

use fieldgate::guard::{Current, Form, Known, LookedUp, Rights, Update, settle};
use fieldgate::json::path::FieldPath;
use fieldgate::policy::Mode;
use fieldgate::policy::plan::{Plan, Purpose};
use fieldgate::policy::set::Writes;

use super::document::Document;
use super::plans::{filter, path, plan};

struct Plans {
    read: Plan,
    write: Plan,
    registry: Plan,
    root: FieldPath,
}

static PLANS: LazyLock<Plans> = LazyLock::new(|| {
    let entries = || {
        vec![
            (path("$..ssn"), Mode::Hidden),
            (path("$..email"), Mode::Mask),
            (path("$..id"), Mode::View),
        ]
    };
    let made = |purpose| plan("$", Mode::Edit, entries(), purpose).expect("the plan is simple");
    Plans {
        read: made(Purpose::Read),
        write: made(Purpose::Write),
        registry: made(Purpose::Registry),
        root: path("$"),
    }
});

/// The current record, a line feed, and the body; the first byte chooses form, update and setting.
pub fn write_back(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Some(at) = rest.iter().position(|byte| *byte == b'\n') else { return };
    let (real, body) = (rest.get(..at).unwrap_or_default(), rest.get(at + 1..).unwrap_or_default());
    let (shown, read) = filter(&PLANS.read, [real]);
    let known = match read {
        Ok(_) if first & 8 == 0 => {
            Known::Record(Current { real, shown: &shown, records: &PLANS.root })
        }
        _ if first & 16 == 0 => Known::Absent,
        _ => Known::Unknown,
    };
    let forms = [
        Form::Json,
        Form::MergePatch,
        Form::JsonApi,
        Form::JsonPatch,
        Form::Pairs,
        Form::Multipart("b".to_owned()),
    ];
    let Some(form) = forms.get(usize::from(first >> 5) % forms.len()) else { return };
    let writes = if first & 1 == 0 { Writes::Enforce } else { Writes::Strip };
    let update = match first >> 1 & 3 {
        0 => Update::Create,
        1 => Update::Patch,
        _ => Update::Replace,
    };
    let rights = Rights {
        writes,
        plan: &PLANS.write,
        registry: &PLANS.registry,
        body: &PLANS.root,
        keys: None,
        tenant: "",
        vaulted: &LookedUp::new(),
    };
    let Ok(settled) = settle(&rights, form, update, body, known) else { return };
    let sent = settled.body.as_deref().unwrap_or(body);
    // Reported or not, nothing that may not be written is another one than the CRM has.
    if *form != Form::Json || !matches!(known, Known::Record(_)) {
        return;
    }
    let (Some(Document::Object(sent)), Some(Document::Object(real))) =
        (Document::read(sent), Document::read(real))
    else {
        return;
    };
    for name in ["ssn", "email", "id"] {
        let of = |members: &[(String, Document)]| {
            members.iter().find(|(found, _)| found == name).map(|(_, value)| value.compact())
        };
        match (of(&sent), update) {
            (Some(value), _) => assert_eq!(Some(value), of(&real), "{name} was written"),
            (None, Update::Replace) => assert_eq!(None, of(&real), "{name} was lost"),
            (None, Update::Patch | Update::Create) => {}
        }
    }
}
