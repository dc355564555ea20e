//! `Link`: one connection of an attacker. It says what it is told to, reads when it is told to, and remembers
//! nothing. What became of it in the end is a `Fate`.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::message::{error_name, hello};

/// How long connecting and `hello` may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// What the system keeps for an attacker of what the broker does not read. The default is megabytes, from memory that
/// all connections of a machine share: of a thousand attackers on another machine none of it would be the broker's.
const UNSENT_BYTES_MAX: usize = 16 * 1024;

/// What became of an attacker's connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// The broker answered with this error; the connection may go on.
    Refused(String),
    /// The broker said this and closed the connection.
    SentAway(String),
    /// The broker closed it without a word.
    Closed,
    /// The attacker did what it wanted, and got answers.
    Answered,
    /// The connection was still open at the end, and had got nothing.
    Held,
    /// The broker did not take the connection.
    NotTaken,
}

impl std::fmt::Display for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(name) => write!(f, "{name}"),
            Self::SentAway(name) => write!(f, "{name}, closed"),
            Self::Closed => f.write_str("closed"),
            Self::Answered => f.write_str("answered"),
            Self::Held => f.write_str("held"),
            Self::NotTaken => f.write_str("not taken"),
        }
    }
}

/// How many attackers met which fate.
pub type Fates = BTreeMap<Fate, usize>;

/// A connection.
#[derive(Debug)]
pub struct Link {
    socket: TcpStream,
}

impl Link {
    /// Connects and says nothing.
    ///
    /// # Errors
    /// When the broker does not take the connection.
    pub async fn open(address: &str) -> io::Result<Self> {
        let connecting = timeout(CONNECT_TIME, TcpStream::connect(address));
        let socket = connecting.await.map_err(io::Error::from)??;
        socket.set_nodelay(true)?;
        set_socket_send_buffer_size(&socket, UNSENT_BYTES_MAX)?;
        Ok(Self { socket })
    }

    /// Connects, says hello and reads the answer.
    ///
    /// # Errors
    /// When the broker does not take the connection.
    pub async fn greeted(address: &str) -> io::Result<Self> {
        let mut link = Self::open(address).await?;
        link.send(&hello()).await?;
        let answer = link.receive(Instant::now() + CONNECT_TIME).await?;
        match answer.as_deref().map(error_name) {
            Some(None) => Ok(link),
            Some(Some(name)) => Err(io::Error::other(name)),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the broker has closed.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await
    }

    /// Sends bytes until the broker takes no more of them, or for so long.
    pub async fn stuff(&mut self, bytes: &[u8], until: Instant) -> io::Result<()> {
        match timeout_at(until, self.socket.write_all(bytes)).await {
            Ok(sent) => sent,
            Err(_) => Ok(()),
        }
    }

    /// Sends bytes until the broker says something, or for so long.
    ///
    /// # Errors
    /// When the broker has closed.
    pub async fn stuff_until_told(&mut self, bytes: &[u8], until: Instant) -> io::Result<()> {
        let (receiving, mut sending) = self.socket.split();
        let sent = async {
            tokio::select! {
                sent = sending.write_all(bytes) => sent,
                told = receiving.readable() => told,
            }
        };
        timeout_at(until, sent).await.unwrap_or(Ok(()))
    }

    /// The next answer's body; `None` at the end of the connection.
    ///
    /// # Errors
    /// When there is none until then, or the connection breaks.
    pub async fn receive(&mut self, until: Instant) -> io::Result<Option<Vec<u8>>> {
        let receiving = async {
            let mut head = [0; 5];
            match self.socket.read_exact(&mut head).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                other => other?,
            };
            let [_, length @ ..] = head;
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            let mut body = vec![0; length.min(32 * 1024 * 1024)];
            self.socket.read_exact(&mut body).await?;
            Ok(Some(body))
        };
        timeout_at(until, receiving)
            .await
            .map_err(io::Error::from)?
    }

    /// Reads what the broker has to say until then.
    pub async fn fate(&mut self, until: Instant) -> Fate {
        let mut fate = Fate::Held;
        loop {
            match self.receive(until).await {
                Ok(Some(body)) => match error_name(&body) {
                    Some(name) => fate = Fate::Refused(name),
                    None if fate == Fate::Held => fate = Fate::Answered,
                    None => {}
                },
                Ok(None) => return sent_away(fate),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return fate,
                Err(_) => return sent_away(fate),
            }
        }
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn sip(&mut self) -> io::Result<usize> {
        let mut byte = [0];
        self.socket.read(&mut byte).await
    }

    /// Ends the connection with a reset instead of a goodbye.
    pub fn reset(self) {
        // Closing with unread or unsent data after a linger time of zero makes the kernel send RST.
        let _ = self.socket.set_zero_linger();
    }
}

fn sent_away(last: Fate) -> Fate {
    match last {
        Fate::Refused(name) => Fate::SentAway(name),
        _ => Fate::Closed,
    }
}
