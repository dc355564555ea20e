//! Files and directories that are gone, or notes of how much there was: the loss is told with its offsets,
//! no offset is given out twice, and everything else is served.

use std::fs;
use std::path::Path;

use crate::harness::{Broker, Setup, Wire, map, plain, valued};

/// Ten batches of three records in `t`, and as many in `other`, on a stopped broker.
fn stopped_with_data(segment_bytes: &str) -> Broker {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    for topic in ["t", "other"] {
        wire.create_topic(topic, 1, &[("segment.bytes", segment_bytes)]);
        for start in (0..30).step_by(3) {
            wire.produce(
                topic,
                0,
                plain("some text to fill a segment ", start..start + 3),
            );
        }
    }
    broker.stop();
    broker
}

fn assert_others_are_served(wire: &mut Wire) {
    assert_eq!(wire.read_all("other", 0).len(), 30);
}

/// What a verification finds, as one text.
fn findings(broker: &Broker) -> String {
    let data_dir = broker.data_dir().display().to_string();
    let output = broker
        .command(&["log", "verify", &data_dir])
        .output()
        .expect("the binary under test can be started");
    assert_eq!(output.status.code(), Some(5), "nothing is found");
    String::from_utf8(output.stdout).expect("text")
}

fn damage_of(wire: &mut Wire, topic: &str) -> Vec<(u64, u64)> {
    let described = wire.describe_topic(topic);
    let damage = described.get("partitions").list()[0]
        .get("damage")
        .list()
        .to_vec();
    let places = damage
        .iter()
        .filter(|damage| !damage.get("next_offset").is_nil());
    places
        .map(|damage| (damage.get("offset").u64(), damage.get("next_offset").u64()))
        .collect()
}

#[test]
fn a_partition_whose_directory_is_gone_is_offline_until_it_is_back_or_given_up() {
    let mut broker = stopped_with_data("1MiB");
    let dir = broker.partition_dir("t", 0);
    let aside = broker.home().join("aside");
    fs::rename(&dir, &aside).expect("it can be moved");
    assert!(findings(&broker).contains("it held records up to offset 30"));
    broker.start_again();
    let mut wire = broker.connect();
    let error = wire.fetch("t", 0, 0, map! {}).unwrap_err();
    assert_eq!(error.name, "PARTITION_OFFLINE", "{error:?}");
    for word in [&*dir.display().to_string(), "offset 30", "put it back"] {
        assert!(
            error.message.contains(word),
            "{word} is missing in {}",
            error.message
        );
    }
    let args = map! { "topic" => "t", "partition" => 0, "records" => plain("new", 0..1) };
    let error = wire.call("produce", args).unwrap_err();
    assert_eq!((&*error.name, error.definite), ("PARTITION_OFFLINE", true));
    assert_others_are_served(&mut wire);
    broker.stop();

    fs::rename(&aside, &dir).expect("it can be moved back");
    broker.start_again();
    assert_eq!(broker.connect().read_all("t", 0).len(), 30);
    broker.stop();

    // Given up: an empty directory in its place.
    fs::remove_dir_all(&dir).expect("it can be removed");
    fs::create_dir(&dir).expect("it can be made");
    broker.start_again();
    let mut wire = broker.connect();
    let error = wire.fetch("t", 0, 0, map! {}).unwrap_err();
    assert_eq!(
        (&*error.name, error.data.get("next_offset").u64()),
        ("CORRUPT_LOG", 30)
    );
    assert_eq!(wire.produce("t", 0, vec![valued("new")]), 30);
    assert_eq!(wire.read_from("t", 0, 30).len(), 1);
    assert!(broker.log().contains("stored data is damaged"));
    assert!(!damage_of(&mut wire, "t").is_empty());
    assert_others_are_served(&mut wire);
}

