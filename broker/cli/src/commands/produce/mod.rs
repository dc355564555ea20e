//! `broker produce`: lines, JSON lines or whole files in, records out, in order, with a summary of
//! what was stored. The arguments are here; `sending` does the work, `tally` counts.

mod refusals;
mod sending;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker_client::model::{parse_bytes, parse_duration};
use broker_client::protocol::api::produce::Partial;
use broker_client::{Acks, Codec, Header};
use clap::{Args, ValueEnum};

use self::sending::{OnError, RecordTemplate, Rules, Sending};
use crate::failure::Failure;
use crate::input::{
    FieldPath, LineFormat, MissingKey, NdjsonFormat, RecordFormat, ValueForm, read_ahead, unescape,
};
use crate::runtime::block_on;
use crate::session::{Session, topic_failure};
use crate::time_spec::TimeSpec;

/// Write records: from standard input or files, a line each
///
/// A record's value is exactly the bytes of its line, so that `broker consume` gives the same file
/// back. Records of one partition keep their order. Without --partition the topic's partitioner
/// plugin chooses partitions by key.
///
/// With --encode values are read as JSON and sent as MessagePack values, which the topic's
/// serializers turn into the bytes that are stored; a key that is plain text is sent as text.
///
/// What was stored is summed up at the end; --json prints the sum as one JSON object. A bad line,
/// or a record that the broker refuses, ends it with an error that says where and how much was
/// stored before (--on-error skip goes on and counts).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  echo hello | broker produce orders
  broker produce orders --key-separator '\\t' --header source=import part1.tsv part2.tsv
  broker produce packages --format ndjson --key-field source packages.ndjson
  broker produce orders --encode --partial accept --format ndjson --key-field id orders.ndjson
  broker produce pictures --format raw --key cat cat.jpg")]
pub(crate) struct ProduceArgs {
    /// The topic
    topic: String,

    /// Files to read one after the other [default: standard input, also written -]
    files: Vec<PathBuf>,

    #[command(flatten)]
    reading: ReadingArgs,

    #[command(flatten)]
    record: RecordArgs,

    #[command(flatten)]
    sending: SendingArgs,
}

/// How input becomes records.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading")]
struct ReadingArgs {
    /// lines: each line is a value; ndjson: each line is JSON; raw: each file is one value
    #[arg(long, value_enum, default_value_t = InputFormat::Lines)]
    format: InputFormat,

    /// The key is the part of a line before this text; \t and \0 are understood
    #[arg(long, value_name = "TEXT", value_parser = unescape_text, conflicts_with_all = ["key", "key_field"])]
    key_separator: Option<Separator>,

    /// A key or value that is exactly this text is null
    #[arg(long, value_name = "TEXT")]
    null_value: Option<String>,

    /// ndjson: the field that holds the key, such as customer.id
    #[arg(long, value_name = "PATH", conflicts_with = "key")]
    key_field: Option<FieldPath>,

    /// ndjson: what a line without the key's field is
    #[arg(long, value_enum, default_value_t = MissingKey::Error)]
    missing_key: MissingKey,

    /// ndjson: the field that holds the value, instead of the whole line
    #[arg(long, value_name = "PATH")]
    value_field: Option<FieldPath>,

    /// ndjson: the field that holds the timestamp, milliseconds or a time
    #[arg(long, value_name = "PATH", conflicts_with = "timestamp")]
    timestamp_field: Option<FieldPath>,

    /// ndjson: the field that holds headers, an object or a list of [name, text]
    #[arg(long, value_name = "PATH")]
    headers_field: Option<FieldPath>,
}

/// What all records have in common.
#[derive(Debug, Args)]
#[command(next_help_heading = "Records")]
struct RecordArgs {
    /// The key of every record
    #[arg(short, long, value_name = "TEXT")]
    key: Option<String>,

    /// A header of every record; may be repeated, also with the same name; order is kept
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<Header>,

    /// Write to this partition instead of asking the topic's partitioner
    #[arg(short, long, value_name = "NUMBER")]
    partition: Option<u32>,

    /// The timestamp of every record [default: now]
    #[arg(long, value_name = "TIME")]
    timestamp: Option<TimeSpec>,
}

/// How records are sent.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sending")]
struct SendingArgs {
    /// When a record counts as stored: none (sent), leader, all (in-sync replicas)
    #[arg(long, default_value = "all", value_parser = acks)]
    acks: Acks,

    /// Compress batches: none, gzip, snappy, lz4, zstd
    #[arg(long, value_name = "CODEC", default_value = "none", value_parser = codec)]
    compression: Codec,

    /// Send a batch when it has this many bytes
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = size)]
    batch_size: usize,

    /// Let a batch wait so long for more records
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = duration)]
    linger: Duration,

    /// Try for so long to store a record, also while the broker is away
    #[arg(long, value_name = "DURATION", default_value = "2min", value_parser = duration)]
    delivery_timeout: Duration,

    /// What to do about a bad line or a record that the broker refuses
    #[arg(long, value_enum, default_value_t = OnError::Stop)]
    on_error: OnError,

    /// Send values, given as JSON, that the topic's serializers turn into bytes
    #[arg(long)]
    encode: bool,

    /// When a serializer refuses records of a batch: store nothing of the batch and stop, or store
    /// the others, go on, and list what was refused [default: refuse; accept with --on-error skip].
    /// With a dead-letter topic, a refused batch that is sent again puts its bad records there again
    #[arg(long, value_enum)]
    partial: Option<PartialArg>,
}

/// What becomes of a batch of which records are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PartialArg {
    Refuse,
    Accept,
}

