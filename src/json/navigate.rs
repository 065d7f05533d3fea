//! What the filter asks on its way through a document: where am I, and what shall I do here?

use super::Refusal;
use super::filter::{FilterLimits, Observer, Replacer, Tally};

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

/// What an [`Observer`] wants to be told of a place. Observing changes nothing of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Watch {
    /// The watched paths that select this place, a bit each.
    pub slots: u128,
    /// Watched places may lie below a container that nobody would look into otherwise.
    pub below: bool,
    /// A record begins here.
    pub record: bool,
}

/// A line of the account of what was done; its number means something to whoever made the
/// navigator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Note(u16);

impl Note {
    /// Nothing worth an entry.
    pub const NONE: Self = Self(u16::MAX);

    /// The entry of a number; none where there are too many.
    #[must_use]
    pub fn of(number: usize) -> Self {
        u16::try_from(number).map_or(Self::NONE, Self)
    }

    /// The number of the entry.
    #[must_use]
    pub fn number(self) -> Option<usize> {
        (self != Self::NONE).then_some(usize::from(self.0))
    }
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
    /// What is to be told of the place.
    pub watch: Watch,
    /// The account that a scalar is counted on.
    pub scalar_note: Note,
    /// The account that a container is counted on.
    pub container_note: Note,
}

impl Verdict {
    /// Everything passes.
    pub const KEEP: Self = Self::both(Action::Keep);

    /// The same action whatever the value is.
    #[must_use]
    pub const fn both(action: Action) -> Self {
        Self {
            scalar: action,
            container: action,
            holds: false,
            watch: Watch { slots: 0, below: false, record: false },
            scalar_note: Note::NONE,
            container_note: Note::NONE,
        }
    }
}

impl Verdict {
    /// Whether a scalar is kept and nobody is told of it.
    #[must_use]
    pub fn passes_scalars(&self) -> bool {
        self.scalar == Action::Keep && self.watch.slots == 0 && self.scalar_note == Note::NONE
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

    /// Whether a scalar here is kept and nobody is told of it.
    fn passes(&self, state: &Self::State) -> bool {
        self.verdict(state).passes_scalars()
    }

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
        _observer: &mut dyn Observer,
        _out: &mut Vec<u8>,
    ) -> Result<Tally, Refusal> {
        Err(Refusal::ReplacementFailed)
    }
}
