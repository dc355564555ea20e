//! `explain`: what a key means, for `broker config explain KEY`. Knows the broker's keys and the
//! keys of topics.

use std::fmt;

use broker_cluster::config_key::ConfigKey;
use broker_cluster::{TopicKey, topic_key};

use super::keys::{BrokerKey, broker_key};

/// Whose key it is.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// The broker's.
    Broker(&'static BrokerKey),
    /// A topic's.
    Topic(&'static TopicKey),
}

/// Everything there is to say about a key.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// The key: name, kind, unit, default, allowed values, meaning, consequence.
    pub key: ConfigKey,
    /// Whose key it is.
    pub level: Level,
}

/// Explains a key of the broker or, if the broker has none of that name, of topics.
///
/// ```
/// let explanation = broker_server::config::explain("log.retention.ms").expect("a broker key");
/// assert!(explanation.to_string().contains("BROKER__LOG__RETENTION__MS"));
/// ```
pub fn explain(name: &str) -> Option<Explanation> {
    if let Some(row) = broker_key(name) {
        return Some(Explanation {
            key: row.key,
            level: Level::Broker(row),
        });
    }
    topic_key(name).map(|row| Explanation {
        key: row.key,
        level: Level::Topic(row),
    })
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        writeln!(f, "{}", key.name)?;
        writeln!(f, "  {}", key.documentation)?;
        writeln!(f, "  {}", key.consequence)?;
        writeln!(f, "  kind:     {}", key.kind_name())?;
        if let Some(unit) = key.unit() {
            writeln!(f, "  unit:     {unit}")?;
        }
        let default = match key.default {
            "" => "nothing",
            default => default,
        };
        writeln!(f, "  default:  {default}")?;
        writeln!(f, "  allowed:  {}", key.allowed())?;
        match self.level {
            Level::Broker(row) => {
                writeln!(f, "  env:      {}", row.variable())?;
                writeln!(f, "  changes:  when the broker is started again")?;
                if let Some(topic_name) = row.topic_name {
                    writeln!(f, "  topics:   override it as {topic_name}")?;
                }
            }
            Level::Topic(row) => {
                writeln!(f, "  changes:  at once, with alter_topic")?;
                writeln!(
                    f,
                    "  broker:   default for all topics is {}",
                    row.broker_name
                )?;
            }
        }
        Ok(())
    }
}
