//! `broker bench consume`: fills a topic, then reads it from the start over and over, as stored
//! batches that are not decoded unless asked for: what is measured is the broker, not the client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_client::model::{Offset, TopicPartition};
use broker_client::protocol::api::fetch::{FetchForm, FetchPartition, FetchRequest, FetchedData};
use broker_client::{Acks, Client, Connection, ConnectionOptions};
use broker_record::Batches;
use clap::Args;

use super::arguments::{BatchArgs, RunArgs, RunLimits, TopicArgs, threads};
use super::batch::{EncodedBatch, Form};
use super::latency::Recorder;
use super::produce::{Load, flows, start};
use super::reference::Reference;
use super::report::{Report, Setting};
use super::schedule::Schedule;
use super::topic::BenchTopic;
use super::worker::{Worker, gather};
use crate::commands::produce::size;
use crate::failure::Failure;
use crate::output::bytes;
use crate::runtime::block_on;
use crate::session::Session;

/// Measure how fast a topic is read from its start
///
/// Fills a topic first, then every connection reads its partitions from the beginning, again and
/// again, as stored batches. Latency is that of one fetch. With --verify every checksum is
/// computed and every record decoded, as a consumer does.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker bench consume --size 1GiB --record-size 1KiB
  broker bench consume --consumers 4 --partitions 4 --fetch-size 4MiB --verify --json")]
pub(super) struct ConsumeArgs {
    #[command(flatten)]
    topic: TopicArgs,

    #[command(flatten)]
    batch: BatchArgs,

    #[command(flatten)]
    run: RunArgs,

    /// Fill the topic with so much before measuring
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    size: usize,

    /// Connections that read; the first from partition 0, the second from 1, and so on
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    consumers: u32,

    /// Most bytes in one answer
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    fetch_size: usize,

    /// Check and decode what comes
    #[arg(long)]
    verify: bool,

    /// Threads of the client side [default: half of the processors, at most one per connection]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
}

/// What one connection reads.
#[derive(Clone)]
struct Reader {
    address: String,
    options: ConnectionOptions,
    partition: TopicPartition,
    fetch_bytes: u32,
    verify: bool,
    payload_bytes_per_record: u64,
}

/// What the topic is filled with, and how many threads read it.
pub(super) type Prepared = (Arc<EncodedBatch>, usize);

impl ConsumeArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let prepared = self.prepared()?;
        block_on(async {
            let client = session.connect().await?;
            let report = self.report(&client, prepared, session).await?;
            session.output.show(&report, Report::text)
        })
    }

    /// Checks the options and encodes the batch.
    pub(super) fn prepared(&self) -> Result<Prepared, Failure> {
        let batch = Arc::new(EncodedBatch::new(&self.batch)?);
        Ok((batch, threads(self.threads, self.consumers)?))
    }

    /// Measures on a topic of its own.
    pub(super) async fn report(
        &self,
        client: &Client,
        prepared: Prepared,
        session: &Session,
    ) -> Result<Report, Failure> {
        let topic = BenchTopic::create(client, &self.topic, prepared.0.body_len()).await?;
        let measured = self.measure(client, &topic, prepared, session).await;
        topic.finish(client, session).await;
        measured
    }

    async fn measure(
        &self,
        client: &Client,
        topic: &BenchTopic,
        (batch, threads): Prepared,
        session: &Session,
    ) -> Result<Report, Failure> {
        session.output.note(format!(
            "filling {} with {}",
            topic.name,
            bytes(self.size as u64)
        ));
        self.fill(client, topic, &batch).await?;
        let leader = client.leader(&topic.partition_of(0)).await?;
        let reference = Reference::measure(&leader.connection).await?;
        let schedule = Arc::new(Schedule::new(self.run.limits(batch.records), threads));
        let workers = self
            .start(client, topic, &batch, (&schedule, threads))
            .await?;
        let recorder = gather(workers, &schedule).await?;
        let setting = Setting {
            bench: "consume",
            topic: topic.name.to_string(),
            broker_version: leader.connection.hello().broker_version.clone(),
            partitions: topic.partitions,
            flush_mode: self.topic.flush_mode.name(),
            acks: None,
            record_bytes: self.batch.record_size,
            records_per_batch: batch.records,
            compression: self.batch.compression.name(),
            form: if self.verify {
                "batch, verified and decoded"
            } else {
                "batch, not decoded"
            },
            routed: false,
            connections: self.consumers,
            in_flight: 1,
            threads,
            target_records_per_second: None,
            latency_of: "a fetch",
        };
        Ok(Report::new(setting, &schedule, &recorder, reference))
    }

    /// Fills every partition that is going to be read with an equal part.
    async fn fill(
        &self,
        client: &Client,
        topic: &BenchTopic,
        batch: &Arc<EncodedBatch>,
    ) -> Result<(), Failure> {
        let partitions = topic.partitions.min(self.consumers);
        let load = Load {
            connections: partitions,
            in_flight: 4,
            acks: Acks::Leader,
            form: Form::Opaque,
            routed: false,
            rate: None,
        };
        let batches = (self.size as u64)
            .div_ceil(batch.payload_bytes.max(1))
            .max(u64::from(partitions));
        let limits = RunLimits {
            warm_up: Duration::ZERO,
            duration: None,
            batches: Some(batches),
        };
        let schedule = Arc::new(Schedule::new(limits, 1));
        let flows = flows(client, topic, batch, load).await?;
        gather(start(flows, &schedule, 1)?, &schedule)
            .await
            .map(drop)
    }

    async fn start(
        &self,
        client: &Client,
        topic: &BenchTopic,
        batch: &EncodedBatch,
        (schedule, threads): (&Arc<Schedule>, usize),
    ) -> Result<Vec<Worker>, Failure> {
        let mut shares = vec![Vec::new(); threads];
        for (share, number) in (0..threads).cycle().zip(0..self.consumers) {
            let partition = topic.partition_of(number);
            let reader = Reader {
                address: client
                    .leader(&partition)
                    .await?
                    .connection
                    .address()
                    .to_owned(),
                options: client.options().connection.clone(),
                partition,
                fetch_bytes: u32::try_from(self.fetch_size).unwrap_or(u32::MAX),
                verify: self.verify,
                payload_bytes_per_record: batch.payload_bytes / u64::from(batch.records.max(1)),
            };
            if let Some(share) = shares.get_mut(share) {
                share.push(reader);
            }
        }
        let workers = shares.into_iter().map(|share: Vec<Reader>| {
            let schedule = schedule.clone();
            Worker::start(move || run_readers(share, schedule))
        });
        workers.collect()
    }
}

