//! The kinds of plugin, named as in `plugin.wit`, the manifest and the topic's configuration.

use std::fmt;

/// What a plugin decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginKind {
    /// The partition that each record goes to.
    Partitioner,
    /// How values become stored bytes and back.
    Serializer,
    /// Which of the oldest segments may go.
    Retention,
    /// Which records compaction keeps.
    Compaction,
}

impl PluginKind {
    /// Every kind.
    pub const ALL: [PluginKind; 4] = [
        PluginKind::Partitioner,
        PluginKind::Serializer,
        PluginKind::Retention,
        PluginKind::Compaction,
    ];

    /// The kind's name, which is also the name of its interface in `plugin.wit`.
    pub fn name(self) -> &'static str {
        match self {
            PluginKind::Partitioner => "partitioner",
            PluginKind::Serializer => "serializer",
            PluginKind::Retention => "retention",
            PluginKind::Compaction => "compaction",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The functions that a plugin of this kind exports, as they are called inside its interface.
    pub(crate) fn functions(self) -> &'static [&'static str] {
        match self {
            PluginKind::Partitioner => &[
                "[constructor]partitioner",
                "[method]partitioner.needs",
                "[method]partitioner.assign",
            ],
            PluginKind::Serializer => &[
                "[constructor]serializer",
                "[method]serializer.serialize",
                "[method]serializer.deserialize",
            ],
            PluginKind::Retention => &[
                "[constructor]retention-policy",
                "[method]retention-policy.expired",
            ],
            PluginKind::Compaction => &[
                "[constructor]compactor",
                "[method]compactor.needs",
                "[method]compactor.scope",
                "[method]compactor.observe",
                "[method]compactor.retain",
            ],
        }
    }

    /// Functions that it may export as well; modules from before they were there do not.
    pub(crate) fn functions_by_choice(self) -> &'static [&'static str] {
        match self {
            PluginKind::Partitioner => &["[method]partitioner.keyless"],
            PluginKind::Serializer | PluginKind::Retention | PluginKind::Compaction => &[],
        }
    }

    /// What a broker does while a plugin of this kind gives no answer and has no fallback.
    pub(crate) fn without(self) -> &'static str {
        match self {
            PluginKind::Partitioner => "batches without a partition are refused, to be sent again",
            PluginKind::Serializer => {
                "batches are refused, to be sent again; a fetch with decode gives the stored bytes"
            }
            PluginKind::Retention | PluginKind::Compaction => "everything is kept",
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
