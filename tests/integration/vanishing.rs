//! Files and directories that somebody removes, cuts or moves under a broker, running or stopped: it says
//! so once, consumers go on behind what is missing, nothing is acknowledged into the void, and nobody else
//! notices.

use std::fs;
use std::path::Path;

use crate::harness::{Broker, Wire, WireError, eventually, map, plain, valued};

/// What the log says of partitions whose files were removed.
const TOLD: &str = "files of partitions were removed, cut or replaced";

/// Ten batches of three records in `t`, and as many in `other`, on a running broker.
fn with_data(config: &[(&str, &str)]) -> (Broker, Wire) {
    let broker = Broker::start();
    let mut wire = broker.connect();
    for topic in ["t", "other"] {
        wire.create_topic(topic, 1, config);
        for start in (0..30).step_by(3) {
            let text = format!("{:.<90}", "some text to fill a segment");
            wire.produce(topic, 0, plain(&text, start..start + 3));
        }
    }
    (broker, wire)
}

fn cut(file: &Path, len: u64) {
    let file = fs::File::options().write(true).open(file);
    file.and_then(|file| file.set_len(len))
        .expect("it can be cut");
}

fn try_produce(wire: &mut Wire, topic: &str) -> Result<u64, WireError> {
    let args = map! { "topic" => topic, "partition" => 0, "records" => vec![valued("new")] };
    let answer = wire.call("produce", args)?;
    Ok(answer.get("base_offset").u64())
}

fn assert_others_go_on(wire: &mut Wire, produced: u64) {
    assert_eq!(wire.read_all("other", 0).len() as u64, produced);
    assert_eq!(wire.produce("other", 0, vec![valued("x")]), produced);
}

fn base_of(log: &Path) -> u64 {
    let name = log.file_stem().expect("a name").to_string_lossy();
    name.parse().expect("digits")
}

#[test]
fn an_index_that_is_cut_while_it_is_in_use_ends_nobody() {
    let (broker, mut wire) = with_data(&[("segment.bytes", "1KiB")]);
    let look = |wire: &mut Wire| {
        for offset in 0..30 {
            let fetched = wire.fetch("t", 0, offset, map! { "max_bytes" => 1 });
            let records = fetched
                .expect("it can be read")
                .answer
                .get("records")
                .list()
                .len();
            assert!(records >= 1, "at {offset}");
        }
        let first = map! { "topic" => "t", "partition" => 0, "at" => 1 };
        wire.call("list_offsets", map! { "partitions" => vec![first] })
            .expect("it is answered");
    };
    look(&mut wire);
    for extension in ["index", "timeindex"] {
        for file in broker.files("t", 0, extension) {
            cut(&file, 0);
        }
        look(&mut wire);
    }
    assert_others_go_on(&mut wire, 30);
}

