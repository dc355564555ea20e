//! `Failure`: why a command ends early: an exit status, one line that says what is wrong, and a
//! hint that says what to do. Errors of the libraries become failures here and nowhere else.

use std::fmt;
use std::io;

use broker_client::ClientError;
use broker_client::protocol::{ErrorCode, WireError};
use serde::Serialize;

use crate::exit_status::ExitStatus;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody reads the output any more, as with `| head`. Not an error.
    OutputClosed,
    /// To be reported.
    Reported(Box<Report>),
}

/// What is told about a failure.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) status: ExitStatus,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The broker's own answer, for programs.
    pub(crate) answer: Option<WireError>,
}

/// The failure as `--json` shows it.
#[derive(Serialize)]
pub(crate) struct ReportJson<'a> {
    status: &'static str,
    exit_code: u8,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a WireError>,
}

impl Failure {
    pub(crate) fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self::Reported(Box::new(Report {
            status,
            message: message.into(),
            hint: None,
            answer: None,
        }))
    }

    /// Something that cannot be done; nothing was changed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Failed, message)
    }

    /// Arguments that do not go together.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Usage, message)
    }

    /// The same failure with this hint instead of the one it has.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Reported(report) = &mut self {
            report.hint = Some(hint.into());
        }
        self
    }

    /// The same failure with another exit status.
    #[must_use]
    pub(crate) fn with_status(mut self, status: ExitStatus) -> Self {
        if let Self::Reported(report) = &mut self {
            report.status = status;
        }
        self
    }

    /// The same failure with another message.
    #[must_use]
    pub(crate) fn reworded(mut self, reword: impl FnOnce(&str) -> String) -> Self {
        if let Self::Reported(report) = &mut self {
            report.message = reword(&report.message);
        }
        self
    }

    /// The same failure with its message put behind this one.
    #[must_use]
    pub(crate) fn after(mut self, what: impl fmt::Display) -> Self {
        if let Self::Reported(report) = &mut self {
            report.message = format!("{what}: {}", report.message);
        }
        self
    }

    /// The status the process ends with.
    pub(crate) fn status(&self) -> ExitStatus {
        match self {
            Self::OutputClosed => ExitStatus::Ok,
            Self::Reported(report) => report.status,
        }
    }
}

impl Report {
    pub(crate) fn to_json(&self) -> ReportJson<'_> {
        ReportJson {
            status: self.status.name(),
            exit_code: self.status.code(),
            message: &self.message,
            hint: self.hint.as_deref(),
            answer: self.answer.as_ref(),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let status = match &error {
            ClientError::Invalid(_) => ExitStatus::Usage,
            ClientError::NoBroker(_) | ClientError::Connect { .. } => ExitStatus::NoConnection,
            ClientError::CorruptBatch { .. } => ExitStatus::Damaged,
            other if !other.is_definite() => ExitStatus::OutcomeUnknown,
            other if other.code() == Some(ErrorCode::CorruptLog) => ExitStatus::Damaged,
            _ => ExitStatus::Failed,
        };
        let hint = match &error {
            ClientError::NoBroker(_) | ClientError::Connect { .. } => Some(
                "start one with `broker serve`, or name it with --server HOST:PORT \
                 (or BROKER_SERVER)",
            ),
            ClientError::UnknownPartition(_) => Some("see `broker topic list`"),
            ClientError::OffsetOutOfRange { .. } => {
                Some("choose --from beginning, end, or an offset in that range")
            }
            other => other.code().map(hint_for),
        };
        Self::Reported(Box::new(Report {
            status,
            message: error.to_string(),
            hint: hint.map(str::to_owned),
            answer: error.wire().cloned(),
        }))
    }
}

/// What to do about an error code, in terms of this command line where that is clearer.
fn hint_for(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::TopicAlreadyExists => "--if-not-exists accepts a topic that is there already",
        ErrorCode::UnknownTopicOrPartition => "see `broker topic list`",
        ErrorCode::InvalidConfig => {
            "see `broker config list --topic` and `broker config explain KEY`"
        }
        ErrorCode::UnknownPlugin => "see `broker plugin list`",
        ErrorCode::PluginInUse => {
            "see `broker plugin list` for where plugins come from and who uses them"
        }
        // The client has retried already where that could help; constructors fail the same way again.
        ErrorCode::PluginTimeout => {
            "`broker plugin bench` measures it: make it faster, or deploy it with --limit deadline=TIME"
        }
        ErrorCode::UnknownRevision => "see `broker plugin history NAME`",
        ErrorCode::RecordRefused => {
            "`broker plugin describe NAME` and the topic's options say what it takes"
        }
        ErrorCode::OffsetOutOfRange => "see `broker topic offsets TOPIC`",
        ErrorCode::InvalidReplicationFactor => {
            "see `broker cluster describe` for the brokers there are"
        }
        ErrorCode::ForeignProtocol => "is that the port of a broker? Its own default is 7420",
        other => other.remedy(),
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(error.to_string())
    }
}
