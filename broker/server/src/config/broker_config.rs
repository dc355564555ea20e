//! `BrokerConfig`: the broker's effective configuration, typed, together with where each value
//! comes from. Made once at start; nothing in it changes afterwards.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use broker_cluster::{CreationDefaults, InvalidConfig, TopicDefaults};
use broker_model::BrokerId;
use broker_storage::MinFree;

use super::keys::{BROKER_KEYS, BrokerKey};
use super::layers::{ConfigLayers, Effective};
use super::load_error::{ConfigError, Origin, Problem, ProblemKind};
use super::names;

/// How the broker's own log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggingFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The effective configuration of a broker.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// `broker.id`
    pub broker_id: BrokerId,
    /// `listeners`: host and port each, at least one.
    pub listeners: Vec<String>,
    /// `advertised.listeners`: host and port; none to derive it from the first listener.
    pub advertised_listener: Option<String>,
    /// `max.connections`
    pub connections_max: usize,
    /// `connections.max.per.ip`
    pub connections_per_ip_max: usize,
    /// `connections.max.idle.ms`
    pub connection_idle_max: Duration,
    /// `busy.poll.us`
    pub busy_poll: Duration,
    /// `log.dirs`, or else `log.dir`: at least one.
    pub log_dirs: Vec<PathBuf>,
    /// `log.min.free.bytes`
    pub min_free: MinFree,
    /// `log.retention.check.interval.ms`
    pub retention_check_interval: Duration,
    /// `log.retention.clock.grace.ms`
    pub retention_clock_grace: Duration,
    /// `log.cleaner.backoff.ms`
    pub cleaner_backoff: Duration,
    /// `log.cleaner.threads`
    pub cleaner_threads: usize,
    /// `log.cleaner.io.max.bytes.per.second`; none for no limit.
    pub cleaner_bytes_per_second: Option<u64>,
    /// `log.scrub.enabled`: none for when there is enough data.
    pub scrub_enabled: Option<bool>,
    /// `log.scrub.bytes.per.second`; none for no limit.
    pub scrub_bytes_per_second: Option<u64>,
    /// `log.scrub.interval.ms`
    pub scrub_interval: Duration,
    /// `log.open.files.max`
    pub open_files_max: usize,
    /// `num.partitions`, `default.replication.factor` and the defaults of topic configuration.
    pub creation: CreationDefaults,
    /// `auto.create.topics.enable`
    pub auto_create_topics: bool,
    /// `plugin.manifest`
    pub plugin_manifest: Option<PathBuf>,
    /// `num.arbiters`; none for one per core.
    pub arbiters: Option<usize>,
    /// `shutdown.timeout.ms`
    pub shutdown_timeout: Duration,
    /// `fault.injection.enable`
    pub fault_injection: bool,
    /// `logging.format`
    pub logging_format: LoggingFormat,
    /// `logging.level`: error, warn, info, debug or trace.
    pub logging_level: String,
    entries: BTreeMap<&'static str, Effective>,
}

/// One key of the broker as `describe_configs` shows it.
#[derive(Clone, Debug)]
pub struct DescribedEntry {
    /// The row of the table.
    pub row: &'static BrokerKey,
    /// The effective value in base units.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it takes a restart to change it: true of every broker key.
    pub read_only: bool,
}

impl BrokerConfig {
    /// Puts the layers over the defaults and checks everything.
    ///
    /// # Errors
    /// When the file cannot be read, or any setting of any layer is wrong; all of them are listed.
    pub fn load(layers: &ConfigLayers) -> Result<Self, ConfigError> {
        let entries = layers.combine()?;
        let mut read = Reader {
            entries: &entries,
            problems: Vec::new(),
        };
        let config = Self {
            broker_id: BrokerId::new(read.number(names::BROKER_ID)),
            listeners: read.addresses(names::LISTENERS),
            advertised_listener: read.advertised(),
            connections_max: read.number(names::MAX_CONNECTIONS),
            connections_per_ip_max: read.number(names::CONNECTIONS_MAX_PER_IP),
            connection_idle_max: read.millis(names::CONNECTIONS_MAX_IDLE_MS),
            busy_poll: Duration::from_micros(read.number(names::BUSY_POLL_US)),
            log_dirs: read.log_dirs(),
            min_free: read.min_free(),
            retention_check_interval: read.millis(names::LOG_RETENTION_CHECK_INTERVAL_MS),
            retention_clock_grace: read.millis(names::LOG_RETENTION_CLOCK_GRACE_MS),
            cleaner_backoff: read.millis(names::LOG_CLEANER_BACKOFF_MS),
            cleaner_threads: read.number(names::LOG_CLEANER_THREADS),
            cleaner_bytes_per_second: read.limit(names::LOG_CLEANER_IO_MAX_BYTES_PER_SECOND),
            scrub_enabled: match read.text(names::LOG_SCRUB_ENABLED) {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            },
            scrub_bytes_per_second: read.limit(names::LOG_SCRUB_BYTES_PER_SECOND),
            scrub_interval: read.millis(names::LOG_SCRUB_INTERVAL_MS),
            open_files_max: read.number(names::LOG_OPEN_FILES_MAX),
            creation: CreationDefaults {
                partitions: read.number(names::NUM_PARTITIONS),
                replication_factor: read.number(names::DEFAULT_REPLICATION_FACTOR),
                topic: read.topic_defaults(),
            },
            auto_create_topics: read.text(names::AUTO_CREATE_TOPICS_ENABLE) == "true",
            plugin_manifest: read.path(names::PLUGIN_MANIFEST),
            arbiters: Some(read.number(names::NUM_ARBITERS)).filter(|count| *count > 0),
            shutdown_timeout: read.millis(names::SHUTDOWN_TIMEOUT_MS),
            fault_injection: read.text(names::FAULT_INJECTION_ENABLE) == "true",
            logging_format: match read.text(names::LOGGING_FORMAT) {
                "json" => LoggingFormat::Json,
                _ => LoggingFormat::Text,
            },
            logging_level: read.text(names::LOGGING_LEVEL).to_owned(),
            entries: BTreeMap::new(),
        };
        if read.problems.is_empty() {
            return Ok(Self { entries, ..config });
        }
        Err(ConfigError::Invalid(read.problems))
    }

