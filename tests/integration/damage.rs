//! Damaged data files: what was torn is cut, what was durable is never cut; the error names file,
//! position and offset; everything else goes on being served.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::harness::{Broker, Value, Wire, map, plain, valued};

/// Ten batches of three records in `t`, and as many in `other`, on a stopped broker.
fn stopped_with_data() -> Broker {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    for topic in ["t", "other"] {
        wire.create_topic(topic, 1, &[]);
        for start in (0..30).step_by(3) {
            wire.produce(topic, 0, plain("record ", start..start + 3));
        }
    }
    broker.stop();
    broker
}

/// Where each batch of a log file begins, found by walking the headers.
fn batch_starts(log: &[u8]) -> Vec<usize> {
    let (mut starts, mut at) = (Vec::new(), 0);
    while at + 68 <= log.len() {
        starts.push(at);
        let length = u32::from_be_bytes(log[at + 8..at + 12].try_into().expect("four bytes"));
        at += 12 + usize::try_from(length).expect("fits");
    }
    starts
}

fn flip(file: &Path, position: usize) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(file)
        .expect("it is there");
    let position = u64::try_from(position).expect("fits");
    let mut byte = [0];
    file.read_exact_at(&mut byte, position)
        .expect("the byte is there");
    file.write_all_at(&[byte[0] ^ 0x10], position)
        .expect("it can be written");
}

fn assert_others_are_served(wire: &mut Wire) {
    assert_eq!(wire.read_all("other", 0).len(), 30);
    assert_eq!(wire.produce("other", 0, vec![valued("x")]), 30);
}

/// Reads `t` around the damaged batch, which has the offsets 12 to 14, and is told where it is.
fn assert_damage_is_told(broker: &Broker, position: usize) {
    let log = broker.files("t", 0, "log").remove(0);
    let mut wire = broker.connect();
    let before = wire.read_until_error("t", 0, 0);
    assert_eq!(before.0.len(), 12, "what lies before the damage is served");
    for asked in [12, 13, 14] {
        let error = wire.fetch("t", 0, asked, map! {}).unwrap_err();
        assert_eq!(error.name, "CORRUPT_LOG", "{error:?}");
        assert_eq!(error.data.get("file").text(), log.display().to_string());
        assert_eq!(
            error.data.get("position").u64(),
            u64::try_from(position).expect("fits")
        );
        assert_eq!(error.data.get("offset").u64(), 12);
        assert_eq!(error.data.get("next_offset").u64(), 15);
        for word in ["12", &position.to_string(), &log.display().to_string()] {
            assert!(
                error.message.contains(word),
                "{word} is missing in {}",
                error.message
            );
        }
    }
    assert_eq!(
        wire.read_from("t", 0, 15).len(),
        15,
        "and so is what lies behind it"
    );
    let raw = wire
        .fetch("t", 0, 13, map! { "form" => "batch" })
        .unwrap_err();
    assert_eq!(raw.name, "CORRUPT_LOG");
    assert_others_are_served(&mut wire);
    assert_eq!(
        wire.produce("t", 0, vec![valued("x")]),
        30,
        "the damaged partition takes new records"
    );
    // A damaged batch is not made good by being forgotten.
    let error = wire.fetch("t", 0, 12, map! {}).unwrap_err();
    assert_eq!(error.name, "CORRUPT_LOG");
    // Whoever looks into the log finds it: once from the start, if that met it, and once for all readers.
    let text = broker.log();
    let told = text
        .lines()
        .filter(|line| line.contains("ERROR") && line.contains("stored data is damaged"));
    assert!((1..=2).contains(&told.count()), "{text}");
}

#[test]
fn a_flipped_byte_in_a_body_is_found_before_it_is_served() {
    let mut broker = stopped_with_data();
    let log = broker.files("t", 0, "log").remove(0);
    let starts = batch_starts(&fs::read(&log).expect("it is there"));
    flip(&log, starts[4] + 68 + 10);
    broker.start_again();
    assert_damage_is_told(&broker, starts[4]);
}