#[test]
fn a_segment_that_is_cut_or_removed_under_a_running_broker_is_damage_that_consumers_pass() {
    let (mut broker, mut wire) = with_data(&[("segment.bytes", "1KiB")]);
    let logs = broker.files("t", 0, "log");
    assert!(logs.len() >= 4);
    assert_eq!(wire.read_all("t", 0).len(), 30, "all of it was served");
    let (removed, behind_removed) = (&logs[0], base_of(&logs[1]));
    let (short, begins, behind) = (&logs[2], base_of(&logs[2]), base_of(&logs[3]));
    fs::remove_file(removed).expect("it is there");
    cut(short, fs::metadata(short).expect("it is there").len() - 1);

    let error = wire.fetch("t", 0, 0, map! {}).unwrap_err();
    assert_eq!(error.name, "CORRUPT_LOG", "{error:?}");
    assert_eq!(error.data.get("file").text(), removed.display().to_string());
    assert_eq!(error.data.get("next_offset").u64(), behind_removed);
    let (before, error) = wire.read_until_error("t", 0, behind_removed);
    let error = error.expect("the end of a segment is missing");
    assert_eq!(error.name, "CORRUPT_LOG", "{error:?}");
    assert_eq!(error.data.get("next_offset").u64(), behind);
    let missing = behind_removed + before.len() as u64;
    assert!((begins..behind).contains(&missing));
    assert_eq!(error.data.get("offset").u64(), missing);
    assert_eq!(wire.read_from("t", 0, behind).len() as u64, 30 - behind);
    assert!(wire.fetch("t", 0, 0, map! {}).is_err());

    let described = wire.describe_topic("t");
    let damage = described.get("partitions").list()[0]
        .get("damage")
        .list()
        .to_vec();
    let places: Vec<(u64, u64)> = damage
        .iter()
        .map(|damage| (damage.get("offset").u64(), damage.get("next_offset").u64()))
        .collect();
    assert_eq!(places, [(0, behind_removed), (missing, behind)]);
    let said = broker.log();
    assert_eq!(
        said.matches("a data file was cut or removed").count(),
        2,
        "{said}"
    );
    for file in [removed, short] {
        assert!(said.contains(&file.display().to_string()));
    }
    assert_eq!(try_produce(&mut wire, "t").unwrap(), 30);
    assert_others_go_on(&mut wire, 30);

    broker.stop();
    broker.start_again();
    let mut wire = broker.connect();
    let error = wire.fetch("t", 0, missing, map! {}).unwrap_err();
    assert_eq!(error.data.get("next_offset").u64(), behind);
    assert_eq!(wire.read_from("t", 0, behind).len() as u64, 31 - behind);
}

#[test]
fn an_active_segment_that_is_cut_or_removed_takes_no_more_and_no_offset_is_used_twice() {
    for (is_removed, mode) in [(true, "async"), (false, "async"), (true, "sync")] {
        // Nothing is synced by time: what was acknowledged is known from its high watermark alone.
        let config = [("flush.mode", mode), ("flush.ms", "3600000")];
        let (mut broker, mut wire) = with_data(&config);
        let log = broker.files("t", 0, "log").remove(0);
        match is_removed {
            true => fs::remove_file(&log).expect("it is there"),
            false => cut(&log, 100),
        }
        let error = try_produce(&mut wire, "t").unwrap_err();
        assert_eq!((&*error.name, error.definite), ("PARTITION_OFFLINE", true));
        assert!(
            error.message.contains(&log.display().to_string()),
            "{error:?}"
        );
        let error = wire.fetch("t", 0, 0, map! {}).unwrap_err();
        assert_eq!(error.name, "PARTITION_OFFLINE", "{error:?}");
        assert_others_go_on(&mut wire, 30);
        eventually("it is among the warnings", || {
            let described = wire.call("describe_cluster", map! {});
            let warned = described
                .expect("it can be described")
                .get("warnings")
                .list()
                .to_vec();
            let mut warned = warned.iter().map(|warning| warning.text().to_owned());
            warned
                .any(|warning| warning.starts_with("partition t-0 is offline"))
                .then_some(())
        });
        eventually("it is told", || broker.log().contains(TOLD).then_some(()));
        broker.kill();
        broker.start_again();
        let mut wire = broker.connect();
        let (records, error) = wire.read_until_error("t", 0, 0);
        let error = error.expect("what is missing is told");
        assert_eq!(error.name, "CORRUPT_LOG", "{mode}: {error:?}");
        let next = error.data.get("next_offset").u64();
        assert!(next >= 30 && records.len() < 30);
        assert_eq!(try_produce(&mut wire, "t").unwrap(), next, "{mode}");
    }
}

