//! A cluster of fake brokers in this process: real frames over real sockets, partitions in memory.
//! A hook sees every request first and can refuse it, delay its answer, lose the connection before
//! or after the request took effect, or never answer. The hook is how tests make things go wrong.

mod answers;
mod log;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use broker_client::model::{BrokerId, PartitionId, Timestamp, TopicPartition};
use broker_client::protocol::{
    Decoded, Envelope, FrameDecoder, Method, WireError, error_frame, response_frame,
};
use broker_client::{
    Client, ClientError, ClientOptions, Codec, Producer, ProducerRecord, RecordMetadata,
};
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use self::log::FakeTopic;

/// What happens to a request.
pub(crate) enum Act {
    /// What a broker does.
    Normal,
    /// The same, answered later.
    Slow(Duration),
    /// The same, answered when the other side of this is dropped.
    Held(watch::Receiver<()>),
    /// An error answer; the request has no effect.
    Refuse(WireError),
    /// The connection is closed; the request has no effect.
    Lose,
    /// The connection is closed, after the request took effect.
    LoseAnswer,
    /// No answer, ever; the request has no effect.
    Silence,
    /// This result, whatever was asked.
    Answer(Vec<u8>),
    /// These bytes instead of an answer.
    Garbage(Vec<u8>),
}

/// A request as the hook sees it.
pub(crate) struct Seen<'a> {
    pub(crate) method: Method,
    pub(crate) args: &'a Bytes,
    /// How many requests of this method came before, to any broker.
    pub(crate) nth: usize,
}