#[test]
fn a_flipped_byte_in_a_header_is_found_before_it_is_served() {
    let mut broker = stopped_with_data();
    let log = broker.files("t", 0, "log").remove(0);
    let starts = batch_starts(&fs::read(&log).expect("it is there"));
    flip(&log, starts[4] + 33);
    broker.start_again();
    assert_damage_is_told(&broker, starts[4]);
}

#[test]
fn damage_is_found_after_a_crash_too_and_the_log_names_the_place() {
    let mut broker = stopped_with_data();
    broker.start_again();
    broker
        .connect()
        .produce("other", 0, vec![valued("one more")]);
    broker.kill();
    let log = broker.files("t", 0, "log").remove(0);
    let starts = batch_starts(&fs::read(&log).expect("it is there"));
    flip(&log, starts[4] + 68 + 10);
    broker.start_again();
    let mut wire = broker.connect();
    let error = wire.fetch("t", 0, 12, map! {}).unwrap_err();
    assert_eq!(error.name, "CORRUPT_LOG");
    assert_eq!(wire.read_all("other", 0).len(), 31);
}

#[test]
fn a_batch_that_was_half_written_is_cut_and_its_offset_given_to_the_next() {
    let mut broker = stopped_with_data();
    broker.start_again();
    broker.kill();
    let log = broker.files("t", 0, "log").remove(0);
    let whole = fs::read(&log).expect("it is there");
    let last = *batch_starts(&whole).last().expect("a batch");
    for half in [1, 40, 68, 90] {
        // The next batch as a process leaves it that dies while it writes: a good start, no end.
        let mut torn = whole[last..].to_vec();
        torn[..8].copy_from_slice(&30_u64.to_be_bytes());
        let crc = crate::harness::crc32(&[&torn[..12], &torn[16..68]].concat());
        torn[12..16].copy_from_slice(&crc.to_be_bytes());
        assert!(half < torn.len());
        fs::write(&log, [&whole[..], &torn[..half]].concat()).expect("it can be written");
        broker.start_again();
        let mut wire = broker.connect();
        assert_eq!(wire.read_all("t", 0).len(), 30, "{half} bytes");
        broker.kill();
        assert_eq!(
            fs::read(&log).expect("it is there").len(),
            whole.len(),
            "{half} bytes were not cut"
        );
    }
    broker.start_again();
    let mut wire = broker.connect();
    assert_eq!(wire.produce("t", 0, vec![valued("next")]), 30);
    assert_eq!(wire.read_all("t", 0)[30].text(), "next");
    assert_others_are_served(&mut wire);
}

#[test]
fn durable_records_that_are_missing_are_reported_and_their_offsets_never_given_again() {
    let mut broker = stopped_with_data();
    let log = broker.files("t", 0, "log").remove(0);
    let starts = batch_starts(&fs::read(&log).expect("it is there"));
    let file = fs::File::options()
        .write(true)
        .open(&log)
        .expect("it is there");
    file.set_len(u64::try_from(starts[8]).expect("fits") + 20)
        .expect("it can be cut");
    broker.start_again();
    let mut wire = broker.connect();
    assert!(
        broker.log().contains("stored data is damaged"),
        "the log says nothing"
    );
    let (records, error) = wire.read_until_error("t", 0, 0);
    assert_eq!(records.len(), 24);
    let error = error.expect("the loss is not hidden");
    assert_eq!(error.name, "CORRUPT_LOG", "{error:?}");
    assert_eq!(error.data.get("offset").u64(), 24);
    assert_others_are_served(&mut wire);
    let args = map! { "topic" => "t", "partition" => 0, "records" => plain("new", 0..1) };
    match wire.call("produce", args) {
        Ok(answer) => assert!(
            answer.get("base_offset").u64() >= 30,
            "an offset was given out twice: {answer:?}"
        ),
        Err(error) => assert!(error.definite, "{error:?}"),
    }
}

