//! `broker config explain`.

use broker_server::config::{explain, unknown_key};
use clap::Args;

use super::key_row::KeyRow;
use crate::failure::Failure;
use crate::session::Session;

/// Explain a configuration key: unit, default, range, meaning, consequence
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker config explain log.segment.bytes
  broker config explain retention.ms           a key of topics")]
pub(super) struct ExplainArgs {
    /// Name of the key, of the broker or of topics
    key: String,
}

impl ExplainArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let Some(explanation) = explain(&self.key) else {
            return Err(
                Failure::failed(unknown_key(&self.key).to_string()).with_hint(
                    "`broker config list` and `broker config list --topic` have all of them",
                ),
            );
        };
        session
            .output
            .show(&KeyRow::from(explanation), |_| explanation.to_string())
    }
}
