//! Named places where a crash test makes the program die, or a call fail.
//!
//! Debug builds read `FIELDGATE_FAIL_AT` once: `after_intent=kill`, `store.fsync=error`,
//! `answer.filter=panic`, several of them with commas between. `kill` is SIGKILL of the own
//! process, so nothing is tidied up; `kill:3`, `error:3` and `panic:3` mean the third time only. Release builds do not read the variable: every
//! place is compiled to nothing.

#[cfg(debug_assertions)]
mod plan;

/// The place was told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the fail point `{0}` was told to fail")]
pub struct Reached(pub &'static str);

/// A place that can die or fail.
#[cfg(debug_assertions)]
pub fn check(name: &'static str) -> Result<(), Reached> {
    match plan::reach(name) {
        plan::Effect::Nothing => Ok(()),
        plan::Effect::Error => Err(Reached(name)),
        plan::Effect::Kill => {
            plan::die();
            Err(Reached(name))
        }
        plan::Effect::Panic => plan::explode(name),
    }
}

/// A place that can die or fail: in a release build, neither.
#[cfg(not(debug_assertions))]
#[inline]
pub fn check(_name: &'static str) -> Result<(), Reached> {
    Ok(())
}

/// A place that can only die.
pub fn pass(name: &'static str) {
    // Told to fail, there is nobody here who could.
    let _ = check(name);
}

/// Whether something that tests may do without is switched off: `store.durability=off`.
#[must_use]
pub fn is_off(name: &str) -> bool {
    #[cfg(debug_assertions)]
    let is_off = plan::is_off(name);
    #[cfg(not(debug_assertions))]
    let is_off = {
        let _ = name;
        false
    };
    is_off
}
