//! Arguments of `produce`. Decoded by hand, so that `records` and `body` stay slices of the frame;
//! when they come last in the map, they are not even walked here. All else is, from the first byte to the last.

use broker_model::{PartitionId, Timestamp, TopicId};
use bytes::Bytes;

use super::ProduceResponse;
use crate::call::{InvalidValue, Request};
use crate::envelope;
use crate::frame::{FRAME_HEADER_LEN, FrameTooLarge, frame_header};
use crate::method::Method;
use crate::reader::{Kind, Reader};
use crate::writer::MapWriter;

/// Arguments of `produce`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceRequest {
    /// The topic.
    pub topic: String,
    /// Its id, if the client knows it; checked when given.
    pub topic_id: Option<TopicId>,
    /// The partition; missing means that the topic's partitioner chooses one for each record.
    pub partition: Option<PartitionId>,
    /// When to answer. Default all.
    pub acks: Acks,
    /// How long the answer may take, in milliseconds. Default 30,000.
    pub timeout_ms: u32,
    /// Timestamp of records without one of their own; missing means the broker's clock.
    pub timestamp_ms: Option<Timestamp>,
    /// Whether keys and values of the records are MessagePack values that the topic's serializers turn
    /// into bytes; goes with [`Payload::Plain`] alone. Default false.
    pub encode: bool,
    /// What becomes of a batch of which a serializer refuses records. Default refuse.
    pub partial: Partial,
    /// The records.
    pub payload: Payload,
}

/// What becomes of a batch of which a serializer refuses records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partial {
    /// Nothing of it is stored.
    #[default]
    Refuse,
    /// The other records are stored.
    Accept,
}

impl Partial {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Accept => "accept",
        }
    }

    /// Reads the name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "refuse" => Some(Self::Refuse),
            "accept" => Some(Self::Accept),
            _ => None,
        }
    }
}

/// When a produce request is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// At once when the broker has accepted it; the answer has no offsets.
    None,
    /// When the leader has appended it (and synced it, with `flush.mode = sync`).
    Leader,
    /// When all in-sync replicas have it: it survives the loss of the leader.
    #[default]
    All,
}

impl Acks {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Leader => "leader",
            Self::All => "all",
        }
    }

    /// Reads the name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "leader" => Some(Self::Leader),
            "all" => Some(Self::All),
            _ => None,
        }
    }
}

/// The records of a produce request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// `records`: a MessagePack array of records, not checked yet beyond being an array.
    Plain(Bytes),
    /// `body` and what is said about it, not checked yet.
    Opaque(OpaqueBody),
}

/// A batch body encoded by the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpaqueBody {
    /// The array of records, compressed as a whole unless the codec is `none`.
    pub body: Bytes,
    /// Name of the codec, known or not. Default `none`.
    pub codec: String,
    /// Number of records.
    pub record_count: u32,
    /// Timestamp of records without one of their own.
    pub base_timestamp_ms: Timestamp,
    /// The largest timestamp among the records.
    pub max_timestamp_ms: Timestamp,
    /// CRC-32 of `body`.
    pub crc: u32,
    /// Identity of an idempotent producer.
    pub producer: Option<ProducerFields>,
}

/// Identity and sequence of an idempotent producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerFields {
    /// Id given by the cluster.
    pub id: i64,
    /// Epoch given with it.
    pub epoch: i16,
    /// Sequence of the first record.
    pub base_sequence: i32,
}

/// Fields stand in the map of the arguments, and that in the envelope.
const LEVELS_AROUND: usize = 2;

/// Default of `timeout_ms`.
pub(crate) const TIMEOUT_MS_DEFAULT: u32 = 30_000;

impl ProduceRequest {
    /// A request with default settings: routed by the partitioner, acknowledged by all replicas.
    pub fn new(topic: impl Into<String>, payload: Payload) -> Self {
        Self {
            topic: topic.into(),
            topic_id: None,
            partition: None,
            acks: Acks::default(),
            timeout_ms: TIMEOUT_MS_DEFAULT,
            timestamp_ms: None,
            encode: false,
            partial: Partial::default(),
            payload,
        }
    }

    /// A whole request frame in two pieces, so that the records need not be copied.
    ///
    /// # Errors
    /// When it is larger than a frame may be.
    pub fn request_frame_parts(&self, id: u64) -> Result<[Bytes; 2], FrameTooLarge> {
        self.frame_parts(|out| envelope::request_prefix(id, Method::Produce.name(), out))
    }

    /// A whole notification frame in two pieces; only sensible with [`Acks::None`].
    ///
    /// # Errors
    /// When it is larger than a frame may be.
    pub fn notification_frame_parts(&self) -> Result<[Bytes; 2], FrameTooLarge> {
        self.frame_parts(|out| envelope::notification_prefix(Method::Produce.name(), out))
    }

