//! What a file is for, by where it lies in the policy folder.

use std::path::{Component, Path};

/// The meaning of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Place {
    /// `global.yaml`
    Global,
    /// `resources/*.yaml`
    Resource,
    /// `roles/*.yaml`
    Role,
    /// `scoring.yaml`
    Scoring,
    /// `companies/*/scoring.yaml`
    CompanyScoring,
    /// `workflows/*.yaml`
    Workflow,
    /// `workflows/tests/*.yaml`
    WorkflowTest,
    /// `templates/*.txt`
    MailText,
    /// `templates/*.html`
    MailHtml,
    /// A policy file where none belongs.
    Misplaced,
}

impl Place {
    /// The place of a path relative to the policy folder.
    pub(in crate::policy) fn of(relative: &Path) -> Self {
        let names: Option<Vec<&str>> = relative
            .components()
            .map(|component| match component {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        // On purpose not `.YAML`: on one machine it would be read, on another it would not.
        let ends_in = |ending| relative.extension().is_some_and(|extension| extension == ending);
        let ends_well = ends_in("yaml");
        match names.as_deref() {
            Some(["global.yaml"]) => Self::Global,
            Some(["scoring.yaml"]) => Self::Scoring,
            Some(["companies", _, "scoring.yaml"]) => Self::CompanyScoring,
            Some(["resources", _]) if ends_well => Self::Resource,
            Some(["roles", _]) if ends_well => Self::Role,
            Some(["workflows", _]) if ends_well => Self::Workflow,
            Some(["workflows", "tests", _]) if ends_well => Self::WorkflowTest,
            Some(["templates", _]) if ends_in("txt") => Self::MailText,
            Some(["templates", _]) if ends_in("html") => Self::MailHtml,
            _ => Self::Misplaced,
        }
    }

    /// Whether a file is meant as a policy, in whatever place: all others are nobody's business.
    pub(in crate::policy) fn looks_like_a_policy(path: &Path) -> bool {
        let is_of_mails = || {
            let folder = path.parent().and_then(Path::file_name);
            folder.is_some_and(|folder| folder == "templates")
        };
        path.extension().is_some_and(|extension| {
            extension.eq_ignore_ascii_case("yaml")
                || extension.eq_ignore_ascii_case("yml")
                || ((extension == "txt" || extension == "html") && is_of_mails())
        })
    }
}
