//! The reading half: cuts frames out of the stream and hands each answer to whoever waits for it.
//! Anything that is no answer to a request of ours ends the connection, except notifications,
//! which this version of the client has no use for.

use broker_protocol::{Answer, Envelope};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

use super::frame_buffer::FrameBuffer;
use super::shared::Shared;

/// Reads until the connection ends and says why.
pub(super) async fn run(
    mut socket: OwnedReadHalf,
    mut buffer: FrameBuffer,
    shared: &Shared,
) -> String {
    loop {
        if let Err(reason) = dispatch(&mut buffer, shared) {
            return reason;
        }
        match socket.read_buf(buffer.room()).await {
            Ok(0) => return "closed by the broker".to_owned(),
            Ok(_) => shared.something_arrived(),
            Err(error) => return format!("read failed: {error}"),
        }
    }
}

fn dispatch(buffer: &mut FrameBuffer, shared: &Shared) -> Result<(), String> {
    while let Some(body) = buffer.next_body().map_err(|error| error.to_string())? {
        let answer = match Answer::parse(&body) {
            Ok(answer) => answer,
            Err(_) if matches!(Envelope::parse(&body), Ok(Envelope::Notification { .. })) => {
                tracing::trace!("notification ignored");
                continue;
            }
            Err(bad) => return Err(format!("an answer cannot be understood: {bad}")),
        };
        match (answer.id, answer.outcome) {
            (Some(id), outcome) => {
                if !shared.pending.complete(id, outcome) {
                    return Err(format!(
                        "the broker answered request {id}, which was never sent"
                    ));
                }
            }
            (None, Err(error)) => return Err(format!("the broker hung up: {error}")),
            (None, Ok(_)) => return Err("the broker sent an answer without an id".to_owned()),
        }
    }
    Ok(())
}
