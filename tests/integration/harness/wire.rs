//! `Wire`: one connection, spoken byte by byte over a plain socket. It can be as rude as a test wants,
//! and has the few polite calls that most tests need.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::record::{Fetched, Rec};
use super::value::{Value, map};
use super::waiting::{eventually, patience};

/// A connection.
pub(crate) struct Wire {
    socket: TcpStream,
    next_id: u64,
}

/// An error answer.
#[derive(Clone, Debug)]
pub(crate) struct WireError {
    pub(crate) code: u64,
    pub(crate) name: String,
    pub(crate) message: String,
    pub(crate) retriable: bool,
    pub(crate) definite: bool,
    pub(crate) data: Value,
}

impl WireError {
    #[track_caller]
    pub(crate) fn from_answer(error: &Value) -> Self {
        Self {
            code: error.get("code").u64(),
            name: error.get("name").text().to_owned(),
            message: error.get("message").text().to_owned(),
            retriable: error.get("retriable").bool(),
            definite: error.get("definite").bool(),
            data: error.get("data").clone(),
        }
    }
}

/// An answer that was read off the socket.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) id: Option<u64>,
    pub(crate) outcome: Result<Value, WireError>,
}

impl Wire {
    /// Connects and says nothing.
    pub(crate) fn open(address: &str) -> Self {
        let socket = TcpStream::connect(address).expect("the broker accepts connections");
        socket
            .set_read_timeout(Some(patience()))
            .expect("a time-out can be set");
        socket.set_nodelay(true).expect("TCP_NODELAY can be set");
        Self { socket, next_id: 1 }
    }

    /// Connects and says hello.
    pub(crate) fn connect(address: &str) -> Self {
        let mut wire = Self::open(address);
        wire.call("hello", map! { "client" => "integration-test" })
            .expect("hello is answered");
        wire
    }

