//! NATS JetStream with file storage: a log is a stream, a batch is so many publications followed by
//! waiting for all their acknowledgements, a consumer is pushed to without acknowledgements of its own,
//! which is its quickest way. Version 2.9 syncs every two minutes: it offers class w alone.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{Batch, Class, Consumer, Place, Producer, System};
use crate::socket::Socket;

pub(super) struct Nats(pub(super) PathBuf);

impl System for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn program(&self) -> &Path {
        &self.0
    }

    fn offers(&self, class: Class) -> bool {
        class == Class::Written
    }

    fn command(&self, place: &Place<'_>) -> Result<Command> {
        let settings = place.folder.join("nats.conf");
        // Pushing must not take a reader for a slow one when the machine is busy.
        let text = format!(
            "host: 127.0.0.1\nport: {}\nmax_pending: 512MB\nwrite_deadline: \"30s\"\n\
             jetstream {{ store_dir: {:?}, max_mem: 64MB, max_file: 32GB }}\n",
            place.port, place.folder
        );
        fs::write(&settings, text)?;
        let mut command = Command::new(&self.0);
        command.arg("-c").arg(settings);
        Ok(command)
    }

    fn greet(&self, address: SocketAddr) -> Result<()> {
        Connection::open(address).map(|_| ())
    }

    fn make_logs(&self, address: SocketAddr, logs: u32, _: Class) -> Result<()> {
        let mut connection = Connection::open(address)?;
        for log in 0..logs {
            let name = format!("log-{log}");
            let settings = json!({
                "name": name, "subjects": [name], "storage": "file", "retention": "limits",
                "discard": "old", "num_replicas": 1, "max_consumers": -1, "max_msgs": -1,
                "max_bytes": -1, "max_age": 0, "max_msg_size": -1,
            });
            connection.ask(&format!("$JS.API.STREAM.CREATE.{name}"), &settings)?;
        }
        Ok(())
    }

    fn producer(&self, address: SocketAddr, log: u32, batch: Batch) -> Result<Box<dyn Producer>> {
        let connection = Connection::open(address)?;
        let head = format!(
            "PUB log-{log} {} {}\r\n",
            connection.inbox, batch.record_bytes
        );
        let mut record = head.into_bytes();
        record.extend_from_slice(&batch.value());
        record.extend_from_slice(b"\r\n");
        Ok(Box::new(NatsProducer {
            connection,
            request: record.repeat(batch.records),
            records: batch.records,
            is_checked: false,
        }))
    }

    fn consumer(&self, address: SocketAddr, log: u32, _: Batch) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(NatsConsumer { address, log }))
    }
}

/// A connection with a subject of its own for answers.
struct Connection {
    socket: Socket,
    inbox: String,
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let mut socket = Socket::connect(address)?;
        let greeting = socket.line()?;
        if !greeting.starts_with(b"INFO ") {
            bail!("nats greets with {:?}", String::from_utf8_lossy(greeting));
        }
        let greeting: Value = serde_json::from_slice(&greeting[5..])?;
        let inbox = format!("_INBOX.{}", greeting["client_id"]);
        let hello = r#"CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"raw","version":"1"}"#;
        socket.write(format!("{hello}\r\nSUB {inbox} 1\r\nPING\r\n").as_bytes())?;
        let answer = socket.line()?;
        if answer != b"PONG" {
            bail!("nats answers {:?}", String::from_utf8_lossy(answer));
        }
        Ok(Self { socket, inbox })
    }

    /// A request of JetStream's interface.
    fn ask(&mut self, subject: &str, question: &Value) -> Result<Value> {
        let text = question.to_string();
        let request = format!("PUB {subject} {} {}\r\n{text}\r\n", self.inbox, text.len());
        self.socket.write(request.as_bytes())?;
        let len = loop {
            if let Some(message) = self.message()? {
                break message;
            }
        };
        let mut answer = vec![0; len];
        self.socket.read_exact(&mut answer)?;
        self.socket.skip(2)?;
        let answer: Value = serde_json::from_slice(&answer)?;
        match answer.get("error") {
            Some(error) => bail!("nats refuses {subject}: {error}"),
            None => Ok(answer),
        }
    }

    /// The length of the message whose head comes next; nothing after a ping, which is answered.
    fn message(&mut self) -> Result<Option<usize>> {
        let line = self.socket.line()?;
        if line.starts_with(b"MSG ") || line.starts_with(b"HMSG ") {
            let last = line.rsplit(|byte| *byte == b' ').next();
            let digits = std::str::from_utf8(last.context("an empty line")?)?;
            return Ok(Some(digits.parse()?));
        }
        if line == b"PING" {
            self.socket.write(b"PONG\r\n")?;
        } else if line.starts_with(b"-ERR") {
            bail!("nats says {}", String::from_utf8_lossy(line));
        }
        Ok(None)
    }
}

struct NatsProducer {
    connection: Connection,
    request: Vec<u8>,
    records: usize,
    is_checked: bool,
}

impl Producer for NatsProducer {
    fn send(&mut self) -> Result<()> {
        let socket = &mut self.connection.socket;
        socket.write(&self.request)?;
        let mut left = self.records;
        if !self.is_checked {
            // The first answer is read, so that a refusal is not counted as an acknowledgement.
            let head = String::from_utf8_lossy(socket.line()?).into_owned();
            let answer: Value = serde_json::from_slice(socket.line()?)?;
            if answer.get("seq").is_none() || !head.starts_with("MSG") {
                bail!("nats refuses a record: {head} {answer}");
            }
            self.is_checked = true;
            left -= 1;
        }
        // An acknowledgement is two lines. Pings come every two minutes, later than any run lasts.
        socket.skip_lines(2 * left)?;
        Ok(())
    }
}

struct NatsConsumer {
    address: SocketAddr,
    log: u32,
}

impl Consumer for NatsConsumer {
    fn read(&mut self, records: u64) -> Result<()> {
        let mut connection = Connection::open(self.address)?;
        let target = format!("push.{}", connection.inbox);
        let subscribe = format!("SUB {target} 2\r\n");
        connection.socket.write(subscribe.as_bytes())?;
        let name = format!("log-{}", self.log);
        let question = json!({ "stream_name": name, "config": {
            "deliver_subject": target, "deliver_policy": "all", "ack_policy": "none",
            "replay_policy": "instant", "max_deliver": -1,
        }});
        let subject = format!("$JS.API.CONSUMER.CREATE.{name}");
        connection.subscribe_and_count(&subject, &question, records)?;
        connection.socket.close();
        Ok(())
    }
}

impl Connection {
    /// Starts a push consumer and reads its records. The answer may come between them.
    fn subscribe_and_count(&mut self, subject: &str, question: &Value, records: u64) -> Result<()> {
        let text = question.to_string();
        let request = format!("PUB {subject} {} {}\r\n{text}\r\n", self.inbox, text.len());
        self.socket.write(request.as_bytes())?;
        let is_answer = format!("MSG {} 1 ", self.inbox).into_bytes();
        let mut left = records;
        while left > 0 {
            let is_ours = self.socket.peek_line()?.starts_with(&is_answer);
            let Some(len) = self.message()? else {
                continue;
            };
            if is_ours {
                let mut answer = vec![0; len];
                self.socket.read_exact(&mut answer)?;
                self.socket.skip(2)?;
                let answer: Value = serde_json::from_slice(&answer)?;
                if let Some(error) = answer.get("error") {
                    bail!("nats makes no consumer: {error}");
                }
            } else {
                self.socket.skip(len + 2)?;
                left -= 1;
            }
        }
        Ok(())
    }
}
