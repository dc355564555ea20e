//! What `describe_cluster` says about plugins: those of a topic that are suspended or cannot be had, what that
//! means for the topic, and what ends it. A plugin that no topic asks is nobody's worry.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_cluster::{PluginSlot, TopicConfig};
use broker_model::TopicName;
use broker_wasm::{Plugin, PluginState};

use crate::context::Context;
use crate::plugins::{BoundSlot, SlotError, needed_modules};
use crate::topics::HostedTopic;

/// So many topics are named; the others are counted.
const NAMED: usize = 5;

/// The topics with one trouble, by the words before and behind their names.
type Troubles = BTreeMap<(String, String), Vec<TopicName>>;

/// A sentence for each plugin and what the lack of it means.
pub(super) fn plugin_warnings(context: &Context) -> Vec<String> {
    let hosted = context.topics.all();
    let mut topics: Vec<&Arc<HostedTopic>> = hosted.values().collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let mut troubles = Troubles::new();
    for topic in topics {
        for (slot, bound) in topic.plugins.slots() {
            if !asks(&topic.config, slot) {
                continue;
            }
            let Some(trouble) = trouble(topic.name.as_str(), slot, bound) else {
                continue;
            };
            let names = troubles.entry(trouble).or_default();
            // Keys and values may go through one serializer.
            if names.last() != Some(&topic.name) {
                names.push(topic.name.clone());
            }
        }
    }
    let sentences = troubles.iter();
    sentences
        .map(|((before, behind), topics)| format!("{before} {}: {behind}", listed(topics)))
        .collect()
}

/// A sentence for each module whose file the next start cannot use, as far as no warning names it already.
pub(super) fn unsound_modules(context: &Context, told: &[String]) -> Vec<String> {
    let unsound = context.plugins.unsound_modules().clone();
    if unsound.is_empty() {
        return Vec::new();
    }
    let names = needed_modules(&context.metadata.load());
    let is_news = |digest: &str| !told.iter().any(|warning| warning.contains(digest));
    let news = unsound.iter().filter(|(digest, _)| is_news(digest));
    news.filter_map(|(digest, problem)| {
        let name = names.get(digest)?;
        Some(format!(
            "the file that keeps the module {digest} of plugin {name} is {problem}: what runs goes on, and after the next start the module is not available. Deploy the same module again (broker plugin deploy)"
        ))
    })
    .collect()
}

/// Whether a topic with this configuration asks the plugin of that slot at all.
fn asks(config: &TopicConfig, slot: PluginSlot) -> bool {
    match slot {
        PluginSlot::RetentionPolicy => config.cleanup_policy.delete,
        PluginSlot::CompactionPolicy => config.cleanup_policy.compact,
        _ => true,
    }
}

/// What is wrong with a slot: the words before the topics and those behind them.
fn trouble(
    topic: &str,
    slot: PluginSlot,
    bound: &Result<Arc<BoundSlot>, SlotError>,
) -> Option<(String, String)> {
    let plugin = match bound {
        Ok(bound) => &bound.plugin,
        Err(error) => {
            let before = format!("no {slot} for");
            return Some((before, format!("{}; {error}", without(slot))));
        }
    };
    let PluginState::Suspended { reason, .. } = plugin.state(topic) else {
        return None;
    };
    let (name, version, kind) = (plugin.name(), plugin.version(), plugin.kind());
    let before = format!("{kind} plugin {name} {version} is suspended for");
    let meaning = match plugin.fallback() {
        Some(fallback) if answers(fallback, topic) => {
            format!("its fallback {} answers in its place", fallback.name())
        }
        Some(fallback) => format!(
            "{}, as its fallback {} is suspended too",
            without(slot),
            fallback.name()
        ),
        None => without(slot).to_owned(),
    };
    let behind = format!(
        "{meaning}. It had {reason}. Deploy a version that works (broker plugin deploy), or have it asked again (broker plugin resume {name})"
    );
    Some((before, behind))
}

/// Whether a plugin or one that it falls back to is asked for a topic.
fn answers(plugin: &Plugin, topic: &str) -> bool {
    plugin.state(topic) == PluginState::Active
        || plugin.fallback().is_some_and(|next| answers(next, topic))
}

/// What a topic does while nothing answers for this slot.
fn without(slot: PluginSlot) -> &'static str {
    match slot {
        PluginSlot::Partitioner => "records sent without a partition are refused",
        PluginSlot::KeySerializer | PluginSlot::ValueSerializer => {
            "records are refused, and a fetch with decode gives the stored bytes"
        }
        PluginSlot::RetentionPolicy => "nothing is deleted, and the log grows",
        PluginSlot::CompactionPolicy => "nothing is compacted, and the log grows",
    }
}

fn listed(topics: &[TopicName]) -> String {
    let named: Vec<&str> = topics.iter().take(NAMED).map(TopicName::as_str).collect();
    let (word, named) = (
        if topics.len() == 1 { "topic" } else { "topics" },
        named.join(", "),
    );
    match topics.len().saturating_sub(NAMED) {
        0 => format!("{word} {named}"),
        more => format!("{word} {named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use broker_cluster::TopicDefaults;

    use super::*;

    #[test]
    fn a_slot_whose_plugin_cannot_be_had_says_what_that_means() {
        let missing = || SlotError::NotInstalled {
            plugin: "mine".to_owned(),
            meant: None,
        };
        let of = |slot| trouble("t", slot, &Err(missing()));
        let (before, behind) = of(PluginSlot::RetentionPolicy).expect("it is a trouble");
        assert_eq!(before, "no retention.policy for");
        assert_eq!(
            behind,
            "nothing is deleted, and the log grows; there is no plugin \"mine\": see `broker plugin list`"
        );
    }

    #[test]
    fn five_topics_are_named_and_the_others_counted() {
        let names = |count: u32| -> Vec<TopicName> {
            let names = (0..count).map(|number| TopicName::new(&format!("t{number}")));
            names.map(|name| name.expect("a name")).collect()
        };
        assert_eq!(listed(&names(1)), "topic t0");
        assert_eq!(listed(&names(2)), "topics t0, t1");
        assert_eq!(listed(&names(12)), "topics t0, t1, t2, t3, t4 and 7 more");
    }

    #[test]
    fn a_topic_that_only_compacts_asks_no_retention() {
        let overrides = [("cleanup.policy".to_owned(), "compact".to_owned())].into();
        let config = TopicConfig::resolve(&overrides, &TopicDefaults::default()).expect("a config");
        assert!(!asks(&config, PluginSlot::RetentionPolicy));
        assert!(asks(&config, PluginSlot::CompactionPolicy));
        assert!(asks(&config, PluginSlot::Partitioner));
    }
}