#[test]
fn an_index_that_is_damaged_or_gone_is_told_and_made_anew() {
    let mut broker = stopped_with_data("1KiB");
    let told = |broker: &Broker| broker.log().matches("and is made anew").count();
    broker.start_again();
    broker.kill();
    broker.start_again();
    assert_eq!(told(&broker), 0, "nothing has happened to them");
    broker.stop();
    let index = broker.files("t", 0, "index").remove(0);
    fs::write(&index, b"garbage").expect("it can be written");
    let times = broker.files("other", 0, "timeindex").remove(0);
    fs::remove_file(&times).expect("it is there");
    broker.start_again();
    let mut wire = broker.connect();
    assert_eq!(wire.read_all("t", 0).len(), 30);
    assert_others_are_served(&mut wire);
    assert_eq!(told(&broker), 2);
    for file in [&index, &times] {
        assert!(broker.log().contains(&*file.display().to_string()));
    }
    assert!(times.exists());
}

#[test]
fn a_first_segment_that_is_gone_is_a_loss_and_not_a_later_beginning() {
    let mut broker = stopped_with_data("1KiB");
    let logs = broker.files("t", 0, "log");
    assert!(logs.len() >= 2);
    let name = logs[1].file_stem().expect("a name").to_string_lossy();
    let next: u64 = name.parse().expect("digits");
    fs::remove_file(&logs[0]).expect("it is there");
    assert!(findings(&broker).contains(&*logs[0].display().to_string()));
    broker.start_again();
    let mut wire = broker.connect();
    let error = wire.fetch("t", 0, 0, map! {}).unwrap_err();
    assert_eq!(error.name, "CORRUPT_LOG", "{error:?}");
    assert_eq!(error.data.get("file").text(), logs[0].display().to_string());
    assert_eq!(error.data.get("next_offset").u64(), next);
    assert_eq!(wire.read_from("t", 0, next).len() as u64, 30 - next);
    assert_eq!(damage_of(&mut wire, "t"), [(0, next)]);
    assert!(broker.log().contains(&*logs[0].display().to_string()));
}

#[test]
fn a_log_that_is_cut_is_noticed_even_when_its_durable_points_are_lost_too() {
    let mut broker = stopped_with_data("1MiB");
    broker.start_again();
    broker.kill();
    for file in ["durable-positions", "recovery-point-checkpoint"] {
        fs::remove_file(broker.data_dir().join(file)).expect("it is there");
    }
    let log = broker.files("t", 0, "log").remove(0);
    let len = fs::metadata(&log).expect("it is there").len();
    fs::File::options()
        .write(true)
        .open(&log)
        .and_then(|file| file.set_len(len / 10 * 7))
        .expect("it can be cut");
    let found = findings(&broker);
    for word in [
        "durable-positions: the file is missing",
        "below its high watermark",
    ] {
        assert!(found.contains(word), "{word} is missing in {found}");
    }
    broker.start_again();
    let mut wire = broker.connect();
    let said = broker.log();
    assert!(said.contains("durable points are lost"), "{said}");
    let (records, error) = wire.read_until_error("t", 0, 0);
    let kept = records.len() as u64;
    assert!((18..=21).contains(&kept), "{kept}");
    let error = error.expect("the loss is not hidden");
    assert_eq!(error.name, "CORRUPT_LOG");
    let new = wire.produce("t", 0, vec![valued("new")]);
    assert!(new >= 30, "{new} was given out before");
    assert_eq!(error.data.get("next_offset").u64(), new);
    assert_eq!(damage_of(&mut wire, "t")[0], (kept, new));
    assert_others_are_served(&mut wire);
}

#[test]
fn a_lost_note_of_durability_is_told_and_shown_until_the_next_clean_start() {
    let mut broker = stopped_with_data("1MiB");
    broker.start_again();
    broker.kill();
    let file = broker.data_dir().join("durable-positions");
    fs::remove_file(&file).expect("it is there");
    broker.start_again();
    let mut wire = broker.connect();
    assert!(broker.log().contains("durable points are lost"));
    let described = wire.describe_topic("t");
    let damage = described.get("partitions").list()[0].get("damage").list()[0].clone();
    assert_eq!(damage.get("file").text(), file.display().to_string());
    assert_eq!(wire.read_all("t", 0).len(), 30);
    broker.stop();
    broker.start_again();
    let described = broker.connect().describe_topic("t");
    assert!(described.get("partitions").list()[0].get("damage").is_nil());
}