#[test]
fn a_directory_that_is_removed_under_a_running_broker_is_missed_and_nothing_more_is_acknowledged() {
    let (mut broker, mut wire) = with_data(&[]);
    wire.create_topic("idle", 1, &[]);
    wire.produce("idle", 0, plain("x", 0..3));
    // One is written to, the other nobody asks for.
    fs::remove_dir_all(broker.partition_dir("t", 0)).expect("it is there");
    let error = try_produce(&mut wire, "t").unwrap_err();
    assert_eq!((&*error.name, error.definite), ("PARTITION_OFFLINE", true));
    let dir = broker.partition_dir("idle", 0);
    let aside = broker.home().join("aside");
    fs::rename(&dir, &aside).expect("it can be moved");
    eventually("the directory is missed", || {
        broker
            .log()
            .contains(&*dir.display().to_string())
            .then_some(())
    });
    let error = eventually("it is offline", || wire.fetch("idle", 0, 0, map! {}).err());
    assert_eq!(error.name, "PARTITION_OFFLINE", "{error:?}");
    for word in [&*dir.display().to_string(), "Put it back", "restart"] {
        assert!(
            error.message.contains(word),
            "{word} is missing in {error:?}"
        );
    }
    assert!(try_produce(&mut wire, "idle").is_err());
    assert_others_go_on(&mut wire, 30);
    wire.create_topic("new", 1, &[]);
    assert_eq!(wire.produce("new", 0, vec![valued("x")]), 0);

    broker.stop();
    fs::rename(&aside, &dir).expect("it can be moved back");
    broker.start_again();
    let mut wire = broker.connect();
    assert_eq!(wire.read_all("idle", 0).len(), 3);
    assert_eq!(try_produce(&mut wire, "idle").unwrap(), 3);
    let error = try_produce(&mut wire, "t").unwrap_err();
    assert_eq!(error.name, "PARTITION_OFFLINE", "{error:?}");
    // It can still be deleted, and begun anew.
    wire.call("delete_topic", map! { "name" => "t" })
        .expect("it can be deleted");
    wire.create_topic("t", 1, &[]);
    assert_eq!(try_produce(&mut wire, "t").unwrap(), 0);
    assert_others_go_on(&mut wire, 31);
}

#[test]
fn partitions_whose_directories_are_removed_together_are_few_lines_and_one_warning() {
    let (mut broker, mut wire) = with_data(&[]);
    wire.create_topic("many", 60, &[]);
    for number in 0..60 {
        fs::remove_dir_all(broker.partition_dir("many", number)).expect("it is there");
    }
    let warned = eventually("they are missed", || {
        let described = wire.call("describe_cluster", map! {}).unwrap();
        let warned = described.get("warnings").list().to_vec();
        let mut texts = warned.iter().map(|warning| warning.text().to_owned());
        texts.find(|text| text.contains("and 55 more are offline"))
    });
    for word in ["many-0", "/<partition> was removed", "Put it back"] {
        assert!(warned.contains(word), "{word} is missing in {warned}");
    }
    assert_others_go_on(&mut wire, 30);
    broker.stop();
    let said = broker.log();
    let told = said.lines().filter(|line| line.contains(TOLD));
    // One is noted at once, those that are found meanwhile together.
    assert!((1..=10).contains(&told.count()), "{said}");
}

#[test]
fn topics_are_not_changed_while_the_metadata_is_gone_and_operators_are_told() {
    let (mut broker, mut wire) = with_data(&[]);
    let dir = broker.partition_dir("__cluster_metadata", 0);
    let aside = broker.home().join("aside");
    fs::rename(&dir, &aside).expect("it can be moved");
    // At once, and later.
    for _ in 0..2 {
        let create = map! { "name" => "new", "partitions" => 1 };
        let error = wire.call("create_topic", create).unwrap_err();
        assert_eq!((&*error.name, error.definite), ("STORAGE_FAILED", true));
        for word in [&*dir.display().to_string(), "Put it back", "restart"] {
            assert!(error.message.contains(word), "{word}: {error:?}");
        }
        let described = wire.call("describe_cluster", map! {}).unwrap();
        let warned = format!("{:?}", described.get("warnings"));
        assert!(
            warned.contains("not created, changed or deleted"),
            "{warned}"
        );
    }
    assert_others_go_on(&mut wire, 30);
    broker.stop();
    fs::rename(&aside, &dir).expect("it can be moved back");
    broker.start_again();
    let mut wire = broker.connect();
    assert_others_go_on(&mut wire, 31);
    wire.create_topic("new", 1, &[]);

    // Nobody asks: the next look misses it.
    fs::remove_dir_all(&dir).expect("it is there");
    eventually("it is among the warnings", || {
        let described = wire.call("describe_cluster", map! {}).unwrap();
        let warned = format!("{:?}", described.get("warnings"));
        warned
            .contains("not created, changed or deleted")
            .then_some(())
    });
    broker.kill();
}

