//! The table of methods: every name a request may carry. PROTOCOL.md lists the same rows, and a
//! test compares the two.

use std::fmt;

use crate::error_code::ErrorCode;
use crate::wire_error::{ErrorData, WireError};

/// Names of features that `hello` announces: what a broker can do beyond the protocol version itself.
pub mod feature {
    /// `produce` without a partition: the topic's partitioner chooses.
    pub const ROUTED_PRODUCE: &str = "routed_produce";
    /// The method `partition_for`.
    pub const PARTITION_FOR: &str = "partition_for";
    /// `fetch` with `form = "batch"`.
    pub const FETCH_BATCH: &str = "fetch_batch";
    /// Serializers: `encode` and `partial` of `produce`, `encode` of `partition_for`, `decode` of `fetch`.
    pub const SERIALIZERS: &str = "serializers";
    /// Plugins can be deployed while the broker runs.
    pub const PLUGIN_DEPLOYMENT: &str = "plugin_deployment";
    /// Plugins can be tried on a topic's records.
    pub const PLUGIN_DRY_RUN: &str = "plugin_dry_run";
    /// The broker was started for tests of its supervision: `crash_actor` works.
    pub const FAULT_INJECTION: &str = "fault_injection";

    /// Every feature there is.
    pub const ALL: [&str; 7] = [
        ROUTED_PRODUCE,
        PARTITION_FOR,
        FETCH_BATCH,
        SERIALIZERS,
        PLUGIN_DEPLOYMENT,
        PLUGIN_DRY_RUN,
        FAULT_INJECTION,
    ];
}

/// Edits between a name and the method that is suggested for it.
const SUGGESTION_DISTANCE_MAX: usize = 3;
/// Longest name that is compared and quoted.
const NAME_LEN_MAX: usize = 64;

macro_rules! methods {
    ($($variant:ident $name:literal, $summary:literal;)*) => {
        /// A method of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Method {
            $(#[doc = $summary] $variant,)*
        }

        impl Method {
            /// Every method, in the order of the page.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it does, in one line.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)* }
            }

            /// Finds a method by its name on the wire.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

methods! {
    Hello "hello", "Agree on a protocol version; first request of every connection.";
    Ping "ping", "Check that the broker answers, and read its clock.";
    Metadata "metadata", "Brokers, topics, partitions and their leaders.";
    CreateTopic "create_topic", "Create a topic.";
    DeleteTopic "delete_topic", "Delete a topic and its data.";
    AlterTopic "alter_topic", "Set and unset configuration overrides of a topic.";
    CreatePartitions "create_partitions", "Raise the number of partitions of a topic.";
    DescribeTopic "describe_topic", "Everything about one topic.";
    DescribeConfigs "describe_configs", "Effective configuration of a broker or a topic, with sources.";
    Produce "produce", "Append records to a partition, or let the partitioner choose partitions.";
    Fetch "fetch", "Read records from partitions, waiting for new ones if asked to.";
    ListOffsets "list_offsets", "First, last, or by-time offsets of partitions.";
    DeleteRecords "delete_records", "Move the log start of a partition forward.";
    PartitionFor "partition_for", "Which partitions the topic's partitioner gives these keys.";
    ListPlugins "list_plugins", "The plugins of this broker, their limits and what they have cost.";
    DeployPlugin "deploy_plugin", "Put a plugin under a name while the broker runs.";
    RollbackPlugin "rollback_plugin", "Deploy an earlier revision of a plugin once more.";
    RemovePlugin "remove_plugin", "Give up the name of a deployed plugin.";
    ResumePlugin "resume_plugin", "End the suspension of a plugin that failed too often.";
    PluginHistory "plugin_history", "The revisions that were deployed under a name.";
    PluginModule "plugin_module", "The module of a plugin, by its digest.";
    PluginLogs "plugin_logs", "What a plugin has logged lately.";
    DryRunPlugin "dry_run_plugin", "Try a plugin on a topic's records without any effect.";
    DryRunStatus "dry_run_status", "How far a dry run is, and what came out.";
    DescribeCluster "describe_cluster", "Brokers with version, uptime and disks; warnings.";
    ListActors "list_actors", "Live actors of this broker and their mailboxes.";
    CrashActor "crash_actor", "Make an actor panic; only with fault injection enabled.";
}

impl Method {
    /// The feature that `hello` has to announce for the method to work, if it needs one.
    pub const fn feature(self) -> Option<&'static str> {
        match self {
            Self::PartitionFor => Some(feature::PARTITION_FOR),
            Self::DeployPlugin
            | Self::RollbackPlugin
            | Self::RemovePlugin
            | Self::ResumePlugin
            | Self::PluginHistory
            | Self::PluginModule
            | Self::PluginLogs => Some(feature::PLUGIN_DEPLOYMENT),
            Self::DryRunPlugin | Self::DryRunStatus => Some(feature::PLUGIN_DRY_RUN),
            Self::CrashActor => Some(feature::FAULT_INJECTION),
            _ => None,
        }
    }

    /// Finds a method by its name, or says which was probably meant.
    ///
    /// # Errors
    /// `UNKNOWN_METHOD`.
    pub fn parse(name: &str) -> Result<Self, WireError> {
        Self::from_name(name).ok_or_else(|| Self::unknown(name))
    }

    fn unknown(name: &str) -> WireError {
        let name = name
            .get(..name.floor_char_boundary(NAME_LEN_MAX))
            .unwrap_or_default();
        let nearest = Self::ALL
            .iter()
            .map(|method| {
                (
                    strsim::damerau_levenshtein(name, method.name()),
                    method.name(),
                )
            })
            .filter(|(distance, _)| *distance <= SUGGESTION_DISTANCE_MAX)
            .min();
        let mut message = format!("there is no method {name:?}");
        if let Some((_, suggestion)) = nearest {
            message.push_str(&format!("; did you mean {suggestion:?}?"));
        }
        WireError::new(ErrorCode::UnknownMethod, message).with_data(ErrorData {
            suggestion: nearest.map(|(_, suggestion)| suggestion.to_owned()),
            ..ErrorData::default()
        })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_methods_are_one_to_one() {
        for method in Method::ALL {
            assert_eq!(Method::from_name(method.name()), Some(*method));
        }
    }

    #[test]
    fn a_misspelt_method_gets_a_suggestion() {
        let error = Method::parse("metadta").unwrap_err();
        assert_eq!(error.code, ErrorCode::UnknownMethod);
        assert!(
            error.message.contains("did you mean \"metadata\""),
            "{error}"
        );
        let data = error.data.unwrap();
        assert_eq!(data.suggestion.as_deref(), Some("metadata"));
    }

    #[test]
    fn a_long_unknown_name_is_quoted_in_part() {
        let error = Method::parse(&"é".repeat(100_000)).unwrap_err();
        assert!(error.message.len() < 200, "{error}");
        assert_eq!(error.data.unwrap().suggestion, None);
    }
}
