//! `Socket`: a blocking connection with a buffer of its own for reading, as all three protocols need it:
//! lines, exact lengths, bytes that are only skipped. One thread, one socket: the client costs little.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

const BUFFER_BYTES: usize = 1024 * 1024;
/// No server takes so long for one answer, unless it hangs.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A connection.
pub(crate) struct Socket {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Socket {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Waits for bytes, if none are there, and gives what came without taking it.
    pub(crate) fn peek(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.refill()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Takes so many of the bytes that are there.
    pub(crate) fn take(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Reads up to and with so many line feeds, whatever lies between.
    pub(crate) fn skip_lines(&mut self, mut lines: usize) -> io::Result<()> {
        while lines > 0 {
            let mut used = 0;
            for byte in self.peek()? {
                used += 1;
                if *byte == b'\n' {
                    lines -= 1;
                    if lines == 0 {
                        break;
                    }
                }
            }
            self.take(used);
        }
        Ok(())
    }

    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> io::Result<&[u8]> {
        let len = self.peek_line()?.len();
        let from = self.start;
        self.start += len + 1;
        let line = &self.buffer[from..from + len];
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// The next line up to its line feed, not taken yet.
    pub(crate) fn peek_line(&mut self) -> io::Result<&[u8]> {
        let mut looked_at = 0;
        loop {
            let seen = &self.buffer[self.start + looked_at..self.end];
            if let Some(at) = seen.iter().position(|byte| *byte == b'\n') {
                return Ok(&self.buffer[self.start..self.start + looked_at + at]);
            }
            looked_at += seen.len();
            self.refill()?;
        }
    }

    /// Leaves out so many bytes.
    pub(crate) fn skip(&mut self, mut count: usize) -> io::Result<()> {
        while count > 0 {
            let there = self.peek()?.len().min(count);
            self.take(there);
            count -= there;
        }
        Ok(())
    }

    /// Fills `target` from what was read already and then from the socket.
    pub(crate) fn read_exact(&mut self, target: &mut [u8]) -> io::Result<()> {
        let there = (self.end - self.start).min(target.len());
        target[..there].copy_from_slice(&self.buffer[self.start..self.start + there]);
        self.start += there;
        self.stream.read_exact(&mut target[there..])
    }

    pub(crate) fn close(&self) {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn refill(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            return Err(io::Error::other("the server sends a line without an end"));
        }
        match self.stream.read(&mut self.buffer[self.end..])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.end += count;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A socket that gets these bytes in pieces of so many.
    fn socket_that_gets(bytes: &'static [u8], piece: usize) -> Socket {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let socket = Socket::connect(listener.local_addr().unwrap()).unwrap();
        std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            peer.set_nodelay(true).unwrap();
            bytes
                .chunks(piece)
                .for_each(|piece| peer.write_all(piece).unwrap());
        });
        socket
    }

    #[test]
    fn lines_and_lengths_are_found_however_the_bytes_are_cut() {
        for piece in [1, 3, 100] {
            let mut socket = socket_that_gets(b"one\r\ntwo\nthree\n12345rest\n", piece);
            assert_eq!(socket.line().unwrap(), b"one");
            socket.skip_lines(2).unwrap();
            let mut two = [0; 2];
            socket.read_exact(&mut two).unwrap();
            assert_eq!(&two, b"12");
            socket.skip(3).unwrap();
            assert_eq!(socket.line().unwrap(), b"rest");
            assert!(socket.line().is_err(), "the other side is gone");
        }
    }
}
