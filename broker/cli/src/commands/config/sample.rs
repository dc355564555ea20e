//! `broker config sample`.

use broker_server::config::sample;
use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::session::Session;

/// Print a broker.toml with every key, its meaning and its default
///
/// All keys are commented out, so the file as it is leaves every default in force.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker config sample > broker.toml
  broker config sample | grep retention")]
pub(super) struct SampleArgs {}

impl SampleArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let text = sample();
        session
            .output
            .show(&json!({ "sample": text }), |_| text.clone())
    }
}
