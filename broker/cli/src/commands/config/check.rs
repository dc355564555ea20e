//! `broker config check`.

use std::path::PathBuf;

use broker_server::config::{BrokerConfig, ConfigFile, ConfigLayers, process_environment};
use clap::Args;
use serde_json::json;

use crate::commands::serve::config_failure;
use crate::failure::Failure;
use crate::session::Session;

/// Check a configuration file, together with the environment
///
/// Lists every problem at once, with file and line. Ends with exit code 6 if there is one. Warns of directories and
/// addresses that cannot be used on this machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker config check broker.toml
  broker config check /etc/broker.toml --json")]
pub(super) struct CheckArgs {
    /// The file
    file: PathBuf,
}

impl CheckArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let layers = ConfigLayers {
            file: ConfigFile::Required(self.file.clone()),
            environment: process_environment(),
            command_line: Vec::new(),
        };
        let config = BrokerConfig::load(&layers).map_err(config_failure)?;
        for doubt in config.doubts() {
            session.output.warn(doubt);
        }
        match broker_server::check_machine(&config) {
            Ok(doubts) => doubts
                .into_iter()
                .for_each(|doubt| session.output.warn(doubt)),
            Err(error) => session
                .output
                .warn(format!("a broker would not start here with it: {error}")),
        }
        let set = config
            .describe()
            .into_iter()
            .filter(|entry| entry.origin.name() != "default");
        let set = set.count();
        let file = self.file.display().to_string();
        session.output.show(
            &json!({ "file": file, "ok": true, "keys_set": set }),
            |_| format!("{file} is fine: {set} key(s) differ from the defaults or are set to them"),
        )
    }
}
