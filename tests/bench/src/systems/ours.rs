//! The broker: a log is a partition, a batch is one `produce` with an encoded body, a consumer fetches
//! stored batches a MiB at a time. Class w is `flush.mode = async`, class f is `sync`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};
use broker_client::model::{Offset, PartitionId, Timestamp};
use broker_client::protocol::api::alter_topic::AlterTopicRequest;
use broker_client::protocol::api::create_topic::CreateTopicRequest;
use broker_client::protocol::api::fetch::{FetchForm, FetchPartition, FetchRequest};
use broker_client::protocol::api::hello::HelloRequest;
use broker_client::protocol::api::produce::{OpaqueBody, Payload, ProduceRequest};
use broker_client::protocol::{Request, request_frame};
use broker_record::{BatchBuilder, Codec};
use bytes::Bytes;

use super::{Batch, Class, Consumer, FETCH_BYTES, Place, Producer, System};
use crate::socket::Socket;

/// The topic that all partitions are of.
const TOPIC: &str = "log";
const FRAME_MARKER: u8 = 0xCE;
/// `[1, id, nil, …` with an id below 128: an answer without an error.
const GOOD_ANSWER: [u8; 2] = [0x94, 0x01];
const NIL: u8 = 0xC0;

/// The broker at this path.
pub(crate) struct Ours(pub(crate) PathBuf);

impl Ours {
    /// Has the topic synced so seldom that no run is long enough for it.
    pub(crate) fn sync_seldom(&self, address: SocketAddr) -> Result<()> {
        let request = AlterTopicRequest {
            name: TOPIC.to_owned(),
            set: [("flush.ms".to_owned(), "10m".to_owned())].into(),
            ..AlterTopicRequest::default()
        };
        call(&mut open(address)?, &request)?;
        Ok(())
    }
}

impl System for Ours {
    fn name(&self) -> &'static str {
        "broker"
    }

    fn program(&self) -> &Path {
        &self.0
    }

    fn offers(&self, _: Class) -> bool {
        true
    }

    fn command(&self, place: &Place<'_>) -> Result<Command> {
        let mut command = Command::new(&self.0);
        let listen = format!("127.0.0.1:{}", place.port);
        command.args(["serve", "--listen", &listen, "--data-dir"]);
        command
            .arg(place.folder.join("data"))
            .current_dir(place.folder);
        Ok(command)
    }

    fn greet(&self, address: SocketAddr) -> Result<()> {
        open(address).map(|_| ())
    }

    fn make_logs(&self, address: SocketAddr, logs: u32, class: Class) -> Result<()> {
        let mode = match class {
            Class::Written => "async",
            Class::Synced => "sync",
        };
        let request = CreateTopicRequest {
            name: TOPIC.to_owned(),
            partitions: Some(logs),
            config: [("flush.mode".to_owned(), mode.to_owned())].into(),
            ..CreateTopicRequest::default()
        };
        call(&mut open(address)?, &request)?;
        Ok(())
    }

    fn producer(&self, address: SocketAddr, log: u32, batch: Batch) -> Result<Box<dyn Producer>> {
        let turns = [vec![OursProducer::encoded(log, batch)?]];
        Ok(Box::new(OursProducer::connect(address, &turns, 1)?))
    }

    fn consumer(&self, address: SocketAddr, log: u32, _: Batch) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(OursConsumer {
            socket: open(address)?,
            log,
            body: Vec::new(),
        }))
    }
}

/// A connection that has said hello.
fn open(address: SocketAddr) -> Result<Socket> {
    let mut socket = Socket::connect(address)?;
    call(&mut socket, &HelloRequest::new("compare"))?;
    Ok(socket)
}

/// One request and the body of its answer.
fn call<R: Request>(socket: &mut Socket, request: &R) -> Result<Vec<u8>> {
    socket.write(&request_frame(1, request)?)?;
    let mut body = Vec::new();
    answer(socket, &mut body)?;
    Ok(body)
}

/// Reads an answer; its id.
fn answer(socket: &mut Socket, body: &mut Vec<u8>) -> Result<u8> {
    let mut header = [0; 5];
    socket.read_exact(&mut header)?;
    let [marker, length @ ..] = header;
    if marker != FRAME_MARKER {
        bail!("the broker answers with something that is no frame");
    }
    body.resize(usize::try_from(u32::from_be_bytes(length))?, 0);
    socket.read_exact(body)?;
    match body.as_slice() {
        [a, b, id, NIL, ..] if [*a, *b] == GOOD_ANSWER => Ok(*id),
        _ => Err(anyhow!(
            "the broker answers {}",
            String::from_utf8_lossy(body)
        )),
    }
}

