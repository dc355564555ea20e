//! `Case`: something that is executed a few times in the one function that callgrind counts in, after a
//! round that is not counted and that makes what is made lazily.

use crate::{plugin_cases, record_cases, storage_cases};

/// Rounds that are counted.
pub(crate) const ROUNDS: u64 = 10;

/// What one round does; what it makes is dropped in it.
pub(crate) type Round = Box<dyn FnMut()>;

/// A case by name.
pub(crate) struct Case {
    pub(crate) name: String,
    /// Makes everything that is not counted.
    pub(crate) set_up: Box<dyn Fn() -> Round>,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, set_up: impl Fn() -> Round + 'static) -> Self {
        Self {
            name: name.into(),
            set_up: Box::new(set_up),
        }
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = record_cases::all();
    cases.extend(storage_cases::all());
    cases.extend(plugin_cases::all());
    cases
}

/// Executes a case.
pub(crate) fn carry_out(case: &Case) {
    let mut round = (case.set_up)();
    round();
    counted_rounds(&mut round);
}

/// Callgrind counts while this is on the stack, so it must have a name of its own.
#[inline(never)]
fn counted_rounds(round: &mut Round) {
    for _ in 0..ROUNDS {
        round();
    }
}
