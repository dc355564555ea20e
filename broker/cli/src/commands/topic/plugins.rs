//! The plugins of a topic in `broker topic describe`: those it runs now, and those that it ran
//! before with the offsets from which on it did.

use std::fmt::Write;

use broker_client::protocol::api::describe_topic::{
    DescribeTopicResponse, PluginBinding, SlotBinding,
};

use crate::output::{Align, Table, time};

/// A line for each plugin that the topic runs.
pub(super) fn current(topic: &DescribeTopicResponse) -> String {
    let mut text = String::new();
    for plugin in &topic.plugins {
        let slot = topic
            .bindings
            .iter()
            .rev()
            .find(|binding| binding.plugin.as_ref() == Some(plugin));
        let slot = slot.map_or(plugin.kind.as_str(), |binding| binding.slot.as_str());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", line(slot, plugin));
    }
    text
}

/// One plugin of a slot; a plugin without options leaves no blanks at the end.
fn line(slot: &str, plugin: &PluginBinding) -> String {
    let digest: String = plugin.digest.chars().take(12).collect();
    let line = format!(
        "{slot}: {} {} (sha256 {digest}…) {}",
        plugin.name,
        plugin.version,
        options(plugin)
    );
    line.trim_end().to_owned()
}

/// Every binding, oldest first.
pub(super) fn history(topic: &DescribeTopicResponse) -> Table {
    let mut table = Table::new(&[
        ("SLOT", Align::Left),
        ("PLUGIN", Align::Left),
        ("VERSION", Align::Left),
        ("SHA256", Align::Left),
        ("SINCE", Align::Left),
        ("FROM OFFSETS", Align::Left),
        ("OPTIONS", Align::Left),
    ]);
    for binding in &topic.bindings {
        let since = time(binding.since_ms);
        let slot = binding.slot.clone();
        let row = match &binding.plugin {
            Some(plugin) => [
                slot,
                plugin.name.clone(),
                plugin.version.clone(),
                plugin.digest.chars().take(12).collect(),
                since,
                offsets(binding),
                options(plugin),
            ],
            None => [
                slot,
                "none".to_owned(),
                String::new(),
                String::new(),
                since,
                offsets(binding),
                String::new(),
            ],
        };
        table.row(row);
    }
    table
}

fn options(plugin: &PluginBinding) -> String {
    let options = plugin.options.iter();
    let options: Vec<_> = options
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    options.join(" ")
}

/// `partition:offset`, where it is not the beginning.
fn offsets(binding: &SlotBinding) -> String {
    let offsets = binding
        .offsets
        .iter()
        .enumerate()
        .filter(|(_, offset)| offset.get() > 0);
    let offsets: Vec<_> = offsets
        .map(|(partition, offset)| format!("{partition}:{offset}"))
        .collect();
    match offsets.as_slice() {
        [] => "the beginning".to_owned(),
        some => some.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use broker_client::model::{Offset, Timestamp};

    use super::*;

    #[test]
    fn no_line_of_a_plugin_ends_with_blanks() {
        let mut plugin = PluginBinding {
            name: "by-field".to_owned(),
            ..PluginBinding::default()
        };
        assert!(line("partitioner", &plugin).ends_with(')'));
        plugin.options.insert("field".to_owned(), "id".to_owned());
        assert!(line("partitioner", &plugin).ends_with(") field=id"));
    }

    #[test]
    fn a_binding_says_from_which_offsets_on_it_holds() {
        let binding = |offsets: &[u64]| SlotBinding {
            offsets: offsets.iter().copied().map(Offset::new).collect(),
            since_ms: Timestamp::from_millis(0),
            ..SlotBinding::default()
        };
        assert_eq!(offsets(&binding(&[0, 0])), "the beginning");
        assert_eq!(offsets(&binding(&[0, 7, 9])), "1:7 2:9");
    }
}
