//! The table of methods: every name a request may carry. PROTOCOL.md lists the same rows, and a
//! test compares the two.

use std::fmt;

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
    DescribeCluster "describe_cluster", "Brokers with version, uptime and disks; warnings.";
    ListActors "list_actors", "Live actors of this broker and their mailboxes.";
    CrashActor "crash_actor", "Make an actor panic; only with fault injection enabled.";
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
