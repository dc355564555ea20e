//! `ping`: the broker is there, and this is its clock.

use broker_protocol::api::ping::{PingRequest, PingResponse};
use broker_protocol::{Request, WireError};
use bytes::Bytes;

use crate::connection::{Asker, Session};

/// Answers the broker's time, at once.
pub(super) fn answer(session: &Session, args: &Bytes, asker: Asker) {
    let clock = &session.context().clock;
    let asked = PingRequest::decode(args).map_err(WireError::from);
    asker.answer(asked.map(|PingRequest {}| PingResponse {
        time_ms: clock.now(),
    }));
}
