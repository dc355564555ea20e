//! `broker log`: on directories that were made without a broker, sound ones and damaged ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use broker_client::Codec;
use broker_client::model::{
    BrokerId, LeaderEpoch, PartitionId, Timestamp, TopicId, TopicName, TopicPartition,
};
use broker_record::{BatchBuilder, ProducedBatch, Validation};
use broker_storage::{LogConfig, LogDir, LogDirOptions};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Ran, run};

const SEGMENT_BYTES: u64 = 1000;

/// A data directory with `orders-0`: ten batches of three records in a few segments.
fn fixture() -> TempDir {
    let home = TempDir::new().expect("a directory can be made");
    let dir = LogDir::open(LogDirOptions::new(home.path(), BrokerId::new(1))).expect("it opens");
    let topic = TopicName::new("orders").expect("a good name");
    let orders = TopicPartition::new(topic, PartitionId::new(0));
    let config = LogConfig {
        segment_bytes: SEGMENT_BYTES,
        ..LogConfig::default()
    };
    let (mut log, _) = dir
        .open_or_create_log(&orders, TopicId::random(), config)
        .expect("it opens");
    for batch in 0..10 {
        let now = Timestamp::from_millis(1_700_000_000_000 + batch);
        let mut builder = BatchBuilder::new();
        for record in 0..3 {
            let value = format!("value {batch}/{record} {}", "x".repeat(40));
            let headers = [("h", None), ("h", Some(&b"1"[..]))];
            builder
                .push(Some(b"\xff"), Some(value.as_bytes()), now, headers)
                .expect("it fits");
        }
        let (body, claims) = builder.build(Codec::None).expect("it is not empty");
        let batch = ProducedBatch::opaque(body, claims, Validation::Full).expect("it is sound");
        log.append(&mut [batch], LeaderEpoch::new(0), now)
            .expect("it is stored");
        if let Some(request) = log.sync_request() {
            log.on_synced(&dir.sync_now(request)).expect("it is synced");
        }
    }
    log.close().expect("it closes");
    // As a broker does at its start.
    let siblings = BTreeMap::from([(dir.identity().directory_id, home.path().to_owned())]);
    dir.store_siblings(&siblings).expect("they are stored");
    home
}

fn partition(home: &TempDir) -> PathBuf {
    home.path().join("orders-0")
}

