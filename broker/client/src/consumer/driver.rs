//! The task behind a consumer: asks each leader for the partitions it leads, several requests at a
//! time, so that a partition with nothing new holds up none that has. Decides nothing: what to
//! fetch, and what becomes of an answer, is the assignment's business.

use std::collections::{BTreeMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_model::{BrokerId, PartitionId, TopicId, TopicName, TopicPartition, limits};
use broker_protocol::api::fetch::{FetchForm, FetchPartition, FetchRequest, FetchResponse};
use broker_protocol::api::list_offsets::OffsetAt;
use broker_protocol::feature;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::assignment::{Assignment, Item};
use super::decode::{Asked, Decoded, decode};
use crate::cluster::{Client, KnownLeader, TopicView};
use crate::error::{Call, ClientError};

/// Fetches under way to one broker at once.
const FETCHES_PER_BROKER_MAX: usize = 8;
/// Pause of the task when nothing at all is going on.
const IDLE_PAUSE: Duration = Duration::from_secs(60);

/// How a consumer fetches.
#[derive(Clone, Debug)]
pub(super) struct FetchOptions {
    pub(super) max_wait: Duration,
    pub(super) min_bytes: u32,
    pub(super) max_bytes: u32,
    /// Keys and values come as MessagePack values.
    pub(super) decode: bool,
}

/// What a consumer and its task both see.
pub(super) struct Shared {
    assignment: Mutex<Assignment>,
    /// The consumer has made room, or has sought.
    pub(super) work: Notify,
}

impl Shared {
    pub(super) fn new(assignment: Assignment) -> Self {
        Self {
            assignment: Mutex::new(assignment),
            work: Notify::new(),
        }
    }

    pub(super) fn assignment(&self) -> MutexGuard<'_, Assignment> {
        let assignment = self.assignment.lock();
        assignment.unwrap_or_else(PoisonError::into_inner)
    }
}

enum Event {
    Fetched {
        broker: BrokerId,
        asked: Vec<Asked>,
        result: Result<(Call, Vec<Decoded>), ClientError>,
    },
    Located {
        topic: TopicName,
        asked: Vec<Asked>,
        result: Result<Arc<TopicView>, ClientError>,
    },
    Placed {
        asked: Asked,
        result: Result<broker_model::Offset, ClientError>,
    },
}

pub(super) struct Driver {
    client: Client,
    shared: Arc<Shared>,
    items: UnboundedSender<Item>,
    options: FetchOptions,
    /// Topics that are read as a whole: partitions that they grow are read too.
    whole_topics: HashSet<TopicName>,
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>,
    fetches: BTreeMap<BrokerId, usize>,
}

impl Driver {
    pub(super) fn new(
        client: Client,
        shared: Arc<Shared>,
        items: UnboundedSender<Item>,
        options: FetchOptions,
        whole_topics: HashSet<TopicName>,
    ) -> Self {
        Self {
            client,
            shared,
            items,
            options,
            whole_topics,
            under_way: FuturesUnordered::new(),
            fetches: BTreeMap::new(),
        }
    }

    /// Works until the consumer is gone.
    pub(super) async fn run(mut self) {
        while !self.items.is_closed() {
            self.start_work();
            let pause_end = self.shared.assignment().next_pause_end();
            let wake_at = pause_end.unwrap_or_else(|| Instant::now() + IDLE_PAUSE);
            tokio::select! {
                Some(event) = self.under_way.next() => self.handle(event),
                () = self.shared.work.notified() => {}
                () = tokio::time::sleep_until(wake_at) => {}
            }
        }
    }

    fn start_work(&mut self) {
        let now = Instant::now();
        for asked in self.shared.assignment().take_unplaced(now) {
            let client = self.client.clone();
            self.under_way.push(Box::pin(place(client, asked)));
        }
        let ready = self.shared.assignment().ready(now);
        let mut by_leader: BTreeMap<BrokerId, Vec<(Asked, Option<TopicId>)>> = BTreeMap::new();
        let mut to_locate: BTreeMap<TopicName, Vec<Asked>> = BTreeMap::new();
        for (asked, topic_id) in ready {
            match self.client.known_leader(&asked.partition) {
                KnownLeader::Broker(broker) => {
                    by_leader.entry(broker).or_default().push((asked, topic_id));
                }
                KnownLeader::None => {
                    let error = ClientError::NoLeader(asked.partition.clone());
                    self.client.note_failure(&asked.partition, &error);
                    self.fail(&[asked], &error);
                }
                KnownLeader::Unknown => {
                    let topic = asked.partition.topic.clone();
                    to_locate.entry(topic).or_default().push(asked);
                }
            }
        }
        for (topic, asked) in to_locate {
            self.shared.assignment().sent(&asked);
            let client = self.client.clone();
            self.under_way.push(Box::pin(locate(client, topic, asked)));
        }
        for (broker, ready) in by_leader {
            self.start_fetch(broker, ready);
        }
    }

