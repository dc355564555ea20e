//! Opening: TCP connect without delay for small writes, then `hello` and its answer, one after the
//! other. The limits that everything later keeps to come out of that answer.

use std::sync::Arc;

use broker_protocol::api::hello::{HelloRequest, HelloResponse};
use broker_protocol::{Answer, Request, Response, request_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ConnectionOptions;
use super::frame_buffer::FrameBuffer;
use crate::error::{Call, ClientError};

/// A socket that has said hello, what was read beyond the answer, and the answer.
pub(super) type Opened = (TcpStream, FrameBuffer, HelloResponse);

pub(super) async fn open(
    address: &Arc<str>,
    options: &ConnectionOptions,
) -> Result<Opened, ClientError> {
    let failed = |reason: String| ClientError::Connect {
        address: address.clone(),
        reason: reason.into(),
    };
    let connected = TcpStream::connect(&**address).await;
    let mut socket = connected.map_err(|error| failed(error.to_string()))?;
    socket
        .set_nodelay(true)
        .map_err(|error| failed(format!("cannot switch off send delays: {error}")))?;

    let hello = HelloRequest::new(options.client_name.as_str());
    let frame = request_frame(0, &hello).map_err(|error| failed(error.to_string()))?;
    let written = socket.write_all(&frame).await;
    written.map_err(|error| failed(format!("hello could not be sent: {error}")))?;

    let mut buffer = FrameBuffer::new(options.answer_bytes_max);
    let body = loop {
        match buffer.next_body() {
            Ok(Some(body)) => break body,
            Ok(None) => {}
            Err(error) => return Err(failed(format!("the peer is no broker: {error}"))),
        }
        match socket.read_buf(buffer.room()).await {
            Ok(0) => return Err(failed("closed before hello was answered".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(failed(format!("hello was not answered: {error}"))),
        }
    };
    let answer = Answer::parse(&body).map_err(|bad| failed(bad.to_string()))?;
    let call = Call {
        address: address.clone(),
        method: HelloRequest::METHOD.name(),
    };
    let result = match answer.outcome {
        Ok(result) => result,
        Err(error) => {
            let error = Arc::new(error);
            return Err(ClientError::Refused { call, error });
        }
    };
    let hello = HelloResponse::decode(&result).map_err(|invalid| ClientError::Malformed {
        call,
        reason: invalid.to_string().into(),
    })?;
    Ok((socket, buffer, hello))
}