/// Files of the partition with this extension, oldest first.
fn files(home: &TempDir, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(partition(home)).expect("it is there");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn flip(file: &Path, position: usize) {
    let mut bytes = std::fs::read(file).expect("it is there");
    bytes[position] ^= 1;
    std::fs::write(file, bytes).expect("it can be written");
}

fn on(command: &str, path: &Path, options: &[&str]) -> Ran {
    let path = path.display().to_string();
    let args: Vec<&str> = ["log", command, &path]
        .iter()
        .chain(options)
        .copied()
        .collect();
    run(&args)
}

fn objects(ran: &Ran, kind: &str) -> Vec<Value> {
    let text = ran.text();
    let objects = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON lines"));
    objects
        .filter_map(|object| object.get(kind).cloned())
        .collect()
}

#[test]
fn a_sound_directory_verifies_with_its_counts() {
    let home = fixture();
    for path in [home.path().to_owned(), partition(&home)] {
        let verified = on("verify", &path, &["--json"]).ok().json();
        assert_eq!(
            (&verified["damages"], &verified["records"]),
            (&0.into(), &30.into())
        );
        let orders = &verified["partitions"][0];
        assert_eq!(orders["partition"], "orders-0");
        assert!(orders["segments"].as_u64().unwrap() > 1, "{orders}");
        assert_eq!(
            (&orders["batches"], &orders["next_offset"]),
            (&10.into(), &30.into())
        );
    }
    assert!(
        on("verify", home.path(), &[])
            .ok()
            .text()
            .contains("orders-0")
    );
}

#[test]
fn a_flipped_byte_is_found_with_file_position_and_offset() {
    let home = fixture();
    let last = files(&home, "log").pop().unwrap();
    flip(&last, 80);
    let name = last.display().to_string();
    let ran = on("verify", home.path(), &[])
        .ended(5)
        .says(&["1 damage(s) found"]);
    assert!(
        ran.text().contains(&name) && ran.text().contains("at byte 0"),
        "{}",
        ran.text()
    );
    let verified = on("verify", home.path(), &["--json"]).ended(5).json();
    let damage = &verified["partitions"][0]["damages"][0];
    assert_eq!(
        (&damage["file"], &damage["position"]),
        (&name.into(), &0.into())
    );
    assert!(damage["offset"].as_u64().unwrap() > 0);
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_the_others_are_verified() {
    let home = fixture();
    let logs = files(&home, "log");
    flip(logs.last().unwrap(), 80);
    std::fs::remove_file(&logs[0]).unwrap();
    std::fs::create_dir(&logs[0]).unwrap();
    let verified = on("verify", home.path(), &["--json"]).ended(5).json();
    let damages = verified["partitions"][0]["damages"].as_array().unwrap();
    let of = |file: &std::path::Path| {
        let name = file.display().to_string();
        let mut of_file = damages.iter().filter(|damage| damage["file"] == *name);
        of_file.next().expect("it is named")["what"].to_string()
    };
    assert!(of(&logs[0]).contains("cannot be read"), "{damages:?}");
    assert!(of(logs.last().unwrap()).contains("checksum"), "{damages:?}");
}

#[test]
fn several_directories_are_verified_together() {
    let (sound, damaged) = (fixture(), fixture());
    let first = files(&damaged, "log").remove(0);
    flip(&first, 80);
    let of_second = damaged.path().display().to_string();
    let verified = on("verify", sound.path(), &[&of_second, "--json"])
        .ended(5)
        .json();
    assert_eq!(verified["damages"], 1);
    let partitions = verified["partitions"].as_array().unwrap();
    let damages = partitions.iter().map(|one| one["damages"].as_array());
    let damages: Vec<usize> = damages.map(|damages| damages.unwrap().len()).collect();
    assert_eq!(damages, [0, 1]);
    assert_eq!(partitions[0]["records"], 30);
}

#[test]
fn a_damaged_index_and_a_missing_segment_are_found() {
    let home = fixture();
    let index = files(&home, "index").remove(0);
    let len = std::fs::metadata(&index).unwrap().len();
    flip(&index, usize::try_from(len).unwrap() - 1);
    let ran = on("verify", home.path(), &[]).ended(5);
    assert!(ran.text().contains(".index"), "{}", ran.text());

    let home = fixture();
    std::fs::remove_file(&files(&home, "log")[1]).unwrap();
    let ran = on("verify", home.path(), &[]).ended(5);
    assert!(ran.text().contains("in no segment"), "{}", ran.text());
}

#[test]
fn a_dump_shows_segments_batches_and_records() {
    let home = fixture();
    let ran = on("dump", &partition(&home), &["--records", "--json"]).ok();
    let (segments, batches, records) = (
        objects(&ran, "segment"),
        objects(&ran, "batch"),
        objects(&ran, "record"),
    );
    assert_eq!(
        (segments.len(), batches.len(), records.len()),
        (files(&home, "log").len(), 10, 30)
    );
    assert_eq!(
        (&batches[1]["base_offset"], &batches[1]["last_offset"]),
        (&3.into(), &5.into())
    );
    assert_eq!(
        (&batches[1]["records"], &batches[1]["codec"]),
        (&3.into(), &"none".into())
    );
    assert_eq!(records[4]["key"], serde_json::json!({"hex": "ff"}));
    assert!(
        records[4]["value"]
            .as_str()
            .unwrap()
            .starts_with("value 1/1 ")
    );
    assert_eq!(
        records[4]["headers"],
        serde_json::json!([{"name": "h", "value": null}, {"name": "h", "value": "1"}])
    );
    let text = on("dump", home.path(), &["--records"]).ok().text();
    assert!(
        text.contains("batch 3..5") && text.contains("key 0xff") && text.contains("h=<null>"),
        "{text}"
    );
}

#[test]
fn a_dump_begins_and_ends_where_it_is_told_to() {
    let home = fixture();
    let ran = on(
        "dump",
        &partition(&home),
        &["--from", "16", "--batches", "2", "--json"],
    )
    .ok();
    let offsets: Vec<_> = objects(&ran, "batch")
        .iter()
        .map(|batch| batch["base_offset"].clone())
        .collect();
    assert_eq!(offsets, [15, 18]);
    let first = &files(&home, "log")[0];
    assert_eq!(
        objects(&on("dump", first, &["--json"]).ok(), "segment").len(),
        1
    );
}

#[test]
fn a_dump_shows_damage_where_it_is_and_goes_on_behind_it() {
    let home = fixture();
    flip(&files(&home, "log")[0], 100);
    let ran = on("dump", &partition(&home), &["--json"]).ended(5);
    let damage = &objects(&ran, "damage")[0];
    assert_eq!(
        (
            &damage["position"],
            &damage["offset"],
            &damage["next_good_offset"]
        ),
        (&0.into(), &0.into(), &3.into())
    );
    assert_eq!(objects(&ran, "batch").len(), 9);
    assert!(
        on("dump", &partition(&home), &[])
            .ended(5)
            .text()
            .contains("DAMAGED")
    );
}

#[test]
fn a_directory_without_partitions_is_an_error_with_a_hint() {
    let empty = TempDir::new().unwrap();
    for command in ["verify", "dump"] {
        on(command, empty.path(), &[])
            .ended(1)
            .says(&["there is no partition", "orders-0"]);
        on(command, Path::new("/nowhere/at/all"), &[])
            .ended(1)
            .says(&["/nowhere/at/all"]);
    }
    // Its name would do for a partition; there is nothing of one in it.
    std::fs::create_dir(empty.path().join("dbus-1")).unwrap();
    for command in ["verify", "dump"] {
        on(command, empty.path(), &[])
            .ended(1)
            .says(&["there is no partition"]);
    }
}

#[test]
fn nothing_is_changed_by_looking() {
    let home = fixture();
    let contents = || {
        let entries = std::fs::read_dir(partition(&home)).unwrap();
        let mut all: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        all.sort();
        all
    };
    let before = contents();
    on("verify", home.path(), &[]).ok();
    on("dump", home.path(), &["--records"]).ok();
    assert!(contents() == before);
}
