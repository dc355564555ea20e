//! A tenant's records erased: from every partition, whatever they were compressed with, out of the files
//! themselves, and nobody else's record changed or moved.

use std::collections::BTreeMap;
use std::{fs, io};

use broker_record::Batches;

use crate::harness::{Broker, DryRun, Rec, Setup, Value, Wire, eventually, keyed, map, opaque};

const PARTITIONS: u32 = 4;
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

fn quick() -> Setup {
    Setup::new().option("log.cleaner.backoff.ms", "50")
}

/// A record of a tenant; its key and value carry the name, and a dash no configuration has.
fn record(tenant: &str, number: u32) -> Value {
    let header = |name: &str, value: &str| -> Value {
        vec![Value::from(name), value.as_bytes().into()].into()
    };
    let headers = vec![
        header("trace", &format!("{number:08x}")),
        header("tenant", tenant),
    ];
    Value::Array(vec![
        format!("{tenant}-{number}").as_bytes().into(),
        format!("{tenant}-value-{number}-{}", "y".repeat(40))
            .as_bytes()
            .into(),
        1_000.into(),
        headers.into(),
    ])
}

fn tenant_of(record: &Rec) -> Option<&[u8]> {
    let header = record.headers.iter().find(|(name, _)| name == "tenant");
    header.and_then(|(_, value)| value.as_deref())
}

/// Fills segments until nothing that is there now is in an active one.
fn roll(wire: &mut Wire, broker: &Broker, topic: &str) {
    for partition in 0..PARTITIONS {
        let end = wire
            .offset_at(topic, partition, "latest")
            .expect("it has one");
        loop {
            let newest = broker
                .files(topic, partition, "log")
                .pop()
                .expect("a segment");
            let stem = newest
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            if stem.parse::<u64>().expect("digits") >= end {
                break;
            }
            let filler = keyed("filler", &"z".repeat(4_000));
            wire.produce(topic, partition, vec![filler; 4]);
        }
    }
}

fn everything(wire: &mut Wire, topic: &str) -> BTreeMap<(u32, u64), Rec> {
    let partitions = 0..PARTITIONS;
    partitions
        .flat_map(|partition| {
            let records = wire.read_all(topic, partition).into_iter();
            records.map(move |record| ((partition, record.offset), record))
        })
        .collect()
}

/// What was found, unless a cleaning has removed it meanwhile.
fn unless_gone<T>(found: io::Result<T>) -> Option<T> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        found => Some(found.expect("it can be read")),
    }
}

/// Files of the data directory in which the text stands, as it is or compressed in a batch.
fn files_with(broker: &Broker, text: &str) -> usize {
    let has = |bytes: &[u8]| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    let files = walkdir::WalkDir::new(broker.data_dir()).into_iter();
    let files = files.filter_map(|entry| unless_gone(entry.map_err(io::Error::from)));
    let holds = |path: &std::path::Path| {
        let Some(bytes) = unless_gone(fs::read(path)) else {
            return false;
        };
        if has(&bytes) || path.extension().is_none_or(|extension| extension != "log") {
            return has(&bytes);
        }
        let mut batches = Batches::new(bytes.into()).map(|batch| batch.expect("a whole batch"));
        batches.any(|batch| {
            let records = batch.records().expect("it can be decoded");
            records.iter().any(|record| {
                let record = record.expect("it can be decoded");
                has(record.key.unwrap_or_default()) || has(record.value.unwrap_or_default())
            })
        })
    };
    let found = files.filter(|entry| entry.file_type().is_file() && holds(entry.path()));
    found.count()
}

#[test]
fn a_tenants_records_are_gone_from_the_files_and_nobody_elses_is_touched() {
    let broker = quick().start();
    let mut wire = broker.connect();
    wire.create_topic(
        "t",
        PARTITIONS,
        &[("segment.bytes", "128KiB"), ("retention.ms", "-1")],
    );
    let tenants = ["acme", "acme2", "initech", "acm", "globex"];
    let mut number = 0;
    for batch in 0..200_usize {
        let records: Vec<Value> = (0..100)
            .map(|row| {
                number += 1;
                // Here and there a batch that is the tenant's alone, or has nothing of it.
                let tenant = match batch % 10 {
                    3 => "acme",
                    7 => "globex",
                    _ => tenants[(row + batch) % 5],
                };
                record(tenant, number)
            })
            .collect();
        let partition = u32::try_from(batch).expect("fits") % PARTITIONS;
        let codec = CODECS[batch / 4 % 5];
        let answer = wire.call("produce", opaque("t", partition, &records.into(), codec));
        answer.unwrap();
    }
    roll(&mut wire, &broker, "t");
    let before = everything(&mut wire, "t");
    let is_acme = |record: &Rec| tenant_of(record) == Some(b"acme");
    let acme = before.values().filter(|record| is_acme(record)).count();
    assert_eq!(acme, 2_000 + 3_200);
    assert!(files_with(&broker, "acme-") >= 8, "they are found before");

    let warnings = wire.alter(
        "t",
        &[
            ("cleanup.policy", "compact"),
            ("compaction.policy", "drop-by-header"),
            ("compaction.policy.option.header", "tenant"),
            ("compaction.policy.option.values", "acme"),
        ],
    );
    assert!(
        warnings
            .iter()
            .all(|warning| !warning.contains("order per key"))
    );
    let after = eventually("they are gone", || {
        let after = everything(&mut wire, "t");
        (!after.values().any(is_acme)).then_some(after)
    });
    let others = before.into_iter().filter(|(_, record)| !is_acme(record));
    assert!(others.eq(after), "another record changed, moved or went");
    eventually("its bytes are in no file", || {
        (files_with(&broker, "acme-") == 0).then_some(())
    });
    assert!(files_with(&broker, "acme2-") > 0 && files_with(&broker, "acm-") > 0);
    let fetched = wire.fetch("t", 0, 0, map! { "form" => "batch" });
    assert!(fetched.is_ok(), "whole batches can still be fetched");
}

