//! The background scrub of a running broker: it finds damage that no reader has met, and what was read
//! before and has rotted since, in records, metadata and modules; it names the place, and everything
//! else is served.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use crate::harness::{Broker, Setup, Wire, custom_partitioner, eventually, map, plain, valued};

fn flip(file: &Path, position: u64) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(file)
        .expect("it is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, position)
        .expect("the byte is there");
    file.write_all_at(&[byte[0] ^ 0x10], position)
        .expect("it can be written");
}

/// 60 records in segments of 1 KiB in `t`, and 30 in `other`.
fn filled(broker: &Broker) -> Wire {
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("segment.bytes", "1KiB")]);
    wire.create_topic("other", 1, &[]);
    wire.produce("other", 0, plain("x", 0..30));
    for start in (0..60).step_by(3) {
        let records = plain("some text to fill a segment ", start..start + 3);
        wire.produce("t", 0, records);
    }
    assert!(broker.files("t", 0, "log").len() >= 4);
    wire
}

fn base_of(log: &Path) -> u64 {
    let stem = log.file_stem().expect("a name").to_string_lossy();
    stem.parse().expect("digits")
}

#[test]
fn the_scrub_finds_what_rots_while_the_broker_runs() {
    let broker = Setup::new()
        .option("log.scrub.enabled", "true")
        .option("log.scrub.interval.ms", "200ms")
        .start();
    let mut wire = filled(&broker);
    assert_eq!(
        wire.read_all("t", 0).len(),
        60,
        "all of it is verified once"
    );
    let log = broker.files("t", 0, "log").remove(1);
    let base = base_of(&log);
    flip(&log, 68 + 10);
    eventually("the scrub finds it", || {
        broker
            .log()
            .contains("scrub: stored data is damaged")
            .then_some(())
    });
    let said = broker.log();
    let line = said
        .lines()
        .find(|line| line.contains("scrub: stored data is damaged"))
        .expect("it is there");
    for word in [&log.display().to_string(), &format!("offset {base}")] {
        assert!(line.contains(word), "{word} is missing in {line}");
    }
    let error = wire.fetch("t", 0, base, map! {}).unwrap_err();
    assert_eq!(error.name, "CORRUPT_LOG", "{error:?}");
    assert_eq!(error.data.get("position").u64(), 0);
    assert_eq!(error.data.get("offset").u64(), base);
    let described = wire.describe_topic("t");
    let damage = described.get("partitions").list()[0].get("damage").list()[0].clone();
    assert_eq!(damage.get("file").text(), log.display().to_string());
    assert_eq!(damage.get("offset").u64(), base);
    assert_eq!(damage.get("next_offset").u64(), base + 3);
    let shown = String::from_utf8(broker.run(&["topic", "describe", "t"])).expect("text");
    assert!(
        shown.contains("NEEDS ATTENTION (1)") && shown.contains("DAMAGED in"),
        "{shown}"
    );
    let shown = String::from_utf8(broker.run(&["cluster", "describe"])).expect("text");
    assert!(
        shown.contains("partition t-0 is damaged in 1 place"),
        "{shown}"
    );
    assert_eq!(wire.read_from("t", 0, base + 3).len() as u64, 60 - base - 3);
    assert_eq!(wire.produce("t", 0, vec![valued("next")]), 60);
    assert_eq!(wire.read_all("other", 0).len(), 30);

    // A file that was mended, from a copy perhaps, is served again.
    flip(&log, 68 + 10);
    eventually("the next scrub finds it sound", || {
        wire.fetch("t", 0, base, map! {}).ok()
    });
    assert_eq!(wire.read_all("t", 0).len(), 61);
    let shown = String::from_utf8(broker.run(&["cluster", "describe"])).expect("text");
    assert!(shown.contains("nothing needs attention"), "{shown}");
}

#[test]
fn the_scrub_makes_a_wrong_index_anew_and_notices_a_file_that_is_gone() {
    let broker = Setup::new()
        .option("log.scrub.enabled", "true")
        .option("log.scrub.interval.ms", "200ms")
        .start();
    let mut wire = filled(&broker);
    let index = broker.files("t", 0, "timeindex").remove(1);
    let sound = fs::read(&index).expect("it is there");
    flip(&index, sound.len() as u64 - 7);
    eventually("the index is made anew", || {
        // The header says when it was made.
        (fs::read(&index).ok()?.get(32..) == sound.get(32..)).then_some(())
    });
    assert!(broker.log().contains("an index does not fit its data"));
    let log = broker.files("t", 0, "log").remove(2);
    fs::remove_file(&log).expect("it is there");
    let line = eventually("the scrub misses it", || {
        let said = broker.log();
        let mut lines = said.lines();
        lines
            .find(|line| line.contains("are missing"))
            .map(str::to_owned)
    });
    assert!(line.contains(&log.display().to_string()), "{line}");
    let described = wire.describe_topic("t");
    let damage = described.get("partitions").list()[0].get("damage").list();
    assert_eq!(damage.len(), 1);
    assert_eq!(damage[0].get("offset").u64(), base_of(&log));
}