#[test]
fn a_topic_that_is_deleted_without_its_files_is_forgotten_and_the_stop_is_clean() {
    let (mut broker, mut wire) = with_data(&[]);
    wire.create_topic("t2", 1, &[]);
    wire.produce("t2", 0, plain("x", 0..3));
    broker.kill();
    fs::remove_dir_all(broker.partition_dir("t", 0)).expect("it is there");
    broker.start_again();
    let mut wire = broker.connect();
    assert!(try_produce(&mut wire, "t").is_err());
    wire.call("delete_topic", map! { "name" => "t" })
        .expect("it can be deleted");
    broker.stop();
    let file = broker.data_dir().join("recovery-point-checkpoint");
    let noted = fs::read_to_string(file).expect("it is there");
    assert!(noted.contains("clean=true"), "{noted}\n{}", broker.log());
}

#[test]
fn directories_of_a_topic_that_changed_places_are_offline_until_they_are_changed_back() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 3, &[]);
    for partition in 0..3 {
        wire.produce("t", partition, vec![valued(&format!("of {partition}"))]);
    }
    broker.stop();
    let swap = |broker: &Broker| {
        let (a, b) = (broker.partition_dir("t", 0), broker.partition_dir("t", 1));
        let aside = broker.home().join("aside");
        for (from, to) in [(&a, &aside), (&b, &a), (&aside, &b)] {
            fs::rename(from, to).expect("it can be moved");
        }
    };
    swap(&broker);
    let data_dir = broker.data_dir().display().to_string();
    let verified = broker.command(&["log", "verify", &data_dir]).output();
    let found = String::from_utf8(verified.expect("it can be run").stdout).expect("text");
    assert!(found.contains("holds the data of partition 1"), "{found}");
    broker.start_again();
    let mut wire = broker.connect();
    for (partition, other) in [(0, 1), (1, 0)] {
        let error = wire.fetch("t", partition, 0, map! {}).unwrap_err();
        assert_eq!(error.name, "PARTITION_OFFLINE", "{error:?}");
        let said = format!("holds the data of partition {other}");
        assert!(error.message.contains(&said), "{error:?}");
    }
    assert_eq!(wire.read_all("t", 2).len(), 1);
    broker.stop();
    swap(&broker);
    broker.start_again();
    let mut wire = broker.connect();
    for partition in 0..3 {
        let records = wire.read_all("t", partition);
        let wanted = format!("of {partition}").into_bytes();
        assert_eq!(records[0].value.as_deref(), Some(&*wanted));
    }
}

#[test]
fn what_an_emptied_directory_had_is_known_until_its_records_are_deleted() {
    let (mut broker, wire) = with_data(&[]);
    drop(wire);
    broker.stop();
    for entry in fs::read_dir(broker.partition_dir("t", 0)).expect("it is there") {
        fs::remove_file(entry.expect("it can be listed").path()).expect("it can be removed");
    }
    for start in 0..3 {
        broker.start_again();
        let mut wire = broker.connect();
        let error = wire.fetch("t", 0, 0, map! {}).unwrap_err();
        assert_eq!(error.name, "CORRUPT_LOG", "start {start}: {error:?}");
        assert_eq!(error.data.get("next_offset").u64(), 30);
        assert_eq!(try_produce(&mut wire, "t").unwrap(), 30 + start);
        let described = wire.describe_topic("t");
        assert!(!described.get("partitions").list()[0].get("damage").is_nil());
        broker.stop();
    }
    broker.start_again();
    let mut wire = broker.connect();
    let args = map! { "topic" => "t", "partition" => 0, "before_offset" => 30 };
    wire.call("delete_records", args)
        .expect("they can be deleted");
    broker.stop();
    broker.start_again();
    let mut wire = broker.connect();
    assert_eq!(wire.read_all("t", 0).len(), 3);
    let described = wire.describe_topic("t");
    assert!(described.get("partitions").list()[0].get("damage").is_nil());
}