type Hook = Box<dyn FnMut(&Seen<'_>) -> Act + Send>;

#[derive(Default)]
pub(crate) struct World {
    pub(crate) topics: HashMap<String, FakeTopic>,
    /// Who leads, and how often that has changed.
    pub(crate) leaders: HashMap<TopicPartition, (BrokerId, u32)>,
    /// What metadata says where it is wrong.
    pub(crate) claimed_leaders: HashMap<TopicPartition, BrokerId>,
    pub(crate) endpoints: Vec<(BrokerId, u16)>,
    pub(crate) in_flight_requests_max: Option<u64>,
    pub(crate) features: Vec<String>,
    hook: Option<Hook>,
    counts: HashMap<Method, usize>,
    connections: u64,
    open: HashMap<u32, usize>,
    /// Bytes read from sockets, by read.
    pub(crate) reads: Vec<usize>,
}

/// Fake brokers 1 to n. Dropping it stops them.
pub(crate) struct FakeCluster {
    world: Arc<Mutex<World>>,
    listeners: HashMap<u32, JoinHandle<()>>,
    sockets: Arc<Mutex<HashMap<u32, Vec<JoinHandle<()>>>>>,
}

impl FakeCluster {
    pub(crate) async fn start(brokers: u32) -> Self {
        let mut cluster = Self {
            world: Arc::default(),
            listeners: HashMap::new(),
            sockets: Arc::default(),
        };
        for id in 1..=brokers {
            cluster.start_broker(id, 0).await;
        }
        cluster
    }

    async fn start_broker(&mut self, id: u32, port: u16) {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        self.world().endpoints.push((BrokerId::new(id), port));
        let (world, sockets) = (self.world.clone(), self.sockets.clone());
        let accepting = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let world = world.clone();
                let served = tokio::spawn(serve(id, socket, world));
                sockets.lock().unwrap().entry(id).or_default().push(served);
            }
        });
        self.listeners.insert(id, accepting);
    }

    /// Closes the listener and all connections of a broker; metadata still lists it.
    pub(crate) fn kill(&mut self, id: u32) {
        if let Some(listener) = self.listeners.remove(&id) {
            listener.abort();
        }
        for served in self.sockets.lock().unwrap().remove(&id).unwrap_or_default() {
            served.abort();
        }
    }

    /// Starts a killed broker again, where it was.
    pub(crate) async fn restart(&mut self, id: u32) {
        let port = self.port(id);
        self.world()
            .endpoints
            .retain(|(broker, _)| broker.get() != id);
        self.start_broker(id, port).await;
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(crate) fn port(&self, id: u32) -> u16 {
        let world = self.world();
        let found = world
            .endpoints
            .iter()
            .find(|(broker, _)| broker.get() == id);
        found.unwrap().1
    }

    pub(crate) fn address(&self, id: u32) -> String {
        format!("127.0.0.1:{}", self.port(id))
    }

    /// A topic whose partitions are led by the brokers in turn.
    pub(crate) fn topic(&self, name: &str, partitions: u32) {
        let brokers: Vec<BrokerId> = self.world().endpoints.iter().map(|(id, _)| *id).collect();
        let mut world = self.world();
        world
            .topics
            .insert(name.to_owned(), FakeTopic::new(partitions));
        for number in 0..partitions {
            let leader = brokers[number as usize % brokers.len()];
            world.leaders.insert(partition(name, number), (leader, 1));
        }
    }

    pub(crate) fn lead(&self, name: &str, number: u32, broker: u32) {
        let mut world = self.world();
        let (leader, epoch) = world.leaders.get_mut(&partition(name, number)).unwrap();
        *leader = BrokerId::new(broker);
        *epoch += 1;
    }

    pub(crate) fn hook(&self, hook: impl FnMut(&Seen<'_>) -> Act + Send + 'static) {
        self.world().hook = Some(Box::new(hook));
    }

    pub(crate) fn unhook(&self) {
        self.world().hook = None;
    }

    /// How many requests of a method came.
    pub(crate) fn count(&self, method: Method) -> usize {
        self.world().counts.get(&method).copied().unwrap_or(0)
    }

    /// How many connections were ever made.
    pub(crate) fn connections(&self) -> u64 {
        self.world().connections
    }

    /// How many connections a broker has now.
    pub(crate) fn open_connections(&self, id: u32) -> usize {
        self.world().open.get(&id).copied().unwrap_or(0)
    }

    /// Values in a partition, in order, as text.
    pub(crate) fn values(&self, name: &str, number: u32) -> Vec<String> {
        let world = self.world();
        world.topics[name].partitions[number as usize].values()
    }

    /// How many batches a partition has.
    pub(crate) fn batches(&self, name: &str, number: u32) -> usize {
        let world = self.world();
        world.topics[name].partitions[number as usize].batches.len()
    }

    /// Flips a bit of a stored batch.
    pub(crate) fn flip(&self, name: &str, number: u32, batch: usize, byte: usize) {
        let mut world = self.world();
        let topic = world.topics.get_mut(name).unwrap();
        topic.partitions[number as usize].batches[batch].bytes[byte] ^= 1;
    }

    /// Drops what is below an offset.
    pub(crate) fn start_log_at(&self, name: &str, number: u32, start: u64) {
        let mut world = self.world();
        let topic = world.topics.get_mut(name).unwrap();
        topic.partitions[number as usize].start_at(start);
    }

    /// More partitions, led by broker 1.
    pub(crate) fn grow(&self, name: &str, partitions: u32) {
        let mut world = self.world();
        let topic = world.topics.get_mut(name).unwrap();
        let before = u32::try_from(topic.partitions.len()).unwrap();
        topic
            .partitions
            .extend((before..partitions).map(|_| log::FakeLog::default()));
        for number in before..partitions {
            let leader = (BrokerId::new(1), 1);
            world.leaders.insert(partition(name, number), leader);
        }
    }

    /// A client with short pauses, started from broker 1.
    pub(crate) async fn client(&self) -> Client {
        Client::with_options(self.options()).await.unwrap()
    }

    pub(crate) fn options(&self) -> ClientOptions {
        let mut options = ClientOptions::new(&self.address(1)).unwrap();
        options.backoff.min = Duration::from_millis(2);
        options.backoff.max = Duration::from_millis(20);
        options
    }
}

impl Drop for FakeCluster {
    fn drop(&mut self) {
        let ids: Vec<u32> = self.listeners.keys().copied().collect();
        ids.into_iter().for_each(|id| self.kill(id));
    }
}

pub(crate) fn partition(topic: &str, number: u32) -> TopicPartition {
    let topic = broker_client::model::TopicName::new(topic).unwrap();
    TopicPartition::new(topic, PartitionId::new(number))
}

/// Appends records through a producer: number n has value n, timestamp n and a header, ten to a
/// batch.
pub(crate) async fn fill(
    client: &Client,
    cluster: &FakeCluster,
    (topic, number): (&str, u32),
    range: std::ops::Range<usize>,
    codec: Codec,
) {
    let builder = Producer::builder(client)
        .compression(codec)
        .batch_records(10);
    let producer = builder.build().unwrap();
    let before = cluster.values(topic, number).len();
    for value in range.clone() {
        let time = Timestamp::from_millis(i64::try_from(value).unwrap());
        let record = ProducerRecord::new(topic).partition(number).timestamp(time);
        let record = record
            .header("number", value.to_string())
            .value(value.to_string());
        drop(producer.enqueue(record).await.unwrap());
    }
    producer.close().await.unwrap();
    assert_eq!(cluster.values(topic, number).len(), before + range.len());
}

/// Waits for deliveries that all have to succeed.
pub(crate) async fn all_stored(
    deliveries: impl IntoIterator<Item = impl Future<Output = Result<RecordMetadata, ClientError>>>,
) {
    for stored in futures::future::join_all(deliveries).await {
        stored.unwrap();
    }
}

/// Counts a connection as long as it lives, however it ends.
struct Open {
    id: u32,
    world: Arc<Mutex<World>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        *self.world.lock().unwrap().open.entry(self.id).or_default() -= 1;
    }
}

