//! The table of error codes: number, name, whether a retry can help, whether the error alone says
//! that nothing was written, what it means and what to do. PROTOCOL.md prints the same table, and
//! a test compares the two. Numbers are never reused.

use std::fmt;

macro_rules! codes {
    ($($number:literal $variant:ident $name:literal, $retriable:ident, $definite:ident, $meaning:literal, $remedy:literal;)*) => {
        /// What went wrong, in a form that programs decide by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = $meaning] $variant,)*
        }

        impl ErrorCode {
            /// Every code, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number on the wire.
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)* }
            }

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether the same request may succeed later, unless an answer says otherwise.
            pub const fn retriable(self) -> bool {
                match self { $(Self::$variant => codes!(@flag retriable transient permanent $retriable),)* }
            }

            /// Whether the request certainly had no effect, unless an answer says otherwise.
            pub const fn definite(self) -> bool {
                match self { $(Self::$variant => codes!(@flag definite definite unknown $definite),)* }
            }

            /// What it means, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What the caller can do about it.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }

            /// Finds a code by its number.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// Finds a code by its name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
    (@flag retriable $yes:ident $no:ident transient) => { true };
    (@flag retriable $yes:ident $no:ident permanent) => { false };
    (@flag definite $yes:ident $no:ident definite) => { true };
    (@flag definite $yes:ident $no:ident unknown) => { false };
}

