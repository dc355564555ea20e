//! A peer that speaks just enough of the protocol to misbehave in a chosen way.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use broker_client::protocol::api::hello::HelloResponse;
use broker_client::protocol::api::metadata::{BrokerEndpoint, MetadataResponse};
use broker_client::protocol::{Decoded, Envelope, FrameDecoder, response_frame};
use bytes::BytesMut;

/// What it does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Behaviour {
    /// Answers `hello` and `metadata`.
    Answers,
    /// Reads a request of this method and closes the connection.
    HangsUpOn(&'static str),
}

/// A listening fake.
pub(crate) struct FakeBroker {
    pub(crate) address: String,
}

impl FakeBroker {
    /// Listens until the process ends.
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                std::thread::spawn(move || serve(socket, behaviour, address.port()));
            }
        });
        Self {
            address: address.to_string(),
        }
    }
}

fn serve(mut socket: TcpStream, behaviour: Behaviour, port: u16) {
    let decoder = FrameDecoder::after_hello();
    let mut received = BytesMut::new();
    let mut buffer = [0; 4096];
    loop {
        while let Ok(Decoded::Frame(body)) = decoder.decode(&mut received) {
            let Ok(Envelope::Request { id, method, .. }) = Envelope::parse(&body) else {
                return;
            };
            let answer = match (behaviour, method) {
                (Behaviour::HangsUpOn(fatal), method) if fatal == method => return,
                (_, "hello") => response_frame(id, &hello()),
                (_, "metadata") => response_frame(id, &metadata(port)),
                _ => return,
            };
            if socket.write_all(&answer).is_err() {
                return;
            }
        }
        match socket.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => received.extend_from_slice(&buffer[..read]),
        }
    }
}

fn hello() -> HelloResponse {
    HelloResponse {
        protocol: 1,
        broker_version: "fake".to_owned(),
        cluster_id: "fake".to_owned(),
        broker_id: Default::default(),
        features: Vec::new(),
        codecs: Vec::new(),
        limits: Default::default(),
    }
}

fn metadata(port: u16) -> MetadataResponse {
    MetadataResponse {
        cluster_id: "fake".to_owned(),
        controller_id: None,
        brokers: vec![BrokerEndpoint {
            broker_id: Default::default(),
            host: "127.0.0.1".to_owned(),
            port,
        }],
        topics: Vec::new(),
    }
}