async fn serve(id: u32, socket: TcpStream, world: Arc<Mutex<World>>) {
    {
        let mut world = world.lock().unwrap();
        world.connections += 1;
        *world.open.entry(id).or_default() += 1;
    }
    let _open = Open {
        id,
        world: world.clone(),
    };
    let (mut reading, writing) = socket.into_split();
    let writing = Arc::new(tokio::sync::Mutex::new(writing));
    let mut buffer = BytesMut::new();
    loop {
        match FrameDecoder::after_hello().decode(&mut buffer).unwrap() {
            Decoded::Frame(body) => {
                if handle(id, body, &world, &writing).await.is_err() {
                    return;
                }
            }
            Decoded::NeedMore { .. } => {
                buffer.reserve(64 * 1024);
                match reading.read_buf(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => world.lock().unwrap().reads.push(read),
                }
            }
        }
    }
}

type Writing = Arc<tokio::sync::Mutex<OwnedWriteHalf>>;

/// `Err` closes the connection.
async fn handle(
    broker: u32,
    body: Bytes,
    world: &Arc<Mutex<World>>,
    writing: &Writing,
) -> Result<(), ()> {
    let Ok(Envelope::Request { id, method, args }) = Envelope::parse(&body) else {
        return Err(());
    };
    let method = Method::from_name(method).unwrap();
    let args = body.slice_ref(args);
    let act = {
        let mut world = world.lock().unwrap();
        let count = world.counts.entry(method).or_default();
        let seen = Seen {
            method,
            args: &args,
            nth: *count,
        };
        *count += 1;
        let mut hook = world.hook.take();
        let act = hook.as_mut().map_or(Act::Normal, |hook| hook(&seen));
        world.hook = hook;
        act
    };
    let late: Option<BoxFuture<'static, ()>> = match act {
        Act::Normal => None,
        Act::Slow(by) => Some(Box::pin(tokio::time::sleep(by))),
        Act::Held(mut until) => Some(Box::pin(
            async move { while until.changed().await.is_ok() {} },
        )),
        Act::Refuse(error) => return write(writing, &error_frame(Some(id), &error)).await,
        Act::Lose => return Err(()),
        Act::LoseAnswer => {
            answers::answer(world, broker, method, &args).await.ok();
            return Err(());
        }
        Act::Silence => return Ok(()),
        Act::Garbage(bytes) => return write(writing, &bytes).await,
        Act::Answer(result) => return write(writing, &raw_answer(id, &result)).await,
    };
    if method == Method::Fetch || late.is_some() {
        // Whatever takes its time does not hold up what comes behind it.
        let (world, writing) = (world.clone(), writing.clone());
        let applied =
            (method != Method::Fetch).then(|| answers::apply(&world, broker, method, &args));
        tokio::spawn(async move {
            if let Some(late) = late {
                late.await;
            }
            let result = match applied {
                Some(result) => result,
                None => answers::answer(&world, broker, method, &args).await,
            };
            let _ = write(&writing, &frame_of(id, result)).await;
        });
        return Ok(());
    }
    let result = answers::apply(world, broker, method, &args);
    write(writing, &frame_of(id, result)).await
}

fn frame_of(id: u64, result: Result<Vec<u8>, WireError>) -> Bytes {
    match result {
        Ok(result) => raw_answer(id, &result),
        Err(error) => error_frame(Some(id), &error),
    }
}

/// A response frame around a result that is encoded already.
fn raw_answer(id: u64, result: &[u8]) -> Bytes {
    // A frame with an answer that is easy to cut off again, so that ours can take its place.
    let ping = broker_client::protocol::api::ping::PingResponse::default();
    let mut encoded = Vec::new();
    broker_client::protocol::Response::encode(&ping, &mut encoded);
    let template = response_frame(id, &ping);
    let head = &template[5..template.len() - encoded.len()];
    let body = [head, result].concat();
    broker_client::protocol::encode_frame(&body).unwrap()
}

async fn write(writing: &Writing, bytes: &[u8]) -> Result<(), ()> {
    writing.lock().await.write_all(bytes).await.map_err(|_| ())
}
