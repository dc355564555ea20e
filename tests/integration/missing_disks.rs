//! Log directories that are not what they were: a disk that is not mounted, a directory that is left out,
//! copied, or without its identity. None of them is taken for a new and empty one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{Broker, Setup, Wire, map, plain};

const FAILED: i32 = 1;
const DAMAGED: i32 = 5;

fn dirs_in(folder: &TempDir) -> [PathBuf; 2] {
    ["first", "second"].map(|name| folder.path().join(name))
}

/// A stopped broker with three records in each of the four partitions of `t`.
fn stopped_on(dirs: &[PathBuf]) -> Broker {
    let mut broker = Setup::new().log_dirs(dirs).start();
    let mut wire = broker.connect();
    wire.create_topic("t", 4, &[]);
    for partition in 0..4 {
        wire.produce("t", partition, plain("kept ", 0..3));
    }
    broker.stop();
    broker
}

fn is_in(dir: &Path, partition: u32) -> bool {
    dir.join(format!("t-{partition}")).exists()
}

#[track_caller]
fn assert_complete(wire: &mut Wire) {
    for partition in 0..4 {
        assert_eq!(wire.read_all("t", partition).len(), 3, "t-{partition}");
    }
}

#[test]
fn a_disk_that_is_not_mounted_is_missed() {
    let folder = TempDir::new().unwrap();
    let dirs = dirs_in(&folder);
    let mut broker = stopped_on(&dirs);
    for unmounted in &dirs {
        let aside = folder.path().join("aside");
        fs::rename(unmounted, &aside).unwrap();
        for at_its_place in ["nothing", "an empty directory"] {
            if at_its_place != "nothing" {
                fs::create_dir_all(unmounted).unwrap();
            }
            let path = unmounted.display().to_string();
            Setup::new()
                .log_dirs(&dirs)
                .refused()
                .names(&[&path, "mounted", "log-directories"])
                .exits_with(FAILED);
        }
        assert_eq!(
            fs::read_dir(unmounted).unwrap().count(),
            0,
            "it was touched"
        );
        fs::remove_dir(unmounted).unwrap();
        fs::rename(&aside, unmounted).unwrap();
    }
    broker.start_again();
    assert_complete(&mut broker.connect());
}

#[test]
fn a_directory_that_is_left_out_takes_its_partitions_with_it_and_no_others() {
    let folder = TempDir::new().unwrap();
    let dirs = dirs_in(&folder);
    let mut broker = stopped_on(&dirs);
    broker.set_up_again(|setup| setup.log_dirs(&dirs[..1]));
    for _ in 0..2 {
        broker.start_again();
        let mut wire = broker.connect();
        for partition in 0..4 {
            if is_in(&dirs[0], partition) {
                assert_eq!(wire.read_all("t", partition).len(), 3);
                continue;
            }
            let args =
                map! { "topic" => "t", "partition" => partition, "records" => plain("x", 0..1) };
            let error = wire.refused("produce", args);
            assert_eq!(error.name, "PARTITION_OFFLINE", "{error:?}");
            assert!(
                error.message.contains("second") && !error.retriable,
                "{error:?}"
            );
        }
        // Two partitions are away for one reason: that is one warning and one line of the log.
        let described = wire.call("describe_cluster", map! {}).unwrap();
        let warnings = described.get("warnings").list().iter();
        let away: Vec<&str> = warnings
            .map(|warning| warning.text())
            .filter(|warning| warning.contains("offline: its log is in none of log.dirs"))
            .collect();
        assert!(
            away.len() == 1 && away[0].starts_with("partitions t-"),
            "{away:?}"
        );
        broker.stop();
    }
    let log = broker.log();
    let told = log.lines().filter(|line| line.contains("cannot be opened"));
    assert!(told.clone().all(|line| line.contains("count=2")), "{log}");
    assert!((1..=2).contains(&told.count()), "{log}");
    let moved = (0..4).filter(|partition| dirs.iter().all(|dir| is_in(dir, *partition)));
    assert_eq!(moved.count(), 0, "an empty copy was made");
    broker.set_up_again(|setup| setup.log_dirs(&dirs));
    broker.start_again();
    assert_complete(&mut broker.connect());
}

#[test]
fn a_directory_that_held_nothing_is_left_out_once_and_then_forgotten() {
    let folder = TempDir::new().unwrap();
    let with_data = dirs_in(&folder);
    let mut broker = stopped_on(&with_data);
    let empty = folder.path().join("empty");
    let [first, second] = with_data.clone();
    broker.set_up_again(|setup| setup.log_dirs(&[first, second, empty.clone()]));
    broker.start_again();
    broker.stop();
    broker.set_up_again(|setup| setup.log_dirs(&with_data));
    for _ in 0..2 {
        broker.start_again();
        assert_complete(&mut broker.connect());
        broker.stop();
    }
    let log = broker.log();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("left out"))
        .collect();
    assert!(
        told.len() == 1 && told[0].contains("nothing is missing"),
        "{told:?}"
    );
    // It is not where the metadata may be either.
    let refused = Setup::new().log_dirs(&with_data[1..]).refused();
    refused.names(&["first is left out"]).exits_with(FAILED);
    assert!(!refused.said.contains("empty"), "{}", refused.said);
    // While more than one is missing, each may be the one.
    broker.set_up_again(|setup| setup.log_dirs(&[with_data[0].clone(), empty.clone()]));
    broker.start_again();
    broker.stop();
    let refused = Setup::new().log_dirs(&[empty]).refused();
    refused.names(&["first and ", "second are left out"]);
}