codes! {
    1 Unknown "UNKNOWN", permanent, unknown,
        "The broker ran into something it did not foresee.",
        "Read the message and the broker's log; report it.";

    10 ForeignProtocol "FOREIGN_PROTOCOL", permanent, definite,
        "The first byte of a frame is not 0xCE: the peer speaks another protocol.",
        "Connect with a client of this protocol, without TLS or HTTP in between.";
    11 MalformedFrame "MALFORMED_FRAME", permanent, definite,
        "The frame body is not exactly one MessagePack value.",
        "Fix the encoder; the message gives the byte position.";
    12 FrameTooLarge "FRAME_TOO_LARGE", permanent, definite,
        "The declared frame length is above the limit.",
        "Send smaller requests; `hello` announces the limit.";
    13 NestingTooDeep "NESTING_TOO_DEEP", permanent, definite,
        "Arrays and maps are nested deeper than the limit.",
        "Flatten the value.";
    14 MalformedRequest "MALFORMED_REQUEST", permanent, definite,
        "The envelope or the arguments have the wrong shape or type.",
        "Fix the request; the message names the field.";
    15 UnknownMethod "UNKNOWN_METHOD", permanent, definite,
        "The broker does not know the method.",
        "Check the spelling and the features that `hello` announced.";
    16 HelloRequired "HELLO_REQUIRED", permanent, definite,
        "The first request of the connection was not `hello`.",
        "Send `hello` first.";
    17 UnsupportedProtocol "UNSUPPORTED_PROTOCOL", permanent, definite,
        "The client and the broker share no protocol version.",
        "Upgrade the older of the two; the message gives the broker's range.";
    18 TooManyConnections "TOO_MANY_CONNECTIONS", transient, definite,
        "The broker holds as many connections as it may.",
        "Close idle connections, or come back later.";

    30 InvalidRequest "INVALID_REQUEST", permanent, definite,
        "The arguments are well-formed and make no sense together.",
        "Fix the request; the message says which rule it breaks.";
    31 NotAuthorized "NOT_AUTHORIZED", permanent, definite,
        "The client may not do this.",
        "Ask the operator for the permission.";
    32 TimedOut "TIMED_OUT", transient, unknown,
        "The request did not complete in time; a write may still take effect.",
        "Retry if a duplicate is acceptable.";
    33 Busy "BUSY", transient, definite,
        "A queue in the broker is full; the request was not started.",
        "Retry with backoff.";
    34 ShuttingDown "SHUTTING_DOWN", transient, definite,
        "The broker is stopping and takes no new requests.",
        "Reconnect later, or to another broker.";
    35 ActorFailed "ACTOR_FAILED", transient, unknown,
        "The part of the broker that handled the request crashed and is being restarted.",
        "Retry with backoff if a duplicate is acceptable.";
    36 UnknownActor "UNKNOWN_ACTOR", permanent, definite,
        "No live actor has this kind and name.",
        "Ask `list_actors`.";
    37 FaultInjectionDisabled "FAULT_INJECTION_DISABLED", permanent, definite,
        "The broker was not started with fault injection.",
        "Never needed in production; enable it on a test broker.";

    50 UnknownTopicOrPartition "UNKNOWN_TOPIC_OR_PARTITION", permanent, definite,
        "The topic, or this partition of it, does not exist.",
        "Check the name, or create the topic; refresh metadata.";
    51 TopicAlreadyExists "TOPIC_ALREADY_EXISTS", permanent, definite,
        "A topic of this name exists.",
        "Use it, or choose another name.";
    52 InvalidTopic "INVALID_TOPIC", permanent, definite,
        "The name is not a valid topic name.",
        "Use 1 to 249 of A-Z a-z 0-9 . _ - and neither `.` nor `..`.";
    53 TopicReserved "TOPIC_RESERVED", permanent, definite,
        "The broker keeps this topic for itself.",
        "Choose another name.";
    54 TopicNameCollision "TOPIC_NAME_COLLISION", permanent, definite,
        "The name differs from an existing topic's only in `.` against `_`.",
        "Choose another name.";
    55 InvalidPartitions "INVALID_PARTITIONS", permanent, definite,
        "The partition count is zero, too large, or not above the present one.",
        "Ask for a count in range; partitions never shrink.";
    56 InvalidReplicationFactor "INVALID_REPLICATION_FACTOR", permanent, definite,
        "The replication factor is zero or larger than the number of brokers.",
        "Ask for 1 up to the number of live brokers.";
    57 InvalidAssignment "INVALID_ASSIGNMENT", permanent, definite,
        "The manual assignment names unknown brokers, repeats one, or is uneven.",
        "List for each partition the same number of distinct live brokers.";
    58 InvalidConfig "INVALID_CONFIG", permanent, definite,
        "A configuration key is unknown or its value is out of range.",
        "See the message; `data.suggestion` has the nearest key.";
    59 TopicIdMismatch "TOPIC_ID_MISMATCH", permanent, definite,
        "The topic was deleted and created again since the client learned its id.",
        "Refresh metadata and start over: it is another topic.";

    70 NotLeader "NOT_LEADER", transient, definite,
        "Another broker leads the partition.",
        "Send it to `data.leader`, or refresh metadata.";
    71 LeaderNotAvailable "LEADER_NOT_AVAILABLE", transient, definite,
        "The partition has no leader at the moment.",
        "Refresh metadata and retry with backoff.";
    72 PartitionOffline "PARTITION_OFFLINE", transient, definite,
        "The partition is out of service on this broker.",
        "Retry with backoff; the operator finds the reason in the log.";
    73 NotEnoughReplicas "NOT_ENOUGH_REPLICAS", transient, definite,
        "Fewer replicas are in sync than the topic demands.",
        "Retry with backoff.";
    74 OffsetOutOfRange "OFFSET_OUT_OF_RANGE", permanent, definite,
        "The offset is below the log start or above the high watermark.",
        "Continue from `data.earliest` or `data.latest`.";

    80 CorruptLog "CORRUPT_LOG", permanent, definite,
        "Stored data is damaged at the place asked for.",
        "Continue at `data.next_offset` if the loss is acceptable; tell the operator.";
    81 StorageFailed "STORAGE_FAILED", permanent, unknown,
        "A log directory failed and is out of service.",
        "Tell the operator; a write may or may not survive. Where the answer says that it is retriable, a permission is missing, and nothing was written: retry with backoff.";
    82 DiskFull "DISK_FULL", transient, definite,
        "There is no space left for the write.",
        "Retry with backoff after space was freed.";

    90 CorruptBatch "CORRUPT_BATCH", transient, definite,
        "The checksum sent with the batch does not match its body.",
        "Send it again; if it repeats, the client computes it wrongly (CRC-32/ISO-HDLC).";
    91 InvalidBatch "INVALID_BATCH", permanent, definite,
        "The batch contradicts itself: count, timestamps, or encoding.",
        "Fix the producer; the message says what was claimed and what was found.";
    92 InvalidRecord "INVALID_RECORD", permanent, definite,
        "A record has the wrong shape, or an offset delta that is not its index.",
        "Fix the record at index `data.record`.";
    93 UnsupportedCodec "UNSUPPORTED_CODEC", permanent, definite,
        "The broker does not know the codec.",
        "Use one of those that `hello` announced.";
    94 MessageTooLarge "MESSAGE_TOO_LARGE", permanent, definite,
        "The batch is larger than the topic's `message.max.bytes`.",
        "Send smaller batches, or raise the limit.";
    95 RecordRefused "RECORD_REFUSED", permanent, definite,
        "A serializer of the topic refused records, so none of the batch was stored.",
        "Fix the records that `data.refused` lists, or send `partial = \"accept\"`.";

    110 UnknownPlugin "UNKNOWN_PLUGIN", permanent, definite,
        "The broker has no plugin of this name and kind.",
        "Ask `list_plugins`; deploy it, or add it to the manifest.";
    111 PluginTimeout "PLUGIN_TIMEOUT", transient, definite,
        "A plugin ran longer than it may.",
        "Retry; if it repeats, fix the plugin or raise its limit.";
    112 PluginTrapped "PLUGIN_TRAPPED", permanent, definite,
        "A plugin crashed: trap, memory limit, or stack.",
        "Fix the plugin; the message has its last words.";
    113 PluginRejected "PLUGIN_REJECTED", permanent, definite,
        "A plugin refused the records.",
        "Fix the records; the message has the plugin's reason.";
    114 PluginInvalidAnswer "PLUGIN_INVALID_ANSWER", permanent, definite,
        "A plugin answered something impossible, such as a partition that does not exist.",
        "Fix the plugin.";
    115 PluginSuspended "PLUGIN_SUSPENDED", transient, definite,
        "A plugin failed too often in this topic and rests.",
        "Fix the plugin, or its options in the topic, which ends its rest; so does `resume_plugin`.";
    116 PluginOverBudget "PLUGIN_OVER_BUDGET", permanent, definite,
        "A compaction plugin used up the processor time of one cleaning.",
        "Fix the plugin, or raise its budget.";
    117 InvalidPlugin "INVALID_PLUGIN", permanent, definite,
        "The module is no plugin that this broker can run.",
        "Read the message; `broker plugin inspect` shows what the module is.";
    118 PluginInUse "PLUGIN_IN_USE", permanent, definite,
        "Topics or other plugins use the plugin.",
        "Give them another one first; `data.topics` lists the topics.";
    119 UnknownRevision "UNKNOWN_REVISION", permanent, definite,
        "The plugin has no such revision.",
        "Ask `plugin_history`.";
    120 DryRunNotFound "DRY_RUN_NOT_FOUND", permanent, definite,
        "The broker knows no dry run of this name, or has forgotten it.",
        "Start another one.";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_in_order() {
        assert!(ErrorCode::ALL.is_sorted_by(|a, b| a.number() < b.number()));
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
            assert_eq!(ErrorCode::from_name(code.name()), Some(*code));
        }
    }

    #[test]
    fn an_indefinite_error_that_is_retriable_warns_of_duplicates() {
        for code in ErrorCode::ALL {
            if code.retriable() && !code.definite() {
                assert!(
                    code.remedy().contains("duplicate"),
                    "{code}: {}",
                    code.remedy()
                );
            }
        }
    }
}
