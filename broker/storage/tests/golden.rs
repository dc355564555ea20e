//! The formats on disk, byte for byte. The newest fixture is a whole log directory as it is written now;
//! it changes only with a version. A directory of every released version has to open.
//! Version 2 has the number in `partition.metadata`, and the owner in the headers of the indexes,
//! version 3 the log mark in the headers of batches, version 4 the flush mode with each durable point.
//!
//! `BROKER_WRITE_FIXTURES=1 cargo test -p broker-storage --test golden` writes it again.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod fixture;
mod support;

use std::path::Path;
use std::sync::Arc;

use broker_model::LeaderEpoch;
use broker_storage::io::Io;
use broker_storage::io::recording::RecordingIo;
use broker_storage::{LogDir, LogDirOptions};
use fixture::{Files, assert_same, disk_of, files_of, fixture};
use support::{DIR, Record, at, batch, offset, open_log, partition, small};

const FIXTURE: &str = "tests/fixtures/log_dir_v4.txt";
const FIXTURE_V3: &str = "tests/fixtures/log_dir_v3.txt";
const FIXTURE_V2: &str = "tests/fixtures/log_dir_v2.txt";
const FIXTURE_V1: &str = "tests/fixtures/log_dir_v1.txt";
/// The directory id is random; in the fixture it is this one.
const DIRECTORY_ID: &str = "00000000-0000-4000-8000-0000000000d1";

fn options(io: &Arc<RecordingIo>) -> LogDirOptions {
    let mut options = LogDirOptions::new(DIR, broker_model::BrokerId::new(1));
    options.cluster_id = Some(uuid::Uuid::from_u128(0xc1));
    options.io = Arc::clone(io) as Arc<dyn Io>;
    options.clock = Arc::new(broker_model::ManualClock::at(at(1_000_000)));
    options
}

fn record(number: u64) -> Record {
    Record::new(&format!("{number:x<60}"), 1_000 + number as i64)
}

/// A directory that has one of everything.
fn written() -> Files {
    let io = RecordingIo::new();
    let dir = LogDir::open(options(&io)).unwrap();
    let (mut log, _) = open_log(&dir, small());
    for number in 0..24 {
        let mut batches = [batch(&[record(2 * number), record(2 * number + 1)])];
        let epoch = LeaderEpoch::new(number as u32 / 10);
        log.append(&mut batches, epoch, at(5)).unwrap();
    }
    log.advance_start(offset(5)).unwrap();
    log.close().unwrap();
    dir.record_high_watermark(&partition(), offset(47));
    dir.close_clean().unwrap();
    let own_id = dir.identity().directory_id.to_string();
    files_of(&io, &own_id, DIRECTORY_ID)
}

#[test]
fn what_is_written_is_version_4_byte_for_byte() {
    let files = written();
    assert_same(&files, &fixture(FIXTURE, Some(&files)));
}

#[test]
fn a_directory_of_every_version_opens() {
    for version in [FIXTURE_V1, FIXTURE_V2, FIXTURE_V3, FIXTURE] {
        opens(&disk_of(&fixture(version, None)));
    }
}

fn opens(io: &Arc<RecordingIo>) {
    let dir = LogDir::open(options(io)).unwrap();
    assert!(dir.was_clean());
    assert_eq!(dir.identity().directory_id.to_string(), DIRECTORY_ID);
    let (log, report) = open_log(&dir, small());
    assert_eq!((report.scanned_bytes, report.corruption), (0, vec![]));
    assert_eq!(report.high_watermark, Some(offset(47)));
    assert_eq!((log.start(), log.end()), (offset(5), offset(48)));
    let wanted: Vec<(u64, Record)> = (5..48).map(|number| (number, record(number))).collect();
    assert_eq!(support::try_read_from(&log, log.start()).unwrap(), wanted);
    let epochs: Vec<(u32, u64)> = log
        .leader_epochs()
        .entries()
        .iter()
        .map(|(epoch, start)| (epoch.get(), start.get()))
        .collect();
    assert_eq!(epochs, [(0, 5), (1, 20), (2, 40)]);
    let mut findings = Vec::new();
    let dir = support::partition_dir();
    broker_storage::inspect::verify_partition(&**io, &dir, &mut |finding| findings.push(finding))
        .unwrap();
    assert_eq!(findings, []);
}

#[test]
fn the_text_files_read_as_documented() {
    let files = fixture(FIXTURE, None);
    let text = |name: &str| String::from_utf8(files[&Path::new(DIR).join(name)].clone()).unwrap();
    assert!(text("meta.properties").starts_with(
        "version=1\ncluster.id=00000000-0000-0000-0000-0000000000c1\nnode.id=1\ndirectory.id="
    ));
    let topic = support::TOPIC_ID;
    assert!(text("replication-offset-checkpoint").starts_with("version=1\norders 0 47\ncrc32="));
    let recovery = text("recovery-point-checkpoint");
    assert!(
        recovery.starts_with("version=1\nclean=true\nboot_id="),
        "{recovery}"
    );
    assert!(recovery.contains(&format!("\n{topic} 0 ")), "{recovery}");
    let metadata = text("orders-0/partition.metadata");
    assert!(metadata.starts_with(&format!("version=2\ntopic_id={topic}\npartition=0\ncrc32=")));
    let epochs = text("orders-0/leader-epoch-checkpoint");
    assert!(
        epochs.starts_with("version=1\n0 5\n1 20\n2 40\ncrc32="),
        "{epochs}"
    );
    let start = text("orders-0/log-start-offset-checkpoint");
    assert!(
        start.starts_with("version=1\nlog_start_offset=5\ncrc32="),
        "{start}"
    );
}