    fn frame_parts(&self, prefix: impl FnOnce(&mut Vec<u8>)) -> Result<[Bytes; 2], FrameTooLarge> {
        let mut head = vec![0; FRAME_HEADER_LEN];
        prefix(&mut head);
        self.encode_head(&mut head);
        let tail = self.payload_bytes().clone();
        let header = frame_header((head.len() - FRAME_HEADER_LEN + tail.len()) as u64)?;
        if let Some(room) = head.first_chunk_mut() {
            *room = header;
        }
        Ok([head.into(), tail])
    }

    fn payload_bytes(&self) -> &Bytes {
        match &self.payload {
            Payload::Plain(records) => records,
            Payload::Opaque(opaque) => &opaque.body,
        }
    }

    /// Everything up to the payload's bytes, which come last.
    fn encode_head(&self, out: &mut Vec<u8>) {
        let mut map = MapWriter::new(out);
        map.text("topic", &self.topic);
        if let Some(topic_id) = self.topic_id {
            map.text("topic_id", &topic_id.to_string());
        }
        if let Some(partition) = self.partition {
            map.unsigned("partition", u64::from(partition.get()));
        }
        map.text("acks", self.acks.name());
        map.unsigned("timeout_ms", u64::from(self.timeout_ms));
        if let Some(timestamp) = self.timestamp_ms {
            map.signed("timestamp_ms", timestamp.as_millis());
        }
        if self.encode {
            map.bool("encode", true);
        }
        if self.partial != Partial::default() {
            map.text("partial", self.partial.name());
        }
        match &self.payload {
            Payload::Plain(_) => map.key("records"),
            Payload::Opaque(opaque) => {
                map.text("codec", &opaque.codec);
                map.unsigned("record_count", u64::from(opaque.record_count));
                map.signed("base_timestamp_ms", opaque.base_timestamp_ms.as_millis());
                map.signed("max_timestamp_ms", opaque.max_timestamp_ms.as_millis());
                map.unsigned("crc", u64::from(opaque.crc));
                if let Some(producer) = opaque.producer {
                    map.key("producer");
                    let mut inner = map.nested();
                    inner.signed("id", producer.id);
                    inner.signed("epoch", i64::from(producer.epoch));
                    inner.signed("base_sequence", i64::from(producer.base_sequence));
                    inner.finish();
                }
                map.key("body");
                map.bin_len(opaque.body.len());
            }
        }
        map.finish();
    }
}

impl Request for ProduceRequest {
    const METHOD: Method = Method::Produce;
    type Response = ProduceResponse;

    fn encode(&self, out: &mut Vec<u8>) {
        self.encode_head(out);
        out.extend_from_slice(self.payload_bytes());
    }

    fn decode(args: &Bytes) -> Result<Self, InvalidValue> {
        let mut fields = Fields::default();
        let mut reader = Reader::new(args);
        let mut left = reader.read_map_len()?;
        while left > 0 {
            left -= 1;
            let key = reader.read_key_bytes()?;
            if reader.take_nil()? {
                continue;
            }
            fields
                .read(key, &mut reader, left == 0)
                .map_err(|invalid| invalid.inside(&String::from_utf8_lossy(key)))?;
        }
        if !reader.read_rest().is_empty() {
            return Err(InvalidValue::new("bytes follow the arguments"));
        }
        fields.into_request(args)
    }
}

/// What was found in the map so far.
#[derive(Default)]
struct Fields<'a> {
    topic: Option<&'a str>,
    topic_id: Option<TopicId>,
    partition: Option<u32>,
    acks: Option<Acks>,
    timeout_ms: Option<u32>,
    timestamp_ms: Option<i64>,
    encode: Option<bool>,
    partial: Option<Partial>,
    records: Option<&'a [u8]>,
    body: Option<&'a [u8]>,
    codec: Option<&'a str>,
    record_count: Option<u32>,
    base_timestamp_ms: Option<i64>,
    max_timestamp_ms: Option<i64>,
    crc: Option<u32>,
    producer: Option<ProducerFields>,
}

