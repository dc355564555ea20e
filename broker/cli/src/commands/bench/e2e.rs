//! `broker bench e2e`: from sending a batch to a waiting reader having it. Sender and reader of a
//! partition share a thread, so that the hand-over between them costs nothing.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use broker_client::model::{Offset, TopicPartition};
use broker_client::protocol::api::fetch::{FetchForm, FetchPartition, FetchRequest};
use broker_client::{Acks, Client, Connection, ConnectionOptions};
use clap::Args;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::arguments::{BatchArgs, RunArgs, TopicArgs, ValueForm, rate, threads};
use super::batch::{EncodedBatch, Form, FrameSettings};
use super::latency::Recorder;
use super::reference::Reference;
use super::report::{Report, Setting};
use super::schedule::{Pace, Schedule};
use super::topic::BenchTopic;
use super::worker::{Worker, gather};
use crate::commands::produce::acks;
use crate::failure::Failure;
use crate::runtime::block_on;
use crate::session::Session;

/// Longest wait of one fetch, in milliseconds.
const FETCH_WAIT_MS: u32 = 250;

/// Measure the way of a record: from sending it to a waiting reader having it
///
/// Each partition has one connection that sends and one that reads. In a closed loop the next
/// batch is sent when the reader has the one before; with --rate batches are sent by the clock.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker bench e2e --record-size 100
  broker bench e2e --rate 10000 --batch 10 --partitions 4 --flush-mode async --json")]
pub(super) struct E2eArgs {
    #[command(flatten)]
    topic: TopicArgs,

    #[command(flatten)]
    run: RunArgs,

    /// Bytes of a record's value
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = crate::commands::produce::size)]
    record_size: usize,

    /// Records in a batch
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: u32,

    /// When a batch counts as stored: none, leader, all
    #[arg(long, default_value = "all", value_parser = acks)]
    acks: Acks,

    /// Send so many records a second in all, whether they arrive or not [default: closed loop]
    #[arg(long, value_name = "RECORDS", value_parser = rate)]
    rate: Option<f64>,

    /// Threads of the client side [default: half of the processors, at most one per partition]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
}

/// One partition with its sender and its reader.
#[derive(Clone)]
struct Lane {
    address: String,
    options: ConnectionOptions,
    batch: Arc<EncodedBatch>,
    partition: TopicPartition,
    number: u32,
    lanes: u32,
    acks: Acks,
    rate: Option<f64>,
}

/// Batches that were sent and not yet read, by when they were due.
#[derive(Default)]
struct OnTheWay {
    due: RefCell<VecDeque<Instant>>,
    arrived: Notify,
}

impl E2eArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let batch = Arc::new(EncodedBatch::new(&self.batch_args())?);
        let threads = threads(self.threads, self.topic.partitions)?;
        block_on(async {
            let client = session.connect().await?;
            let topic = BenchTopic::create(&client, &self.topic, batch.body_len()).await?;
            let measured = self.measure(&client, &topic, batch, threads).await;
            topic.finish(&client, session).await;
            session.output.show(&measured?, Report::text)
        })
    }

    fn batch_args(&self) -> BatchArgs {
        BatchArgs {
            values: ValueForm::Letters,
            record_size: self.record_size,
            batch: self.batch,
            compression: broker_client::Codec::None,
            keys: 0,
        }
    }

    async fn measure(
        &self,
        client: &Client,
        topic: &BenchTopic,
        batch: Arc<EncodedBatch>,
        threads: usize,
    ) -> Result<Report, Failure> {
        let leader = client.leader(&topic.partition_of(0)).await?;
        let reference = Reference::measure(&leader.connection).await?;
        let schedule = Arc::new(Schedule::new(self.run.limits(batch.records), threads));
        let mut shares = vec![Vec::new(); threads];
        for (share, number) in (0..threads).cycle().zip(0..topic.partitions) {
            let partition = topic.partition_of(number);
            let lane = Lane {
                address: client
                    .leader(&partition)
                    .await?
                    .connection
                    .address()
                    .to_owned(),
                options: client.options().connection.clone(),
                batch: batch.clone(),
                partition,
                number,
                lanes: topic.partitions,
                acks: self.acks,
                rate: self.rate,
            };
            if let Some(share) = shares.get_mut(share) {
                share.push(lane);
            }
        }
        let workers = shares.into_iter().map(|share: Vec<Lane>| {
            let schedule = schedule.clone();
            Worker::start(move || run_lanes(share, schedule))
        });
        let workers = workers.collect::<Result<Vec<_>, Failure>>()?;
        let recorder = gather(workers, &schedule).await?;
        let setting = Setting {
            bench: "e2e",
            topic: topic.name.to_string(),
            broker_version: leader.connection.hello().broker_version.clone(),
            partitions: topic.partitions,
            flush_mode: self.topic.flush_mode.name(),
            acks: Some(self.acks.name()),
            record_bytes: self.record_size,
            records_per_batch: self.batch,
            compression: "none",
            form: Form::Opaque.name(),
            routed: false,
            connections: topic.partitions.saturating_mul(2),
            in_flight: 1,
            threads,
            target_records_per_second: self.rate,
            latency_of: "a batch, from sending it to reading it",
        };
        Ok(Report::new(setting, &schedule, &recorder, reference))
    }
}

