//! `ExitStatus`: the exit codes of the binary, in one table. `broker --help` prints the table, and
//! scripts may rely on it: a code keeps its meaning.

use std::fmt::Write;
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    Ok,
    Failed,
    Usage,
    NoConnection,
    Partial,
    Damaged,
    InvalidConfig,
    OutcomeUnknown,
    Interrupted,
    Terminated,
}

impl ExitStatus {
    /// Every status, by code.
    pub(crate) const ALL: [Self; 10] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::NoConnection,
        Self::Partial,
        Self::Damaged,
        Self::InvalidConfig,
        Self::OutcomeUnknown,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number the process ends with.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoConnection => 3,
            Self::Partial => 4,
            Self::Damaged => 5,
            Self::InvalidConfig => 6,
            Self::OutcomeUnknown => 7,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// The name in JSON errors.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NoConnection => "no_connection",
            Self::Partial => "partial",
            Self::Damaged => "damaged",
            Self::InvalidConfig => "invalid_config",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }

    /// What it means, in one line.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done (also when whoever reads the output has had enough)",
            Self::Failed => "refused by the broker, or impossible; nothing was changed",
            Self::Usage => "the command line is wrong",
            Self::NoConnection => "no broker could be reached",
            Self::Partial => "part of it was done: some records were not stored, the rest was",
            Self::Damaged => "damaged data was found",
            Self::InvalidConfig => "the broker's configuration is wrong",
            Self::OutcomeUnknown => "no answer came: it may or may not have been done",
            Self::Interrupted => "interrupted (Ctrl-C) before the end",
            Self::Terminated => "a broker whose stop a second SIGTERM has cut short",
        }
    }

    /// The table for `broker --help`.
    pub(crate) fn table() -> String {
        let mut table = String::new();
        for status in Self::ALL {
            // Writing to a String cannot fail.
            let _ = writeln!(table, "  {:>3}  {}", status.code(), status.meaning());
        }
        table
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}
