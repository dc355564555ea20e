//! The Rust consumer against a broker that answers its fetches with anything: batches that are fine at any offset,
//! batches whose checksums fit whatever is in them, plain bytes, errors. It goes on or says why not, and never
//! stands still.

use std::cell::OnceCell;
use std::time::Duration;

use broker_client::{Client, ClientOptions, Consumer};
use broker_model::{
    BrokerId, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId, TopicName, TopicPartition,
};
use broker_protocol::api::fetch::{FetchResponse, FetchedData, FetchedPartition};
use broker_protocol::api::hello::{AnnouncedLimits, HelloResponse};
use broker_protocol::api::list_offsets::{ListOffsetsResponse, OffsetAnswer};
use broker_protocol::api::metadata::{
    BrokerEndpoint, MetadataResponse, PartitionMetadata, TopicMetadata,
};
use broker_protocol::{
    Decoded, Envelope, ErrorCode, FrameDecoder, Response, WireError, response_frame,
};
use broker_record::{BatchBuilder, BatchHeader, Codec, LogMark, ProducedBatch, Validation};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

const TOPIC: &str = "t";
/// Longer than anything takes here, so that what stands still shows.
const PATIENCE: Duration = Duration::from_secs(4);
/// Fetches that are answered in a run.
const ANSWERS_MAX: usize = 12;
/// More than all answers hold.
const ITEMS_MAX: u64 = 4_000;

/// Answers to fetches, each ended by 0xc1. The first byte of one chooses its kind.
pub fn run(input: &[u8]) {
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    let answers = input.split(|byte| *byte == 0xc1).take(ANSWERS_MAX);
    let answers: Vec<FetchedPartition> = answers.filter_map(answer).collect();
    RUNTIME.with(|runtime| {
        let runtime = runtime.get_or_init(|| {
            let built = Builder::new_current_thread().enable_all().build();
            built.expect("a runtime starts")
        });
        let met = runtime.block_on(async { tokio::time::timeout(PATIENCE, meet(answers)).await });
        met.expect("every answer is taken");
    });
}

/// A kind, the offset of a batch, where to read on, and what is in it.
fn answer(bytes: &[u8]) -> Option<FetchedPartition> {
    let (&[kind, base, next], content) = bytes.split_first_chunk()?;
    let mut answer = FetchedPartition {
        topic: TOPIC.to_owned(),
        partition: PartitionId::new(0),
        error: None,
        log_start: Offset::ZERO,
        high_watermark: Offset::new(u64::from(next)),
        log_end: Offset::new(u64::from(next)),
        next_offset: Offset::new(u64::from(next)),
        data: FetchedData::Batch(Bytes::new()),
    };
    answer.data = FetchedData::Batch(match kind % 4 {
        0 => content.to_vec().into(),
        1 => any_batch(base, content),
        2 => good_batch(base, content),
        _ => {
            let codes = [
                ErrorCode::OffsetOutOfRange,
                ErrorCode::CorruptLog,
                ErrorCode::PartitionOffline,
            ];
            let code = codes.get(usize::from(base) % codes.len())?;
            answer.error = Some(WireError::new(*code, "as you wish"));
            Bytes::new()
        }
    });
    // Nobody asked for this one.
    if kind & 0x80 != 0 {
        answer.partition = PartitionId::new(u32::from(base));
    }
    Some(answer)
}

/// A record for each byte.
fn good_batch(base: u8, content: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for byte in content.iter().take(50) {
        let pushed = builder.push(None, Some(&[*byte]), Timestamp::from_millis(7), []);
        pushed.expect("a small record");
    }
    let built = builder.build(Codec::None);
    let produced =
        built.map(|(body, claims)| ProducedBatch::opaque(body, claims, Validation::Full));
    match produced {
        Ok(Ok(mut batch)) => {
            batch.header.base_offset = Offset::new(u64::from(base));
            [&batch.header.encode()[..], &batch.body].concat().into()
        }
        // Nothing to build one of.
        _ => Bytes::new(),
    }
}

/// Checksums that fit, over any body.
fn any_batch(base: u8, content: &[u8]) -> Bytes {
    let (counts, body) = content.split_at(content.len().min(2));
    let count = |at: usize| counts.get(at).copied().unwrap_or_default();
    let header = BatchHeader {
        base_offset: Offset::new(u64::from(base)),
        leader_epoch: LeaderEpoch::new(1),
        codec: Codec::None,
        timestamp_type: broker_record::TimestampType::CreateTime,
        record_count: u32::from(count(0)),
        last_offset_delta: u32::from(count(1)),
        base_timestamp: Timestamp::from_millis(7),
        max_timestamp: Timestamp::from_millis(7),
        producer: None,
        log_mark: LogMark::of_hash(7),
        body_len: u32::try_from(body.len()).unwrap_or_default(),
        body_crc: crc32fast::hash(body),
    };
    [&header.encode()[..], body].concat().into()
}

