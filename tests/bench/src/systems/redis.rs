//! Redis Streams: a log is a stream, a batch is so many pipelined XADD, a consumer pages with XRANGE.
//! Class w is `appendfsync everysec`, class f is `always`. The rewriting of its file is switched off,
//! which only helps it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Batch, Class, Consumer, FETCH_BYTES, Place, Producer, System};
use crate::socket::Socket;

pub(super) struct Redis(pub(super) PathBuf);

impl System for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn program(&self) -> &Path {
        &self.0
    }

    fn offers(&self, _: Class) -> bool {
        true
    }

    fn command(&self, place: &Place<'_>) -> Result<Command> {
        let mut command = Command::new(&self.0);
        let fsync = match place.class {
            Class::Written => "everysec",
            Class::Synced => "always",
        };
        command.args(["--port", &place.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--daemonize", "no", "--save", "", "--appendonly", "yes"]);
        command.args(["--appendfsync", fsync, "--auto-aof-rewrite-percentage", "0"]);
        command.arg("--dir").arg(place.folder);
        Ok(command)
    }

    fn greet(&self, address: SocketAddr) -> Result<()> {
        let mut socket = Socket::connect(address)?;
        socket.write(b"PING\r\n")?;
        let answer = socket.line()?;
        ensure!(answer == b"+PONG", "redis is not ready");
        Ok(())
    }

    fn make_logs(&self, _: SocketAddr, _: u32, _: Class) -> Result<()> {
        // The first XADD makes a stream.
        Ok(())
    }

    fn producer(&self, address: SocketAddr, log: u32, batch: Batch) -> Result<Box<dyn Producer>> {
        let value = batch.value();
        let mut request = Vec::new();
        for _ in 0..batch.records {
            command(&mut request, &[b"XADD", &name(log), b"*", b"v", &value]);
        }
        let mut socket = Socket::connect(address)?;
        let mut first = Vec::new();
        command(&mut first, &[b"XLEN", &name(log)]);
        socket.write(&first)?;
        ensure!(socket.line()?.starts_with(b":"), "redis refuses XLEN");
        Ok(Box::new(RedisProducer {
            socket,
            request,
            records: batch.records,
        }))
    }

    fn consumer(&self, address: SocketAddr, log: u32, batch: Batch) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(RedisConsumer {
            socket: Socket::connect(address)?,
            name: name(log),
            count: (FETCH_BYTES / batch.record_bytes).to_string(),
        }))
    }
}

fn name(log: u32) -> Vec<u8> {
    format!("log-{log}").into_bytes()
}

fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

struct RedisProducer {
    socket: Socket,
    request: Vec<u8>,
    records: usize,
}

impl Producer for RedisProducer {
    fn send(&mut self) -> Result<()> {
        self.socket.write(&self.request)?;
        if self.socket.peek()?.first() != Some(&b'$') {
            let line = String::from_utf8_lossy(self.socket.line()?).into_owned();
            bail!("redis refuses a record: {line}");
        }
        // Each id is two lines: its length, and itself.
        self.socket.skip_lines(2 * self.records)?;
        Ok(())
    }
}

struct RedisConsumer {
    socket: Socket,
    name: Vec<u8>,
    count: String,
}

impl Consumer for RedisConsumer {
    fn read(&mut self, records: u64) -> Result<()> {
        let (mut left, mut from) = (records, b"-".to_vec());
        while left > 0 {
            let mut request = Vec::new();
            let count = self.count.as_bytes();
            command(
                &mut request,
                &[b"XRANGE", &self.name, &from, b"+", b"COUNT", count],
            );
            self.socket.write(&request)?;
            let came = number(self.socket.line()?, b'*')?;
            ensure!(came > 0, "the stream ends {left} records early");
            for _ in 0..came {
                self.entry(&mut from)?;
            }
            left = left.saturating_sub(came as u64);
        }
        Ok(())
    }
}

impl RedisConsumer {
    /// `*2 $n id *2 $1 v $n value`; the id becomes the next place to read from, itself left out.
    fn entry(&mut self, from: &mut Vec<u8>) -> Result<()> {
        self.socket.skip_lines(2)?;
        from.clear();
        from.push(b'(');
        from.extend_from_slice(self.socket.line()?);
        self.socket.skip_lines(3)?;
        let len = number(self.socket.line()?, b'$')?;
        self.socket.skip(len + 2)?;
        Ok(())
    }
}

fn number(line: &[u8], marker: u8) -> Result<usize> {
    let text = std::str::from_utf8(line)?;
    let digits = text.strip_prefix(char::from(marker));
    let digits = digits.with_context(|| format!("redis answers {text:?}"))?;
    Ok(digits.parse()?)
}
