//! Names of the broker keys, as they stand in files, in the environment and on the command line.
//! Kafka's names where Kafka has the option.

/// The id of this broker.
pub const BROKER_ID: &str = "broker.id";
/// Addresses to listen on.
pub const LISTENERS: &str = "listeners";
/// The address clients are told.
pub const ADVERTISED_LISTENERS: &str = "advertised.listeners";
/// Most connections at once.
pub const MAX_CONNECTIONS: &str = "max.connections";
/// Most connections from one address.
pub const CONNECTIONS_MAX_PER_IP: &str = "connections.max.per.ip";
/// Longest time a connection may be idle.
pub const CONNECTIONS_MAX_IDLE_MS: &str = "connections.max.idle.ms";
/// How long a thread looks for a quick client's next request before it sleeps.
pub const BUSY_POLL_US: &str = "busy.poll.us";
/// The data directory.
pub const LOG_DIR: &str = "log.dir";
/// The data directories, instead of the one.
pub const LOG_DIRS: &str = "log.dirs";
/// The room that records leave on a disk.
pub const LOG_MIN_FREE_BYTES: &str = "log.min.free.bytes";
/// How often retention is looked at.
pub const LOG_RETENTION_CHECK_INTERVAL_MS: &str = "log.retention.check.interval.ms";
/// How long nothing is deleted for its age after a start at which the clock is in doubt.
pub const LOG_RETENTION_CLOCK_GRACE_MS: &str = "log.retention.clock.grace.ms";
/// How often the cleaner looks for something to compact.
pub const LOG_CLEANER_BACKOFF_MS: &str = "log.cleaner.backoff.ms";
/// Partitions compacted at once.
pub const LOG_CLEANER_THREADS: &str = "log.cleaner.threads";
/// How fast compaction reads and writes.
pub const LOG_CLEANER_IO_MAX_BYTES_PER_SECOND: &str = "log.cleaner.io.max.bytes.per.second";
/// Whether stored data is read again and again to find damage.
pub const LOG_SCRUB_ENABLED: &str = "log.scrub.enabled";
/// How fast scrubbing reads.
pub const LOG_SCRUB_BYTES_PER_SECOND: &str = "log.scrub.bytes.per.second";
/// How often everything is scrubbed.
pub const LOG_SCRUB_INTERVAL_MS: &str = "log.scrub.interval.ms";
/// Data files that are open at once.
pub const LOG_OPEN_FILES_MAX: &str = "log.open.files.max";
/// Partitions of a topic created without a number.
pub const NUM_PARTITIONS: &str = "num.partitions";
/// Replicas of a topic created without a number.
pub const DEFAULT_REPLICATION_FACTOR: &str = "default.replication.factor";
/// Whether unknown topics come into being when written to.
pub const AUTO_CREATE_TOPICS_ENABLE: &str = "auto.create.topics.enable";
/// The plugin manifest.
pub const PLUGIN_MANIFEST: &str = "plugin.manifest";
/// Threads that run partitions and connections.
pub const NUM_ARBITERS: &str = "num.arbiters";
/// How long a shutdown may take.
pub const SHUTDOWN_TIMEOUT_MS: &str = "shutdown.timeout.ms";
/// Whether requests that break things on purpose are answered.
pub const FAULT_INJECTION_ENABLE: &str = "fault.injection.enable";
/// How log lines look.
pub const LOGGING_FORMAT: &str = "logging.format";
/// Which log lines are written.
pub const LOGGING_LEVEL: &str = "logging.level";