async fn meet(answers: Vec<FetchedPartition>) {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a port");
    let address = listener.local_addr().expect("it is bound");
    let (bootstrap, port) = (address.to_string(), address.port());
    let broker = async {
        let mut answers = answers.into_iter();
        while let Ok((stream, _)) = listener.accept().await {
            // A client that is gone comes again.
            if let Ok(true) = serve(stream, port, &mut answers).await {
                return;
            }
        }
    };
    tokio::select! {
        () = broker => {}
        () = consume(&bootstrap) => {}
    }
}

/// Reads until there are no more answers; what goes wrong is told and passes, or ends it.
async fn consume(address: &str) {
    let mut options = ClientOptions::new(address).expect("an address");
    options.connection.answer_bytes_max = 1 << 20;
    options.backoff.min = Duration::from_millis(1);
    options.backoff.max = Duration::from_millis(2);
    let client = Client::with_options(options).await;
    let client = client.expect("the first answers are honest");
    let built = Consumer::builder(&client).topic(TOPIC).build().await;
    let mut consumer = built.expect("the first answers are honest");
    let topic = TopicName::new(TOPIC).expect("a good name");
    let partition = TopicPartition::new(topic, PartitionId::new(0));
    let mut items = 0;
    while let Some(item) = consumer.next().await {
        items += 1;
        assert!(items <= ITEMS_MAX, "an answer has no end");
        if item.is_err() {
            // Some errors wait for this.
            let sought = consumer.seek(&partition, Offset::new(items));
            sought.expect("it is read");
        }
    }
}

/// Answers honestly but for fetches; whether those are at their end.
async fn serve(
    mut stream: TcpStream,
    port: u16,
    answers: &mut impl Iterator<Item = FetchedPartition>,
) -> std::io::Result<bool> {
    stream.set_zero_linger()?;
    let (mut buffer, decoder) = (BytesMut::new(), FrameDecoder::after_hello());
    loop {
        let Ok(Decoded::Frame(body)) = decoder.decode(&mut buffer) else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(false);
            }
            continue;
        };
        let Ok(Envelope::Request { id, method, .. }) = Envelope::parse(&body) else {
            continue;
        };
        let frame = match method {
            "hello" => framed(id, &hello()),
            "metadata" => framed(id, &metadata(port)),
            "list_offsets" => framed(id, &offsets()),
            _ => match answers.next() {
                None => return Ok(true),
                Some(answer) => {
                    let partitions = vec![answer];
                    framed(id, &FetchResponse { partitions })
                }
            },
        };
        stream.write_all(&frame).await?;
    }
}

fn framed(id: u64, response: &impl Response) -> Vec<u8> {
    response_frame(id, response).to_vec()
}

fn hello() -> HelloResponse {
    HelloResponse {
        protocol: 1,
        broker_version: String::new(),
        cluster_id: String::new(),
        broker_id: BrokerId::new(1),
        features: Vec::new(),
        codecs: Vec::new(),
        limits: AnnouncedLimits::default(),
    }
}

fn metadata(port: u16) -> MetadataResponse {
    let leader = BrokerId::new(1);
    MetadataResponse {
        brokers: vec![BrokerEndpoint {
            broker_id: leader,
            host: "127.0.0.1".to_owned(),
            port,
        }],
        topics: vec![TopicMetadata {
            name: TOPIC.to_owned(),
            topic_id: Some(TopicId::from_bytes(*b"a topic for fuzz")),
            internal: false,
            error: None,
            partitions: vec![PartitionMetadata {
                partition: PartitionId::new(0),
                leader: Some(leader),
                leader_epoch: LeaderEpoch::new(1),
                replicas: vec![leader],
                isr: vec![leader],
                error: None,
            }],
        }],
        ..MetadataResponse::default()
    }
}

fn offsets() -> ListOffsetsResponse {
    ListOffsetsResponse {
        partitions: vec![OffsetAnswer {
            topic: TOPIC.to_owned(),
            offset: Some(Offset::ZERO),
            ..OffsetAnswer::default()
        }],
    }
}
