//! More partitions than the system lets the broker have files: nothing runs out, nothing is lost.

use crate::harness::{Broker, Setup, Value, Wire, map, valued};

const PARTITIONS: u32 = 1_000;
const LIMIT: u32 = 256;

/// Everything in one request each for a quarter of the partitions: how many records there are in each.
fn records_of_each(wire: &mut Wire) -> Vec<u64> {
    let mut counts = Vec::new();
    let all: Vec<u32> = (0..PARTITIONS).collect();
    for numbers in all.chunks(250) {
        let wanted = numbers
            .iter()
            .map(|number| map! { "topic" => "many", "partition" => *number, "offset" => 0 });
        let wanted: Vec<Value> = wanted.collect();
        let answer = wire.call("fetch", map! { "partitions" => wanted, "max_wait_ms" => 0 });
        for partition in answer.unwrap().get("partitions").list() {
            assert_eq!(partition.get("error"), &Value::Nil);
            counts.push(partition.get("high_watermark").u64());
        }
    }
    counts
}

fn assert_below_limit(broker: &Broker) {
    let open = broker.open_files();
    assert!(open < LIMIT as usize, "{open} files are open");
}

#[test]
fn a_thousand_partitions_are_written_and_read_with_256_files() {
    let mut broker = Setup::new().open_files_limit(LIMIT).start();
    let mut wire = broker.connect();
    // A part at a time: each is answered when it is on the disk, however slow that is.
    wire.create_topic("many", PARTITIONS / 4, &[]);
    for quarters in 2..=4 {
        let more = map! { "name" => "many", "partitions" => PARTITIONS / 4 * quarters };
        wire.call("create_partitions", more)
            .expect("there are more");
    }
    wire.wait_until_open("many", PARTITIONS);
    assert_below_limit(&broker);
    for round in 0..2 {
        for number in 0..PARTITIONS {
            let base = wire.produce("many", number, vec![valued(&format!("{round}-{number}"))]);
            assert_eq!(base, round);
            if number % 100 == 0 {
                assert_below_limit(&broker);
            }
        }
    }
    let two_each = vec![2_u64; PARTITIONS as usize];
    assert_eq!(records_of_each(&mut wire), two_each);
    assert_below_limit(&broker);
    broker.crash();
    let mut wire = broker.connect();
    assert_eq!(records_of_each(&mut wire), two_each);
    for number in (0..PARTITIONS).step_by(7) {
        assert_eq!(wire.produce("many", number, vec![valued("after")]), 2);
        let texts = wire.read_all("many", number);
        let texts: Vec<String> = texts.iter().map(|record| record.text()).collect();
        let expected = [
            format!("0-{number}"),
            format!("1-{number}"),
            "after".to_owned(),
        ];
        assert_eq!(texts, expected);
    }
    assert_below_limit(&broker);
    broker.stop();
    broker.start_again();
    let mut wire = broker.connect();
    assert_eq!(records_of_each(&mut wire).iter().sum::<u64>(), 2_000 + 143);
    wire.call("delete_topic", map! { "name" => "many" })
        .unwrap();
    assert_below_limit(&broker);
}
