//! What attacks and neighbours find: topics with something in them. Set up before, taken away afterwards.

use std::io;

use broker_record::{Codec, compression};

use super::message::{Message, error_name, records, request};
use super::neighbour::{self, Client};

/// Holds 8 MiB of records, not compressed.
pub const PLAIN: &str = "flood-plain";
/// Holds small batches that unfold to 8 MiB each.
pub const PACKED: &str = "flood-packed";
/// Takes what attacks write.
pub const TARGET: &str = "flood-target";
/// Has 1,000 partitions with nothing in them.
pub const WIDE: &str = "flood-wide";

/// How large the stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// With a topic of 1,000 partitions, as long polls need it.
    Full,
    /// With a topic of a few partitions in its place.
    Small,
}

/// Makes the topics and fills them. What is left of an earlier run is taken away first.
///
/// # Errors
/// When the broker refuses.
pub fn set_up(address: &str, size: Size) -> io::Result<()> {
    let wide_partitions = match size {
        Size::Full => 1_000,
        Size::Small => 10,
    };
    take_down(address)?;
    let mut client = Client::connect(address)?;
    for topic in topics() {
        let partitions = if topic == WIDE { wide_partitions } else { 1 };
        create(&mut client, topic, partitions)?;
    }
    let plain = records(1_000, 1_000);
    for topic in [PLAIN, neighbour::TOPICS[2]] {
        for _ in 0..8 {
            accepted(&client.ask(&super::message::produce(3, topic, &plain))?)?;
        }
    }
    let packed = records(80, 100_000);
    let packed = compression::compress(Codec::Gzip, &packed).map_err(io::Error::other)?;
    for _ in 0..4 {
        let args = Message::new().map(8).text("topic").text(PACKED);
        let args = args.text("partition").number(0);
        let args = args.text("codec").text("gzip");
        let args = args.text("record_count").number(80);
        let args = args.text("base_timestamp_ms").number(1_000);
        let args = args.text("max_timestamp_ms").number(1_000);
        let crc = u64::from(crc32fast::hash(&packed));
        let args = args.text("crc").number(crc).text("body").bin(&packed);
        accepted(&client.ask(&request(4, "produce", args))?)?;
    }
    Ok(())
}

/// Takes the topics away.
///
/// # Errors
/// When the connection breaks.
pub fn take_down(address: &str) -> io::Result<()> {
    let mut client = Client::connect(address)?;
    for topic in topics() {
        let args = Message::new().map(1).text("name").text(topic);
        client.ask(&request(2, "delete_topic", args))?;
    }
    Ok(())
}

fn topics() -> impl Iterator<Item = &'static str> {
    [PLAIN, PACKED, TARGET, WIDE]
        .into_iter()
        .chain(neighbour::TOPICS)
}

fn create(client: &mut Client, topic: &str, partitions: u64) -> io::Result<()> {
    let args = Message::new().map(3).text("name").text(topic);
    let args = args.text("partitions").number(partitions).text("config");
    let args = args.map(2).text("flush.mode").text("async");
    let args = args.text("retention.bytes").text("268435456");
    accepted(&client.ask(&request(2, "create_topic", args))?)
}

fn accepted(answer: &[u8]) -> io::Result<()> {
    match error_name(answer) {
        None => Ok(()),
        Some(name) => Err(io::Error::other(name)),
    }
}
