//! Frames that come slowly, through a real socket.

use broker_model::limits::FRAME_BYTES_MAX;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::background::Workers;
use crate::net::RequestBudget;

/// A byte comes far more often than a frame is looked at.
const DRIP_EVERY: Duration = Duration::from_millis(20);

#[actix_rt::test]
async fn a_frame_that_drips_loses_its_place_to_one_that_waits() {
    let budget = RequestBudget::new(Workers::of_this_runtime());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it has one");
    let mut peer = TcpStream::connect(address).await.expect("it listens");
    let (socket, _) = listener.accept().await.expect("somebody connects");
    let (reading, _writing) = socket.into_split();
    let mut reader = FrameReader::resume(reading, ReadAhead::default());
    reader.allow_large_frames();
    let (dripping, other) = (budget.for_connection(), budget.for_connection());
    tokio::task::spawn_local(async move {
        let length = u32::try_from(FRAME_BYTES_MAX).expect("it fits");
        let head = [&[0xce], length.to_be_bytes().as_slice()].concat();
        peer.write_all(&head).await.expect("it is read");
        while peer.write_all(&[0xc0]).await.is_ok() {
            tokio::time::sleep(DRIP_EVERY).await;
        }
    });
    tokio::task::spawn_local(async move {
        // The other one has its place by then.
        tokio::time::sleep(10 * DRIP_EVERY).await;
        drop(other.acquire(FRAME_BYTES_MAX).await);
    });
    let patience = Patience::Idle(FRAME_TIME_MAX);
    let read = reader.next(&dripping, patience, &Stint::of_task()).await;
    let stalled = matches!(read, Err(ReadError::FrameStalled { .. }));
    assert!(stalled, "{:?}", read.err());
}
