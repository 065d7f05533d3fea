//! Warnings: the files hold together, but probably do not say what was meant.
//!
//! Each is a way that data got out, or a rule got lost, in real policies. What is a choice
//! (`combine: union`, a role that sees everything) is no doubt.

use super::Drafts;
use super::draft::{ResourceDraft, RoleDraft, SectionDraft};
use super::workflows;
use crate::diagnostic::Finding;
use crate::json::path::{FieldPath, Selector};
use crate::policy::Mode;
use crate::policy::emits::Previous;
use crate::policy::path_relation::can_meet;
use crate::policy::set::{Entry, Field, Origin};
use crate::policy::template::PathTemplate;

/// Files that a browser asks for and that hold no records.
const STATIC_EXTENSIONS: [&str; 18] = [
    "avif", "css", "eot", "gif", "html", "ico", "jpeg", "jpg", "js", "mjs", "otf", "png", "svg",
    "ttf", "txt", "webp", "woff", "woff2",
];

pub(super) fn doubts(drafts: &Drafts) -> Vec<Finding> {
    let mut doubts = Vec::new();
    missing_files(drafts, &mut doubts);
    global(drafts, &mut doubts);
    for resource in &drafts.resources {
        registry(drafts, resource, &mut doubts);
        old_records(resource, &mut doubts);
    }
    for (index, role) in drafts.roles.iter().enumerate() {
        let others = Others { drafts, role: index };
        for section in &role.sections {
            let resource =
                drafts.resources.iter().find(|draft| draft.named.name == section.resource.name);
            if let Some(resource) = resource {
                role_section(&others, resource, role, section, &mut doubts);
            }
        }
    }
    workflows::doubts(drafts, &mut doubts);
    doubts
}

fn warning(code: &'static str, message: String, origin: &Origin) -> Finding {
    Finding::warning(code, message).at(&origin.source, origin.span)
}

fn missing_files(drafts: &Drafts, doubts: &mut Vec<Finding>) {
    if drafts.roles.is_empty() {
        let message = "there are no roles, so every caller is refused";
        doubts.push(
            Finding::warning("policy::no_roles", message)
                .help("declare one: `roles/sales_rep.yaml`"),
        );
    }
    if drafts.resources.is_empty() && drafts.global.global_only.is_none() {
        let message = "there are no resources, so every request is refused";
        doubts.push(
            Finding::warning("policy::no_resources", message)
                .help("declare one: `resources/lead.yaml`"),
        );
    }
}

fn global(drafts: &Drafts, doubts: &mut Vec<Finding>) {
    let global = &drafts.global.global;
    for entry in &global.entries {
        if !entry.path.is_recursive() {
            let message = format!("`{}` is looked for at the top of an answer only", entry.path);
            doubts.push(
                warning("policy::global_not_recursive", message, &entry.origin)
                    .label("finds nothing inside records")
                    .help(any_depth(&entry.path)),
            );
        }
    }
    if let Some(origin) = &drafts.global.global_only
        && global.entries.is_empty()
    {
        let message = "`global_only` without global fields lets undeclared routes by unfiltered";
        doubts.push(
            warning("policy::unmatched_unfiltered", message.to_owned(), origin)
                .label("no field is masked or hidden there")
                .help("add `fields:` to this file, or write `unmatched: deny`"),
        );
    }
    for (entry, template) in global.passthrough.iter().zip(&drafts.global.templates) {
        if may_carry_records(template) {
            let message = format!("passthrough `{}` may carry records", entry.path);
            doubts.push(
                warning("policy::passthrough_may_carry_records", message, &entry.origin)
                    .label("answers pass unfiltered and without identity")
                    .help("name static files one by one (`/favicon.ico`), or make sure that nothing below this path answers with data"),
            );
        }
    }
}

fn may_carry_records(template: &PathTemplate) -> bool {
    let extension = template.file_name().and_then(|name| name.rsplit_once('.'));
    template.has_parameters()
        || extension.is_none_or(|(_, extension)| {
            !STATIC_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
        })
}

