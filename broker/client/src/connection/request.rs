//! Asking: from a typed request, from arguments that are encoded already, or from a whole frame.
//! Each takes its in-flight permits first, so that a caller waits here and not in the broker.

use std::sync::Arc;
use std::time::Duration;

use broker_protocol::api::produce::ProduceRequest;
use broker_protocol::{FRAME_HEADER_LEN, FrameTooLarge, Method, Request, Response, request_frame};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Connection;
use super::pending::{Answered, Lost, Permits, Received};
use super::raw_args::{RawArgs, frame_head};
use super::writer::Outgoing;
use crate::error::{Call, ClientError, Outcome};

impl Connection {
    /// Sends a request and waits for its answer as long as the options say.
    ///
    /// # Errors
    /// When the broker refuses it, no answer comes in time, or the connection is lost.
    pub async fn request<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        self.request_within(request, self.options().request_timeout)
            .await
    }

    /// Sends a request and waits for its answer for at most `timeout`; for long polls.
    ///
    /// # Errors
    /// When the broker refuses it, no answer comes in time, or the connection is lost.
    pub async fn request_within<R: Request>(
        &self,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Response, ClientError> {
        let submitted = self.submit(request, timeout).await?;
        submitted.decoded::<R>().await
    }

    /// Like [`Connection::submit`] for `produce`, without copying the records.
    ///
    /// # Errors
    /// As [`Connection::submit`].
    pub async fn submit_produce(
        &self,
        request: &ProduceRequest,
        timeout: Duration,
    ) -> Result<Submitted, ClientError> {
        let method = Method::Produce.name();
        let id = self.inner.shared.next_id();
        let parts = request.request_frame_parts(id);
        let [head, tail] = parts.map_err(|error| self.too_large(method, error))?;
        let rest = vec![tail];
        self.submit_frame(method, Outgoing { id, head, rest }, timeout)
            .await
    }

    /// Queues a request and returns before its answer is there. Requests that are submitted one
    /// after the other are sent in that order, even if their answers are awaited later or never.
    ///
    /// # Errors
    /// When there is no room for it within `timeout`, or the connection is lost: then it certainly
    /// was not sent.
    pub async fn submit<R: Request>(
        &self,
        request: &R,
        timeout: Duration,
    ) -> Result<Submitted, ClientError> {
        let id = self.inner.shared.next_id();
        let method = R::METHOD.name();
        let frame = request_frame(id, request).map_err(|error| self.too_large(method, error))?;
        self.submit_frame(method, Outgoing::whole(id, frame), timeout)
            .await
    }

    /// Sends a request whose arguments are encoded already and waits for the undecoded answer.
    ///
    /// # Errors
    /// When no answer comes in time, or the connection is lost. An error answer is in the
    /// [`Answered`].
    pub async fn request_raw(
        &self,
        method: Method,
        args: impl Into<RawArgs>,
    ) -> Result<Answered, ClientError> {
        let submitted = self
            .submit_raw(method, args, self.options().request_timeout)
            .await?;
        submitted.answer().await
    }

    /// Like [`Connection::submit`], with arguments that are encoded already.
    ///
    /// # Errors
    /// As [`Connection::submit`].
    pub async fn submit_raw(
        &self,
        method: Method,
        args: impl Into<RawArgs>,
        timeout: Duration,
    ) -> Result<Submitted, ClientError> {
        let id = self.inner.shared.next_id();
        let args = args.into();
        let head =
            frame_head(id, method, &args).map_err(|error| self.too_large(method.name(), error))?;
        let rest = args.0;
        self.submit_frame(method.name(), Outgoing { id, head, rest }, timeout)
            .await
    }

    /// An id for [`Connection::send_frame`] that nothing else on this connection uses.
    pub fn reserve_id(&self) -> u64 {
        self.inner.shared.next_id()
    }

    /// Sends a whole frame, header included, that was encoded beforehand with an id from
    /// [`Connection::reserve_id`]. The same frame may be sent again once it was answered. For
    /// benchmarks, where the client's own cost should be small and equal.
    ///
    /// # Errors
    /// When no answer comes in time, or the connection is lost.
    ///
    /// # Panics
    /// When a request with this id is under way.
    pub async fn send_frame(&self, id: u64, frame: Bytes) -> Result<Answered, ClientError> {
        let timeout = self.options().request_timeout;
        let submitted = self.submit_frame("frame", Outgoing::whole(id, frame), timeout);
        submitted.await?.answer().await
    }

    async fn submit_frame(
        &self,
        method: &'static str,
        outgoing: Outgoing,
        timeout: Duration,
    ) -> Result<Submitted, ClientError> {
        let submitted_at = Instant::now();
        let id = outgoing.id;
        let bytes = outgoing.bytes();
        let len = bytes.saturating_sub(FRAME_HEADER_LEN) as u64;
        let max = self.inner.hello.limits.frame_bytes_max;
        if len > max {
            return Err(self.too_large(method, FrameTooLarge { len, max }));
        }
        let permits = self.permits(bytes, submitted_at + timeout).await;
        let permits = permits.ok_or_else(|| ClientError::TimedOut {
            call: self.call(method),
            after: timeout,
            outcome: Outcome::Definite,
        })?;
        let arrivals_before = self.inner.shared.arrivals();
        let registered = self.inner.shared.pending.register(id, Some(permits));
        let received = registered.map_err(|lost| lost.into_error(self.call(method)))?;
        self.inner.shared.something_was_asked();
        // A failed send means that the driver is gone; it fails the request it finds registered.
        let _ = self.inner.queue.send(outgoing);
        Ok(Submitted {
            connection: self.clone(),
            id,
            method,
            timeout,
            submitted_at,
            arrivals_before,
            received,
        })
    }

    fn too_large(&self, method: &'static str, error: FrameTooLarge) -> ClientError {
        ClientError::RequestTooLarge {
            call: self.call(method),
            bytes: error.len,
            limit: error.max,
        }
    }

    /// Room for one more request of this size; `None` when there was none until the deadline.
    async fn permits(&self, bytes: usize, deadline: Instant) -> Option<Permits> {
        let bytes = u32::try_from(bytes.min(self.inner.bytes_max)).unwrap_or(u32::MAX);
        let acquire = async {
            let request = self.inner.requests.clone().acquire_owned().await;
            let bytes = self.inner.bytes.clone().acquire_many_owned(bytes).await;
            Permits {
                _request: request.expect("the semaphore is never closed"),
                _bytes: bytes.expect("the semaphore is never closed"),
            }
        };
        timeout_at(deadline, acquire).await.ok()
    }
}

