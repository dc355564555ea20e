//! The broker: a log is a partition, a batch is one `produce` with an encoded body, a consumer fetches
//! stored batches a MiB at a time. Class w is `flush.mode = async`, class f is `sync`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};
use broker_client::model::{Offset, PartitionId, Timestamp};
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
        let frame = OursProducer::encoded(log, batch)?;
        Ok(Box::new(OursProducer::connect(address, frame, 1)?))
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

/// A plain list of records, for a partition or for the partitioner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoutedBatch {
    pub(crate) batch: Batch,
    pub(crate) payloads: Payloads,
    /// `None` leaves it to the partitioner.
    pub(crate) partition: Option<u32>,
}

/// A producer with one request in flight, or several.
pub(crate) struct OursProducer {
    socket: Socket,
    /// By id, which is the place in here and one more.
    frames: Vec<Bytes>,
    body: Vec<u8>,
    is_full: bool,
}

impl OursProducer {
    /// Encodes a batch as fast clients do: a body with its checksum, to a partition.
    pub(crate) fn encoded(log: u32, batch: Batch) -> Result<ProduceRequest> {
        let (body, claims) = builder(batch, Payloads::WithoutKeys)?.build(Codec::None)?;
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

    /// Encodes a plain list of records.
    pub(crate) fn plain(routed: RoutedBatch) -> Result<ProduceRequest> {
        let (records, _) = builder(routed.batch, routed.payloads)?.build(Codec::None)?;
        let mut request = ProduceRequest::new(TOPIC, Payload::Plain(records));
        request.partition = routed.partition.map(PartitionId::new);
        Ok(request)
    }

    /// Connects; at most 100 in flight.
    pub(crate) fn connect(
        address: SocketAddr,
        request: ProduceRequest,
        in_flight: u8,
    ) -> Result<Self> {
        let frames = (1..=in_flight).map(|id| request_frame(u64::from(id), &request));
        Ok(Self {
            socket: open(address)?,
            frames: frames.collect::<Result<_, _>>()?,
            body: Vec::new(),
            is_full: false,
        })
    }
}

impl OursProducer {
    /// Sends the request without waiting; with one in flight.
    pub(crate) fn begin(&mut self) -> Result<()> {
        let frame = self.frames.first().context("nothing to send")?;
        Ok(self.socket.write(frame)?)
    }

    /// Waits for the answer to what was begun.
    pub(crate) fn finish(&mut self) -> Result<()> {
        answer(&mut self.socket, &mut self.body).map(|_| ())
    }
}

impl Producer for OursProducer {
    /// With several in flight: waits for one answer and sends that request again.
    fn send(&mut self) -> Result<()> {
        if !self.is_full {
            self.is_full = self.frames.len() > 1;
            for frame in &self.frames {
                self.socket.write(frame)?;
            }
        }
        let id = answer(&mut self.socket, &mut self.body)?;
        if self.is_full {
            let frame = self.frames.get(usize::from(id).wrapping_sub(1));
            self.socket.write(frame.context("an answer to nothing")?)?;
        }
        Ok(())
    }
}

fn builder(batch: Batch, payloads: Payloads) -> Result<BatchBuilder> {
    let now = Timestamp::from_millis(1_700_000_000_000);
    let value = batch.value();
    let mut builder = BatchBuilder::new();
    for record in 0..batch.records {
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
