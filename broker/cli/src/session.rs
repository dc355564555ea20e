//! `Session`: the global options of one invocation: which broker, how to print, how patient to be.
//! Every command gets it and nothing global besides.

use std::time::Duration;

use broker_client::protocol::ErrorCode;
use broker_client::{Client, ClientError, ClientOptions};

use crate::failure::Failure;
use crate::output::Output;

/// The global options.
#[derive(Debug)]
pub(crate) struct Session {
    /// Bootstrap list, `host:port[,host:port]`.
    pub(crate) server: String,
    /// How long to wait for an answer.
    pub(crate) timeout: Duration,
    /// Where results, warnings and progress go.
    pub(crate) output: Output,
    /// `-v` minus `-q`.
    pub(crate) verbosity: i16,
}

impl Session {
    /// How a client of this session behaves.
    pub(crate) fn client_options(&self) -> Result<ClientOptions, Failure> {
        let mut options = ClientOptions::new(&self.server)
            .map_err(|error| Failure::from(error).after("--server"))?;
        options.connection.client_name = concat!("broker-cli/", env!("CARGO_PKG_VERSION")).into();
        options.connection.request_timeout = self.timeout;
        options.connection.connect_timeout = self.timeout.min(Duration::from_secs(5));
        options.retry_timeout = self.timeout;
        Ok(options)
    }

    /// Connects to the cluster.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        Ok(Client::with_options(self.client_options()?).await?)
    }
}

/// The failure for an error about a topic; when there is no such topic, with the name that was
/// probably meant or the command that creates it.
pub(crate) async fn topic_failure(client: &Client, topic: &str, error: ClientError) -> Failure {
    let unknown = error.code() == Some(ErrorCode::UnknownTopicOrPartition)
        || matches!(error, ClientError::UnknownPartition(_));
    let failure = Failure::from(error);
    if !unknown {
        return failure;
    }
    let Ok(topics) = client.admin().list_topics().await else {
        return failure;
    };
    if topics.iter().any(|known| known.name == topic) {
        return failure.with_hint(format!("see `broker topic describe {topic}`"));
    }
    let names = topics
        .iter()
        .filter(|known| !known.internal)
        .map(|known| known.name.as_str());
    match nearest(topic, names) {
        Some(meant) => failure.with_hint(format!("did you mean {meant:?}?")),
        None => failure.with_hint(format!(
            "create it with `broker topic create {topic}`, or see `broker topic list`"
        )),
    }
}

/// The name that was most likely meant, if one is near enough.
pub(crate) fn nearest<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let reach = (asked.chars().count() / 3).max(1);
    names
        .map(|name| (strsim::damerau_levenshtein(asked, name), name))
        .filter(|(distance, _)| *distance <= reach)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_topic_is_suggested_and_far_ones_are_not() {
        let names = || ["orders", "payments", "users"].into_iter();
        assert_eq!(nearest("odrers", names()), Some("orders"));
        assert_eq!(nearest("payment", names()), Some("payments"));
        assert_eq!(nearest("clicks", names()), None);
    }
}
