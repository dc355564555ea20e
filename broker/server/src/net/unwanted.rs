//! Bytes that nobody wants: the rest of a frame that was refused, and what somebody still sends who was sent away.
//! The kernel drops them and copies nothing.

use std::cell::RefCell;
use std::io;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// Bytes that are thrown away at once.
const AT_ONCE: usize = 256 * 1024;

thread_local! {
    /// Where they would go: the kernel only wants to be told room.
    static NOWHERE: RefCell<Vec<u8>> = RefCell::new(vec![0; AT_ONCE]);
}

/// Waits for bytes, and throws away what there is of them, at most so many; 0 when the peer has closed. Nothing is
/// held while it waits.
pub(super) async fn throw_away(socket: &OwnedReadHalf, bytes_max: usize) -> io::Result<usize> {
    let socket: &TcpStream = socket.as_ref();
    let at_once = bytes_max.min(AT_ONCE);
    let take = |nowhere: &RefCell<Vec<u8>>| {
        let mut nowhere = nowhere.borrow_mut();
        let room = nowhere.get_mut(..at_once).unwrap_or_default();
        let (_, taken) = recv(socket, room, RecvFlags::TRUNC)?;
        Ok(taken)
    };
    socket
        .async_io(Interest::READABLE, || NOWHERE.with(take))
        .await
}