#[test]
fn a_broker_that_is_started_without_its_metadata_begins_no_other() {
    let folder = TempDir::new().unwrap();
    let dirs = dirs_in(&folder);
    let first = dirs[0].display().to_string();
    let refused_without_the_first = || {
        Setup::new()
            .log_dirs(&dirs[1..])
            .refused()
            .names(&["__cluster_metadata-0", &first, "log.dirs"])
            .exits_with(FAILED);
        let another = dirs[1].join("__cluster_metadata-0");
        assert!(!another.exists(), "with both there would be two");
    };
    // While nothing in the second directory tells of a topic, and when something does.
    Setup::new().log_dirs(&dirs).start().stop();
    refused_without_the_first();
    let mut broker = stopped_on(&dirs);
    refused_without_the_first();
    broker.start_again();
    assert_complete(&mut broker.connect());
}

#[test]
fn what_comes_back_of_a_topic_that_was_deleted_meanwhile_is_removed() {
    let folder = TempDir::new().unwrap();
    let dirs = dirs_in(&folder);
    let mut broker = stopped_on(&dirs);
    broker.set_up_again(|setup| setup.log_dirs(&dirs[..1]));
    broker.start_again();
    let mut wire = broker.connect();
    wire.call("delete_topic", map! { "name" => "t" }).unwrap();
    wire.create_topic("t", 4, &[]);
    for partition in 0..4 {
        wire.produce("t", partition, plain("new ", 0..3));
    }
    broker.stop();
    broker.set_up_again(|setup| setup.log_dirs(&dirs));
    broker.start_again();
    let mut wire = broker.connect();
    assert_complete(&mut wire);
    let old = (0..4).filter(|partition| is_in(&dirs[1], *partition));
    assert_eq!(old.count(), 0, "{}", broker.log());
}

