//! The kinds of plugin, named as in `plugin.wit`, the manifest and the topic's configuration.

use std::fmt;

/// What a plugin decides. This broker runs partitioners; the other kinds are recognised, so that a
/// module of one is refused by its name.
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

    /// The functions that a plugin of this kind exports, as they are called inside its interface;
    /// `None` for a kind that this broker does not run.
    pub(crate) fn functions(self) -> Option<&'static [&'static str]> {
        match self {
            PluginKind::Partitioner => Some(&[
                "[constructor]partitioner",
                "[method]partitioner.needs",
                "[method]partitioner.assign",
            ]),
            PluginKind::Serializer | PluginKind::Retention | PluginKind::Compaction => None,
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
