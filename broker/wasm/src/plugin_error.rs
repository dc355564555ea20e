//! Why a call of a plugin gave no usable answer. The text reaches the client, so it names the plugin
//! and is short.

use std::fmt;

use crate::kind::PluginKind;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PluginErrorKind {
    /// The call used up its processor time.
    Timeout,
    /// The plugin panicked, overflowed its stack or did something else that ends it.
    Trapped,
    /// The plugin wanted more memory than its limit.
    OutOfMemory,
    /// The plugin refused the batch, with a reason of its own.
    Rejected,
    /// The answer breaks a rule: a wrong length, a partition that does not exist, too many
    /// bytes.
    InvalidAnswer,
    /// The plugin refused its configuration.
    InvalidConfig,
    /// The plugin failed too often and is not asked until it is resumed.
    Suspended,
    /// The calls of one cleaning used up their processor time.
    OverBudget,
}

impl PluginErrorKind {
    /// The kind as it is called on the wire and in logs.
    pub fn name(self) -> &'static str {
        match self {
            PluginErrorKind::Timeout => "timeout",
            PluginErrorKind::Trapped => "trap",
            PluginErrorKind::OutOfMemory => "out_of_memory",
            PluginErrorKind::Rejected => "rejected",
            PluginErrorKind::InvalidAnswer => "invalid_answer",
            PluginErrorKind::InvalidConfig => "invalid_config",
            PluginErrorKind::Suspended => "suspended",
            PluginErrorKind::OverBudget => "over_budget",
        }
    }
}

impl fmt::Display for PluginErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PluginErrorKind::Timeout => "timed out",
            PluginErrorKind::Trapped => "trapped",
            PluginErrorKind::OutOfMemory => "ran out of memory",
            PluginErrorKind::Rejected => "refused the batch",
            PluginErrorKind::InvalidAnswer => "answered nonsense",
            PluginErrorKind::InvalidConfig => "refused its configuration",
            PluginErrorKind::Suspended => "is suspended for this topic until `resume_plugin`",
            PluginErrorKind::OverBudget => "used up its budget",
        })
    }
}

/// A call of a plugin that gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin} {version} {kind}: {message}{}", at(*record))]
pub struct PluginError {
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// What the plugin decides.
    pub plugin_kind: PluginKind,
    /// What went wrong.
    pub kind: PluginErrorKind,
    /// The reason, in one line of at most 256 bytes.
    pub message: String,
    /// The first record concerned, where there is one.
    pub record: Option<u32>,
    /// Whether the same batch may succeed if it is sent again.
    pub retriable: bool,
}

impl PluginError {
    /// What happened and why, without the plugin's name.
    pub(crate) fn reason(&self) -> String {
        format!("{}: {}{}", self.kind, self.message, at(self.record))
    }

    /// The same error in a batch of which `done` records went before.
    pub(crate) fn behind(self, done: usize) -> Self {
        let done = u32::try_from(done).unwrap_or(u32::MAX);
        let record = self.record.map(|record| record.saturating_add(done));
        PluginError { record, ..self }
    }
}

fn at(record: Option<u32>) -> String {
    record.map_or_else(String::new, |record| format!(" (record {record})"))
}