impl SendingArgs {
    fn partial(&self) -> Partial {
        match (self.partial, self.on_error) {
            (Some(PartialArg::Accept), _) | (None, OnError::Skip) => Partial::Accept,
            (Some(PartialArg::Refuse), _) | (None, OnError::Stop) => Partial::Refuse,
        }
    }

    fn form(&self) -> ValueForm {
        match self.encode {
            true => ValueForm::MessagePack,
            false => ValueForm::Bytes,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InputFormat {
    Lines,
    #[value(alias = "json-lines", alias = "jsonl")]
    Ndjson,
    Raw,
}

/// A separator, unescaped.
#[derive(Clone, Debug)]
struct Separator(Vec<u8>);

fn unescape_text(text: &str) -> Result<Separator, String> {
    unescape(text).map(Separator)
}

fn header(text: &str) -> Result<Header, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(Header {
            name: name.to_owned(),
            value: Some(value.to_owned().into()),
        }),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// The acknowledgement level of that name.
pub(crate) fn acks(text: &str) -> Result<Acks, String> {
    Acks::from_name(text).ok_or_else(|| "it is none, leader or all".to_owned())
}

/// The codec of that name.
pub(crate) fn codec(text: &str) -> Result<Codec, String> {
    Codec::from_name(text).map_err(|error| error.to_string())
}

/// A size in bytes.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let bytes = parse_bytes(text).map_err(|error| error.to_string())?;
    usize::try_from(bytes).map_err(|_| "it is too large".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

impl ProduceArgs {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        let form = self.sending.form();
        let format = self.reading.format(form)?;
        let key = self.record.key.clone().map(|key| form.text_key(key.into()));
        let key = key.transpose().map_err(Failure::usage)?;
        if self.sending.encode && self.sending.compression != Codec::None {
            return Err(Failure::usage(
                "--compression does not go with --encode: what the serializers make is not known here",
            )
            .with_hint("the topic's compression.type compresses on the broker"));
        }
        block_on(async {
            let client = session.connect().await?;
            // Before anything is read: a misspelt topic should not cost a pass over the input.
            let view = match client.topic(&self.topic).await {
                Ok(view) => view,
                Err(error) => return Err(topic_failure(&client, &self.topic, error).await),
            };
            let count = view.partitions.len();
            if let Some(partition) = self.record.partition
                && usize::try_from(partition).unwrap_or(usize::MAX) >= count
            {
                return Err(Failure::failed(format!(
                    "topic {} has no partition {partition}: it has 0 to {}",
                    self.topic,
                    count.saturating_sub(1)
                )));
            }
            let mut producer = broker_client::Producer::builder(&client)
                .acks(self.sending.acks)
                .compression(self.sending.compression)
                .batch_bytes(self.sending.batch_size)
                .linger(self.sending.linger)
                .delivery_timeout(self.sending.delivery_timeout)
                .partial(self.sending.partial());
            if self.sending.encode {
                producer = producer.encode_values();
            }
            let producer = producer.build().map_err(Failure::from)?;
            let total = self.total_bytes();
            let feeds = read_ahead(self.files, format)?;
            let template = RecordTemplate {
                topic: Arc::from(self.topic.as_str()),
                partition: self.record.partition,
                key,
                headers: self.record.headers,
                timestamp: self.record.timestamp.map(|TimeSpec(time)| time),
            };
            let rules = Rules {
                on_error: self.sending.on_error,
                partial: self.sending.partial(),
            };
            let sending = Sending::new(producer, template, rules);
            sending.run(feeds, session, total).await
        })
    }

    /// Size of all inputs, when all are files.
    fn total_bytes(&self) -> Option<u64> {
        let sizes = self.files.iter().map(|file| {
            let file = std::fs::metadata(file)
                .ok()
                .filter(std::fs::Metadata::is_file);
            file.map(|file| file.len())
        });
        if self.files.is_empty() {
            None
        } else {
            sizes.sum()
        }
    }
}

impl ReadingArgs {
    fn format(&self, form: ValueForm) -> Result<RecordFormat, Failure> {
        let only_for = |format: &str, given: &[(bool, &str)]| {
            let misplaced = given.iter().find(|(given, _)| *given);
            misplaced.map_or(Ok(()), |(_, name)| {
                Err(Failure::usage(format!(
                    "{name} only goes with --format {format}"
                )))
            })
        };
        let fields = [
            (self.key_field.is_some(), "--key-field"),
            (self.value_field.is_some(), "--value-field"),
            (self.timestamp_field.is_some(), "--timestamp-field"),
            (self.headers_field.is_some(), "--headers-field"),
        ];
        let lines = [
            (self.key_separator.is_some(), "--key-separator"),
            (self.null_value.is_some(), "--null-value"),
        ];
        if self.format != InputFormat::Ndjson {
            only_for("ndjson", &fields)?;
        }
        if self.format != InputFormat::Lines {
            only_for("lines", &lines)?;
        }
        Ok(match self.format {
            InputFormat::Lines => RecordFormat::Lines(LineFormat {
                key_separator: self.key_separator.clone().map(|Separator(bytes)| bytes),
                null: self.null_value.clone().map(String::into_bytes),
                form,
            }),
            InputFormat::Ndjson => RecordFormat::Ndjson(Box::new(NdjsonFormat {
                key: self.key_field.clone(),
                missing_key: self.missing_key,
                value: self.value_field.clone(),
                timestamp: self.timestamp_field.clone(),
                headers: self.headers_field.clone(),
                form,
            })),
            InputFormat::Raw => RecordFormat::Raw(form),
        })
    }
}