/// A request that was sent and is not answered yet. Dropping it does not take the request back.
#[must_use = "the answer says whether the request was carried out"]
pub struct Submitted {
    connection: Connection,
    id: u64,
    method: &'static str,
    timeout: Duration,
    submitted_at: Instant,
    arrivals_before: u64,
    received: oneshot::Receiver<Received>,
}

impl Submitted {
    /// Waits for the undecoded answer.
    ///
    /// # Errors
    /// When no answer comes in time, or the connection is lost.
    pub async fn answer(mut self) -> Result<Answered, ClientError> {
        let deadline = self.submitted_at + self.timeout;
        match timeout_at(deadline, &mut self.received).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(lost))) => Err(lost.into_error(self.call())),
            Ok(Err(_)) => Err(self.dropped()),
            Err(_) => Err(self.timed_out()),
        }
    }

    /// Waits for the answer and decodes it.
    ///
    /// # Errors
    /// When the broker refuses the request, no answer comes in time, the connection is lost, or
    /// the answer is not what the protocol says.
    pub async fn decoded<R: Request>(self) -> Result<R::Response, ClientError> {
        let call = self.call();
        let result = match self.answer().await? {
            Ok(result) => result,
            Err(error) => {
                let error = Arc::new(error);
                return Err(ClientError::Refused { call, error });
            }
        };
        R::Response::decode(&result).map_err(|invalid| ClientError::Malformed {
            call,
            reason: invalid.to_string().into(),
        })
    }

    /// Which request to which broker this is.
    pub fn call(&self) -> Call {
        self.connection.call(self.method)
    }

    /// The connection went away without saying why: its runtime is shutting down.
    fn dropped(&self) -> ClientError {
        ClientError::ConnectionLost {
            call: self.call(),
            reason: "the connection's task is gone".into(),
            outcome: Outcome::Unknown,
        }
    }

    fn timed_out(&self) -> ClientError {
        let shared = &self.connection.inner.shared;
        let outcome = shared.pending.outcome_of(self.id);
        if shared.arrivals() == self.arrivals_before {
            // Not one byte in all that time: the peer is gone, and others should not wait as well.
            shared.pending.die(format!("silent for {:?}", self.timeout));
            shared.stop();
        }
        ClientError::TimedOut {
            call: self.call(),
            after: self.timeout,
            outcome,
        }
    }
}

impl Lost {
    fn into_error(self, call: Call) -> ClientError {
        ClientError::ConnectionLost {
            call,
            reason: self.reason,
            outcome: self.outcome,
        }
    }
}
