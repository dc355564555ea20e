//! Options that the benchmarks share: the topic, the batches, the length of the run.

use std::time::Duration;

use broker_client::Codec;
use broker_client::model::parse_duration;
use clap::{Args, ValueEnum};

use crate::commands::produce::{codec, size};
use crate::commands::topic::assignment;
use crate::failure::Failure;

/// The topic that is measured.
#[derive(Debug, Args)]
#[command(next_help_heading = "Topic")]
pub(super) struct TopicArgs {
    /// Partitions of the topic
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) partitions: u32,

    /// What an acknowledgement means: sync, it is on disk; async, it is in the page cache
    #[arg(long, value_enum, default_value_t = FlushMode::Sync)]
    pub(super) flush_mode: FlushMode,

    /// A configuration override of the topic, such as a plugin to be measured; may be repeated
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = assignment)]
    pub(super) config: Vec<(String, String)>,

    /// Keep the topic afterwards
    #[arg(long)]
    pub(super) keep: bool,
}

/// `flush.mode` of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FlushMode {
    Sync,
    Async,
}

impl FlushMode {
    /// Its name in the topic's configuration.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }
}

/// What is sent.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Batches")]
pub(super) struct BatchArgs {
    /// Bytes of a record's value
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = size)]
    pub(super) record_size: usize,

    /// What values are: letters, or JSON strings for topics whose serializer checks them
    #[arg(long, value_enum, default_value_t = ValueForm::Letters)]
    pub(super) values: ValueForm,

    /// Records in a batch
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) batch: u32,

    /// Compress batches: none, gzip, snappy, lz4, zstd
    #[arg(long, value_name = "CODEC", default_value = "none", value_parser = codec)]
    pub(super) compression: Codec,

    /// Give records keys, so many different ones; 0 for null keys
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(super) keys: u32,
}

/// What the values of a batch are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ValueForm {
    Letters,
    Json,
}

/// How long it takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub(super) struct RunArgs {
    /// Measure for so long [default: 10s, unless --records is given]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,

    /// Measure so many records
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    records: Option<u64>,

    /// Run so long before anything is measured
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub(super) warm_up: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

impl RunArgs {
    /// What ends the run, with batches of so many records.
    pub(super) fn limits(&self, records_per_batch: u32) -> RunLimits {
        let batches = self
            .records
            .map(|records| records.div_ceil(u64::from(records_per_batch)));
        let otherwise = batches.is_none().then_some(Duration::from_secs(10));
        RunLimits {
            warm_up: self.warm_up,
            duration: self.duration.or(otherwise),
            batches,
        }
    }
}

/// What ends a run; whatever comes first.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunLimits {
    pub(super) warm_up: Duration,
    pub(super) duration: Option<Duration>,
    pub(super) batches: Option<u64>,
}

/// Records a second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("write records per second, such as 10000".to_owned()),
    }
}

/// How many threads of this machine the client side takes: half of the processors at most, as the
/// broker often runs here too.
pub(super) fn threads(asked: Option<usize>, connections: u32) -> Result<usize, Failure> {
    let connections = usize::try_from(connections).unwrap_or(usize::MAX);
    if asked == Some(0) {
        return Err(Failure::usage("--threads has to be at least 1"));
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(asked.unwrap_or((processors / 2).max(1)).min(connections))
}