async fn run_lanes(lanes: Vec<Lane>, schedule: Arc<Schedule>) -> Result<Recorder, Failure> {
    let connecting = lanes.iter().map(async |lane| {
        let sender = Connection::connect(&lane.address, lane.options.clone()).await?;
        let reader = Connection::connect(&lane.address, lane.options.clone()).await?;
        Ok::<_, Failure>((sender, reader))
    });
    let connected = futures::future::try_join_all(connecting).await;
    let begun = schedule.begin(connected.is_ok()).await;
    let running = lanes
        .iter()
        .zip(connected?)
        .map(|(lane, (sender, reader))| {
            let schedule = &schedule;
            async move {
                let on_the_way = OnTheWay::default();
                let sending = lane.send(sender, begun, schedule, &on_the_way);
                let reading = lane.read(reader, schedule, &on_the_way);
                let both = futures::future::try_join(sending, reading).await;
                both.map(|((), recorder)| recorder)
                    .inspect_err(|_| schedule.stop())
            }
        });
    let mut total = Recorder::new()?;
    for recorder in futures::future::try_join_all(running).await? {
        total.merge(&recorder)?;
    }
    Ok(total)
}

impl Lane {
    async fn send(
        &self,
        connection: Connection,
        begun: Instant,
        schedule: &Schedule,
        on_the_way: &OnTheWay,
    ) -> Result<(), Failure> {
        let pace = self
            .rate
            .map(|rate| Pace::new(begun, rate, self.batch.records, self.lanes));
        let id = connection.reserve_id();
        let settings = FrameSettings {
            topic: self.partition.topic.as_str(),
            partition: Some(self.partition.partition),
            acks: self.acks,
            form: Form::Opaque,
        };
        let frame = self.batch.frame(id, &settings)?;
        for number in 0.. {
            let due = match &pace {
                None => Instant::now(),
                Some(pace) => {
                    let due = pace.due(self.number, number);
                    if schedule.is_over(due) {
                        break;
                    }
                    sleep_until(due.into()).await;
                    due
                }
            };
            if schedule.is_over(due) {
                break;
            }
            on_the_way.due.borrow_mut().push_back(due);
            let answered = connection.send_frame(id, frame.clone()).await?;
            answered
                .map_err(|error| Failure::failed(format!("the broker refused a batch: {error}")))?;
            while pace.is_none()
                && !on_the_way.due.borrow().is_empty()
                && !schedule.is_over(Instant::now())
            {
                on_the_way.arrived.notified().await;
            }
        }
        Ok(())
    }

    async fn read(
        &self,
        connection: Connection,
        schedule: &Schedule,
        on_the_way: &OnTheWay,
    ) -> Result<Recorder, Failure> {
        let mut recorder = Recorder::new()?;
        let mut offset = Offset::ZERO;
        while !schedule.is_over(Instant::now()) {
            let mut answer = connection.request(&self.request(offset)).await?;
            let now = Instant::now();
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
            let batches =
                fetched.next_offset.distance_from(offset) / u64::from(self.batch.records.max(1));
            offset = fetched.next_offset;
            for _ in 0..batches {
                let Some(due) = on_the_way.due.borrow_mut().pop_front() else {
                    return Err(Failure::failed("more batches were read than sent"));
                };
                if schedule.counts(now) {
                    recorder.answered(due, now);
                    recorder.records += u64::from(self.batch.records);
                    recorder.payload_bytes += self.batch.payload_bytes;
                }
            }
            on_the_way.arrived.notify_one();
        }
        on_the_way.arrived.notify_one();
        Ok(recorder)
    }

    fn request(&self, offset: Offset) -> FetchRequest {
        let mut request = FetchRequest::new(vec![FetchPartition {
            topic: self.partition.topic.to_string(),
            topic_id: None,
            partition: self.partition.partition,
            offset,
            max_bytes: None,
        }]);
        request.max_wait_ms = FETCH_WAIT_MS;
        request.form = FetchForm::Batch;
        request
    }
}
