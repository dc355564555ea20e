//! `sample`: a `broker.toml` with every key, its meaning and its default, made from the table.
//! Settings are commented out: a line starts with `#` and no space, so that removing the `#` sets
//! the key, and a file nobody touched leaves every default what it is.

use std::fmt::Write;

use broker_cluster::config_key::ValueKind;

use super::keys::{BROKER_KEYS, BrokerKey};

const WIDTH: usize = 98;

/// A commented `broker.toml` with every key at its default.
pub fn sample() -> String {
    let mut text = String::from(
        "# Configuration of the broker. Every key stands here with its default; remove the # in\n\
         # front of a key to set it. Durations and sizes take units (500ms, 10s, 7d, 64KiB, 1GiB);\n\
         # bare numbers are milliseconds and bytes. An environment variable wins over this file\n\
         # (BROKER__LOG__DIR for log.dir), the command line wins over both (-o log.dir=PATH).\n",
    );
    let mut group = "";
    for row in BROKER_KEYS.iter() {
        if row.group != group {
            group = row.group;
            text.push_str(&format!("\n# ==== {group} ====\n"));
        }
        text.push('\n');
        comment(&mut text, row.key.documentation);
        comment(&mut text, row.key.consequence);
        comment(&mut text, &allowed(row));
        text.push_str(&format!("#{} = {}\n", row.key.name, default(row)));
    }
    text
}

fn allowed(row: &BrokerKey) -> String {
    let mut text = format!("Takes {}.", row.key.allowed());
    if let Some(topic_name) = row.topic_name {
        // Writing to a String cannot fail.
        let _ = write!(text, " A topic overrides it as {topic_name}.");
    }
    text
}

fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}

/// The default as TOML, in the largest unit that fits.
fn default(row: &BrokerKey) -> String {
    let text = row.key.default;
    match row.key.kind {
        ValueKind::Number { .. } | ValueKind::Bool => text.to_owned(),
        ValueKind::Duration { .. } => with_unit(text, &DURATION_UNITS),
        ValueKind::Bytes { .. } => with_unit(text, &SIZE_UNITS),
        _ => toml::Value::from(text).to_string(),
    }
}

const DURATION_UNITS: [(u64, &str); 5] = [
    (24 * 3600 * 1000, "d"),
    (3600 * 1000, "h"),
    (60 * 1000, "min"),
    (1000, "s"),
    (1, "ms"),
];

const SIZE_UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

fn with_unit(text: &str, units: &[(u64, &str)]) -> String {
    let Ok(number) = text.parse::<u64>() else {
        return text.to_owned();
    };
    let fits = units
        .iter()
        .find(|(size, _)| number > 0 && number % size == 0);
    match fits {
        Some((size, unit)) => format!("\"{}{unit}\"", number / size),
        None => text.to_owned(),
    }
}
