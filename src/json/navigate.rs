//! What the filter asks on its way through a document: where am I, and what shall I do here?

use super::Refusal;
use super::filter::{FilterLimits, Replacer, Tally};

/// Which replacement to use; the number means something to the [`Replacer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// What to do with one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A scalar passes; a container passes and its children are asked about.
    Keep,
    /// The member or element disappears.
    Remove,
    /// The value is replaced as a whole.
    Replace(Slot),
}

/// What to do with a value, by what it turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// A string, a number, `true`, `false` or `null`.
    pub scalar: Action,
    /// An object or an array.
    pub container: Action,
    /// A kept container is held whole first and decided with [`Navigator::filter_held`].
    pub holds: bool,
}

impl Verdict {
    /// Everything passes.
    pub const KEEP: Self = Self::both(Action::Keep);

    /// The same action whatever the value is.
    #[must_use]
    pub const fn both(action: Action) -> Self {
        Self { scalar: action, container: action, holds: false }
    }
}

/// Knows, for every place in a document, what is to be done there.
///
/// A place is reached step by step from the root, so an implementation needs to remember no more
/// than a state a level.
pub trait Navigator {
    /// A place, or all places that are alike.
    type State: Clone;

    /// The place of the whole document.
    fn root(&self) -> Self::State;

    /// The place of the member `name` (unescaped) of the object at `parent`.
    fn member(&self, parent: &Self::State, name: &[u8]) -> Self::State;

    /// The place of the element `index` of the array at `parent`.
    fn element(&self, parent: &Self::State, index: u64) -> Self::State;

    /// What to do there.
    fn verdict(&self, state: &Self::State) -> Verdict;

    /// Whether everything below this container is kept, so that nobody needs to ask.
    fn is_inert(&self, state: &Self::State) -> bool;

    /// Filters a value that had to be held; `raw` is its whole, validated text. A navigator whose
    /// verdicts never hold has no use for it.
    fn filter_held(
        &self,
        _state: &Self::State,
        _raw: &[u8],
        _limits: FilterLimits,
        _replacer: &mut dyn Replacer,
        _out: &mut Vec<u8>,
    ) -> Result<Tally, Refusal> {
        Err(Refusal::ReplacementFailed)
    }
}