fn registry(drafts: &Drafts, resource: &ResourceDraft, doubts: &mut Vec<Finding>) {
    let name = &resource.named.name;
    let has_rules = drafts
        .roles
        .iter()
        .flat_map(|role| &role.sections)
        .any(|rules| rules.resource.name == *name);
    if resource.fields.is_empty() && !has_rules {
        let message = format!("no field of `{name}` is sensitive, and no role has a rule for it");
        doubts.push(
            warning("policy::unruled_resource", message, &resource.named.origin)
                .label("every role gets its default here")
                .help("list its sensitive fields under `fields`"),
        );
    }
    for field in resource.fields.iter().filter(|field| field.is_pii) {
        if !field.path.is_recursive() && !is_found_at_any_depth(drafts, resource, &field.path) {
            let message = format!("personal data `{}` is known in one place only", field.path);
            doubts.push(
                warning("policy::pii_not_recursive", message, &field.origin)
                    .label("the same field inside another object is not recognised")
                    .help(any_depth(&field.path)),
            );
        }
        if field.strategy.is_none() {
            let message = format!("personal data `{}` has no mask", field.path);
            doubts.push(
                warning("policy::pii_without_mask", message, &field.origin)
                    .label("will be redacted")
                    .help("write `mask: redact` if that is meant, or choose another strategy"),
            );
        }
    }
}

/// Rules that ask for an old record and say that there is to be none.
fn old_records(resource: &ResourceDraft, doubts: &mut Vec<Finding>) {
    let rules = resource.emits.iter().filter(|rule| rule.previous == Previous::None);
    for rule in rules.filter(|rule| rule.reads_old()) {
        let message = format!("`{}` reads the old record, which is never known to it", rule.event);
        doubts.push(
            warning("policy::old_never_known", message, &rule.origin)
                .label("its rule says `previous: none`")
                .help("leave `previous` out, write `previous: fetch`, or read the new record only"),
        );
    }
}

/// Whether another entry of the registry, or a global one, finds the same field everywhere.
fn is_found_at_any_depth(drafts: &Drafts, resource: &ResourceDraft, path: &FieldPath) -> bool {
    let registered = resource.fields.iter().map(|field| &field.path);
    let global = drafts.global.global.entries.iter().map(|entry| &entry.path);
    registered.chain(global).any(|other| other.is_recursive() && can_meet(other, path))
}

fn role_section(
    others: &Others<'_>,
    resource: &ResourceDraft,
    role: &RoleDraft,
    section: &SectionDraft,
    doubts: &mut Vec<Finding>,
) {
    let default = section
        .default
        .or(role.default)
        .or(others.drafts.global.default_mode)
        .unwrap_or(Mode::View);
    for entry in &section.entries {
        if let Some(known) = others.near_miss(resource, entry) {
            let message = format!("no other policy knows a field `{}`", entry.path);
            doubts.push(
                warning("policy::unknown_field", message, &entry.origin)
                    .label(format!("close to `{known}`"))
                    .help(format!(
                        "did you mean `{known}`? if the field exists, add it to the registry of `{}`",
                        resource.named.name
                    )),
            );
            continue;
        }
        let covered = resource.fields.iter().any(|field| can_meet(&field.path, &entry.path));
        if entry.mode == Mode::Mask && !covered {
            let message = format!(
                "`{}` has no mask in the registry of `{}`",
                entry.path, resource.named.name
            );
            doubts.push(
                warning("policy::mask_without_strategy", message, &entry.origin)
                    .label("will be redacted")
                    .help("give the field a `mask` in the resource file; `mask: redact` if that is meant"),
            );
        }
        if default < Mode::Mask
            && let Some(field) = wider_personal_data(others.drafts, resource, section, entry)
        {
            let message = format!(
                "`{}` is restricted, but not the same personal data elsewhere in the record",
                entry.path
            );
            doubts.push(
                warning("policy::narrow_restriction", message, &entry.origin)
                    .label(format!("other places fall under the default `{}`", default.word()))
                    .help(format!(
                        "the registry knows it at any depth: write `\"{}\"`",
                        field.path
                    )),
            );
        }
    }
}

