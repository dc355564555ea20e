//! `PolicyFailed`: a policy gave no answer, or none that can be used. Nothing is removed then.

/// Why a policy has not decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PolicyFailed {
    /// What went wrong, in the policy's or its host's words.
    pub reason: String,
}

impl PolicyFailed {
    /// A failure with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}
