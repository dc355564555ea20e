//! `broker plugin deploy`: puts a module under a name on a running broker. The file is only read here;
//! whether it is a plugin, the broker says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use broker_client::model::{parse_bytes, parse_duration};
use broker_client::protocol::api::deploy_plugin::DeployPluginRequest;
use broker_client::protocol::{ErrorCode, LimitOverrides};
use broker_client::{Client, ClientError, Retries};
use clap::Args;

use super::deployed::{plugin_failure, text};
use super::kind::Kind;
use super::module_file::{engine, read};
use super::{name_value, options};
use crate::failure::Failure;
use crate::runtime::block_on;
use crate::session::Session;

/// Put a plugin on a running broker, or a new version of one
///
/// The broker checks the module, keeps it by its digest and swaps it in between batches. Topics
/// that use the name run the new revision from then on; the old ones stay for `rollback`. A topic
/// begins to use a plugin with `broker topic create` or `alter`, such as -c partitioner=NAME.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin deploy by-region=by_region.wasm --check
  broker plugin deploy by-region=by_region.wasm --option separator=. --fallback key-hash
  broker plugin deploy keep-audit=keep_audit.wasm --limit memory=128MiB --limit budget=30min")]
pub(super) struct DeployArgs {
    /// The name that topics use, and the module
    #[arg(value_name = "NAME=FILE", value_parser = name_value)]
    plugin: (String, String),

    /// The kind that it has to be of
    #[arg(long, value_enum)]
    kind: Option<Kind>,

    /// An option of the plugin, for all topics; may be repeated
    #[arg(short = 'o', long, value_name = "NAME=VALUE", value_parser = name_value)]
    option: Vec<(String, String)>,

    /// What it may use: deadline=5ms for a call, memory=16MiB, output=16MiB for a batch of a
    /// serializer, budget=10min for a cleaning; may be repeated
    #[arg(long, value_name = "LIMIT=VALUE", value_parser = limit)]
    limit: Vec<Limit>,

    /// For a partitioner: the plugin that answers where this one fails
    #[arg(long, value_name = "PLUGIN")]
    fallback: Option<String>,

    /// Check everything, change nothing
    #[arg(long)]
    check: bool,
}

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Deadline(u64),
    Memory(u64),
    Output(u64),
    Budget(u64),
}

fn limit(text: &str) -> Result<Limit, String> {
    let (name, value) = name_value(text)?;
    let size = || parse_bytes(&value).map_err(|error| error.to_string());
    let millis = || {
        let time = parse_duration(&value).map_err(|error| error.to_string())?;
        if time.subsec_nanos() % 1_000_000 != 0 {
            return Err("it is counted in whole milliseconds".to_owned());
        }
        u64::try_from(time.as_millis()).map_err(|_| "it is too long".to_owned())
    };
    match name.as_str() {
        "deadline" => millis().map(Limit::Deadline),
        "memory" => size().map(Limit::Memory),
        "output" => size().map(Limit::Output),
        "budget" => millis().map(Limit::Budget),
        _ => Err("limits are deadline, memory, output and budget".to_owned()),
    }
}

fn limits(given: &[Limit]) -> Result<LimitOverrides, Failure> {
    let mut limits = LimitOverrides::default();
    for limit in given {
        let (name, place, value) = match *limit {
            Limit::Deadline(ms) => ("deadline", &mut limits.deadline_ms, ms),
            Limit::Memory(bytes) => ("memory", &mut limits.memory_bytes, bytes),
            Limit::Output(bytes) => ("output", &mut limits.output_bytes, bytes),
            Limit::Budget(ms) => ("budget", &mut limits.budget_ms, ms),
        };
        if place.replace(value).is_some() {
            return Err(Failure::usage(format!("--limit {name} is given twice")));
        }
    }
    Ok(limits)
}

impl DeployArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let (name, file) = self.plugin;
        let options: BTreeMap<_, _> = options(self.option)?;
        let request = DeployPluginRequest {
            module: read(&PathBuf::from(file))?.into(),
            name,
            kind: self.kind.map(|kind| kind.name().to_owned()),
            options,
            limits: limits(&self.limit)?,
            fallback: self.fallback,
            validate_only: self.check,
        };
        let deployed = block_on(async {
            let client = session.connect().await?;
            let answered = client.request_any(&request, Retries::OnlyDefinite).await;
            match answered {
                Ok(deployed) => Ok(deployed),
                Err(error) => Err(refused(&client, &request, error).await),
            }
        })?;
        session.output.warn_all(&deployed.warnings);
        let done = if self.check {
            "could be deployed as"
        } else {
            "is deployed as"
        };
        session
            .output
            .show(&deployed, |deployed| text(deployed, done))
    }
}

/// What to do depends on whether it is the module that is wrong, or what is asked for it.
async fn refused(client: &Client, request: &DeployPluginRequest, error: ClientError) -> Failure {
    let code = error.code();
    let asked_for = request.fallback.as_ref().unwrap_or(&request.name);
    let failure = plugin_failure(client, asked_for, error).await;
    match code {
        Some(ErrorCode::InvalidConfig) => {
            failure.with_hint("options, limits and the fallback are those of this command line")
        }
        Some(ErrorCode::InvalidPlugin) if is_plugin(&request.module) => failure.with_hint(
            "the module itself is fine: change the name, --kind or --fallback as the message says",
        ),
        _ => failure,
    }
}

/// Whether a broker would run the module under some name.
fn is_plugin(module: &[u8]) -> bool {
    engine().is_ok_and(|engine| engine.load(module).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_with_their_units_and_once_each() {
        assert_eq!(limit("deadline=5ms"), Ok(Limit::Deadline(5)));
        assert_eq!(limit("memory=2MiB"), Ok(Limit::Memory(2 << 20)));
        assert_eq!(limit("budget=10min"), Ok(Limit::Budget(600_000)));
        for bad in [
            "deadline",
            "deadline=fast",
            "memory=-1",
            "stack=1MiB",
            "deadline=5us",
        ] {
            assert!(limit(bad).is_err(), "{bad} was accepted");
        }
        assert!(limits(&[Limit::Memory(1), Limit::Memory(2)]).is_err());
        let both = limits(&[Limit::Memory(1), Limit::Output(2)]).unwrap();
        assert_eq!(
            (both.memory_bytes, both.output_bytes, both.deadline_ms),
            (Some(1), Some(2), None)
        );
    }
}