/// What `cluster describe` has to say.
fn warnings(wire: &mut Wire) -> String {
    let cluster = wire.call("describe_cluster", map! {}).unwrap();
    format!("{:?}", cluster.get("warnings"))
}

#[test]
fn a_metadata_log_that_rots_is_found_and_takes_no_more_changes() {
    let mut broker = Setup::new()
        .option("log.scrub.enabled", "true")
        .option("log.scrub.interval.ms", "200ms")
        .start();
    let mut wire = filled(&broker);
    let log = broker.files("__cluster_metadata", 0, "log").remove(0);
    let sound = fs::read(&log).expect("it is there");
    flip(&log, 68 + 10);
    let said = eventually("the scrub finds it", || {
        let said = warnings(&mut wire);
        said.contains("__cluster_metadata-0 is damaged")
            .then_some(said)
    });
    for word in [
        &log.display().to_string(),
        "not created, changed or deleted",
    ] {
        assert!(said.contains(word), "{word} is missing in {said}");
    }
    for (method, args) in [
        ("create_topic", map! { "name" => "late", "partitions" => 1 }),
        ("delete_topic", map! { "name" => "other" }),
    ] {
        let error = wire.refused(method, args);
        assert_eq!(error.name, "STORAGE_FAILED", "{method}: {error:?}");
        assert!(error.message.contains("is damaged"), "{method}: {error:?}");
    }
    assert_eq!(wire.produce("t", 0, vec![valued("next")]), 60);
    assert_eq!(wire.read_all("other", 0).len(), 30);
    eventually("every round says so", || {
        let log = broker.log();
        let rounds = log.matches("some of what is stored is damaged").count();
        (rounds >= 3).then_some(())
    });

    // Nothing was acknowledged that a copy of before does not have.
    broker.stop();
    assert!(!broker.log().contains("the rest of the partition is served"));
    fs::write(&log, sound).expect("it can be written");
    broker.start_again();
    let mut wire = broker.connect();
    wire.create_topic("late", 1, &[]);
    assert_eq!(wire.read_all("t", 0).len(), 61);
    assert!(!warnings(&mut wire).contains("damaged"));
}

#[test]
fn a_kept_module_that_rots_is_written_anew_or_told_of() {
    let broker = Setup::new()
        .option("log.scrub.enabled", "true")
        .option("log.scrub.interval.ms", "200ms")
        .start();
    let mut wire = filled(&broker);
    let modules = broker.data_dir().join("plugin-modules");
    let mut kept = fs::read_dir(&modules).expect("it is there");
    let shipped = kept
        .next()
        .expect("the default")
        .expect("it is there")
        .path();
    let sound = fs::read(&shipped).expect("it is there");
    flip(&shipped, 100);
    eventually("what comes with the broker is whole again", || {
        (fs::read(&shipped).ok()? == sound).then_some(())
    });
    fs::remove_file(&shipped).expect("it is there");
    eventually("it is there again", || {
        (fs::read(&shipped).ok()? == sound).then_some(())
    });

    let module = fs::read(custom_partitioner()).expect("it was built");
    let deployed = wire.deploy("mine", &module, map! {}).unwrap();
    wire.create_topic("routed", 2, &[("partitioner", "mine")]);
    let digest = deployed.get("digest").text().to_owned();
    flip(&modules.join(&digest), 100);
    let said = eventually("it is told", || {
        let said = warnings(&mut wire);
        said.contains(&digest).then_some(said)
    });
    assert!(said.contains("of plugin mine is damaged"), "{said}");
    wire.call(
        "produce",
        map! { "topic" => "routed", "records" => vec![valued("x")] },
    )
    .unwrap();
    wire.deploy("mine", &module, map! {}).unwrap();
    assert!(!warnings(&mut wire).contains(&digest));
    assert_eq!(
        fs::read(modules.join(&digest)).expect("it is there"),
        module
    );
}

#[test]
fn little_data_is_not_scrubbed_unless_it_is_asked_for() {
    let broker = Setup::new().option("log.scrub.interval.ms", "20ms").start();
    filled(&broker);
    flip(&broker.files("t", 0, "log").remove(1), 68 + 10);
    std::thread::sleep(Duration::from_millis(700));
    assert!(!broker.log().contains("scrub"), "{}", broker.log());
}

#[test]
fn a_verification_beside_a_running_broker_says_so_and_takes_no_write_for_damage() {
    let broker = Broker::start();
    let mut wire = filled(&broker);
    let data_dir = broker.data_dir().display().to_string();
    for number in 0..3 {
        wire.produce("t", 0, vec![valued("meanwhile")]);
        let output = broker
            .command(&["--json", "log", "verify", &data_dir])
            .output()
            .expect("the binary under test can be started");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{number}: {said}");
        let report: serde_json::Value = serde_json::from_str(&said).expect("a JSON document");
        assert_eq!(report["in_use"], true);
    }
    assert_eq!(wire.read_all("t", 0).len(), 63);
}