/// What the records of a request look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payloads {
    WithoutKeys,
    /// Every record has one of a thousand keys.
    Keyed,
}

/// Who says to which partitions plain records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// The producer: all to this one.
    To(u32),
    /// The producer: over so many as the partitioner would, batch by batch without keys, record by record with them.
    Over(u32),
    /// The topic's partitioner.
    Routed,
}

/// A producer with one batch in flight, or several.
pub(crate) struct OursProducer {
    socket: Socket,
    /// What is sent for a batch, of each turn, by the batch's place among those in flight. A request's id is its place
    /// in all of the batches and one more.
    turns: Vec<Vec<Vec<Bytes>>>,
    turn: usize,
    /// Answers that are missing, of each batch in flight.
    missing: Vec<usize>,
    body: Vec<u8>,
}

impl OursProducer {
    /// Encodes a batch as fast clients do: a body with its checksum, to a partition.
    pub(crate) fn encoded(log: u32, batch: Batch) -> Result<ProduceRequest> {
        let (body, claims) = builder(batch, Payloads::WithoutKeys, (0, 1))?.build(Codec::None)?;
        let payload = Payload::Opaque(OpaqueBody {
            body,
            codec: claims.codec.name().to_owned(),
            record_count: claims.record_count,
            base_timestamp_ms: claims.base_timestamp,
            max_timestamp_ms: claims.max_timestamp,
            crc: claims.body_crc,
            producer: None,
        });
        let mut request = ProduceRequest::new(TOPIC, payload);
        request.partition = Some(PartitionId::new(log));
        Ok(request)
    }

    /// Encodes plain lists of records: of each turn, the requests that take one batch.
    pub(crate) fn plain(
        batch: Batch,
        payloads: Payloads,
        spread: Spread,
    ) -> Result<Vec<Vec<ProduceRequest>>> {
        let request = |partition: Option<u32>, share| -> Result<ProduceRequest> {
            let (records, _) = builder(batch, payloads, share)?.build(Codec::None)?;
            let mut request = ProduceRequest::new(TOPIC, Payload::Plain(records));
            request.partition = partition.map(PartitionId::new);
            Ok(request)
        };
        Ok(match (spread, payloads) {
            (Spread::Routed, _) => vec![vec![request(None, (0, 1))?]],
            (Spread::To(partition), _) => vec![vec![request(Some(partition), (0, 1))?]],
            (Spread::Over(count), Payloads::WithoutKeys) => (0..count)
                .map(|partition| Ok(vec![request(Some(partition), (0, 1))?]))
                .collect::<Result<_>>()?,
            (Spread::Over(count), Payloads::Keyed) => {
                let share = |part| request(Some(part), (part, count));
                vec![(0..count).map(share).collect::<Result<_>>()?]
            }
        })
    }

    /// Connects; `turns` are what one batch takes, in turn, with so many batches in flight.
    pub(crate) fn connect(
        address: SocketAddr,
        turns: &[Vec<ProduceRequest>],
        in_flight: u8,
    ) -> Result<Self> {
        let frames = |requests: &Vec<ProduceRequest>| -> Result<Vec<Vec<Bytes>>> {
            let mut ids = 1..;
            let mut of_batch = || -> Result<Vec<Bytes>> {
                let with_id = requests.iter().zip(ids.by_ref());
                Ok(with_id
                    .map(|(request, id)| request_frame(id, request))
                    .collect::<Result<_, _>>()?)
            };
            (0..in_flight).map(|_| of_batch()).collect()
        };
        Ok(Self {
            socket: open(address)?,
            turns: turns.iter().map(frames).collect::<Result<_>>()?,
            turn: 0,
            missing: Vec::new(),
            body: Vec::new(),
        })
    }

    /// Sends the next batch, as that of this place among those in flight.
    fn send_batch(&mut self, place: usize) -> Result<()> {
        let turn = self.turns.get(self.turn).and_then(|turn| turn.get(place));
        let frames = turn.context("nothing to send")?;
        for frame in frames {
            self.socket.write(frame)?;
        }
        *self.missing.get_mut(place).context("no such batch")? = frames.len();
        self.turn = (self.turn + 1) % self.turns.len();
        Ok(())
    }

    /// Waits for an answer; the place of the batch that it completes, if it does.
    fn complete(&mut self) -> Result<Option<usize>> {
        let id = usize::from(answer(&mut self.socket, &mut self.body)?);
        let of_batch = self.turns[0][0].len();
        let place = id.wrapping_sub(1) / of_batch;
        let missing = self
            .missing
            .get_mut(place)
            .context("an answer to nothing")?;
        *missing = missing.saturating_sub(1);
        Ok((*missing == 0).then_some(place))
    }
}

