//! `broker bench produce`: batches to the broker as fast as it answers, or at a given rate. Each slot
//! sends one frame again and again; connections are spread over threads.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use broker_client::model::TopicPartition;
use broker_client::protocol::Response;
use broker_client::protocol::api::produce::ProduceResponse;
use broker_client::{Acks, Client, Connection, ConnectionOptions};
use clap::Args;
use futures::future::try_join_all;
use tokio::time::sleep_until;

use super::arguments::{BatchArgs, RunArgs, TopicArgs, rate, threads};
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

/// Measure how fast batches are acknowledged
///
/// Latency is that of a batch, from sending it to its acknowledgement. The default is one
/// connection with one batch under way, --flush-mode sync and --acks all: every acknowledgement
/// means that the batch is on disk.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker bench produce --record-size 100 --batch 1 --flush-mode async
  broker bench produce --batch 1000 --producers 4 --in-flight 4 --partitions 4 --duration 30s
  broker bench produce --routed --keys 100000 --flush-mode async     through the partitioner plugin
  broker bench produce --rate 50000 --json                           open loop")]
pub(super) struct ProduceArgs {
    #[command(flatten)]
    topic: TopicArgs,

    #[command(flatten)]
    batch: BatchArgs,

    #[command(flatten)]
    run: RunArgs,

    #[command(flatten)]
    load: LoadArgs,
}

/// How hard it pushes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
struct LoadArgs {
    /// Connections that send; the first to partition 0, the second to 1, and so on
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    producers: u32,

    /// Batches under way on each connection
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    in_flight: u32,

    /// When a batch counts as stored: none, leader, all
    #[arg(long, default_value = "all", value_parser = acks)]
    acks: Acks,

    /// How batches travel
    #[arg(long, value_enum, default_value_t = Form::Opaque)]
    form: Form,

    /// Let the topic's partitioner plugin choose partitions (in plain form)
    #[arg(long)]
    routed: bool,

    /// Send so many records a second in all, whether answers come or not [default: closed loop]
    #[arg(long, value_name = "RECORDS", value_parser = rate)]
    rate: Option<f64>,

    /// Threads of the client side [default: half of the processors, at most one per connection]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
}

/// What a connection sends, and where.
#[derive(Clone)]
pub(super) struct Flow {
    pub(super) address: String,
    pub(super) options: ConnectionOptions,
    pub(super) batch: Arc<EncodedBatch>,
    pub(super) partition: TopicPartition,
    /// Number of the connection, from 0.
    pub(super) number: u32,
    pub(super) load: Load,
}

/// The same for every connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) connections: u32,
    pub(super) in_flight: u32,
    pub(super) acks: Acks,
    pub(super) form: Form,
    pub(super) routed: bool,
    pub(super) rate: Option<f64>,
}

/// What is sent, how, and from how many threads.
pub(super) type Prepared = (Arc<EncodedBatch>, Load, usize);

impl ProduceArgs {
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
        let load = Load {
            connections: self.load.producers,
            in_flight: self.load.in_flight,
            acks: self.load.acks,
            form: if self.load.routed {
                Form::Plain
            } else {
                self.load.form
            },
            routed: self.load.routed,
            rate: self.load.rate,
        };
        let threads = threads(self.load.threads, load.connections)?;
        let batch = Arc::new(EncodedBatch::new(&self.batch)?);
        if load.form == Form::Plain {
            batch.check_plain()?;
        }
        Ok((batch, load, threads))
    }

    /// Measures on a topic of its own.
    pub(super) async fn report(
        &self,
        client: &Client,
        prepared: Prepared,
        session: &Session,
    ) -> Result<Report, Failure> {
        let topic = BenchTopic::create(client, &self.topic, prepared.0.body_len()).await?;
        let measured = self.measure(client, &topic, prepared).await;
        topic.finish(client, session).await;
        measured
    }

    async fn measure(
        &self,
        client: &Client,
        topic: &BenchTopic,
        (batch, load, threads): Prepared,
    ) -> Result<Report, Failure> {
        let leader = client.leader(&topic.partition_of(0)).await?;
        let reference = Reference::measure(&leader.connection).await?;
        let schedule = Arc::new(Schedule::new(self.run.limits(batch.records), threads));
        let flows = flows(client, topic, &batch, load).await?;
        let workers = start(flows, &schedule, threads)?;
        let recorder = gather(workers, &schedule).await?;
        let setting = Setting {
            bench: "produce",
            topic: topic.name.to_string(),
            broker_version: leader.connection.hello().broker_version.clone(),
            partitions: topic.partitions,
            flush_mode: self.topic.flush_mode.name(),
            acks: Some(load.acks.name()),
            record_bytes: self.batch.record_size,
            records_per_batch: batch.records,
            compression: self.batch.compression.name(),
            form: load.form.name(),
            routed: load.routed,
            connections: load.connections,
            in_flight: load.in_flight,
            threads,
            target_records_per_second: load.rate,
            latency_of: "a batch, until it is acknowledged",
        };
        Ok(Report::new(setting, &schedule, &recorder, reference))
    }
}

