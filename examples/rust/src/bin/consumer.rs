//! Prints the records of a topic, from the first on, until the end of what is there now; with
//! `--follow`, for ever.
//!
//! `cargo run -p broker-examples --bin consumer -- [TOPIC] [BROKERS] [--follow]`

use std::borrow::Cow;

use anyhow::Result;
use broker_client::{Client, ClientError, Consumer, ConsumerRecord, StartAt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (flags, args): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|arg| arg.starts_with("--"));
    let mut args = args.into_iter();
    let topic = args.next().unwrap_or_else(|| "greetings".to_owned());
    let brokers = args.next().unwrap_or_else(|| "127.0.0.1:7420".to_owned());
    let follow = flags.iter().any(|flag| flag == "--follow");

    let client = Client::connect(&brokers).await?;
    let mut builder = Consumer::builder(&client)
        .topic(topic)
        .start(StartAt::Earliest);
    if !follow {
        builder = builder.stop_at_end();
    }
    let mut consumer = builder.build().await?;
    while let Some(record) = consumer.next().await {
        match record {
            Ok(record) => show(&record),
            // A damaged batch is one partition's misfortune: say so, and go on behind it.
            Err(damage @ ClientError::CorruptBatch { .. }) => complain(&damage),
            Err(error) => return Err(error.into()),
        }
    }
    for reset in consumer.take_resets() {
        complain(&format!(
            "{}: {} offsets were gone already",
            reset.partition, reset.skipped
        ));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program's output")]
fn show(record: &ConsumerRecord) {
    let headers = record.headers.iter();
    let headers =
        headers.map(|header| format!("{}={}", header.name, text(header.value.as_deref())));
    let headers: Vec<String> = headers.collect();
    println!(
        "{}-{} {} @{} key={} value={} [{}]",
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        text(record.key.as_deref()),
        text(record.value.as_deref()),
        headers.join(", ")
    );
}

fn text(bytes: Option<&[u8]>) -> Cow<'_, str> {
    bytes.map_or("null".into(), String::from_utf8_lossy)
}

fn complain(what: &dyn std::fmt::Display) {
    eprintln!("{what}");
}