    /// Any bytes at all.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket
            .write_all(bytes)
            .expect("the broker takes bytes");
    }

    /// Any bytes, whether or not the broker still listens.
    pub(crate) fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// A frame around any body.
    pub(crate) fn send_frame(&mut self, body: &[u8]) {
        let frame = frame(body);
        self.send_bytes(&frame);
    }

    /// Sends a request and returns its id.
    pub(crate) fn send(&mut self, method: &str, args: Value) -> u64 {
        self.try_send(method, args)
            .expect("the broker takes requests")
    }

    /// Sends a request, whether or not the broker is still there.
    pub(crate) fn try_send(&mut self, method: &str, args: Value) -> io::Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let request = Value::Array(vec![0.into(), id.into(), method.into(), args]);
        self.socket.write_all(&frame(&request.encode()))?;
        Ok(id)
    }

    /// Sends a notification, which nobody answers.
    pub(crate) fn notify(&mut self, method: &str, args: Value) {
        let notification = Value::Array(vec![2.into(), method.into(), args]);
        self.send_frame(&notification.encode());
    }

    /// The next answer, whichever request it is for; `None` when the broker has closed.
    pub(crate) fn try_receive(&mut self) -> io::Result<Option<Answer>> {
        let mut head = [0; 5];
        // Unlike `read_exact`, a single read ends when the process was held up.
        let begun = loop {
            match self.socket.read(&mut head[..1]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        match begun {
            0 => return Ok(None),
            _ => self.socket.read_exact(&mut head[1..])?,
        }
        let [marker, length @ ..] = head;
        assert_eq!(marker, 0xce, "a frame of the broker starts with 0xCE");
        let length = usize::try_from(u32::from_be_bytes(length)).expect("fits");
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body)?;
        let answer = Value::decode(&body).expect("the broker writes MessagePack");
        let [kind, id, error, result] = answer.list() else {
            panic!("no response: {answer:?}")
        };
        assert_eq!(*kind, Value::from(1), "the broker sends responses only");
        let outcome = if error.is_nil() {
            Ok(result.clone())
        } else {
            Err(WireError::from_answer(error))
        };
        let id = (!id.is_nil()).then(|| id.u64());
        Ok(Some(Answer { id, outcome }))
    }

    /// Whether anything has arrived that was not read yet.
    pub(crate) fn has_answer(&self) -> bool {
        let wait = |is_waiting: bool| {
            let set = self.socket.set_nonblocking(!is_waiting);
            set.expect("a socket can be told not to wait");
        };
        wait(false);
        let arrived = self.socket.peek(&mut [0]).is_ok();
        wait(true);
        arrived
    }

    #[track_caller]
    pub(crate) fn receive(&mut self) -> Answer {
        let answer = self.try_receive().expect("an answer can be read");
        answer.expect("the broker answers before it closes")
    }

    /// Asserts that the broker ends the connection without another word.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) {
        let mut byte = [0];
        match self.socket.read(&mut byte) {
            Ok(0) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            other => panic!("expected the end of the connection, got {other:?} {byte:?}"),
        }
    }

    /// Everything up to the end of the connection.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self.socket.read_to_end(&mut all) {
            Ok(_) => all,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => all,
            Err(error) => panic!("reading to the end: {error}"),
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish_sending(&mut self) {
        self.socket
            .shutdown(Shutdown::Write)
            .expect("the sending side can be closed");
    }

    /// One request, one answer; nothing else may be under way.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, args: Value) -> Result<Value, WireError> {
        let id = self.send(method, args);
        let answer = self.receive();
        assert_eq!(answer.id, Some(id), "{answer:?}");
        answer.outcome
    }

    /// A request that has to be refused.
    #[track_caller]
    pub(crate) fn refused(&mut self, method: &str, args: Value) -> WireError {
        let sent = format!("{args:?}");
        match self.call(method, args) {
            Err(error) => error,
            Ok(result) => panic!(
                "{method} {} was not refused: {result:?}",
                sent.get(..200).unwrap_or(&sent)
            ),
        }
    }

    /// Creates a topic and waits until its logs are open, which a disk under tests may take long for; `config`
    /// are overrides.
    #[track_caller]
    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        partitions: u32,
        config: &[(&str, &str)],
    ) -> Value {
        let made = self.begin_topic(name, partitions, config);
        if opens_late(&made) {
            self.wait_until_open(name, partitions);
        }
        made
    }

    /// Waits until none of so many partitions is one whose log is still being opened.
    #[track_caller]
    pub(crate) fn wait_until_open(&mut self, topic: &str, partitions: u32) {
        for partition in 0..partitions {
            let query = map! { "topic" => topic, "partition" => partition, "at" => "latest" };
            eventually("the log is open", || {
                let args = map! { "partitions" => vec![query.clone()] };
                let answer = self.call("list_offsets", args).ok()?;
                let error = format!("{:?}", answer.get("partitions").list()[0].get("error"));
                (!error.contains(TAKES_LONG)).then_some(())
            });
        }
    }

    /// Creates a topic and waits for no log that a disk takes long for.
    #[track_caller]
    pub(crate) fn begin_topic(
        &mut self,
        name: &str,
        partitions: u32,
        config: &[(&str, &str)],
    ) -> Value {
        let config = config
            .iter()
            .map(|(key, value)| (Value::from(*key), Value::from(*value)))
            .collect();
        let args =
            map! { "name" => name, "partitions" => partitions, "config" => Value::Map(config) };
        self.call("create_topic", args)
            .unwrap_or_else(|error| panic!("create_topic {name}: {error:?}"))
    }

    /// Appends to a partition and answers the base offset.
    #[track_caller]
    pub(crate) fn produce(
        &mut self,
        topic: &str,
        partition: u32,
        records: impl Into<Value>,
    ) -> u64 {
        let args = map! { "topic" => topic, "partition" => partition, "records" => records };
        let answer = self.call("produce", args);
        answer
            .unwrap_or_else(|error| panic!("produce to {topic}-{partition}: {error:?}"))
            .get("base_offset")
            .u64()
    }

    /// Makes a topic of one partition with far more in it than lies in sockets; answers what a fetch of all of it asks for.
    #[track_caller]
    pub(crate) fn create_large_topic(&mut self, name: &str) -> Value {
        self.create_topic(name, 1, &[]);
        for _ in 0..8 {
            let value = Value::Bin(vec![b'x'; 1_000_000]);
            let record = Value::Array(vec![Value::Nil, value]);
            self.produce(name, 0, vec![record]);
        }
        let all = map! { "topic" => name, "partition" => 0, "offset" => 0 };
        map! { "partitions" => vec![all], "max_bytes" => 16_000_000 }
    }

    /// Lets the partitioner choose; answers partition and offset of each record.
    #[track_caller]
    pub(crate) fn produce_routed(
        &mut self,
        topic: &str,
        records: impl Into<Value>,
    ) -> Vec<(u32, u64)> {
        let args = map! { "topic" => topic, "records" => records };
        let answer = self
            .call("produce", args)
            .unwrap_or_else(|error| panic!("produce to {topic}: {error:?}"));
        assert_eq!(answer.get("errors").list(), [], "{answer:?}");
        let partitions = answer.get("partitions").list().iter();
        let partitions = partitions.map(|partition| u32::try_from(partition.u64()).expect("fits"));
        partitions
            .zip(answer.get("offsets").list().iter().map(Value::u64))
            .collect()
    }

    /// One fetch of one partition; `more` are further arguments.
    #[track_caller]
    pub(crate) fn fetch(
        &mut self,
        topic: &str,
        partition: u32,
        offset: u64,
        more: Value,
    ) -> Result<Fetched, WireError> {
        let wanted = map! { "topic" => topic, "partition" => partition, "offset" => offset };
        let Value::Map(mut args) = more else {
            panic!("further arguments are a map")
        };
        args.push(("partitions".into(), vec![wanted].into()));
        let answer = self.call("fetch", Value::Map(args))?;
        let [only] = answer.get("partitions").list() else {
            panic!("one partition was asked for: {answer:?}")
        };
        match only.get("error") {
            Value::Nil => Ok(Fetched {
                answer: only.clone(),
            }),
            error => Err(WireError::from_answer(error)),
        }
    }

    /// Every record of a partition from an offset to the high watermark.
    #[track_caller]
    pub(crate) fn read_from(&mut self, topic: &str, partition: u32, offset: u64) -> Vec<Rec> {
        match self.read_until_error(topic, partition, offset) {
            (records, None) => records,
            (records, Some(error)) => panic!(
                "{topic}-{partition} after {} records: {error:?}",
                records.len()
            ),
        }
    }

    /// Every record from an offset up to the high watermark or the first error.
    #[track_caller]
    pub(crate) fn read_until_error(
        &mut self,
        topic: &str,
        partition: u32,
        mut offset: u64,
    ) -> (Vec<Rec>, Option<WireError>) {
        let mut all = Vec::new();
        loop {
            let fetched = match self.fetch(topic, partition, offset, map! { "max_wait_ms" => 0 }) {
                Ok(fetched) => fetched,
                Err(error) => return (all, Some(error)),
            };
            all.extend(fetched.records());
            let next = fetched.offset("next_offset");
            if next >= fetched.offset("high_watermark") {
                return (all, None);
            }
            assert!(
                next > offset,
                "a fetch below the high watermark goes on: {fetched:?}"
            );
            offset = next;
        }
    }

    /// Every record of a partition.
    #[track_caller]
    pub(crate) fn read_all(&mut self, topic: &str, partition: u32) -> Vec<Rec> {
        let start = self
            .offset_at(topic, partition, "earliest")
            .expect("a partition has a start");
        self.read_from(topic, partition, start)
    }

    /// `list_offsets` of one partition.
    #[track_caller]
    pub(crate) fn offset_at(
        &mut self,
        topic: &str,
        partition: u32,
        at: impl Into<Value>,
    ) -> Option<u64> {
        let query = map! { "topic" => topic, "partition" => partition, "at" => at };
        let answer = self.call("list_offsets", map! { "partitions" => vec![query] });
        let answer =
            answer.unwrap_or_else(|error| panic!("list_offsets {topic}-{partition}: {error:?}"));
        let only = &answer.get("partitions").list()[0];
        assert!(
            only.get("error").is_nil(),
            "list_offsets {topic}-{partition}: {only:?}"
        );
        let offset = only.get("offset");
        (!offset.is_nil()).then(|| offset.u64())
    }

    /// `describe_topic`.
    #[track_caller]
    pub(crate) fn describe_topic(&mut self, name: &str) -> Value {
        let answer = self.call("describe_topic", map! { "name" => name });
        answer.unwrap_or_else(|error| panic!("describe_topic {name}: {error:?}"))
    }
}

/// What is said of a disk at which a log is not open yet.
const TAKES_LONG: &str = "takes long to answer";

/// Whether what was made says that logs of it are not open yet.
pub(crate) fn opens_late(made: &Value) -> bool {
    format!("{:?}", made.get("warnings")).contains(TAKES_LONG)
}

/// A frame around any body.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a test sends no 4 GiB");
    [&[0xce][..], &length.to_be_bytes(), body].concat()
}
