//! What the variable says is to happen where. Debug builds only.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const VARIABLE: &str = "FIELDGATE_FAIL_AT";

static PLAN: OnceLock<Plan> = OnceLock::new();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    Error,
    Kill,
    Panic,
}

#[derive(Debug)]
pub(super) enum Plan {
    Points(Vec<Point>),
    /// A crash test with a slip of the pen must not pass by never crashing: all places fail.
    Unreadable,
}

#[derive(Debug)]
pub(super) struct Point {
    name: String,
    action: Action,
    /// The one time that counts; `None` for every time.
    only: Option<u64>,
    reached: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Error,
    Panic,
    Off,
}

pub(super) fn reach(name: &str) -> Effect {
    current().reach(name)
}

pub(super) fn is_off(name: &str) -> bool {
    current().is_off(name)
}

pub(super) fn die() {
    let own = rustix::process::getpid();
    let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    // The signal may need a moment to arrive; nothing may happen in it.
    std::process::abort();
}

#[expect(clippy::panic, reason = "a test wants to see what a panic does; debug builds only")]
pub(super) fn explode(name: &str) -> ! {
    panic!("the fail point `{name}` was told to panic")
}

fn current() -> &'static Plan {
    PLAN.get_or_init(|| match std::env::var(VARIABLE) {
        Ok(text) => Plan::parse(&text),
        Err(std::env::VarError::NotPresent) => Plan::Points(Vec::new()),
        Err(std::env::VarError::NotUnicode(_)) => Plan::Unreadable,
    })
}

impl Plan {
    pub(super) fn parse(text: &str) -> Self {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(Point::parse).collect::<Option<_>>().map_or(Self::Unreadable, Self::Points)
    }

    pub(super) fn reach(&self, name: &str) -> Effect {
        let Self::Points(points) = self else { return Effect::Error };
        let effects = points.iter().filter(|point| point.name == name).map(Point::reach);
        effects
            .reduce(|one, two| if one == Effect::Nothing { two } else { one })
            .unwrap_or(Effect::Nothing)
    }

    pub(super) fn is_off(&self, name: &str) -> bool {
        let Self::Points(points) = self else { return false };
        points.iter().any(|point| point.name == name && point.action == Action::Off)
    }
}

impl Point {
    fn parse(entry: &str) -> Option<Self> {
        let (name, action) = entry.split_once('=')?;
        let (action, only) = match action.split_once(':') {
            Some((action, time)) => {
                (action, Some(time.parse().ok().filter(|time: &u64| *time > 0)?))
            }
            None => (action, None),
        };
        let action = match action {
            "kill" => Action::Kill,
            "error" => Action::Error,
            "panic" => Action::Panic,
            "off" if only.is_none() => Action::Off,
            _ => return None,
        };
        Some(Self { name: name.to_owned(), action, only, reached: AtomicU64::new(0) })
    }

    fn reach(&self) -> Effect {
        let time = self.reached.fetch_add(1, Ordering::Relaxed) + 1;
        if self.only.is_some_and(|only| only != time) {
            return Effect::Nothing;
        }
        match self.action {
            Action::Kill => Effect::Kill,
            Action::Error => Effect::Error,
            Action::Panic => Effect::Panic,
            Action::Off => Effect::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[Effect]) {
        let plan = Plan::parse(text);
        let found: Vec<Effect> = expected.iter().map(|_| plan.reach("here")).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn what_happens_at_a_place() {
        use Effect::{Error, Kill, Nothing, Panic};
        check("here=panic:2", &[Nothing, Panic]);
        check("", &[Nothing, Nothing]);
        check("here=error", &[Error, Error]);
        check("here=error:2", &[Nothing, Error, Nothing]);
        check("here=kill:3", &[Nothing, Nothing, Kill]);
        check("there=kill, here=error", &[Error]);
        check("here=error:2,here=kill:3", &[Nothing, Error, Kill]);
        check("there=kill", &[Nothing]);
        check("here=off", &[Nothing]);
    }

    #[test]
    fn a_slip_of_the_pen_fails_everywhere() {
        for text in ["here", "there=explode", "here=kill:", "here=kill:0", "here=off:2"] {
            check(text, &[Effect::Error]);
        }
    }

    #[test]
    fn what_is_off() {
        let plan = Plan::parse("store.durability=off,here=error");
        assert!(plan.is_off("store.durability"));
        assert!(!plan.is_off("here"));
    }
}
