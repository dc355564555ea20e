//! `broker plugin dry-run`: tries a plugin on a topic's own records, on the broker and without any
//! effect, and shows what it would have done.

mod bars;
mod json_keys;
mod report;

use std::path::Path;
use std::time::Duration;

use broker_client::protocol::api::dry_run_plugin::{DryRunPluginRequest, DryRunPluginResponse};
use broker_client::protocol::api::dry_run_status::{
    DryRunReport, DryRunState, DryRunStatusRequest, DryRunStatusResponse,
};
use broker_client::protocol::{ErrorCode, WireError};
use broker_client::{Client, ClientError, Retries};
use clap::Args;
use serde::Serialize;

use super::deployed::plugin_failure;
use super::module_file::read;
use super::{name_value, options};
use crate::exit_status::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::runtime::{block_on, interrupted};
use crate::session::{Session, topic_failure};

/// Try a plugin on a topic's own records, without any effect
///
/// The broker reads the records and asks the plugin, and nothing is changed. What is shown depends
/// on the kind: where records would go, and the hottest keys; which records would be refused, and
/// why; which segments or records would be removed. Ctrl-C ends the run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin dry-run by_region.wasm --topic orders --last 100000
  broker plugin dry-run json --topic orders --slot value.serializer
  broker plugin dry-run keep-last-n --topic orders --option n=3 --json")]
pub(super) struct DryRunArgs {
    /// A module (a path with a / or one that ends with .wasm), or a plugin that the broker has
    #[arg(value_name = "FILE|NAME")]
    plugin: String,

    /// The topic whose records are read
    #[arg(short, long)]
    topic: String,

    /// Where it is tried: partitioner, key.serializer, value.serializer, retention.policy or
    /// compaction.policy [default: what fits its kind; value.serializer for a serializer]
    #[arg(long, value_name = "KEY", value_parser = ["partitioner", "key.serializer", "value.serializer", "retention.policy", "compaction.policy"])]
    slot: Option<String>,

    /// An option of the plugin; may be repeated
    #[arg(short = 'o', long, value_name = "NAME=VALUE", value_parser = name_value)]
    option: Vec<(String, String)>,

    /// Only the newest records, so many of each partition; partitioners and serializers
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    last: Option<u64>,

    /// How many keys and reasons to show
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100))]
    sample: u32,
}

/// How often the broker is asked how far it is.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Serialize)]
struct Tried {
    topic: String,
    plugin: String,
    kind: String,
    slot: String,
    #[serde(serialize_with = "json_keys::serialize")]
    report: DryRunReport,
}

impl DryRunArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let request = self.request()?;
        let (begun, report) = block_on(async {
            let client = session.connect().await?;
            let answered = client.request_any(&request, Retries::OnlyDefinite).await;
            let begun = match answered {
                Ok(begun) => begun,
                Err(error) => return Err(self.failure(&client, error).await),
            };
            let mut run = Run {
                client: &client,
                request: DryRunStatusRequest {
                    run: begun.run.clone(),
                    cancel: false,
                },
            };
            let report = run.finish(&session.output).await;
            let report = report.map_err(|failure| self.naming_the_file(failure))?;
            Ok::<(DryRunPluginResponse, DryRunReport), Failure>((begun, report))
        })?;
        let tried = Tried {
            topic: self.topic,
            plugin: self.plugin,
            kind: begun.kind,
            slot: begun.slot,
            report,
        };
        session
            .output
            .show(&tried, |tried| report::text(&tried.topic, &tried.report))
    }

    fn request(&self) -> Result<DryRunPluginRequest, Failure> {
        let path = Path::new(&self.plugin);
        let module = self.is_file().then(|| read(path)).transpose()?;
        Ok(DryRunPluginRequest {
            topic: self.topic.clone(),
            plugin: module.is_none().then(|| self.plugin.clone()),
            module: module.map(Into::into),
            slot: self.slot.clone(),
            options: options(self.option.clone())?,
            last: self.last,
            sample: Some(self.sample),
        })
    }

    async fn failure(&self, client: &Client, error: ClientError) -> Failure {
        let failure = match error.code() {
            Some(ErrorCode::UnknownPlugin) => plugin_failure(client, &self.plugin, error).await,
            Some(ErrorCode::InvalidConfig) => {
                Failure::from(error).with_hint("options are those of this command line")
            }
            _ => topic_failure(client, &self.topic, error).await,
        };
        self.naming_the_file(failure)
    }

    /// A broker that is given a module has no name for it but `dry-run`.
    fn naming_the_file(&self, failure: Failure) -> Failure {
        if !self.is_file() {
            return failure;
        }
        let file = &self.plugin;
        failure.reworded(|said| said.replace("plugin dry-run ", &format!("plugin {file} ")))
    }

    /// What has a `/` or ends with `.wasm`.
    fn is_file(&self) -> bool {
        let ends_like_one = Path::new(&self.plugin).extension();
        self.plugin.contains('/') || ends_like_one.is_some_and(|end| end == "wasm")
    }
}

/// A run on the broker.
struct Run<'a> {
    client: &'a Client,
    request: DryRunStatusRequest,
}

impl Run<'_> {
    /// Waits for the report; Ctrl-C cancels the run.
    async fn finish(&mut self, output: &Output) -> Result<DryRunReport, Failure> {
        tokio::select! {
            ended = self.poll(output) => return ended,
            () = interrupted() => {}
        }
        self.request.cancel = true;
        self.status().await?;
        Err(Failure::new(
            ExitStatus::Interrupted,
            "interrupted; the run is cancelled",
        ))
    }

    async fn poll(&self, output: &Output) -> Result<DryRunReport, Failure> {
        let mut progress = None;
        loop {
            let status = self.status().await?;
            match status.state {
                DryRunState::Running => {}
                DryRunState::Done => {
                    let report = status.report;
                    return report
                        .ok_or_else(|| Failure::failed("the run is done and has no report"));
                }
                DryRunState::Failed => return Err(failed(status.error)),
                DryRunState::Cancelled => {
                    return Err(Failure::failed("somebody cancelled the run"));
                }
            }
            let progress = progress.get_or_insert_with(|| output.progress_in(&status.unit));
            progress.at_of(status.done, status.total);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn status(&self) -> Result<DryRunStatusResponse, Failure> {
        let asked = self.client.request_any(&self.request, Retries::AtLeastOnce);
        Ok(asked.await?)
    }
}

fn failed(error: Option<WireError>) -> Failure {
    match error {
        Some(error) => {
            Failure::failed(format!("the plugin failed on the topic's records: {error}"))
        }
        None => Failure::failed("the run failed"),
    }
}