/// One flow for each connection, to the leader of its partition.
pub(super) async fn flows(
    client: &Client,
    topic: &BenchTopic,
    batch: &Arc<EncodedBatch>,
    load: Load,
) -> Result<Vec<Flow>, Failure> {
    let mut flows = Vec::new();
    for number in 0..load.connections {
        let partition = topic.partition_of(number);
        let leader = client.leader(&partition).await?;
        flows.push(Flow {
            address: leader.connection.address().to_owned(),
            options: client.options().connection.clone(),
            batch: batch.clone(),
            partition,
            number,
            load,
        });
    }
    Ok(flows)
}

/// Spreads the flows over threads.
pub(super) fn start(
    flows: Vec<Flow>,
    schedule: &Arc<Schedule>,
    threads: usize,
) -> Result<Vec<Worker>, Failure> {
    let mut shares = vec![Vec::new(); threads];
    for (share, flow) in (0..threads).cycle().zip(flows) {
        if let Some(share) = shares.get_mut(share) {
            share.push(flow);
        }
    }
    let workers = shares.into_iter().map(|share| {
        let schedule = schedule.clone();
        Worker::start(move || run_flows(share, schedule))
    });
    workers.collect()
}

async fn run_flows(flows: Vec<Flow>, schedule: Arc<Schedule>) -> Result<Recorder, Failure> {
    let connected = try_join_all(flows.into_iter().map(async |flow| {
        let connection = Connection::connect(&flow.address, flow.options.clone()).await?;
        Ok::<_, Failure>((flow, connection))
    }));
    let connected = connected.await;
    let begun = schedule.begin(connected.is_ok()).await;
    let recorder = Rc::new(RefCell::new(Recorder::new()?));
    let slots = connected?.into_iter().flat_map(|(flow, connection)| {
        (0..flow.load.in_flight).map(move |slot| (flow.clone(), connection.clone(), slot))
    });
    let running = slots.map(|(flow, connection, slot)| {
        let (recorder, schedule) = (recorder.clone(), schedule.clone());
        async move {
            let slot = Slot::new(flow, connection, slot, begun)?;
            slot.run(&schedule, &recorder)
                .await
                .inspect_err(|_| schedule.stop())
        }
    });
    try_join_all(running).await?;
    let recorder = Rc::try_unwrap(recorder);
    recorder
        .map(RefCell::into_inner)
        .map_err(|_| Failure::failed("a sender is still running"))
}

/// One batch under way after the other.
struct Slot {
    connection: Connection,
    id: u64,
    frame: bytes::Bytes,
    pace: Option<Pace>,
    /// Its place among all slots of all connections.
    place: u32,
    records: u32,
    payload_bytes: u64,
}

impl Slot {
    fn new(flow: Flow, connection: Connection, slot: u32, begun: Instant) -> Result<Self, Failure> {
        let Flow {
            batch,
            partition,
            number,
            load,
            ..
        } = flow;
        let id = connection.reserve_id();
        let settings = FrameSettings {
            topic: partition.topic.as_str(),
            partition: (!load.routed).then_some(partition.partition),
            acks: load.acks,
            form: load.form,
        };
        let slots = load.connections.saturating_mul(load.in_flight);
        Ok(Self {
            id,
            frame: batch.frame(id, &settings)?,
            connection,
            pace: load
                .rate
                .map(|rate| Pace::new(begun, rate, batch.records, slots)),
            place: number.saturating_mul(load.in_flight).saturating_add(slot),
            records: batch.records,
            payload_bytes: batch.payload_bytes,
        })
    }

    async fn run(&self, schedule: &Schedule, recorder: &RefCell<Recorder>) -> Result<(), Failure> {
        for number in 0.. {
            let since = match &self.pace {
                None => Instant::now(),
                // Latency counts from when the batch is due, also when it is sent late.
                Some(pace) => {
                    let due = pace.due(self.place, number);
                    if schedule.is_over(due) {
                        return Ok(());
                    }
                    sleep_until(due.into()).await;
                    due
                }
            };
            if schedule.is_over(since) {
                return Ok(());
            }
            let answered = self
                .connection
                .send_frame(self.id, self.frame.clone())
                .await?;
            let now = Instant::now();
            accepted(answered)?;
            if schedule.counts(now) {
                let mut recorder = recorder.borrow_mut();
                recorder.answered(since, now);
                recorder.records += u64::from(self.records);
                recorder.payload_bytes += self.payload_bytes;
            }
        }
        Ok(())
    }
}

/// An answer that is no error, for any of the records.
fn accepted(answered: broker_client::Answered) -> Result<(), Failure> {
    let refused = |error: broker_client::protocol::WireError| {
        Failure::failed(format!("the broker refused a batch: {error}"))
    };
    let result = answered.map_err(refused)?;
    match ProduceResponse::decode(&result) {
        Ok(ProduceResponse::Appended(_)) => Ok(()),
        Ok(ProduceResponse::Routed(routed)) => match routed.errors.into_iter().next() {
            Some(first) => Err(refused(first.error)),
            None => Ok(()),
        },
        Err(invalid) => Err(Failure::failed(format!(
            "an answer cannot be understood: {invalid}"
        ))),
    }
}