/// How often each partition of `t` was cleaned.
fn cleanings(wire: &mut Wire) -> Vec<u64> {
    let described = wire.describe_topic("t");
    let partitions = described.get("partitions").list().iter();
    partitions
        .map(|partition| partition.get("cleaning").get("cleanings").u64())
        .collect()
}

/// How many records of a tenant there are in `t`.
fn count(wire: &mut Wire, tenant: &str) -> usize {
    let all = everything(wire, "t");
    let has = |record: &&Rec| tenant_of(record) == Some(tenant.as_bytes());
    all.values().filter(has).count()
}

/// A broker with records of three tenants, each key there once.
fn compacted() -> (Broker, Wire) {
    let broker = quick().start();
    let mut wire = broker.connect();
    let config = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "8KiB"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    wire.create_topic("t", PARTITIONS, &config);
    for number in 0..400 {
        let tenant = ["acme", "globex", "initech"][usize::try_from(number).expect("fits") % 3];
        let records = vec![record(tenant, number), record(tenant, number)];
        wire.produce("t", number % PARTITIONS, records);
    }
    roll(&mut wire, &broker, "t");
    let clean = |wire: &mut Wire| {
        let described = wire.describe_topic("t");
        let mut partitions = described.get("partitions").list().iter();
        partitions.all(|partition| {
            let cleaning = partition.get("cleaning");
            cleaning.get("cleanings").u64() > 0 && cleaning.get("dirty_bytes").u64() == 0
        })
    };
    eventually("each key is there once", || clean(&mut wire).then_some(()));
    (broker, wire)
}

#[test]
fn another_tenant_goes_from_what_is_compacted_already() {
    let (mut broker, mut wire) = compacted();
    assert_eq!(count(&mut wire, "acme"), 134);
    let options = map! { "header" => "tenant", "values" => "acme" };
    let dry_run = DryRun::of_plugin("t", "drop-by-header").with("options", options);
    let report = dry_run.report(&mut wire, "compaction");
    assert_eq!(report.get("removed_records").u64(), 134, "{report:?}");
    // Nothing is written any more: what is clean for one policy is not for another.
    wire.alter(
        "t",
        &[
            ("compaction.policy", "drop-by-header"),
            ("compaction.policy.option.header", "tenant"),
            ("compaction.policy.option.values", "acme"),
        ],
    );
    eventually("the first is gone", || {
        (count(&mut wire, "acme") == 0).then_some(())
    });
    assert_eq!(count(&mut wire, "globex"), 133);
    wire.alter("t", &[("compaction.policy.option.values", "acme,globex")]);
    broker.crash();
    let mut wire = broker.connect();
    let at_start = cleanings(&mut wire);
    eventually("the second is gone", || {
        (count(&mut wire, "globex") == 0).then_some(())
    });
    assert_eq!(count(&mut wire, "initech"), 133);
    eventually("their bytes are in no file", || {
        (files_with(&broker, "acme-") + files_with(&broker, "globex-") == 0).then_some(())
    });
    // And then it is left alone.
    let all = eventually("no more cleanings", || {
        let before = cleanings(&mut wire);
        std::thread::sleep(std::time::Duration::from_millis(300));
        (cleanings(&mut wire) == before).then_some(before)
    });
    let mut both = all.iter().zip(&at_start);
    assert!(
        both.all(|(all, at_start)| all - at_start <= 3),
        "{at_start:?} became {all:?}"
    );
}

/// What is noted of the cleanings of a partition, as if the last one had ended an hour later.
fn ended_later(noted: &str) -> String {
    let (lines, _crc) = noted.split_once("crc32=").expect("it is guarded");
    let line = lines.lines().find(|line| line.starts_with("last_cleaned="));
    let line = line.expect("it was cleaned");
    let ended = line.trim_start_matches("last_cleaned=").parse::<u64>();
    let later = format!("last_cleaned={}", ended.expect("a time") + 3_600_000);
    let lines = lines.replace(line, &later);
    format!("{lines}crc32={:08x}\n", crc32fast::hash(lines.as_bytes()))
}

#[test]
fn a_cleaning_that_ends_when_there_is_another_policy_does_not_count_for_that_one() {
    let (mut broker, _) = compacted();
    broker.stop();
    broker.set_up_again(|setup| setup.option("log.cleaner.backoff.ms", "1h"));
    let files = (0..PARTITIONS).map(|number| broker.partition_dir("t", number));
    let files = files.map(|dir| dir.join("cleaner-checkpoint"));
    let noted: Vec<_> = files
        .map(|file| {
            let text = fs::read_to_string(&file).expect("it is there");
            (file, ended_later(&text))
        })
        .collect();
    broker.start_again();
    broker.connect().alter(
        "t",
        &[
            ("compaction.policy", "drop-by-header"),
            ("compaction.policy.option.header", "tenant"),
            ("compaction.policy.option.values", "acme"),
        ],
    );
    // What the partitions would have noted last, had they not heard of it by then.
    broker.kill();
    for (file, noted) in noted {
        fs::write(file, noted).expect("it can be written");
    }
    broker.set_up_again(|setup| setup.option("log.cleaner.backoff.ms", "50"));
    broker.start_again();
    let mut wire = broker.connect();
    eventually("they are gone", || {
        (count(&mut wire, "acme") == 0).then_some(())
    });
}
