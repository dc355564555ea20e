//! Crash-point enumeration: scripts are run on the recorded disk; then every disk that a stop before
//! any of their changes can leave is recovered and looked at.
#![allow(dead_code, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod damage;
mod enumerate;
mod histories;
mod ledger;
mod recovered;
mod runner;
mod script;
mod scripts;

pub(crate) use enumerate::enumerate;
pub(crate) use scripts::scripts;

/// What a check answers: where broker and ledger part.
pub(crate) type Checked<T = ()> = Result<T, String>;

macro_rules! check {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

pub(crate) use check;
