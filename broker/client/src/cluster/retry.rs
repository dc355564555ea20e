//! `Retries`: which failures a request may be sent again after. The rule of the whole client: an
//! error has to be retriable, and either certainly had no effect or the caller accepts that the
//! effect may happen twice.

use crate::error::ClientError;

/// What the caller accepts when it cannot be known whether a request was carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retries {
    /// Send it again: at least once, perhaps twice. Right for reads, and the default for records.
    #[default]
    AtLeastOnce,
    /// Report the error: at most once.
    OnlyDefinite,
}

impl Retries {
    /// Whether the same request may be sent again after this error.
    ///
    /// ```
    /// use broker_client::{ClientError, Retries};
    ///
    /// let error = ClientError::Closed("client");
    /// assert!(!Retries::AtLeastOnce.allow(&error));
    /// ```
    pub fn allow(self, error: &ClientError) -> bool {
        error.is_retriable() && (error.is_definite() || self == Self::AtLeastOnce)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use broker_protocol::{ErrorCode, WireError};

    use super::*;
    use crate::error::Call;

    fn refused(error: WireError) -> ClientError {
        ClientError::Refused {
            call: Call {
                address: "a:1".into(),
                method: "produce",
            },
            error: Arc::new(error),
        }
    }

    #[test]
    fn an_unknown_outcome_is_only_retried_when_duplicates_are_accepted() {
        let unknown = refused(WireError::new(ErrorCode::TimedOut, "slow"));
        assert!(Retries::AtLeastOnce.allow(&unknown));
        assert!(!Retries::OnlyDefinite.allow(&unknown));
    }

    #[test]
    fn a_definite_error_is_retried_if_that_can_help() {
        let busy = refused(WireError::new(ErrorCode::Busy, "full"));
        let wrong = refused(WireError::new(ErrorCode::InvalidBatch, "wrong"));
        for retries in [Retries::AtLeastOnce, Retries::OnlyDefinite] {
            assert!(retries.allow(&busy));
            assert!(!retries.allow(&wrong));
        }
    }

    #[test]
    fn the_answer_decides_and_not_the_table() {
        let busy = WireError::new(ErrorCode::Busy, "full").with_retriable(false);
        assert!(!Retries::AtLeastOnce.allow(&refused(busy)));
        let half_done = WireError::new(ErrorCode::Busy, "half done").indefinite();
        assert!(!Retries::OnlyDefinite.allow(&refused(half_done)));
    }
}
