//! What `deploy` and `rollback` say about the revision that came out, and the failure for a plugin
//! that is not there.

use std::fmt::Write;

use broker_client::protocol::{DeployedRevision, ErrorCode};
use broker_client::{Client, ClientError};

use crate::failure::Failure;
use crate::output::bytes;
use crate::session::nearest;

/// A digest as people compare it.
pub(super) fn short(digest: &str) -> String {
    let start: String = digest.chars().take(12).collect();
    format!("sha256 {start}…")
}

/// The revision and who runs it; `done` says what was done, such as `deployed as`.
pub(super) fn text(deployed: &DeployedRevision, done: &str) -> String {
    let DeployedRevision {
        name,
        kind,
        version,
        revision,
        ..
    } = deployed;
    let done = if deployed.unchanged {
        "is already"
    } else {
        done
    };
    let mut text = format!(
        "{name} {done} revision {revision}: {kind} plugin {version}, {}, {}",
        bytes(deployed.size_bytes),
        short(&deployed.digest)
    );
    if !deployed.topics.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\ntopics that run it: {}", deployed.topics.join(", "));
    }
    text
}

/// The failure for an error about a plugin; where there is no such plugin, with the name that was
/// probably meant.
pub(super) async fn plugin_failure(client: &Client, name: &str, error: ClientError) -> Failure {
    let code = error.code();
    let failure = Failure::from(error);
    if code != Some(ErrorCode::UnknownPlugin) {
        return failure;
    }
    let Ok(plugins) = client.admin().list_plugins().await else {
        return failure;
    };
    match nearest(name, plugins.iter().map(|plugin| plugin.name.as_str())) {
        Some(meant) if meant != name => failure.with_hint(format!("did you mean {meant:?}?")),
        _ => failure,
    }
}