    fn start_fetch(&mut self, broker: BrokerId, mut ready: Vec<(Asked, Option<TopicId>)>) {
        let fetches = self.fetches.entry(broker).or_default();
        if *fetches >= FETCHES_PER_BROKER_MAX {
            return;
        }
        *fetches += 1;
        ready.truncate(limits::FETCH_PARTITIONS_MAX);
        let partitions = ready.iter().map(|(asked, topic_id)| FetchPartition {
            topic: asked.partition.topic.to_string(),
            topic_id: *topic_id,
            partition: asked.partition.partition,
            offset: asked.offset,
            max_bytes: None,
        });
        let mut request = FetchRequest::new(partitions.collect());
        request.max_wait_ms = u32::try_from(self.options.max_wait.as_millis()).unwrap_or(u32::MAX);
        request.min_bytes = self.options.min_bytes;
        request.max_bytes = self.options.max_bytes;
        request.decode = self.options.decode;
        if !request.decode {
            request.form = FetchForm::Batch;
        }
        let asked: Vec<Asked> = ready.into_iter().map(|(asked, _)| asked).collect();
        self.shared.assignment().sent(&asked);
        let client = self.client.clone();
        self.under_way.push(Box::pin(async move {
            let result = fetch(&client, broker, &request, &asked).await;
            Event::Fetched {
                broker,
                asked,
                result,
            }
        }));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Fetched {
                broker,
                asked,
                result,
            } => {
                if let Some(fetches) = self.fetches.get_mut(&broker) {
                    *fetches = fetches.saturating_sub(1);
                }
                match result {
                    Ok((call, decoded)) => self.fetched(asked, decoded, &call),
                    Err(error) => {
                        for asked in &asked {
                            self.client.note_failure(&asked.partition, &error);
                        }
                        self.fail(&asked, &error);
                    }
                }
            }
            Event::Located {
                topic,
                asked,
                result,
            } => match result {
                Ok(view) => self.located(&topic, &asked, &view),
                Err(error) => self.fail(&asked, &error),
            },
            Event::Placed { asked, result } => match result {
                Ok(start) => self.shared.assignment().place(&asked, start),
                Err(error) => self.fail(&[asked], &error),
            },
        }
    }

    fn fetched(&mut self, asked: Vec<Asked>, decoded: Vec<Decoded>, call: &Call) {
        let now = Instant::now();
        for (asked, decoded) in asked.into_iter().zip(decoded) {
            if let Some(error) = &decoded.error {
                let error = ClientError::Refused {
                    call: call.clone(),
                    error: Arc::new(error.clone()),
                };
                self.client.note_failure(&asked.partition, &error);
            }
            let items = self.shared.assignment().fetched(&asked, decoded, call, now);
            self.hand_out(items);
        }
    }

    /// Fresh metadata: leaders are known again, and perhaps there are more partitions.
    fn located(&mut self, topic: &TopicName, asked: &[Asked], view: &TopicView) {
        let mut assignment = self.shared.assignment();
        assignment.freed(asked);
        if !self.whole_topics.contains(topic) {
            return;
        }
        for number in (0..).take(view.partitions.len()) {
            let partition = TopicPartition::new(topic.clone(), PartitionId::new(number));
            if !assignment.contains(&partition) {
                tracing::info!(%partition, "new partition found");
                // It is new, so whatever is in it came after the consumer started.
                assignment.add(partition, view.topic_id, None, None);
            }
        }
    }

    fn fail(&mut self, asked: &[Asked], error: &ClientError) {
        let items = self
            .shared
            .assignment()
            .failed(asked, error, Instant::now());
        self.hand_out(items);
    }

    fn hand_out(&self, items: Vec<Item>) {
        for item in items {
            // The consumer is gone: the task is about to end.
            let _ = self.items.send(item);
        }
    }
}

async fn place(client: Client, asked: Asked) -> Event {
    let answer = client
        .admin()
        .list_offset(&asked.partition, OffsetAt::Earliest)
        .await;
    let result = answer.map(|answer| answer.offset.unwrap_or_default());
    Event::Placed { asked, result }
}

async fn locate(client: Client, topic: TopicName, asked: Vec<Asked>) -> Event {
    let result = client.topic(topic.as_str()).await;
    Event::Located {
        topic,
        asked,
        result,
    }
}

async fn fetch(
    client: &Client,
    broker: BrokerId,
    request: &FetchRequest,
    asked: &[Asked],
) -> Result<(Call, Vec<Decoded>), ClientError> {
    let connection = client.broker(broker).await?;
    if request.decode {
        connection.needs_feature(feature::SERIALIZERS)?;
    }
    let wait = Duration::from_millis(u64::from(request.max_wait_ms));
    let timeout = connection.options().request_timeout + wait;
    let response: FetchResponse = connection.request_within(request, timeout).await?;
    let call = connection.call("fetch");
    let answers_what_was_asked = response.partitions.len() == asked.len()
        && response.partitions.iter().zip(asked).all(|(found, asked)| {
            found.topic == asked.partition.topic.as_str()
                && found.partition == asked.partition.partition
        });
    if !answers_what_was_asked {
        return Err(ClientError::Malformed {
            call,
            reason: "other partitions than those asked for".into(),
        });
    }
    let fetched = response.partitions.into_iter().zip(asked);
    let decoded = fetched.map(|(fetched, asked)| decode(asked, fetched, request.form));
    Ok((call, decoded.collect()))
}
