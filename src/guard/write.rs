//! The write guard: what of a request body may be written, and what goes to the CRM instead.
//!
//! [`look`] decides by the body alone, which is enough for most writes. Where a member may not be
//! written, it may still be one that the caller was shown and sends back; then [`settle`] needs the
//! record as it is now. Unchanged members are dropped from a partial update and restored in a full
//! one; the others are refused, stripped or reported, as the resource says.

pub(super) mod walk;

use self::walk::Walk;
use super::form;
use super::leaves;
use super::multipart;
use super::patch;
use super::splice::Outcome;
use super::tree::{Child, Tree};
use super::violations::{Careful, examine, is_method_override};
use super::write_back::{Known, LookedUp, Pair, Registry, Vaulted};
use super::{Form, Unreadable};
use crate::json::navigate::Navigator as _;
use crate::json::path::FieldPath;
use crate::mask::KeyRing;
use crate::policy::plan::Plan;
use crate::policy::set::Writes;

/// Most fields that are named; a client learns nothing from more.
pub(super) const MOST_NAMED: usize = 32;

/// What the caller may do on a route, and what is needed to tell masks.
#[derive(Debug, Clone, Copy)]
pub struct Rights<'a> {
    /// What becomes of members that may not be written.
    pub writes: Writes,
    /// What may be written, over the whole body.
    pub plan: &'a Plan,
    /// The masks of the fields, over one record.
    pub registry: &'a Plan,
    /// Where the records stand in a body.
    pub body: &'a FieldPath,
    /// The keys of the masks.
    pub keys: Option<&'a KeyRing>,
    /// The caller's company.
    pub tenant: &'a str,
    /// The values behind tokens of the token map.
    pub vaulted: &'a LookedUp,
}

/// What a write does to the record at its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// It makes a new one, or does something else: there is nothing to compare with.
    Create,
    /// It replaces all of it: what is missing is lost.
    Replace,
    /// What is missing stays.
    Patch,
}

impl Update {
    /// What a method means for the record at its path.
    #[must_use]
    pub fn of(method: &http::Method) -> Self {
        match method.as_str() {
            "PUT" => Self::Replace,
            "PATCH" => Self::Patch,
            _ => Self::Create,
        }
    }
}

/// What a first look at a body tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It may be forwarded as it is.
    Fine,
    /// It must be settled, and what was shown of the record does not matter.
    Settle,
    /// It must be settled against the record as it is now.
    Compare,
}

/// What goes to the CRM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The body in place of the one that came; `None` leaves it as it came.
    pub body: Option<Vec<u8>>,
    /// What was done.
    pub tally: Tally,
    /// Fields that are written although the caller may not (`writes: report`).
    pub reported: Vec<String>,
}

/// What was done to a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Members taken out because they may not be written.
    pub stripped: u64,
    /// Members kept as they are in the CRM, because they were masked, hidden or unchanged.
    pub kept: u64,
    /// Masks turned back into values.
    pub detokenized: u64,
}

/// Why nothing goes to the CRM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// These fields may not be written.
    NotWritable(Vec<String>),
    /// These fields hold masks, or would be lost, and what they stand for cannot be told.
    MaskedValue(Vec<String>),
    /// The body has no reading, or more than one.
    Unreadable(Unreadable),
    /// A form field, or an outermost member, asks for another method.
    MethodOverride,
    /// It cannot be decided before the values behind these tokens are looked up.
    Vaulted(Vec<Vaulted>),
}

