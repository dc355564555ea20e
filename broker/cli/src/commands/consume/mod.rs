//! `broker consume`: records out, from a place in the log up to its end or for ever. Finding the
//! place is here, and the loop; `format` says what a record looks like.

mod decoded;
mod format;
mod template;

use broker_client::model::{Offset, PartitionId, TopicPartition};
use broker_client::protocol::api::list_offsets::OffsetAt;
use broker_client::{Client, ClientError, Consumer, ConsumerBuilder, ConsumerRecord, StartAt};
use clap::Args;
use futures::FutureExt;

use self::decoded::Undecoded;
use self::format::{Column, Format, RecordPrinter, Settings};
use self::template::RecordTemplate;
use crate::commands::topic::offsets::partitions_of;
use crate::exit_status::ExitStatus;
use crate::failure::Failure;
use crate::input::unescape;
use crate::output::{Progress, Stream};
use crate::place::Place;
use crate::runtime::{block_on, interrupted};
use crate::session::Session;
use crate::time_spec::TimeSpec;

/// Read records: from the beginning, the end, an offset or a time
///
/// Reads all partitions from the beginning to what is the end when it starts; --follow goes on
/// with whatever comes, until Ctrl-C. Order holds within a partition; partitions are mixed.
///
/// By default a record is its value and a line feed, so a file that `broker produce` took in comes
/// back as it was. Bytes that are not text are shown as 0x and hexadecimal digits, unless --raw
/// asks for them as they are. With --decode the topic's serializers turn keys and values back into
/// MessagePack values, which are shown as JSON; what cannot be decoded is shown as it is stored, and
/// the reason goes to standard error. --json prints one JSON object per record, with null, text and
/// {"hex": …} told apart.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker consume orders
  broker consume orders --from -10 --follow --format text
  broker consume orders --from 2026-11-20T10:00:00Z --partition 2 -n 100 --json
  broker consume orders --decode --template '{{ json.id }} {{ json.amount }}'
  broker consume packages --template '{{ offset }} {{ json.Package }} {{ json.Version }}'")]
pub(crate) struct ConsumeArgs {
    /// The topic
    topic: String,

    /// Where to start: beginning, end, an offset, -N for the last N of each partition, or a time
    /// (2026-11-20T10:00:00Z, 2026-11-20, 5min-ago, @MILLISECONDS)
    #[arg(
        long,
        value_name = "PLACE",
        default_value = "beginning",
        allow_hyphen_values = true
    )]
    from: Place,

    /// Only this partition; may be repeated
    #[arg(short, long = "partition", value_name = "NUMBER")]
    partitions: Vec<u32>,

    /// Stop after so many records
    #[arg(short = 'n', long = "count", value_name = "COUNT")]
    count: Option<u64>,

    /// Go on with new records as they come
    #[arg(short, long)]
    follow: bool,

    /// How a record is printed
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,

    /// A minijinja template for each record; it knows topic, partition, offset, timestamp (ms),
    /// time, key, value, headers, and json, which is the value parsed
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "format")]
    template: Option<String>,

    /// What --format text prints, separated by tabs
    #[arg(long, value_enum, value_name = "NAME,…", value_delimiter = ',', default_values_t = Column::ALL)]
    columns: Vec<Column>,

    /// Print bytes unchanged, also those that are not text
    #[arg(long)]
    raw: bool,

    /// Show values as the topic's serializers decode them, as JSON
    #[arg(long, conflicts_with = "raw")]
    decode: bool,

    /// What a null key or value looks like in text
    #[arg(long, value_name = "TEXT", default_value = "<null>")]
    null_value: String,

    /// What stands behind each record instead of a line feed; \t, \n and \0 are understood
    #[arg(long, value_name = "TEXT", default_value = "\n", value_parser = delimiter, hide_default_value = true)]
    delimiter: Delimiter,
}

/// What stands behind a record.
#[derive(Clone, Debug)]
struct Delimiter(Vec<u8>);

fn delimiter(text: &str) -> Result<Delimiter, String> {
    if text.is_empty() {
        Ok(Delimiter(Vec::new()))
    } else {
        unescape(text).map(Delimiter)
    }
}