async fn run_readers(readers: Vec<Reader>, schedule: Arc<Schedule>) -> Result<Recorder, Failure> {
    let connecting = readers
        .iter()
        .map(|reader| Connection::connect(&reader.address, reader.options.clone()));
    let connected = futures::future::try_join_all(connecting).await;
    schedule.begin(connected.is_ok()).await;
    let reading = readers.iter().zip(connected?).map(|(reader, connection)| {
        let schedule = &schedule;
        async move {
            reader
                .run(connection, schedule)
                .await
                .inspect_err(|_| schedule.stop())
        }
    });
    let mut total = Recorder::new()?;
    for recorder in futures::future::try_join_all(reading).await? {
        total.merge(&recorder)?;
    }
    Ok(total)
}

impl Reader {
    async fn run(&self, connection: Connection, schedule: &Schedule) -> Result<Recorder, Failure> {
        let mut recorder = Recorder::new()?;
        let mut offset = Offset::ZERO;
        loop {
            let since = Instant::now();
            if schedule.is_over(since) {
                return Ok(recorder);
            }
            let mut answer = connection.request(&self.request(offset)).await?;
            let Some(fetched) = answer.partitions.pop() else {
                return Err(Failure::failed(
                    "a fetch was answered without its partition",
                ));
            };
            if let Some(error) = fetched.error {
                return Err(Failure::failed(format!(
                    "the broker refused a fetch: {error}"
                )));
            }
            if self.verify {
                check(&fetched.data)?;
            }
            let now = Instant::now();
            let records = fetched.next_offset.distance_from(offset);
            if records > 0 && schedule.counts(now) {
                recorder.answered(since, now);
                recorder.records += records;
                recorder.payload_bytes += records * self.payload_bytes_per_record;
            }
            // From the start again when the end is reached.
            let at_end = fetched.next_offset >= fetched.high_watermark;
            offset = if at_end {
                Offset::ZERO
            } else {
                fetched.next_offset
            };
        }
    }

    fn request(&self, offset: Offset) -> FetchRequest {
        let mut request = FetchRequest::new(vec![FetchPartition {
            topic: self.partition.topic.to_string(),
            topic_id: None,
            partition: self.partition.partition,
            offset,
            max_bytes: None,
        }]);
        request.max_bytes = self.fetch_bytes;
        request.max_wait_ms = 0;
        request.min_bytes = 0;
        request.form = FetchForm::Batch;
        request
    }
}

/// Computes every checksum and looks at every record.
fn check(data: &FetchedData) -> Result<(), Failure> {
    let FetchedData::Batch(run) = data else {
        return Err(Failure::failed("records came where batches were asked for"));
    };
    let damaged =
        |error: broker_record::BatchError| Failure::failed(format!("a damaged batch: {error}"));
    for batch in Batches::new(run.clone()) {
        let records = batch.and_then(|batch| batch.records()).map_err(damaged)?;
        for record in &records {
            std::hint::black_box(record.map_err(damaged)?.value);
        }
    }
    Ok(())
}