impl<'a> Fields<'a> {
    fn read(
        &mut self,
        key: &[u8],
        reader: &mut Reader<'a>,
        is_last: bool,
    ) -> Result<(), InvalidValue> {
        match key {
            b"topic" => put(&mut self.topic, reader.read_str()?),
            b"topic_id" => put(&mut self.topic_id, read_topic_id(reader)?),
            b"partition" => put(
                &mut self.partition,
                reader.read_number("a partition number")?,
            ),
            b"acks" => put(&mut self.acks, read_acks(reader)?),
            b"timeout_ms" => put(&mut self.timeout_ms, reader.read_number("milliseconds")?),
            b"timestamp_ms" => put(&mut self.timestamp_ms, reader.read_number("a timestamp")?),
            b"encode" => put(&mut self.encode, reader.read_bool()?),
            b"partial" => put(&mut self.partial, read_partial(reader)?),
            b"records" if reader.kind()? != Kind::Array => {
                Err(reader.unexpected("an array of records"))
            }
            b"records" if is_last => put(&mut self.records, reader.read_rest()),
            b"records" => put(&mut self.records, reader.read_raw()?),
            b"body" => put(&mut self.body, reader.read_bytes()?),
            b"codec" => put(&mut self.codec, reader.read_str()?),
            b"record_count" => put(&mut self.record_count, reader.read_number("a count")?),
            b"base_timestamp_ms" => put(
                &mut self.base_timestamp_ms,
                reader.read_number("a timestamp")?,
            ),
            b"max_timestamp_ms" => put(
                &mut self.max_timestamp_ms,
                reader.read_number("a timestamp")?,
            ),
            b"crc" => put(&mut self.crc, reader.read_number("a 32-bit checksum")?),
            b"producer" => put(&mut self.producer, read_producer(reader)?),
            _ => reader.skip_inside(LEVELS_AROUND),
        }
    }

    fn into_request(self, args: &Bytes) -> Result<ProduceRequest, InvalidValue> {
        let payload = match (self.records, self.body) {
            (Some(_), None) if self.producer.is_some() => {
                return Err(InvalidValue::new(
                    "`producer` goes with `body`, not with `records`",
                ));
            }
            (None, Some(_)) if self.encode == Some(true) => {
                return Err(InvalidValue::new(
                    "`encode` goes with `records`, not with `body`",
                ));
            }
            (Some(records), None) => Payload::Plain(args.slice_ref(records)),
            (None, Some(body)) => Payload::Opaque(OpaqueBody {
                body: args.slice_ref(body),
                codec: self.codec.unwrap_or("none").to_owned(),
                record_count: required(self.record_count, "record_count")?,
                base_timestamp_ms: timestamp(self.base_timestamp_ms, "base_timestamp_ms")?,
                max_timestamp_ms: timestamp(self.max_timestamp_ms, "max_timestamp_ms")?,
                crc: required(self.crc, "crc")?,
                producer: self.producer,
            }),
            (Some(_), Some(_)) => {
                return Err(InvalidValue::new(
                    "give either `records` or `body`, not both",
                ));
            }
            (None, None) => {
                return Err(InvalidValue::new("missing field `records` (or `body`)"));
            }
        };
        Ok(ProduceRequest {
            topic: required(self.topic, "topic")?.to_owned(),
            topic_id: self.topic_id,
            partition: self.partition.map(PartitionId::new),
            acks: self.acks.unwrap_or_default(),
            timeout_ms: self.timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT),
            timestamp_ms: self.timestamp_ms.map(Timestamp::from_millis),
            encode: self.encode.unwrap_or_default(),
            partial: self.partial.unwrap_or_default(),
            payload,
        })
    }
}

fn put<T>(slot: &mut Option<T>, value: T) -> Result<(), InvalidValue> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(InvalidValue::new("the key is given twice")),
    }
}

fn required<T>(value: Option<T>, name: &str) -> Result<T, InvalidValue> {
    value.ok_or_else(|| InvalidValue::new(format!("missing field `{name}`")))
}

fn timestamp(millis: Option<i64>, name: &str) -> Result<Timestamp, InvalidValue> {
    required(millis, name).map(Timestamp::from_millis)
}

pub(crate) fn read_topic_id(reader: &mut Reader<'_>) -> Result<TopicId, InvalidValue> {
    let text = reader.read_str()?;
    text.parse()
        .map_err(|_| InvalidValue::new(format!("{text:?} is not a UUID")))
}

fn read_acks(reader: &mut Reader<'_>) -> Result<Acks, InvalidValue> {
    let name = reader.read_str()?;
    Acks::from_name(name).ok_or_else(|| {
        InvalidValue::new(format!("{name:?} is none of \"none\", \"leader\", \"all\""))
    })
}

fn read_partial(reader: &mut Reader<'_>) -> Result<Partial, InvalidValue> {
    let name = reader.read_str()?;
    Partial::from_name(name)
        .ok_or_else(|| InvalidValue::new(format!("{name:?} is none of \"refuse\", \"accept\"")))
}

fn read_producer(reader: &mut Reader<'_>) -> Result<ProducerFields, InvalidValue> {
    let (mut id, mut epoch, mut base_sequence) = (None, None, None);
    for _ in 0..reader.read_map_len()? {
        match reader.read_str()? {
            "id" => id = Some(reader.read_number("a producer id")?),
            "epoch" => epoch = Some(reader.read_number("a producer epoch")?),
            "base_sequence" => base_sequence = Some(reader.read_number("a sequence number")?),
            _ => reader.skip_inside(LEVELS_AROUND + 1)?,
        }
    }
    Ok(ProducerFields {
        id: required(id, "id")?,
        epoch: required(epoch, "epoch")?,
        base_sequence: required(base_sequence, "base_sequence")?,
    })
}