impl From<Unreadable> for Denied {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

/// Decides a body by itself.
///
/// # Errors
/// It has no reading, or more than one.
pub fn look(rights: &Rights<'_>, form: &Form, update: Update, body: &[u8]) -> Result<Look, Denied> {
    let whole_is_open = rights.plan.automaton.is_inert(&rights.plan.automaton.root());
    let (has_violations, may_hold_masks) = match form {
        Form::Json | Form::MergePatch => {
            let found = examine(&Careful(&rights.plan.automaton), body)?;
            if found.overrides_method {
                return Err(Denied::MethodOverride);
            }
            let may_lose = update == Update::Patch && found.may_lose;
            (!found.violations.is_empty() || may_lose, found.may_hold_masks)
        }
        Form::JsonApi | Form::JsonPatch | Form::Pairs | Form::Multipart(_) => {
            match settle(rights, form, Update::Create, body, Known::Absent) {
                Err(denied @ (Denied::Unreadable(_) | Denied::MethodOverride)) => {
                    return Err(denied);
                }
                Ok(Settled { body: None, reported, .. }) => (!reported.is_empty(), false),
                Ok(_)
                | Err(Denied::NotWritable(_) | Denied::MaskedValue(_) | Denied::Vaulted(_)) => {
                    (true, true)
                }
            }
        }
    };
    // What such a patch replaces whole is not seen from its rights alone.
    let may_replace = matches!(form, Form::JsonApi | Form::JsonPatch);
    Ok(match update {
        Update::Replace if !whole_is_open => Look::Compare,
        Update::Patch if !whole_is_open && may_replace => Look::Compare,
        Update::Create if has_violations || may_hold_masks => Look::Settle,
        Update::Replace | Update::Patch if has_violations || may_hold_masks => Look::Compare,
        Update::Create | Update::Replace | Update::Patch => Look::Fine,
    })
}

/// Says what is forwarded of a body.
///
/// # Errors
/// Nothing is.
pub fn settle(
    rights: &Rights<'_>,
    form: &Form,
    update: Update,
    body: &[u8],
    known: Known<'_>,
) -> Result<Settled, Denied> {
    let pair = match &known {
        Known::Record(current) => Pair::read(current),
        Known::Absent | Known::Unknown => None,
    };
    let is_known = match known {
        Known::Record(_) => pair.is_some(),
        Known::Absent => true,
        Known::Unknown => false,
    };
    let records = match &known {
        Known::Record(current) => Some(current.records),
        Known::Absent | Known::Unknown => None,
    };
    let record = pair.as_ref().zip(records).and_then(|(pair, records)| {
        let record = pair.real.one(records)?;
        rights.registry.record_id.as_ref()?.id_in(pair.real.raw(record))
    });
    let registry = Registry {
        plan: rights.registry,
        keys: rights.keys,
        tenant: rights.tenant,
        record: record.as_deref(),
    };
    let mut walk = Walk::new(rights, registry, update, form, is_known);
    let body = match form {
        Form::Json | Form::MergePatch | Form::JsonApi => {
            let tree = Tree::parse(body)?;
            let asks = |child: &Child| is_method_override(child.name.as_bytes());
            if tree.root.members().iter().any(asks) {
                return Err(Denied::MethodOverride);
            }
            let current = pair.as_ref().zip(records);
            let current = current.and_then(|(pair, records)| {
                Some((&pair.real, pair.real.one(records)?, pair.shown.one(records)?))
            });
            match walk.document(&tree, current) {
                Outcome::Keep => None,
                Outcome::Put(bytes) => Some(bytes),
                // There is no body without a value.
                Outcome::Drop => return Err(Denied::NotWritable(vec!["$".to_owned()])),
            }
        }
        Form::JsonPatch => {
            let tree = Tree::parse(body)?;
            patch::settle(&mut walk, &tree, pair.as_ref())?
        }
        Form::Pairs => {
            let fields = form::pairs(body)?;
            let changed = leaves::settle(&mut walk, &fields, pair.as_ref().zip(records))?;
            changed.map(|changed| leaves::as_pairs(body, &fields, &changed))
        }
        Form::Multipart(boundary) => {
            let fields = multipart::parts(body, boundary)?;
            let changed = leaves::settle(&mut walk, &fields, pair.as_ref().zip(records))?;
            let write = |changed| leaves::as_parts(body, &fields, &changed, boundary);
            changed.map(write).transpose()?
        }
    };
    walk.finish(body)
}

#[cfg(test)]
mod tests;
