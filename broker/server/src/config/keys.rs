//! The table of broker keys. Kafka's names where Kafka has the option. The defaults of topics are
//! rows as well, made from the topic keys so that nothing is described twice.

use std::sync::LazyLock;

use broker_cluster::config_key::{ConfigKey, Empty, NO_MAX, Unlimited, ValueKind, nearest};
use broker_cluster::{InvalidConfig, TOPIC_KEYS, topic_key};
use broker_model::limits;

use super::names;

/// A row of the table. Every key is read once, when the broker starts.
#[derive(Clone, Copy, Debug)]
pub struct BrokerKey {
    /// The key.
    pub key: ConfigKey,
    /// The heading it stands under in the sample file.
    pub group: &'static str,
    /// The key under which a topic overrides it.
    pub topic_name: Option<&'static str>,
}

impl BrokerKey {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        let upper = self.key.name.to_ascii_uppercase();
        format!("{ENVIRONMENT_PREFIX}{}", upper.replace('.', "__"))
    }
}

/// What every environment variable of ours starts with.
pub const ENVIRONMENT_PREFIX: &str = "BROKER__";

const IDENTITY: &str = "This broker";
const NETWORK: &str = "Network";
const DATA: &str = "Data";
const TOPICS: &str = "New topics";
const TOPIC_DEFAULTS: &str = "Defaults of topic configuration";
const PROCESS: &str = "Process";

const DAY_MS: u64 = 24 * 3600 * 1000;

const fn row(group: &'static str, key: ConfigKey) -> BrokerKey {
    BrokerKey {
        key,
        group,
        topic_name: None,
    }
}

/// Every key, in the order of the sample file.
pub static BROKER_KEYS: LazyLock<Vec<BrokerKey>> = LazyLock::new(|| {
    let mut table = OWN_KEYS.to_vec();
    let defaults = TOPIC_KEYS.iter().map(|topic| BrokerKey {
        key: topic.key.renamed(topic.broker_name),
        group: TOPIC_DEFAULTS,
        topic_name: Some(topic.key.name),
    });
    let process = table.partition_point(|row| row.group != PROCESS);
    table.splice(process..process, defaults);
    table
});

/// The row of a key.
pub fn broker_key(name: &str) -> Option<&'static BrokerKey> {
    BROKER_KEYS.iter().find(|row| row.key.name == name)
}

/// The error for a key that does not exist, with the name that was probably meant.
pub fn unknown_key(name: &str) -> InvalidConfig {
    let of_topic = |name| topic_key(name).map(|topic| topic.broker_name);
    let elsewhere = ALIASES.iter().find(|(theirs, _)| *theirs == name);
    let elsewhere = elsewhere.map(|(_, ours)| *ours);
    let near = || nearest(name, BROKER_KEYS.iter().map(|row| row.key.name));
    let near_topic = || nearest(name, TOPIC_KEYS.iter().map(|topic| topic.key.name));
    let meant = of_topic(name).or(elsewhere).or_else(near);
    let meant = meant.or_else(|| near_topic().and_then(of_topic));
    InvalidConfig::unknown_key(name, meant, [])
}

/// What other systems, or a guess, call a key.
const ALIASES: &[(&str, &str)] = &[
    ("node.id", names::BROKER_ID),
    ("listen", names::LISTENERS),
    ("listener", names::LISTENERS),
    ("port", names::LISTENERS),
    ("advertised.listener", names::ADVERTISED_LISTENERS),
    ("data.dir", names::LOG_DIR),
    ("plugins", names::PLUGIN_MANIFEST),
    ("plugin.path", names::PLUGIN_MANIFEST),
    ("num.io.threads", names::NUM_ARBITERS),
    ("num.network.threads", names::NUM_ARBITERS),
    ("log.format", names::LOGGING_FORMAT),
    ("log.level", names::LOGGING_LEVEL),
    ("log.segment.ms", "log.roll.ms"),
    ("log.roll.hours", "log.roll.ms"),
    ("log.retention.hours", "log.retention.ms"),
    ("log.retention.minutes", "log.retention.ms"),
    ("log.flush.interval.ms", "log.flush.ms"),
    ("log.message.max.bytes", "message.max.bytes"),
    ("max.message.bytes", "message.max.bytes"),
];