#[test]
fn notes_of_the_whole_directory_that_are_gone_are_told_at_the_start() {
    let mut broker = stopped_with_data("1MiB");
    broker.start_again();
    broker.stop();
    for name in ["replication-offset-checkpoint", "log-directories"] {
        let file = broker.data_dir().join(name);
        let told = |log: String| {
            let mut lines = log.lines().filter(|line| line.contains("WARN"));
            lines.any(|line| line.contains(name) && line.contains("is gone"))
        };
        assert!(!told(broker.log()), "{name} is there");
        fs::remove_file(&file).expect("it is there");
        assert!(findings(&broker).contains(name));
        broker.start_again();
        assert!(told(broker.log()), "{name}");
        assert_eq!(broker.connect().read_all("t", 0).len(), 30);
        broker.stop();
        assert!(file.exists(), "it is made anew");
    }
}

fn refused(broker: &Broker, words: &[&str]) {
    let refused = Setup::new().refused_on(&broker.data_dir());
    refused.names(words);
}

fn metadata_files(broker: &Broker, extension: &str) -> Vec<std::path::PathBuf> {
    broker.files("__cluster_metadata", 0, extension)
}

#[test]
fn a_metadata_log_that_is_gone_or_shorter_keeps_the_broker_from_starting() {
    let broker = stopped_with_data("1MiB");
    let log = metadata_files(&broker, "log").remove(0);
    let dir = log.parent().map(Path::to_owned).expect("a directory");
    let whole = fs::read(&log).expect("it is there");
    let name = log.display().to_string();

    fs::write(&log, &whole[..whole.len() - 1]).expect("it can be written");
    refused(&broker, &[&name, "durable", "offset", "Restore"]);
    fs::remove_file(&log).expect("it is there");
    refused(&broker, &[&name, "Restore"]);
    let aside = broker.home().join("aside");
    fs::rename(&dir, &aside).expect("it can be moved");
    refused(&broker, &[&dir.display().to_string(), "is gone", "Restore"]);
    // What may be done about a partition would be of no use here.
    let said = Setup::new().refused_on(&broker.data_dir()).said;
    assert!(!said.contains("empty directory"), "{said}");
    let found = findings(&broker);
    assert!(
        found.contains("restore the directory of __cluster_metadata-0"),
        "{found}"
    );
    for file in ["durable-positions", "recovery-point-checkpoint"] {
        fs::remove_file(broker.data_dir().join(file)).expect("it is there");
    }
    for _ in 0..2 {
        refused(&broker, &["it is empty, although there is a partition"]);
    }
}

#[test]
fn the_index_and_the_torn_end_of_the_metadata_log_are_mended() {
    let mut broker = stopped_with_data("1MiB");
    for extension in ["index", "timeindex"] {
        for index in metadata_files(&broker, extension) {
            fs::write(&index, b"garbage").expect("it can be written");
        }
    }
    broker.start_again();
    assert_eq!(broker.connect().read_all("t", 0).len(), 30);
    broker.kill();
    let log = metadata_files(&broker, "log").remove(0);
    let whole = fs::read(&log).expect("it is there");
    let torn = [&whole[..], &whole[..40]].concat();
    fs::write(&log, torn).expect("it can be written");
    broker.start_again();
    let told = "cut off at the end of the metadata log";
    assert!(broker.log().contains(told));
    let mut wire = broker.connect();
    assert_eq!(wire.read_all("t", 0).len(), 30);
    wire.create_topic("after", 1, &[]);
    broker.kill();
    broker.start_again();
    assert_eq!(broker.connect().produce("after", 0, vec![valued("x")]), 0);
}

#[test]
fn a_topic_whose_name_tags_were_lost_takes_its_files_with_it_when_it_is_deleted() {
    let mut broker = stopped_with_data("1MiB");
    let dir = broker.partition_dir("t", 0);
    fs::remove_file(dir.join("partition.metadata")).expect("it was there");
    broker.start_again();
    let mut wire = broker.connect();
    assert_eq!(wire.read_all("t", 0).len(), 30);
    wire.call("delete_topic", map! { "name" => "t" })
        .expect("it is deleted");
    assert!(!dir.exists(), "{}", broker.log());
    wire.create_topic("t", 1, &[]);
    assert!(wire.read_all("t", 0).is_empty());
    assert_others_are_served(&mut wire);
}