impl ConsumeArgs {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        let template = self
            .template
            .as_deref()
            .map(RecordTemplate::compile)
            .transpose()?;
        let format = match (session.output.is_json(), &template) {
            (true, _) => Format::Json,
            (false, Some(_)) => Format::Template,
            (false, None) => self.format.unwrap_or(Format::Value),
        };
        if format == Format::Template && template.is_none() {
            return Err(Failure::usage(
                "--format template needs --template TEMPLATE",
            ));
        }
        if self.decode && format == Format::Hex {
            return Err(Failure::usage(
                "--format hex shows stored bytes: leave out --decode",
            ));
        }
        let settings = Settings {
            decoded: self.decode,
            columns: self.columns.clone(),
            raw: self.raw,
            null: self.null_value.clone().into_bytes(),
            delimiter: self.delimiter.0.clone(),
            destination: session.output.destination(),
        };
        let printer = RecordPrinter::new(format, template, settings);
        block_on(self.read(printer, session))
    }

    async fn read(&self, printer: RecordPrinter<'_>, session: &Session) -> Result<(), Failure> {
        let client = session.connect().await?;
        let builder = self.builder(&client).await?;
        let consumer = builder.build().await?;
        let mut reading = Reading {
            printer,
            session,
            progress: self.progress(session),
            stream: session.output.stream(),
            left: self.count.unwrap_or(u64::MAX),
            printed: 0,
            bytes: 0,
            damaged: None,
            undecoded: self.decode.then(Undecoded::default),
        };
        let ended = tokio::select! {
            ended = reading.run(consumer) => ended,
            () = interrupted() => Ok(()),
        };
        reading.stream.flush()?;
        reading.progress.clear();
        if let Some(undecoded) = &reading.undecoded {
            undecoded.sum_up(&session.output);
        }
        ended?;
        if reading.printed == 0 && !self.follow {
            session.output.note(format!(
                "nothing to read in {} from there; --follow waits for new records",
                self.topic
            ));
        }
        reading.damaged.map_or(Ok(()), Err)
    }

    /// A bar while the records go into a file; in a terminal they show by themselves.
    fn progress(&self, session: &Session) -> Progress {
        let mut output = session.output;
        output.progress &= output.destination() == crate::output::Destination::Elsewhere;
        output.progress(None)
    }

    async fn builder(&self, client: &Client) -> Result<ConsumerBuilder, Failure> {
        let chosen: Vec<PartitionId> = self
            .partitions
            .iter()
            .copied()
            .map(PartitionId::new)
            .collect();
        let mut builder = Consumer::builder(client);
        if self.decode {
            builder = builder.decode();
        }
        if chosen.is_empty() {
            builder = builder.topic(&self.topic);
        }
        for partition in partitions_of(client, &self.topic, &chosen).await? {
            let start = self.start(client, &partition).await?;
            builder = builder.partition_from(&self.topic, partition.partition.get(), start);
        }
        Ok(if self.follow {
            builder
        } else {
            builder.stop_at_end()
        })
    }

    /// Where to start in one partition.
    async fn start(&self, client: &Client, partition: &TopicPartition) -> Result<StartAt, Failure> {
        let admin = client.admin();
        let offset_at = async |at| {
            let answer = admin.list_offset(partition, at).await?;
            Ok::<_, ClientError>(answer.offset.unwrap_or(Offset::ZERO))
        };
        Ok(match self.from {
            Place::Beginning => StartAt::Earliest,
            Place::End => StartAt::Latest,
            Place::Time(TimeSpec(time)) => StartAt::Timestamp(time),
            Place::Last(count) => {
                let earliest = offset_at(OffsetAt::Earliest).await?;
                let latest = offset_at(OffsetAt::Latest).await?;
                let start = latest.get().saturating_sub(count).max(earliest.get());
                StartAt::Offset(Offset::new(start))
            }
            Place::Offset(asked) => {
                let earliest = offset_at(OffsetAt::Earliest).await?;
                let latest = offset_at(OffsetAt::Latest).await?;
                if !(earliest..=latest).contains(&asked) {
                    let partition = partition.clone();
                    return Err(ClientError::OffsetOutOfRange {
                        partition,
                        asked,
                        earliest,
                        latest,
                    }
                    .into());
                }
                StartAt::Offset(asked)
            }
        })
    }
}

/// A run of `broker consume`.
struct Reading<'a> {
    printer: RecordPrinter<'a>,
    session: &'a Session,
    progress: Progress,
    stream: Stream,
    left: u64,
    printed: u64,
    bytes: u64,
    /// The first damage that was passed over.
    damaged: Option<Failure>,
    /// With --decode: what could not be.
    undecoded: Option<Undecoded>,
}

impl Reading<'_> {
    async fn run(&mut self, mut consumer: Consumer) -> Result<(), Failure> {
        while self.left > 0 {
            let next = match consumer.next().now_or_never() {
                Some(next) => next,
                None => {
                    // What is there is shown before waiting for more.
                    self.stream.flush()?;
                    self.progress.at(self.bytes, self.printed);
                    consumer.next().await
                }
            };
            match next {
                Some(Ok(record)) => match &mut self.undecoded {
                    Some(undecoded) => {
                        undecoded.note(&record, &self.session.output);
                        self.print(&decoded::shown(record))?;
                    }
                    None => self.print(&record)?,
                },
                Some(Err(
                    damage @ ClientError::CorruptBatch {
                        next_offset: Some(_),
                        ..
                    },
                )) => {
                    self.session.output.warn(&damage);
                    let failure = || Failure::from(damage).with_status(ExitStatus::Damaged);
                    self.damaged.get_or_insert_with(failure);
                }
                Some(Err(error)) => return Err(error.into()),
                None => break,
            }
            for reset in consumer.take_resets() {
                self.session.output.warn(format!(
                    "{}: offset {} is no longer in the log, going on at {}: {} record(s) are gone",
                    reset.partition, reset.asked, reset.now, reset.skipped
                ));
            }
        }
        Ok(())
    }

    fn print(&mut self, record: &ConsumerRecord) -> Result<(), Failure> {
        self.left -= 1;
        self.printed += 1;
        let line = self.printer.line(record)?;
        self.bytes += line.len() as u64;
        self.stream.write(line)?;
        if let Some(warning) = self.printer.take_warning() {
            self.session.output.warn(warning);
        }
        if self.printed.is_multiple_of(10_000) {
            self.progress.at(self.bytes, self.printed);
        }
        Ok(())
    }
}
