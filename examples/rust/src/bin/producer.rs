//! Sends numbered greetings, with a key each, and says where they were stored.
//!
//! `cargo run -p broker-examples --bin producer -- [TOPIC] [COUNT] [BROKERS]`

use std::time::Duration;

use anyhow::{Context, Result};
use broker_client::protocol::ErrorCode;
use broker_client::{Client, Codec, Producer, ProducerRecord};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let topic = args.next().unwrap_or_else(|| "greetings".to_owned());
    let count: u64 = match args.next() {
        Some(count) => count.parse().context("COUNT is a number")?,
        None => 10,
    };
    let brokers = args.next().unwrap_or_else(|| "127.0.0.1:7420".to_owned());

    let client = Client::connect(&brokers).await?;
    create_topic(&client, &topic).await?;

    let producer = Producer::builder(&client)
        .compression(Codec::Lz4)
        .linger(Duration::from_millis(5))
        .build()?;
    // Each `enqueue` waits only while the buffer is full; the deliveries come in meanwhile.
    let mut deliveries = Vec::new();
    for number in 0..count {
        let record = ProducerRecord::new(topic.as_str())
            .key(format!("user-{}", number % 5))
            .value(format!("hello {number}"))
            .header("source", "example");
        deliveries.push(producer.enqueue(record).await?);
    }
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let stored = delivery.await.with_context(|| format!("record {number}"))?;
        let offset = stored
            .offset
            .context("acknowledged records have an offset")?;
        show(format_args!(
            "hello {number} -> {topic}-{} at {offset}",
            stored.partition
        ));
    }
    producer.close().await?;
    Ok(())
}

/// Creates the topic, unless it is there already.
async fn create_topic(client: &Client, topic: &str) -> Result<()> {
    match client
        .admin()
        .create_topic(topic)
        .partitions(3)
        .send()
        .await
    {
        Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => Ok(()),
        created => {
            for warning in created?.warnings {
                show(format_args!("{topic}: {warning}"));
            }
            Ok(())
        }
    }
}

#[expect(clippy::print_stdout, reason = "a program's output")]
fn show(line: std::fmt::Arguments<'_>) {
    println!("{line}");
}
