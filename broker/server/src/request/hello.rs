//! `hello`: agree on a protocol version and tell the client what it may rely on. Answered on the spot, so
//! that the very next frame may use it.

use std::rc::Rc;

use broker_protocol::api::hello::{AnnouncedLimits, HelloRequest, HelloResponse};
use broker_protocol::{
    ErrorCode, ErrorData, PROTOCOL_MAX, PROTOCOL_MIN, Request, WireError, feature,
};
use broker_record::Codec;
use bytes::Bytes;
use tracing::debug;

use crate::connection::{Asker, Session};
use crate::context::Context;

/// What this broker can do beyond the first version of the protocol.
const FEATURES: [&str; 6] = [
    feature::ROUTED_PRODUCE,
    feature::PARTITION_FOR,
    feature::FETCH_BATCH,
    feature::SERIALIZERS,
    feature::PLUGIN_DEPLOYMENT,
    feature::PLUGIN_DRY_RUN,
];

/// Answers `hello` and lets the connection go on.
pub(super) fn answer(session: &Rc<Session>, args: &Bytes, asker: Asker) {
    let agreed = HelloRequest::decode(args)
        .map_err(WireError::from)
        .and_then(|request| {
            let protocol = request.agree().ok_or_else(|| no_common_version(&request))?;
            debug!(client = request.client, protocol, "hello");
            Ok(response(session.context(), protocol))
        });
    if agreed.is_ok() {
        session.greet();
    }
    asker.answer(agreed);
}

fn response(context: &Context, protocol: u32) -> HelloResponse {
    HelloResponse {
        protocol,
        broker_version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster_id: context.cluster_id.to_string(),
        broker_id: context.broker_id,
        features: features(context),
        codecs: Codec::ALL
            .iter()
            .map(|codec| codec.name().to_owned())
            .collect(),
        limits: AnnouncedLimits {
            batch_bytes_max: u64::from(context.message_bytes_max),
            connection_idle_ms_max: context
                .config
                .connection_idle_max
                .as_millis()
                .try_into()
                .unwrap_or(u64::MAX),
            ..AnnouncedLimits::default()
        },
    }
}

fn features(context: &Context) -> Vec<String> {
    let faults = context
        .config
        .fault_injection
        .then_some(feature::FAULT_INJECTION);
    FEATURES
        .into_iter()
        .chain(faults)
        .map(str::to_owned)
        .collect()
}

fn no_common_version(request: &HelloRequest) -> WireError {
    let message = format!(
        "the client speaks protocol {} to {}, this broker {PROTOCOL_MIN} to {PROTOCOL_MAX}",
        request.protocol_min, request.protocol_max
    );
    WireError::new(ErrorCode::UnsupportedProtocol, message).with_data(ErrorData {
        protocol_min: Some(PROTOCOL_MIN),
        protocol_max: Some(PROTOCOL_MAX),
        ..ErrorData::default()
    })
}
