//! `Reply`: where the answer to one message goes. It is used exactly once: a reply that is dropped
//! (an actor panicked, a mailbox was closed) answers with the error type's "lost" value, so that no
//! client ever waits for an answer that cannot come.

use tokio::sync::oneshot;

/// The other side went away without answering: whether the request was carried out is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost;

type Callback<T, E> = Box<dyn FnOnce(Result<T, E>) + Send>;

/// A one-shot answer channel that cannot be forgotten.
pub(crate) struct Reply<T, E: From<Lost>>(Option<Callback<T, E>>);

impl<T, E: From<Lost>> Reply<T, E> {
    /// Answers go to `callback`, on the thread of whoever answers.
    pub(crate) fn new(callback: impl FnOnce(Result<T, E>) + Send + 'static) -> Self {
        Self(Some(Box::new(callback)))
    }

    /// Nobody wants to know.
    pub(crate) fn ignored() -> Self {
        Self(None)
    }

    /// Answers.
    pub(crate) fn send(mut self, result: Result<T, E>) {
        if let Some(callback) = self.0.take() {
            callback(result);
        }
    }
}

impl<T: Send + 'static, E: From<Lost> + Send + 'static> Reply<T, E> {
    /// A reply and the future that waits for it.
    pub(crate) fn channel() -> (Self, impl Future<Output = Result<T, E>> + Send) {
        let (sender, receiver) = oneshot::channel();
        let reply = Self::new(move |result| {
            // The asker may have gone; the answer is then nobody's.
            let _ = sender.send(result);
        });
        let answer = async move { receiver.await.unwrap_or_else(|_| Err(E::from(Lost))) };
        (reply, answer)
    }
}

impl<T, E: From<Lost>> Drop for Reply<T, E> {
    fn drop(&mut self) {
        if let Some(callback) = self.0.take() {
            callback(Err(E::from(Lost)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Gone;
    impl From<Lost> for Gone {
        fn from(_: Lost) -> Self {
            Self
        }
    }

    #[actix_rt::test]
    async fn a_dropped_reply_answers_lost() {
        let (reply, answer) = Reply::<u8, Gone>::channel();
        drop(reply);
        assert_eq!(answer.await, Err(Gone));
    }

    #[actix_rt::test]
    async fn an_answer_arrives_once() {
        let (reply, answer) = Reply::<u8, Gone>::channel();
        reply.send(Ok(7));
        assert_eq!(answer.await, Ok(7));
    }
}
