//! The kinds of plugin, as they are written on the command line.

use clap::ValueEnum;

/// The kinds of plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Which partition each record goes to
    Partitioner,
    /// How values become stored bytes and back
    Serializer,
    /// How many of the oldest segments go
    Retention,
    /// Which records a cleaning keeps
    Compaction,
}

impl Kind {
    /// Its name on the wire, in manifests and here.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Partitioner => "partitioner",
            Self::Serializer => "serializer",
            Self::Retention => "retention",
            Self::Compaction => "compaction",
        }
    }
}
