//! `broker bench`: runs, reports what was asked for, and leaves nothing behind. Figures are not
//! looked at: benchmarks measure, tests decide.

use crate::harness::{Broker, run};

/// Settings after `broker bench`, split at blanks.
const RUNS: [&str; 6] = [
    "produce --batch 10",
    "produce --batch 10 --producers 3 --in-flight 2 --partitions 2 --form plain",
    "produce --batch 10 --routed --keys 7 --flush-mode async --rate 100000",
    "consume --batch 10 --size 256KiB --consumers 2 --partitions 2 --verify",
    "e2e --batch 2 --flush-mode async",
    "e2e --partitions 2 --rate 2000",
];

#[test]
fn each_benchmark_reports_its_setting_and_deletes_its_topic() {
    let broker = Broker::start();
    for run in RUNS {
        let line = format!("bench {run} --records 200 --warm-up 0 --json");
        let args: Vec<&str> = line.split(' ').collect();
        let report = broker.run(&args).ok().json();
        assert_eq!(report["bench"], args[1], "{line}");
        assert!(
            report["records"].as_u64().unwrap() >= 200,
            "{line}: {report}"
        );
        assert!(
            report["latency_us"]["p99_9"].as_f64().unwrap() > 0.0,
            "{line}: {report}"
        );
        let mode = if line.contains("async") {
            "async"
        } else {
            "sync"
        };
        assert_eq!(report["flush_mode"], mode, "{line}");
        assert!(
            report["reference"]["loopback_us"]["samples"]
                .as_u64()
                .unwrap()
                > 0
        );
        let target = &report["target_records_per_second"];
        assert_eq!(target.is_null(), !line.contains("--rate"), "{line}");
    }
    assert_eq!(
        broker.run(&["topic", "list", "--json"]).ok().json(),
        serde_json::json!([])
    );
}

#[test]
fn the_quick_benchmark_starts_a_broker_of_its_own_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let args = [
        "bench", "quick", "--own", data, "--only", "routed", "--json",
    ];
    let rows = run(&args).ok().json();
    let [row] = rows.as_array().unwrap().as_slice() else {
        panic!("{rows}")
    };
    assert!(
        row["command"].as_str().unwrap().contains("--keys 1000"),
        "{row}"
    );
    assert!(
        row["report"]["records_per_second"].as_f64().unwrap() > 0.0,
        "{row}"
    );
    assert_eq!(row["report"]["routed"], true);
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    let nothing = run(&["bench", "quick", "--only", "nothing"]);
    nothing.ended(2).says(&["occurs in no row"]);
}

#[test]
fn a_topic_can_be_kept() {
    let broker = Broker::start();
    let args = [
        "bench",
        "produce",
        "--records",
        "100",
        "--warm-up",
        "0",
        "--keep",
    ];
    let text = broker.run(&args).ok().says(&["bench-", "kept"]).text();
    assert!(
        text.contains("acks all, flush.mode sync") && text.contains("p99.9"),
        "{text}"
    );
    let topics = broker.run(&["topic", "list", "--json"]).ok().json();
    assert_eq!(topics.as_array().unwrap().len(), 1);
}