    /// Every key with its value and where it comes from, in the order of the table.
    pub fn describe(&self) -> Vec<DescribedEntry> {
        let described = |row: &'static BrokerKey| {
            let effective = self.entries.get(row.key.name)?;
            Some(DescribedEntry {
                row,
                value: effective.value.clone(),
                origin: effective.origin.clone(),
                read_only: true,
            })
        };
        BROKER_KEYS.iter().filter_map(described).collect()
    }
}

/// Turns checked text into types. What the table cannot check alone (addresses, keys that exclude
/// each other) becomes a problem at the value's origin.
struct Reader<'a> {
    entries: &'a BTreeMap<&'static str, Effective>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn text(&self, name: &'static str) -> &'a str {
        self.entries.get(name).map_or("", |found| &found.value)
    }

    fn number<T: FromStr + Default>(&mut self, name: &'static str) -> T {
        let text = self.text(name);
        text.parse().unwrap_or_else(|_| {
            self.refuse(name, text, "a whole number");
            T::default()
        })
    }

    fn millis(&mut self, name: &'static str) -> Duration {
        Duration::from_millis(self.number(name))
    }

    fn limit(&mut self, name: &'static str) -> Option<u64> {
        match self.text(name) {
            "-1" => None,
            _ => Some(self.number(name)),
        }
    }

    fn min_free(&mut self) -> MinFree {
        match self.text(names::LOG_MIN_FREE_BYTES) {
            "auto" => MinFree::Auto,
            "0" => MinFree::Off,
            _ => MinFree::Bytes(self.number(names::LOG_MIN_FREE_BYTES)),
        }
    }

    fn path(&self, name: &'static str) -> Option<PathBuf> {
        Some(self.text(name))
            .filter(|text| !text.is_empty())
            .map(PathBuf::from)
    }

    fn list(&self, name: &'static str) -> Vec<&'a str> {
        let parts = self.text(name).split(',');
        parts.filter(|part| !part.is_empty()).collect()
    }

    fn addresses(&mut self, name: &'static str) -> Vec<String> {
        let addresses = self.list(name);
        for address in &addresses {
            if !is_address(address) {
                let allowed = "host:port, such as 127.0.0.1:7420 or [::1]:7420";
                self.refuse(name, address, allowed);
            }
        }
        addresses.into_iter().map(str::to_owned).collect()
    }

    /// What clients are told has to be an address they can connect to.
    fn advertised(&mut self) -> Option<String> {
        let name = names::ADVERTISED_LISTENERS;
        let mut addresses = self.addresses(name);
        let value = self.text(name);
        if addresses.len() > 1 {
            self.refuse(name, value, "one address");
        }
        if value.ends_with(":0") || is_any_host(value) {
            self.refuse(name, value, "an address that clients can connect to");
        }
        addresses.pop()
    }

    /// `log.dirs` replaces `log.dir`, unless the latter was set in a higher layer.
    fn log_dirs(&mut self) -> Vec<PathBuf> {
        let one = self.entries.get(names::LOG_DIR);
        let many = self.entries.get(names::LOG_DIRS);
        let (Some(one), Some(many)) = (one, many) else {
            return Vec::new();
        };
        let (one_rank, many_rank) = (one.origin.rank(), many.origin.rank());
        if one_rank == many_rank && many_rank > 0 {
            self.problems.push(Problem {
                origin: many.origin.clone(),
                kind: ProblemKind::Conflict {
                    key: names::LOG_DIRS,
                    other: names::LOG_DIR,
                    other_origin: one.origin.clone(),
                },
            });
        }
        if many.value.is_empty() || one_rank > many_rank {
            return vec![PathBuf::from(&one.value)];
        }
        self.list(names::LOG_DIRS)
            .into_iter()
            .map(PathBuf::from)
            .collect()
    }

    /// Only what was set: a built-in default stays one in the description of a topic.
    fn topic_defaults(&mut self) -> TopicDefaults {
        let mut defaults = TopicDefaults::default();
        for row in BROKER_KEYS.iter() {
            let found = self.entries.get(row.key.name);
            let (Some(topic_name), Some(found)) = (row.topic_name, found) else {
                continue;
            };
            if found.origin == Origin::Default {
                continue;
            }
            if let Err(error) = defaults.set(topic_name, &found.value) {
                self.problems.push(Problem {
                    origin: found.origin.clone(),
                    kind: error.into(),
                });
            }
        }
        defaults
    }

    fn refuse(&mut self, name: &'static str, value: &str, allowed: &str) {
        let origin = self.entries.get(name).map(|found| found.origin.clone());
        self.problems.push(Problem {
            origin: origin.unwrap_or(Origin::Default),
            kind: ProblemKind::Invalid(InvalidConfig::Value {
                key: name.to_owned(),
                value: value.to_owned(),
                allowed: allowed.to_owned(),
            }),
        });
    }
}

/// `host:port`; an IPv6 host stands in brackets.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let host_fits = match bracketed {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.chars().all(allowed)
        }
    };
    host_fits && port.parse::<u16>().is_ok()
}

/// Addresses that mean every interface to a listener and nothing to a client.
fn is_any_host(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.is_unspecified())
}
