//! `LogWriter`: standard error, for the log of a broker. Somebody may have stopped reading it: a terminal that stands
//! still, a pager, a collector that hangs. The broker does not stand still with it: what finds no room in time is left
//! out, and how much that was is told when there is room again.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use tracing_subscriber::fmt::MakeWriter;

/// A pipe that has any room has room for so much.
const AT_ONCE: usize = 4096;
/// How long a line waits for room, unless the one before has waited in vain.
const PATIENCE: Duration = Duration::from_millis(250);

/// Writes whole lines, one at a time.
#[derive(Default)]
pub(crate) struct LogWriter {
    /// Lines that found no room since the last that did.
    left_out: Mutex<u64>,
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Nothing panics while it is held.
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = match *left_out {
            0 => PATIENCE,
            _ => Duration::ZERO,
        };
        let written = match *left_out {
            0 => put(line, patience),
            count => {
                let notice =
                    format!("{count} lines of the log are left out here: nobody read it\n");
                put(notice.as_bytes(), patience).and_then(|()| put(line, patience))
            }
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => *left_out += 1,
            done => {
                *left_out = 0;
                done?;
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to standard error while there is room.
fn put(bytes: &[u8], patience: Duration) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    let patience = Timespec::try_from(patience).ok();
    for part in bytes.chunks(AT_ONCE) {
        let mut room = [PollFd::new(&stderr, PollFlags::OUT)];
        if poll(&mut room, patience.as_ref())? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stderr.write_all(part)?;
    }
    Ok(())
}
