//! What the machine itself takes for a round trip, measured in the same minute: over a bare
//! loopback connection, and to the broker with the smallest request there is. Latencies mean little
//! without it, since they depend on how awake the processors are.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use broker_client::Connection;
use broker_client::protocol::api::ping::PingRequest;
use serde::Serialize;

use super::latency::{Latency, Recorder};
use crate::failure::Failure;

const ROUND_TRIPS: u32 = 2_000;
/// A measurement that takes this long is cut short.
const LONGEST: Duration = Duration::from_secs(2);
const MESSAGE_BYTES: usize = 100;

/// Round trips for comparison.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Reference {
    /// 100 bytes to a thread of this process and back, over TCP.
    pub(super) loopback_us: Latency,
    /// `ping` to the broker.
    pub(super) broker_ping_us: Latency,
}

impl Reference {
    pub(super) async fn measure(connection: &Connection) -> Result<Self, Failure> {
        let loopback_us = loopback()?;
        let mut recorder = Recorder::new()?;
        let begun = Instant::now();
        for _ in 0..ROUND_TRIPS {
            let sent = Instant::now();
            connection.request(&PingRequest {}).await?;
            recorder.answered(sent, Instant::now());
            if begun.elapsed() > LONGEST {
                break;
            }
        }
        Ok(Self {
            loopback_us,
            broker_ping_us: recorder.latency(),
        })
    }
}

fn loopback() -> Result<Latency, Failure> {
    let measured = || -> io::Result<Vec<(Instant, Instant)>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        std::thread::Builder::new()
            .name("echo".to_owned())
            .spawn(move || {
                // Ends when the other side closes.
                let _ = listener.accept().and_then(|(socket, _)| echo(socket));
            })?;
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let mut message = [7; MESSAGE_BYTES];
        let begun = Instant::now();
        let mut times = Vec::new();
        for _ in 0..ROUND_TRIPS {
            let sent = Instant::now();
            socket.write_all(&message)?;
            socket.read_exact(&mut message)?;
            times.push((sent, Instant::now()));
            if begun.elapsed() > LONGEST {
                break;
            }
        }
        Ok(times)
    };
    let times = measured().map_err(|error| Failure::from(error).after("loopback"))?;
    let mut recorder = Recorder::new()?;
    times
        .into_iter()
        .for_each(|(sent, answered)| recorder.answered(sent, answered));
    Ok(recorder.latency())
}

fn echo(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut message = [0; MESSAGE_BYTES];
    loop {
        socket.read_exact(&mut message)?;
        socket.write_all(&message)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_measured() {
        let latency = loopback().unwrap();
        assert!(latency.samples > 0);
    }
}
