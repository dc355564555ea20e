//! The client against a broker that answers anything: results of any content under the right id, or any
//! bytes at all. Every call ends, with an answer or an error.

use std::cell::OnceCell;
use std::time::Duration;

use broker_client::{Connection, ConnectionOptions};
use broker_model::BrokerId;
use broker_protocol::api::fetch::FetchRequest;
use broker_protocol::api::hello::{AnnouncedLimits, HelloResponse};
use broker_protocol::api::list_offsets::ListOffsetsRequest;
use broker_protocol::api::metadata::MetadataRequest;
use broker_protocol::{Decoded, Envelope, FrameDecoder, InvalidValue, Response, response_frame};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// Longer than any call takes here, so that one that hangs shows.
const PATIENCE: Duration = Duration::from_secs(3);

/// A result that is any MessagePack value, or none.
struct Raw(Vec<u8>);

impl Response for Raw {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(result: &Bytes) -> Result<Self, InvalidValue> {
        Ok(Self(result.to_vec()))
    }
}

/// The first byte says which answers are honest or framed; the rest is cut into answers at 0xc1, which
/// MessagePack never uses.
pub fn run(input: &[u8]) {
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    let Some((how, rest)) = input.split_first() else {
        return;
    };
    let answers: Vec<Vec<u8>> = rest
        .split(|byte| *byte == 0xc1)
        .map(<[u8]>::to_vec)
        .collect();
    RUNTIME.with(|runtime| {
        let runtime = runtime.get_or_init(|| {
            let built = Builder::new_current_thread().enable_all().build();
            built.expect("a runtime starts")
        });
        runtime.block_on(async {
            let both = meet(*how, answers);
            let met = tokio::time::timeout(PATIENCE, both).await;
            met.expect("every call ends");
        });
    });
}

async fn meet(how: u8, answers: Vec<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let broker = async {
        if let Ok((stream, _)) = listener.accept().await {
            // A client that is gone ends it.
            let _ = hostile(stream, how, answers).await;
        }
    };
    tokio::join!(broker, call(&address));
}

async fn call(address: &str) {
    let options = ConnectionOptions {
        connect_timeout: PATIENCE / 2,
        request_timeout: PATIENCE / 2,
        answer_bytes_max: 1 << 20,
        ..ConnectionOptions::default()
    };
    let Ok(connection) = Connection::connect(address, options).await else {
        return;
    };
    let metadata = MetadataRequest::default();
    let offsets = ListOffsetsRequest::default();
    let fetch = FetchRequest::new(Vec::new());
    for round in 0..2 {
        let _ = (round, connection.request(&metadata).await.map(drop));
        let _ = connection.request(&fetch).await.map(drop);
        let _ = connection.request(&offsets).await.map(drop);
    }
    connection.close();
}

async fn hostile(mut stream: TcpStream, how: u8, answers: Vec<Vec<u8>>) -> std::io::Result<()> {
    // Reset at the end: thousands of runs would use up the ports otherwise.
    stream.set_zero_linger()?;
    let (mut buffer, decoder) = (BytesMut::new(), FrameDecoder::after_hello());
    let mut answers = answers.into_iter();
    let mut place = 0;
    loop {
        let Ok(Decoded::Frame(body)) = decoder.decode(&mut buffer) else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let Ok(Envelope::Request { id, method, .. }) = Envelope::parse(&body) else {
            continue;
        };
        let is_framed = how & (1 << (place % 8)) == 0;
        place += 1;
        let answer = match method {
            "hello" if is_framed => response_frame(id, &hello()).to_vec(),
            _ => match answers.next() {
                None => return Ok(()),
                Some(answer) if is_framed => response_frame(id, &Raw(answer)).to_vec(),
                Some(answer) => {
                    // It may be half a frame or another's answer: nothing follows it.
                    stream.write_all(&answer).await?;
                    stream.shutdown().await?;
                    continue;
                }
            },
        };
        stream.write_all(&answer).await?;
    }
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