#[test]
fn a_segment_that_is_gone_is_reported_and_the_others_are_read() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("segment.bytes", "1KiB")]);
    wire.create_topic("other", 1, &[]);
    wire.produce("other", 0, plain("x", 0..30));
    for start in (0..60).step_by(3) {
        wire.produce(
            "t",
            0,
            plain("some text to fill a segment ", start..start + 3),
        );
    }
    broker.stop();
    let logs = broker.files("t", 0, "log");
    assert!(logs.len() >= 4);
    let stem = |file: &Path| {
        file.file_stem()
            .expect("a name")
            .to_string_lossy()
            .parse::<u64>()
            .expect("digits")
    };
    let (from, to) = (stem(&logs[1]), stem(&logs[2]));
    fs::remove_file(&logs[1]).expect("it is there");
    broker.start_again();
    let mut wire = broker.connect();
    let (records, error) = wire.read_until_error("t", 0, 0);
    assert_eq!(records.len(), usize::try_from(from).expect("fits"));
    let error = error.expect("the loss is not hidden");
    assert_eq!(error.name, "CORRUPT_LOG", "{error:?}");
    assert_eq!(
        wire.read_from("t", 0, to).len(),
        usize::try_from(60 - to).expect("fits")
    );
    assert_others_are_served(&mut wire);
}

#[test]
fn notes_about_durability_can_be_lost_without_losing_records() {
    for file in [
        "recovery-point-checkpoint",
        "durable-positions",
        "replication-offset-checkpoint",
    ] {
        for damage in ["gone", "garbage"] {
            let mut broker = stopped_with_data();
            let path = broker.data_dir().join(file);
            assert!(path.exists(), "{file} is not there");
            match damage {
                "gone" => fs::remove_file(&path).expect("it can be removed"),
                _ => fs::write(&path, b"version=1\nnonsense\n").expect("it can be written"),
            }
            broker.start_again();
            let mut wire = broker.connect();
            assert_eq!(wire.read_all("t", 0).len(), 30, "{file} {damage}");
            assert_eq!(
                wire.produce("t", 0, vec![valued("x")]),
                30,
                "{file} {damage}"
            );
            assert_others_are_served(&mut wire);
        }
    }
}

#[test]
fn a_damaged_metadata_log_keeps_the_broker_from_starting_and_is_named() {
    let mut broker = stopped_with_data();
    let log = broker.files("__cluster_metadata", 0, "log").remove(0);
    let starts = batch_starts(&fs::read(&log).expect("it is there"));
    assert!(
        starts.len() >= 3,
        "a command each for the broker and two topics"
    );
    flip(&log, starts[1] + 68 + 5);
    let data_dir = broker.data_dir();
    let refused = crate::harness::Setup::new().refused_on(&data_dir);
    refused.names(&[&log.display().to_string()]);
    // Mended, all is as before.
    flip(&log, starts[1] + 68 + 5);
    broker.start_again();
    assert_eq!(broker.connect().read_all("t", 0).len(), 30);
}

#[test]
fn a_damaged_batch_stays_damaged_in_records_form_with_other_partitions_in_one_fetch() {
    let mut broker = stopped_with_data();
    let log = broker.files("t", 0, "log").remove(0);
    let starts = batch_starts(&fs::read(&log).expect("it is there"));
    flip(&log, starts[0] + 68 + 3);
    broker.start_again();
    let mut wire = broker.connect();
    let wanted = |topic: &str| map! { "topic" => topic, "partition" => 0, "offset" => 0 };
    let answer = wire
        .call(
            "fetch",
            map! { "partitions" => vec![wanted("t"), wanted("other")] },
        )
        .unwrap();
    let partitions = answer.get("partitions").list();
    assert_eq!(
        partitions[0].get("error").get("name"),
        &Value::from("CORRUPT_LOG")
    );
    assert_eq!(partitions[1].get("records").list().len(), 30);
}
