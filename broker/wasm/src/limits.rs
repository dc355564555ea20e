//! What a plugin may cost. The defaults fit the path of an acknowledgement, where a call runs on the
//! thread that serves the connection; a compaction plugin, which runs on a thread of its own, has more.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::kind::PluginKind;

/// The native stack that a guest may use; well below the 2 MiB of the threads that call it.
pub(crate) const GUEST_STACK_BYTES: usize = 512 * 1024;
/// What a guest may hand to the host in one call besides its answer: log lines and refusals.
pub(crate) const GUEST_TEXT_BYTES: usize = 64 * 1024;

const MIB: usize = 1024 * 1024;

/// The limits of one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The processor time that one call may take, in steps of a millisecond. Time in which the thread
    /// does not run (a busy machine) does not count.
    pub deadline: Duration,
    /// The most linear memory that one instance may have, in bytes.
    pub memory_bytes: usize,
    /// The most that a serializer may make of one batch, in bytes. The answers of the other kinds have
    /// sizes that follow from the question.
    pub output_bytes: usize,
    /// The processor time that all calls of one cleaning may take; for compaction plugins.
    pub budget: Duration,
}

/// The limits that somebody sets; the others are the defaults of the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitSettings {
    /// For [`Limits::deadline`].
    pub deadline: Option<Duration>,
    /// For [`Limits::memory_bytes`].
    pub memory_bytes: Option<u64>,
    /// For [`Limits::output_bytes`]; for serializers only.
    pub output_bytes: Option<u64>,
    /// For [`Limits::budget`]; for compaction plugins only.
    pub budget: Option<Duration>,
}

/// A limit that cannot be set to this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limits.{key} {problem}")]
pub struct LimitError {
    /// Which one: `deadline`, `memory`, `output` or `budget`.
    pub key: &'static str,
    /// Why not.
    pub problem: &'static str,
}

impl Limits {
    /// What a deadline may be set to.
    pub const DEADLINE_RANGE: RangeInclusive<Duration> =
        Duration::from_millis(1)..=Duration::from_secs(1);
    /// What the memory may be set to; a Rust guest needs a little over 1 MiB for its stack alone.
    pub const MEMORY_RANGE: RangeInclusive<u64> = 2 * MIB as u64..=1024 * MIB as u64;
    /// What the output may be set to.
    pub const OUTPUT_RANGE: RangeInclusive<u64> = 64 * 1024..=1024 * MIB as u64;
    /// What the budget may be set to.
    pub const BUDGET_RANGE: RangeInclusive<Duration> =
        Duration::from_millis(10)..=Duration::from_secs(24 * 3_600);

    /// The limits of a plugin of that kind for which nobody sets others.
    pub fn default_for(kind: PluginKind) -> Self {
        let (deadline_ms, memory_bytes) = match kind {
            PluginKind::Partitioner | PluginKind::Serializer | PluginKind::Retention => {
                (5, 16 * MIB)
            }
            PluginKind::Compaction => (100, 64 * MIB),
        };
        Limits {
            deadline: Duration::from_millis(deadline_ms),
            memory_bytes,
            output_bytes: 16 * MIB,
            budget: Duration::from_secs(600),
        }
    }

    /// The defaults of a kind with what is set over them.
    ///
    /// # Errors
    /// A limit is out of its range, or means nothing to this kind.
    pub fn with_settings(kind: PluginKind, settings: &LimitSettings) -> Result<Self, LimitError> {
        let mut limits = Limits::default_for(kind);
        let refuse = |key, problem| Err(LimitError { key, problem });
        match settings.deadline {
            Some(deadline) if Self::DEADLINE_RANGE.contains(&deadline) => {
                limits.deadline = deadline
            }
            Some(_) => return refuse("deadline", "is not between 1ms and 1s"),
            None => {}
        }
        match settings.memory_bytes {
            Some(bytes) if Self::MEMORY_RANGE.contains(&bytes) => {
                limits.memory_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            }
            Some(_) => return refuse("memory", "is not between 2MiB and 1GiB"),
            None => {}
        }
        match (settings.output_bytes, kind) {
            (Some(bytes), PluginKind::Serializer) if Self::OUTPUT_RANGE.contains(&bytes) => {
                limits.output_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            }
            (Some(_), PluginKind::Serializer) => {
                return refuse("output", "is not between 64KiB and 1GiB");
            }
            (Some(_), _) => return refuse("output", "is a limit of serializers"),
            (None, _) => {}
        }
        match (settings.budget, kind) {
            (Some(budget), PluginKind::Compaction) if Self::BUDGET_RANGE.contains(&budget) => {
                limits.budget = budget;
            }
            (Some(_), PluginKind::Compaction) => {
                return refuse("budget", "is not between 10ms and 24h");
            }
            (Some(_), _) => return refuse("budget", "is a limit of compaction plugins"),
            (None, _) => {}
        }
        Ok(limits)
    }
}
