//! `broker plugin logs`: what a plugin wrote, and with `-f` what it writes.

use std::time::Duration;

use broker_client::protocol::api::plugin_logs::{PluginLogLine, PluginLogsRequest};
use broker_client::{Client, Retries};
use clap::Args;

use super::deployed::plugin_failure;
use crate::failure::Failure;
use crate::output::{is_text, time};
use crate::runtime::{block_on, interrupted};
use crate::session::Session;

/// Show the lines that a plugin wrote, and what the broker noted about it
///
/// The broker keeps the last 1,000 lines of each plugin while it runs, and takes ten a second.
/// --json prints one object per line.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin logs by-region
  broker plugin logs by-region -f --lines 0")]
pub(super) struct LogsArgs {
    /// Name of the plugin
    name: String,

    /// Go on with new lines as they come, until Ctrl-C
    #[arg(short, long)]
    follow: bool,

    /// Begin with so many of the newest lines
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
    lines: usize,
}

/// How often a follower asks.
const PAUSE: Duration = Duration::from_millis(300);

impl LogsArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        block_on(async {
            let client = session.connect().await?;
            tokio::select! {
                ended = self.read(&client, session) => ended,
                () = interrupted() => Ok(()),
            }
        })
    }

    async fn read(&self, client: &Client, session: &Session) -> Result<(), Failure> {
        let mut request = PluginLogsRequest::new(&self.name);
        let mut kept = Vec::new();
        loop {
            let answer = self.ask(client, &request).await?;
            let is_end = answer.lines.is_empty() || answer.next == request.after;
            request.after = answer.next;
            kept.extend(answer.lines);
            if is_end {
                break;
            }
        }
        let skipped = kept.len().saturating_sub(self.lines);
        if kept.is_empty() && !self.follow {
            session.output.note(format!(
                "{} has written nothing since the broker was started",
                self.name
            ));
        }
        show(kept.into_iter().skip(skipped), session)?;
        if !self.follow {
            return Ok(());
        }
        loop {
            tokio::time::sleep(PAUSE).await;
            let answer = self.ask(client, &request).await?;
            if answer.next < request.after {
                session.output.warn(
                    "the broker has begun a new log; it was restarted or the plugin replaced",
                );
            }
            if let Some(dropped) = answer.dropped.filter(|dropped| *dropped > 0) {
                session.output.warn(format!(
                    "{dropped} line(s) were gone before they could be read"
                ));
            }
            request.after = answer.next;
            show(answer.lines.into_iter(), session)?;
        }
    }

    async fn ask(
        &self,
        client: &Client,
        request: &PluginLogsRequest,
    ) -> Result<broker_client::protocol::api::plugin_logs::PluginLogsResponse, Failure> {
        match client.request_any(request, Retries::AtLeastOnce).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(plugin_failure(client, &self.name, error).await),
        }
    }
}

fn show(lines: impl Iterator<Item = PluginLogLine>, session: &Session) -> Result<(), Failure> {
    let mut stream = session.output.stream();
    for line in lines {
        let text = if session.output.is_json() {
            crate::output::json(&line)?
        } else {
            text(&line, session)
        };
        stream.write(text.as_bytes())?;
        stream.write(b"\n")?;
    }
    stream.flush()
}

fn text(line: &PluginLogLine, session: &Session) -> String {
    let topic = match line.topic.as_str() {
        "" => "-",
        topic => topic,
    };
    // The broker takes control characters out; should one that does not be asked, this does.
    let message = match is_text(line.message.as_bytes(), session.output.destination()) {
        true => line.message.clone(),
        false => line.message.escape_debug().to_string(),
    };
    format!(
        "{} {:<5} {topic} {message}",
        time(line.at_ms),
        line.level.to_uppercase()
    )
}