impl OursProducer {
    /// Sends a batch without waiting; with one in flight.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.missing = vec![0];
        self.send_batch(0)
    }

    /// Waits until what was begun is acknowledged.
    pub(crate) fn finish(&mut self) -> Result<()> {
        while self.complete()?.is_none() {}
        Ok(())
    }
}

impl Producer for OursProducer {
    /// With several in flight: waits until one is acknowledged and sends another in its place.
    fn send(&mut self) -> Result<()> {
        let in_flight = self.turns.first().map_or(0, Vec::len);
        if in_flight == 1 {
            self.begin()?;
            return self.finish();
        }
        if self.missing.is_empty() {
            self.missing = vec![0; in_flight];
            for place in 0..in_flight {
                self.send_batch(place)?;
            }
        }
        loop {
            if let Some(place) = self.complete()? {
                return self.send_batch(place);
            }
        }
    }
}

/// Every `every`-th record of a batch, from `first` on.
fn builder(batch: Batch, payloads: Payloads, (first, every): (u32, u32)) -> Result<BatchBuilder> {
    let now = Timestamp::from_millis(1_700_000_000_000);
    let value = batch.value();
    let mut builder = BatchBuilder::new();
    for record in (first as usize..batch.records).step_by(every as usize) {
        let key = format!("key-{:08}", record.wrapping_mul(7919) % 1000);
        let key = (payloads == Payloads::Keyed).then_some(key.as_bytes());
        builder.push(key, Some(&value), now, [])?;
    }
    Ok(builder)
}

/// A reader that waits for the next record of a partition.
pub(crate) struct TailReader {
    consumer: OursConsumer,
    offset: u64,
}

impl TailReader {
    pub(crate) fn connect(address: SocketAddr, log: u32, offset: u64) -> Result<Self> {
        let consumer = OursConsumer {
            socket: open(address)?,
            log,
            body: Vec::new(),
        };
        Ok(Self { consumer, offset })
    }

    /// Asks for what comes next.
    pub(crate) fn ask(&mut self) -> Result<()> {
        self.consumer.ask(self.offset)
    }

    /// Waits until it is there.
    pub(crate) fn wait(&mut self) -> Result<()> {
        let next = self.consumer.came()?;
        if next <= self.offset {
            bail!("no record came in the time that a fetch waits");
        }
        self.offset = next;
        Ok(())
    }
}

pub(super) struct OursConsumer {
    socket: Socket,
    log: u32,
    body: Vec<u8>,
}

impl OursConsumer {
    /// Asks for records from this offset on.
    fn ask(&mut self, offset: u64) -> Result<()> {
        let mut request = FetchRequest::new(vec![FetchPartition {
            topic: TOPIC.to_owned(),
            topic_id: None,
            partition: PartitionId::new(self.log),
            offset: Offset::new(offset),
            max_bytes: None,
        }]);
        request.max_bytes = u32::try_from(FETCH_BYTES)?;
        request.form = FetchForm::Batch;
        Ok(self.socket.write(&request_frame(1, &request)?)?)
    }

    /// Takes the answer; where to read on.
    fn came(&mut self) -> Result<u64> {
        answer(&mut self.socket, &mut self.body)?;
        next_offset(&self.body)
    }
}

impl Consumer for OursConsumer {
    fn read(&mut self, records: u64) -> Result<()> {
        let mut offset = 0;
        while offset < records {
            self.ask(offset)?;
            let next = self.came()?;
            if next <= offset {
                bail!("the partition ends at {offset}, {records} were sent");
            }
            offset = next;
        }
        Ok(())
    }
}

/// The field of that name, which stands before the batches.
fn next_offset(body: &[u8]) -> Result<u64> {
    const NAME: &[u8] = b"\xABnext_offset";
    let head = &body[..body.len().min(512)];
    let at = head.windows(NAME.len()).position(|window| window == NAME);
    let number = at.and_then(|at| body.get(at + NAME.len()..));
    let refused = || anyhow!("the broker answers {}", String::from_utf8_lossy(head));
    match number.with_context(refused)? {
        [small @ 0..=0x7F, ..] => Ok(u64::from(*small)),
        [0xCC, a, ..] => Ok(u64::from(*a)),
        [0xCD, a, b, ..] => Ok(u64::from(u16::from_be_bytes([*a, *b]))),
        [0xCE, a, b, c, d, ..] => Ok(u64::from(u32::from_be_bytes([*a, *b, *c, *d]))),
        [0xCF, rest @ ..] if rest.len() >= 8 => Ok(u64::from_be_bytes(
            rest[..8].try_into().expect("eight bytes"),
        )),
        _ => Err(refused()),
    }
}