const OWN_KEYS: &[BrokerKey] = &[
    row(
        IDENTITY,
        ConfigKey {
            name: names::BROKER_ID,
            kind: ValueKind::Number {
                min: 0,
                max: i32::MAX as u64,
            },
            default: "1",
            documentation: "The number of this broker, unique in the cluster. It has nothing to \
                do with partition numbers.",
            consequence: "A data directory belongs to one broker id: it is refused when started \
                under another.",
        },
    ),
    row(
        NETWORK,
        ConfigKey {
            name: names::LISTENERS,
            kind: ValueKind::List {
                empty: Empty::Refused,
            },
            default: "127.0.0.1:7420",
            documentation: "Addresses to listen on, host:port, separated by commas. Port 0 takes \
                any free port.",
            consequence: "The default reaches this machine only. On 0.0.0.0:7420 everybody who \
                reaches the machine can read and write: there is no authentication yet.",
        },
    ),
    row(
        NETWORK,
        ConfigKey {
            name: names::ADVERTISED_LISTENERS,
            kind: ValueKind::Text {
                empty: Empty::Allowed,
            },
            default: "",
            documentation: "The one address, host:port, that clients and other brokers are told \
                to connect to. Nothing: the first of listeners, with the machine's name where that \
                is every interface.",
            consequence: "Needed when that is not what clients can reach, as behind a translated \
                port or where the machine's name does not resolve.",
        },
    ),
    row(
        NETWORK,
        ConfigKey {
            name: names::MAX_CONNECTIONS,
            kind: ValueKind::Number {
                min: 1,
                max: 1_000_000,
            },
            default: "10000",
            documentation: "Most connections open at once; fewer where the system's limit of open \
                files leaves no room beside log.open.files.max, down to a third of that limit.",
            consequence: "A further connection is closed at once. Each costs a file descriptor \
                and its buffers.",
        },
    ),
    row(
        NETWORK,
        ConfigKey {
            name: names::CONNECTIONS_MAX_PER_IP,
            kind: ValueKind::Number {
                min: 1,
                max: 1_000_000,
            },
            default: "1000000",
            documentation: "Most connections open at once from one address.",
            consequence: "A further connection is closed at once. Lower keeps one machine from \
                taking all of max.connections; clients behind one translated address count as one.",
        },
    ),
    row(
        NETWORK,
        ConfigKey {
            name: names::CONNECTIONS_MAX_IDLE_MS,
            kind: ValueKind::Duration {
                min: 100,
                max: 365 * DAY_MS,
                unlimited: Unlimited::Refused,
            },
            default: "600000",
            documentation: "A connection without a request for this long is closed.",
            consequence: "Shorter frees descriptors sooner; clients that pause longer connect \
                again.",
        },
    ),
    row(
        NETWORK,
        ConfigKey {
            name: names::BUSY_POLL_US,
            kind: ValueKind::Number { min: 0, max: 1000 },
            default: "400",
            documentation: "For so many microseconds a thread goes on looking for the next request \
                of a client that always sends it at once, before it sleeps; 0 to sleep at once. Half \
                of the cores do so at a time, none if there is one or the background has work.",
            consequence: "Spares such a client the time of waking a thread up, and takes more of a \
                core while it asks. Idle and slower clients make no difference.",
        },
    ),
    row(
        DATA,
        ConfigKey {
            name: names::LOG_DIR,
            kind: ValueKind::Text {
                empty: Empty::Refused,
            },
            default: "./broker-data",
            documentation: "The directory that holds all data; made when it is missing. A \
                relative path starts at the working directory.",
            consequence: "One broker at a time uses a directory. Another directory is another, \
                empty broker.",
        },
    ),
    row(
        DATA,
        ConfigKey {
            name: names::LOG_DIRS,
            kind: ValueKind::List {
                empty: Empty::Allowed,
            },
            default: "",
            documentation: "Several directories, separated by commas, to spread partitions over \
                disks. When set, log.dir is not used.",
            consequence: "A directory that fails takes its own partitions offline and no others. \
                One whose disk is broken at the start, or that is left out, leaves its partitions offline.",
        },
    ),
    row(
        DATA,
        ConfigKey {
            name: names::LOG_MIN_FREE_BYTES,
            kind: ValueKind::BytesOrAuto,
            default: "auto",
            documentation: "While the file system of a log directory has fewer bytes free than \
                this, its partitions take no records: producers are told DISK_FULL and may retry. \
                auto is 5 % of the file system, at most 1 GiB; 0 takes records until the disk is full.",
            consequence: "Reading, deleting, retention and administration go on below it, and \
                writing goes on by itself once there is a sixteenth more than this. With 0 a full \
                disk refuses the same, at whatever write meets it.",
        },
    ),
    row(
        DATA,
        ConfigKey {
            name: names::LOG_RETENTION_CHECK_INTERVAL_MS,
            kind: ValueKind::Duration {
                min: 1,
                max: 365 * DAY_MS,
                unlimited: Unlimited::Refused,
            },
            default: "300000",
            documentation: "How often the broker looks for segments that may be deleted.",
            consequence: "Nothing is deleted earlier than the next check.",
        },
    ),
    row(
        DATA,
        ConfigKey {
            name: names::LOG_RETENTION_CLOCK_GRACE_MS,
            kind: ValueKind::Duration {
                min: 0,
                max: 365 * DAY_MS,
                unlimited: Unlimited::Refused,
            },
            default: "3600000",
            documentation: "When the wall clock is more than a day ahead of the last sign of life \
                in the log directories at the start, ages go on from there for this long: what \
                has become too old since is not deleted yet. The same if it got so far ahead while \
                the broker ran, which is noted in the log directories then. Retention by size goes \
                on. 0 believes the clock at once.",
            consequence: "A broker that was off for days deletes what is due so much later; one \
                whose clock is wrong, say by a year, deletes nothing before somebody can see the \
                warning. A clock that is set back meanwhile keeps it so until the next start.",
        },
    ),
    row(
        DATA,
        ConfigKey {
            name: names::LOG_CLEANER_BACKOFF_MS,
            kind: ValueKind::Duration {
                min: 1,
                max: 365 * DAY_MS,
                unlimited: Unlimited::Refused,
            },
            default: "15000",
            documentation: "How often the cleaner looks for partitions that are dirty enough to be \
                compacted.",
            consequence: "Nothing is compacted earlier than the next look.",
        },
    ),
    row(
        DATA,
        ConfigKey {
            name: names::LOG_CLEANER_THREADS,
            kind: ValueKind::Number { min: 1, max: 64 },
            default: "1",
            documentation: "Partitions that are compacted at the same time.",
            consequence: "Each takes a thread, and the memory that the compaction plugin's limits \
                allow.",
        },
    ),
    row(
        DATA,
        ConfigKey {
            name: names::LOG_CLEANER_IO_MAX_BYTES_PER_SECOND,
            kind: ValueKind::Bytes {
                min: 1024,
                max: NO_MAX,
                unlimited: Unlimited::Allowed,
            },
            default: "-1",
            documentation: "Bytes that compaction may read and write a second, all of its threads \
                together; -1 for no limit.",
            consequence: "A limit leaves more of the disk to clients and lets dirty data pile up \
                if it is written faster than cleaned.",
        },
    ),
    row(
        DATA,
        ConfigKey {
            name: names::LOG_SCRUB_ENABLED,
            kind: ValueKind::Choice {
                allowed: &["auto", "true", "false"],
                unavailable: &[],
            },
            default: "auto",
            documentation: "Whether the broker reads all records, its metadata log and the modules \
                of plugins again and again, from the disk and in the background, to find damage \
                before a reader or a start meets it. auto: as soon as it holds 1 GiB.",
            consequence: "Without it, what nobody reads may rot unnoticed. Damage that is found is \
                in the log and in the description of the topic or of the cluster, and is refused to \
                readers; with damaged metadata nothing is created or changed until it is restored.",
        },
    ),
    row(
        DATA,
        ConfigKey {
            name: names::LOG_SCRUB_BYTES_PER_SECOND,
            kind: ValueKind::Bytes {
                min: 1024,
                max: NO_MAX,
                unlimited: Unlimited::Allowed,
            },
            default: "8388608",
            documentation: "Bytes that scrubbing reads a second; -1 for no limit.",
            consequence: "At 8 MiB a second, 1 TiB takes a day and a half. More finds damage sooner \
                and takes more of the disk from clients.",
        },
    ),
    row(
        DATA,
        ConfigKey {
            name: names::LOG_SCRUB_INTERVAL_MS,
            kind: ValueKind::Duration {
                min: 1,
                max: 365 * DAY_MS,
                unlimited: Unlimited::Refused,
            },
            default: "604800000",
            documentation: "How long after the beginning of a scrub of everything the next one \
                begins. The first begins a tenth of it after the start, at most an hour.",
            consequence: "One that takes longer is followed by the next at once.",
        },
    ),
    row(
        DATA,
        ConfigKey {
            name: names::LOG_OPEN_FILES_MAX,
            kind: ValueKind::Number {
                min: 16,
                max: 1_000_000,
            },
            default: "16384",
            documentation: "Most data files open at once, in all directories; at most two thirds \
                of the system's limit of open files.",
            consequence: "Where more partitions than that are written to in turn, files are \
                synced and closed to make room, which is slow.",
        },
    ),
    row(
        TOPICS,
        ConfigKey {
            name: names::NUM_PARTITIONS,
            kind: ValueKind::Number {
                min: 1,
                max: limits::PARTITIONS_PER_TOPIC_MAX as u64,
            },
            default: "1",
            documentation: "Partitions of a topic that is created without saying how many.",
            consequence: "Partitions can be added later and never taken away.",
        },
    ),
    row(
        TOPICS,
        ConfigKey {
            name: names::DEFAULT_REPLICATION_FACTOR,
            kind: ValueKind::Number { min: 1, max: 1000 },
            default: "1",
            documentation: "Replicas of a topic that is created without saying how many.",
            consequence: "A topic cannot have more replicas than there are brokers: with fewer \
                brokers such a creation is refused.",
        },
    ),
    row(
        TOPICS,
        ConfigKey {
            name: names::AUTO_CREATE_TOPICS_ENABLE,
            kind: ValueKind::Bool,
            default: "false",
            documentation: "Whether asking for the metadata of a topic that does not exist, as \
                clients do before they write, creates it with the defaults of new topics.",
            consequence: "When true, a misspelt topic name is a new topic instead of an error.",
        },
    ),
    row(
        PROCESS,
        ConfigKey {
            name: names::PLUGIN_MANIFEST,
            kind: ValueKind::Text {
                empty: Empty::Allowed,
            },
            default: "",
            documentation: "Path of the plugin manifest (plugins.toml). Nothing: the plugins that \
                come with the broker. A relative path starts at the working directory.",
            consequence: "A manifest with a wrong digest, kind or key keeps the broker from \
                starting.",
        },
    ),
    row(
        PROCESS,
        ConfigKey {
            name: names::NUM_ARBITERS,
            kind: ValueKind::Number { min: 0, max: 1024 },
            default: "0",
            documentation: "Threads that run partitions and connections; 0 for one per core.",
            consequence: "More than cores only adds switching between threads.",
        },
    ),
    row(
        PROCESS,
        ConfigKey {
            name: names::SHUTDOWN_TIMEOUT_MS,
            kind: ValueKind::Duration {
                min: 0,
                max: DAY_MS,
                unlimited: Unlimited::Refused,
            },
            default: "30000",
            documentation: "How long a shutdown may take to finish requests and sync all logs.",
            consequence: "After it the process ends without the clean-shutdown mark; nothing \
                acknowledged is lost, the next start checks the ends of the logs.",
        },
    ),
    row(
        PROCESS,
        ConfigKey {
            name: names::FAULT_INJECTION_ENABLE,
            kind: ValueKind::Bool,
            default: "false",
            documentation: "Whether requests are answered that break parts of the broker on \
                purpose, for tests of its supervision.",
            consequence: "When true, any client can make parts of the broker fail. Never in \
                production.",
        },
    ),
    row(
        PROCESS,
        ConfigKey {
            name: names::LOGGING_FORMAT,
            kind: ValueKind::Choice {
                allowed: &["text", "json"],
                unavailable: &[],
            },
            default: "text",
            documentation: "How the broker's own log lines on standard error look.",
            consequence: "json has one object a line, for log collectors.",
        },
    ),
    row(
        PROCESS,
        ConfigKey {
            name: names::LOGGING_LEVEL,
            kind: ValueKind::Choice {
                allowed: &["error", "warn", "info", "debug", "trace"],
                unavailable: &[],
            },
            default: "info",
            documentation: "The least important log lines that are still written.",
            consequence: "debug and trace write several lines a request and slow the broker down.",
        },
    ),
];
