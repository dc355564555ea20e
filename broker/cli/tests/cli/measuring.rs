//! `broker bench`: runs, reports what was asked for, and leaves nothing behind. Figures are not
//! looked at: benchmarks measure, tests decide.

use crate::harness::Broker;

const SHORT: [&str; 5] = ["--records", "200", "--warm-up", "0", "--json"];

#[test]
fn each_benchmark_reports_its_setting_and_deletes_its_topic() {
    let broker = Broker::start();
    let runs: [&[&str]; 6] = [
        &["bench", "produce", "--batch", "10"],
        &[
            "bench",
            "produce",
            "--batch",
            "10",
            "--producers",
            "3",
            "--in-flight",
            "2",
            "--partitions",
            "2",
            "--form",
            "plain",
        ],
        &[
            "bench",
            "produce",
            "--batch",
            "10",
            "--routed",
            "--keys",
            "7",
            "--flush-mode",
            "async",
            "--rate",
            "100000",
        ],
        &[
            "bench",
            "consume",
            "--batch",
            "10",
            "--size",
            "256KiB",
            "--consumers",
            "2",
            "--partitions",
            "2",
            "--verify",
        ],
        &["bench", "e2e", "--batch", "2", "--flush-mode", "async"],
        &["bench", "e2e", "--partitions", "2", "--rate", "2000"],
    ];
    for run in runs {
        let args: Vec<&str> = run.iter().chain(&SHORT).copied().collect();
        let report = broker.run(&args).ok().json();
        assert_eq!(report["bench"], run[1], "{args:?}");
        assert!(
            report["records"].as_u64().unwrap() >= 200,
            "{args:?}: {report}"
        );
        assert!(
            report["latency_us"]["p99_9"].as_f64().unwrap() > 0.0,
            "{args:?}: {report}"
        );
        assert!(report["flush_mode"].is_string());
        assert!(
            report["reference"]["loopback_us"]["samples"]
                .as_u64()
                .unwrap()
                > 0
        );
        assert_eq!(
            report["target_records_per_second"].is_null(),
            !args.contains(&"--rate")
        );
    }
    assert_eq!(
        broker.run(&["topic", "list", "--json"]).ok().json(),
        serde_json::json!([])
    );
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