/// The registered personal data that `entry` restricts at one place while it may stand at others,
/// if no other entry of the role takes care of those.
fn wider_personal_data<'d>(
    drafts: &Drafts,
    resource: &'d ResourceDraft,
    section: &SectionDraft,
    entry: &Entry,
) -> Option<&'d Field> {
    if entry.mode < Mode::Mask || entry.path.is_recursive() {
        return None;
    }
    let restricts_everywhere = |rule: &Entry| {
        rule.mode >= Mode::Mask && rule.path.is_recursive() && can_meet(&rule.path, &entry.path)
    };
    if section.entries.iter().chain(&drafts.global.global.entries).any(restricts_everywhere) {
        return None;
    }
    resource.fields.iter().find(|field| {
        field.is_pii && field.path.is_recursive() && can_meet(&field.path, &entry.path)
    })
}

fn any_depth(path: &FieldPath) -> String {
    match path.last_name() {
        Some(name) if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
            format!("write `\"$..{name}\"` to find it at any depth")
        }
        Some(name) => format!("write `\"$..['{name}']\"` to find it at any depth"),
        None => "begin the path with `$..` to find it at any depth".to_owned(),
    }
}

/// What everyone but one role says of a resource's fields.
struct Others<'d> {
    drafts: &'d Drafts,
    role: usize,
}

impl<'d> Others<'d> {
    /// The known field whose name the entry's seems to miss by a slip. A name that somebody else
    /// uses is no slip; one that is nobody's and near to nothing may well be a real field, for
    /// the registry lists only what is sensitive.
    fn near_miss(&self, resource: &'d ResourceDraft, entry: &Entry) -> Option<&'d str> {
        let written = entry.path.last_name()?;
        let known = self.names(resource);
        if known.contains(&written) {
            return None;
        }
        known.into_iter().find(|known| is_slip(written, known))
    }

    fn names(&self, resource: &'d ResourceDraft) -> Vec<&'d str> {
        let registered = resource.fields.iter().map(|field| &field.path).chain(&resource.id);
        let roles = self.drafts.roles.iter().enumerate().filter(|(index, _)| *index != self.role);
        let sections = roles.flat_map(|(_, role)| &role.sections);
        let entries = sections
            .filter(|section| section.resource.name == resource.named.name)
            .flat_map(|section| section.entries.iter().map(|entry| &entry.path));
        registered.chain(entries).flat_map(all_names).collect()
    }
}

pub(super) fn all_names(path: &FieldPath) -> impl Iterator<Item = &str> {
    path.segments().iter().flat_map(|segment| &segment.selectors).filter_map(|selector| {
        match selector {
            Selector::Name(name) => Some(name.as_str()),
            Selector::Wildcard | Selector::Index(_) | Selector::Slice { .. } | Selector::Held => {
                None
            }
        }
    })
}

/// Whether `written` looks like `known` with a slip of the keyboard. `emails` and `phone2` beside
/// `email` and `phone` do not.
pub(super) fn is_slip(written: &str, known: &str) -> bool {
    if written.to_lowercase() == known.to_lowercase() {
        return true;
    }
    let stem = |name: &str| {
        name.trim_end_matches(|last: char| last == 's' || last.is_ascii_digit()).to_owned()
    };
    if stem(written) == stem(known) {
        return false;
    }
    let allowed = match known.chars().count() {
        0..=3 => 0,
        4..=8 => 1,
        _ => 2,
    };
    strsim::damerau_levenshtein(written, known) <= allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, known: &str, expect: bool) {
        assert_eq!(is_slip(written, known), expect, "{written} {known}");
    }

    #[test]
    fn slips() {
        check("emial", "email", true);
        check("emai", "email", true);
        check("Email", "email", true);
        check("internal_nots", "internal_notes", true);
        check("emails", "email", false);
        check("email", "emails", false);
        check("line1", "line2", false);
        check("status", "state", false);
        check("first_name", "last_name", false);
        check("zip", "vip", false);
        check("company_name", "company", false);
    }

    #[track_caller]
    fn check_passthrough(path: &str, expect: bool) {
        assert_eq!(may_carry_records(&PathTemplate::parse(path).unwrap()), expect, "{path}");
    }

    #[test]
    fn passthrough_that_may_carry_records() {
        check_passthrough("/favicon.ico", false);
        check_passthrough("/static/app.JS", false);
        check_passthrough("/robots.txt", false);
        check_passthrough("/login", true);
        check_passthrough("/", true);
        check_passthrough("/manifest.json", true);
        check_passthrough("/export.csv", true);
        check_passthrough("/static/{*rest}", true);
        check_passthrough("/static/{name}.css", true);
    }
}