#[test]
fn a_directory_named_twice_or_copied_is_refused() {
    let folder = TempDir::new().unwrap();
    let dirs = dirs_in(&folder);
    let broker = stopped_on(&dirs);
    let twice = [dirs[0].clone(), dirs[0].clone()];
    Setup::new()
        .log_dirs(&twice)
        .refused()
        .names(&["same directory id", "first"])
        .exits_with(FAILED);
    let copy = folder.path().join("copy");
    let copied = Command::new("cp")
        .arg("-r")
        .args([&dirs[1], &copy])
        .status();
    assert!(copied.unwrap().success());
    let three = [dirs[0].clone(), dirs[1].clone(), copy.clone()];
    let refused = Setup::new().log_dirs(&three).refused();
    refused
        .names(&["same directory id", "second", "copy"])
        .exits_with(FAILED);
    // Without its identity the copy is noticed by what is in it.
    fs::remove_file(copy.join("meta.properties")).unwrap();
    let refused = Setup::new().log_dirs(&three).refused();
    refused
        .names(&["partition t-", "second", "copy", "move one"])
        .exits_with(FAILED);
    let mut arguments = vec!["log".to_owned(), "verify".to_owned()];
    arguments.extend(three.map(|dir| dir.display().to_string()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let verified = broker.command(&arguments).output().unwrap();
    assert_eq!(verified.status.code(), Some(DAMAGED));
    let said = String::from_utf8_lossy(&verified.stdout);
    for word in ["partition t-", "/second/t-", "/copy/t-", "move the one"] {
        assert!(said.contains(word), "{word} in {said}");
    }
    let two = broker.command(&arguments[..4]).output().unwrap();
    let said = String::from_utf8_lossy(&two.stdout);
    assert_eq!(two.status.code(), Some(0), "{said}");
}

#[test]
fn who_cannot_be_used_among_others_can_be_left_out_and_is_told_so() {
    let folder = TempDir::new().unwrap();
    let dirs = dirs_in(&folder);
    let mut broker = stopped_on(&dirs);
    let identity = dirs[1].join("meta.properties");
    let sound = fs::read(&identity).unwrap();
    fs::write(&identity, "nonsense").unwrap();
    let path = dirs[1].display().to_string();
    let advice = format!("leave {path} out of `log.dirs`");
    let refused = Setup::new().log_dirs(&dirs).refused();
    refused
        .names(&["meta.properties", "without it", &advice])
        .exits_with(FAILED);
    let alone = Setup::new().log_dirs(&dirs[1..]).refused();
    assert!(!alone.said.contains("without it"), "{}", alone.said);
    broker.set_up_again(|setup| setup.log_dirs(&dirs[..1]));
    broker.start_again();
    broker.stop();
    fs::write(&identity, sound).unwrap();
    broker.set_up_again(|setup| setup.log_dirs(&dirs));
    broker.start_again();
    assert_complete(&mut broker.connect());
}

#[test]
fn a_directory_that_has_lost_its_identity_keeps_its_cluster_and_says_so() {
    let folder = TempDir::new().unwrap();
    let dirs = dirs_in(&folder);
    let mut broker = stopped_on(&dirs);
    let cluster = |wire: &mut Wire| {
        let described = wire.call("describe_cluster", map! {}).unwrap();
        described.get("cluster_id").text().to_owned()
    };
    broker.start_again();
    let before = cluster(&mut broker.connect());
    for dir in &dirs {
        broker.stop();
        fs::remove_file(dir.join("meta.properties")).unwrap();
        broker.start_again();
        let mut wire = broker.connect();
        assert_eq!(cluster(&mut wire), before);
        assert_complete(&mut wire);
    }
    assert_eq!(broker.log().matches("no meta.properties").count(), 2);
}

#[test]
fn a_directory_inside_of_another_is_refused() {
    let folder = TempDir::new().unwrap();
    let outer = folder.path().join("data");
    let inner = outer.join("second");
    for dirs in [
        [outer.clone(), inner.clone()],
        [inner.clone(), outer.clone()],
    ] {
        let refused = Setup::new().log_dirs(&dirs).refused();
        let names = [&outer, &inner].map(|dir| dir.display().to_string());
        refused
            .names(&["inside of", &names[0], &names[1]])
            .exits_with(FAILED);
    }
    assert!(!outer.exists(), "it was touched");
}

#[test]
fn what_takes_the_place_of_a_directory_in_use_gets_nothing() {
    for at_its_place in ["nothing", "an empty directory"] {
        let folder = TempDir::new().unwrap();
        let dirs = dirs_in(&folder);
        let mut broker = Setup::new().log_dirs(&dirs).start();
        let mut wire = broker.connect();
        wire.create_topic("t", 4, &[]);
        for partition in 0..4 {
            wire.produce("t", partition, plain("kept ", 0..3));
        }
        let (moved, aside) = (&dirs[1], folder.path().join("aside"));
        fs::rename(moved, &aside).unwrap();
        if at_its_place != "nothing" {
            fs::create_dir(moved).unwrap();
        }
        wire.create_topic("new", 4, &[]);
        let cluster = wire.call("describe_cluster", map! {}).unwrap();
        let of_broker = cluster.get("brokers").list()[0].get("log_dirs").clone();
        let states = of_broker.list().iter();
        let states: Vec<&str> = states.map(|dir| dir.get("state").text()).collect();
        assert_eq!(states, ["online", "failed"], "{at_its_place}");
        let warnings = format!("{:?}", cluster.get("warnings"));
        assert!(warnings.contains("unmounted"), "{warnings}");
        let found = fs::read_dir(moved).map_or(0, Iterator::count);
        assert_eq!(found, 0, "{at_its_place}: it was taken for the directory");
        // What could not be made there is nobody's loss.
        let is_made = |partition: &u32| {
            folder
                .path()
                .join(format!("first/new-{partition}"))
                .exists()
        };
        for partition in (0..4).filter(is_made) {
            wire.produce("new", partition, plain("kept ", 0..3));
        }
        broker.stop();
        let _ = fs::remove_dir(moved);
        fs::rename(&aside, moved).unwrap();
        broker.start_again();
        let mut wire = broker.connect();
        assert_complete(&mut wire);
        for partition in 0..4 {
            wire.produce("new", partition, plain("later ", 0..1));
        }
    }
}

#[test]
fn a_partition_that_is_moved_takes_along_how_far_it_is_durable() {
    let folder = TempDir::new().unwrap();
    let dirs = dirs_in(&folder);
    let mut broker = stopped_on(&dirs);
    let partition = (0..4).find(|partition| is_in(&dirs[1], *partition));
    let partition = partition.unwrap();
    let name = format!("t-{partition}");
    fs::rename(dirs[1].join(&name), dirs[0].join(&name)).unwrap();
    broker.start_again();
    let mut wire = broker.connect();
    assert_complete(&mut wire);
    wire.produce("t", partition, plain("later ", 0..3));
    broker.stop();
    let [first, second] = [0, 1].map(|number: usize| dirs[number].display().to_string());
    let verify = ["log", "verify", &first, &second];
    let verified = broker.command(&verify).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stdout);
    assert_eq!(verified.status.code(), Some(0), "{said}");
    // Back where it was, and not all of what was durable by then is there.
    fs::rename(dirs[0].join(&name), dirs[1].join(&name)).unwrap();
    let segment = dirs[1].join(&name).join("00000000000000000000.log");
    let file = fs::File::options().write(true).open(segment).unwrap();
    file.set_len(file.metadata().unwrap().len() - 10).unwrap();
    broker.start_again();
    let mut wire = broker.connect();
    let error = wire.fetch("t", partition, 3, map! {}).unwrap_err();
    assert_eq!(error.name, "CORRUPT_LOG", "{error:?}");
    assert_eq!(broker.log().matches("was moved to another").count(), 2);
}
