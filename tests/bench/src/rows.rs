//! The rows of the comparison: which work gives which figure, and what the target is.

use crate::systems::{Batch, Class, Payloads};

/// Work that is done once a repetition, by each system in turn, on an empty folder.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// For `--rows`.
    pub(crate) id: &'static str,
    pub(crate) class: Class,
    pub(crate) work: Work,
    pub(crate) rows: Vec<Row>,
}

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// One batch in flight per producer.
    Produce {
        batch: Batch,
        producers: u32,
        logs: u32,
    },
    /// From the start, each consumer its own log.
    Consume {
        batch: Batch,
        consumers: u32,
    },
    /// Nothing at all.
    Idle,
    /// Only our broker, beside what the machine can do.
    Saturation {
        is_synced: bool,
    },
    CatchUp,
    TailBesideCatchUp,
    ManyUnderSync,
    /// So many producers, each with so much in flight, to partitions and to the partitioner.
    Partitioner {
        payloads: Payloads,
        producers: u32,
        in_flight: u8,
    },
    Recovery,
}

impl Work {
    /// Whether peers can do it.
    pub(crate) fn is_for_peers(self) -> bool {
        matches!(
            self,
            Self::Produce { .. } | Self::Consume { .. } | Self::Idle
        )
    }
}

/// A figure of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    P50,
    P99,
    /// Millions of records a second.
    MillionRecords,
    /// Thousands of records a second.
    ThousandRecords,
    MibPerSecond,
    CpuPerGib,
    PeakMemory,
    IdleMemory,
    StartTime,
    /// Our figure divided by that of the machine or of the other way to do it.
    Share,
    /// The partitioner's, divided by that of producers that spread records alike by themselves.
    ShareOfEqualSpread,
    SecondsPerGib,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) metric: Metric,
    pub(crate) unit: &'static str,
    pub(crate) targets: Vec<Target>,
}

/// What our figure is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// At least so many times the best peer's.
    TimesBest(f64),
    /// At most so many times the best (lowest) peer's.
    TimesLowest(f64),
    /// At most so many times the loopback's round trip of the same minute.
    TimesLoopback(f64),
    AtLeast(f64),
    AtMost(f64),
}

impl Metric {
    pub(crate) fn is_better_higher(self) -> bool {
        matches!(
            self,
            Self::MillionRecords
                | Self::ThousandRecords
                | Self::MibPerSecond
                | Self::Share
                | Self::ShareOfEqualSpread
        )
    }
}

fn row(label: &str, metric: Metric, unit: &'static str, targets: &[Target]) -> Row {
    Row {
        label: label.to_owned(),
        metric,
        unit,
        targets: targets.to_vec(),
    }
}

const fn batch(record_bytes: usize, records: usize) -> Batch {
    Batch {
        records,
        record_bytes,
    }
}

/// Producers and logs.
struct Shape {
    producers: u32,
    logs: u32,
}

/// What is asked of throughput in every produce row, and of memory in those with large batches.
fn produce(id: &'static str, batch: Batch, shape: Shape, more: &[Row]) -> Case {
    let Shape { producers, logs } = shape;
    let size = match batch.record_bytes {
        1024 => "1 KiB".to_owned(),
        bytes => format!("{bytes} B"),
    };
    let plural = |count: u32| if count == 1 { "" } else { "s" };
    let what = format!(
        "produce {size} × {}, {producers} producer{}, {logs} partition{}",
        batch.records,
        plural(producers),
        plural(logs)
    );
    let (metric, unit) = match batch.record_bytes {
        1024 => (Metric::MibPerSecond, "MiB/s"),
        _ => (Metric::MillionRecords, "M records/s"),
    };
    // Both peers acknowledge after `write`, as ours does.
    let mut rows = vec![row(&what, metric, unit, &[Target::TimesBest(2.0)])];
    rows.extend_from_slice(more);
    if batch.records == 1000 {
        let peak = format!("{what}: peak memory");
        rows.push(row(
            &peak,
            Metric::PeakMemory,
            "MiB",
            &[Target::AtMost(64.0)],
        ));
    }
    Case {
        id,
        class: Class::Written,
        work: Work::Produce {
            batch,
            producers,
            logs,
        },
        rows,
    }
}

fn latency(id: &'static str, size: &str, batch: Batch) -> Case {
    let p50 = [Target::TimesLowest(1.0), Target::TimesLoopback(1.15)];
    let what = |name| format!("produce {size}, batch 1, 1 producer: {name}");
    Case {
        id,
        class: Class::Written,
        work: Work::Produce {
            batch,
            producers: 1,
            logs: 1,
        },
        rows: vec![
            row(&what("p50"), Metric::P50, "µs", &p50),
            row(&what("p99"), Metric::P99, "µs", &[Target::TimesLowest(1.0)]),
        ],
    }
}

fn synced(id: &'static str, batch: Batch) -> Case {
    let what = format!("sync: produce 1 KiB × {}, 1 producer", batch.records);
    let rows = if batch.records == 1 {
        let lowest = [Target::TimesLowest(1.0)];
        vec![
            row(&format!("{what}: p50"), Metric::P50, "µs", &lowest),
            row(&format!("{what}: p99"), Metric::P99, "µs", &[]),
        ]
    } else {
        let times = [Target::TimesBest(1.5)];
        vec![row(&what, Metric::ThousandRecords, "k records/s", &times)]
    };
    Case {
        id,
        class: Class::Synced,
        work: Work::Produce {
            batch,
            producers: 1,
            logs: 1,
        },
        rows,
    }
}

fn consume(id: &'static str, batch: Batch, consumers: u32, rows: Vec<Row>) -> Case {
    Case {
        id,
        class: Class::Written,
        work: Work::Consume { batch, consumers },
        rows,
    }
}

/// Every case, in the order of the table.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = vec![
        latency("produce-latency-100", "100 B", batch(100, 1)),
        latency("produce-latency-1k", "1 KiB", batch(1024, 1)),
    ];
    cases.extend(produce_cases());
    cases.extend(consume_cases());
    cases.extend([
        synced("sync-1", batch(1024, 1)),
        synced("sync-100", batch(1024, 100)),
        synced("sync-1000", batch(1024, 1000)),
    ]);
    cases.push(Case {
        id: "idle",
        class: Class::Written,
        work: Work::Idle,
        rows: vec![
            row(
                "idle memory",
                Metric::IdleMemory,
                "MiB",
                &[Target::AtMost(20.0)],
            ),
            row(
                "start to the first answer",
                Metric::StartTime,
                "ms",
                &[Target::AtMost(150.0)],
            ),
        ],
    });
    cases.extend(machine_cases());
    cases.extend(own_cases());
    cases
}

fn produce_cases() -> Vec<Case> {
    let cpu = [Target::TimesLowest(1.0), Target::AtMost(0.55)];
    let cpu = row(
        "produce 1 KiB × 1000, 1 producer: server CPU",
        Metric::CpuPerGib,
        "s/GiB",
        &cpu,
    );
    let shape = |producers, logs| Shape { producers, logs };
    vec![
        produce("produce-100-x100-4p-4", batch(100, 100), shape(4, 4), &[]),
        produce("produce-100-x1000-1p", batch(100, 1000), shape(1, 1), &[]),
        produce("produce-100-x1000-4p-1", batch(100, 1000), shape(4, 1), &[]),
        produce("produce-1k-x100-1p", batch(1024, 100), shape(1, 1), &[]),
        produce("produce-1k-x100-4p-4", batch(1024, 100), shape(4, 4), &[]),
        produce(
            "produce-1k-x1000-1p",
            batch(1024, 1000),
            shape(1, 1),
            &[cpu],
        ),
        produce("produce-1k-x1000-4p-1", batch(1024, 1000), shape(4, 1), &[]),
    ]
}

fn consume_cases() -> Vec<Case> {
    let best = [Target::TimesBest(1.5)];
    let kib = |label| row(label, Metric::MibPerSecond, "MiB/s", &best);
    let one = vec![
        kib("consume from the start 1 KiB, 1 consumer"),
        row(
            "consume from the start 1 KiB, 1 consumer: server CPU",
            Metric::CpuPerGib,
            "s/GiB",
            &[Target::TimesLowest(0.5)],
        ),
        row(
            "consume from the start 1 KiB, 1 consumer: peak memory",
            Metric::PeakMemory,
            "MiB",
            &[Target::AtMost(64.0)],
        ),
    ];
    let four = vec![kib(
        "consume from the start 1 KiB, 4 consumers, 4 partitions",
    )];
    let small = vec![row(
        "consume from the start 100 B, 4 consumers, 4 partitions",
        Metric::MillionRecords,
        "M records/s",
        &best,
    )];
    vec![
        consume("consume-1k-1", batch(1024, 100), 1, one),
        consume("consume-1k-4", batch(1024, 100), 4, four),
        consume("consume-100-4", batch(100, 100), 4, small),
    ]
}

fn only_ours(id: &'static str, class: Class, work: Work, rows: Vec<Row>) -> Case {
    Case {
        id,
        class,
        work,
        rows,
    }
}

/// Ours beside the machine.
fn machine_cases() -> Vec<Case> {
    use Metric::{CpuPerGib, MibPerSecond, P99, Share};
    let rate = |label| row(label, MibPerSecond, "MiB/s", &[]);
    let cpu = |label| row(label, CpuPerGib, "s/GiB", &[]);
    let of_limit = |label, share| row(label, Share, "of it", &[Target::AtLeast(share)]);
    let saturation = vec![
        rate("saturation: 100 KiB batches, 2 connections × 8 in flight"),
        of_limit("saturation against loopback + checksum + append", 0.7),
        cpu("saturation: server CPU"),
    ];
    let unsynced = vec![
        rate("saturation, nothing synced meanwhile"),
        of_limit(
            "saturation, nothing synced meanwhile, against the same",
            0.7,
        ),
        cpu("saturation, nothing synced meanwhile: server CPU"),
    ];
    let catch_up = vec![
        rate("catch-up fetch, 1 MiB requests"),
        of_limit("catch-up fetch against loopback sendfile", 0.85),
        cpu("catch-up fetch: server CPU"),
    ];
    let tail = "tail reader beside two catch-up readers: p99";
    let tail = vec![row(tail, P99, "µs", &[Target::AtMost(1500.0)])];
    let many = vec![
        row(
            "sync: 16 producers, 100 KiB batches, 1 partition",
            MibPerSecond,
            "MiB/s",
            &[Target::AtLeast(700.0)],
        ),
        row(
            "sync: 16 producers against write + fdatasync of 1.6 MiB",
            Share,
            "of it",
            &[],
        ),
    ];
    let written = Class::Written;
    let saturated = |is_synced| Work::Saturation { is_synced };
    vec![
        only_ours("saturation", written, saturated(true), saturation),
        only_ours("saturation-unsynced", written, saturated(false), unsynced),
        only_ours("catch-up", written, Work::CatchUp, catch_up),
        only_ours("tail", written, Work::TailBesideCatchUp, tail),
        only_ours("sync-16", Class::Synced, Work::ManyUnderSync, many),
    ]
}

/// Ours beside another way to do the same, and beside itself.
fn own_cases() -> Vec<Case> {
    let partitioner = |id, payloads, (producers, in_flight), label| {
        let target = [Target::AtLeast(0.95)];
        let alike = format!("{label}, against explicit ones in turn");
        let rows = vec![
            row(label, Metric::Share, "of an explicit one", &target),
            row(&alike, Metric::ShareOfEqualSpread, "of them", &target),
        ];
        let work = Work::Partitioner {
            payloads,
            producers,
            in_flight,
        };
        only_ours(id, Class::Written, work, rows)
    };
    let recovery = vec![row(
        "recovery after kill -9, beyond a plain start",
        Metric::SecondsPerGib,
        "s/GiB written",
        &[Target::AtMost(2.0)],
    )];
    let (plain, keyed) = (Payloads::WithoutKeys, Payloads::Keyed);
    vec![
        partitioner(
            "partitioner-plain",
            plain,
            (4, 4),
            "default partitioner, 100 B × 100, 4 producers × 4 in flight, no keys",
        ),
        partitioner(
            "partitioner-plain-1",
            plain,
            (1, 1),
            "default partitioner, 100 B × 100, one in flight, no keys",
        ),
        partitioner(
            "partitioner-keys",
            keyed,
            (4, 4),
            "default partitioner, 100 B × 100, 4 producers × 4 in flight, keys on 4 partitions",
        ),
        partitioner(
            "partitioner-keys-1",
            keyed,
            (1, 1),
            "default partitioner, 100 B × 100, one in flight, keys on 4 partitions",
        ),
        only_ours("recovery", Class::Written, Work::Recovery, recovery),
    ]
}

#[test]
fn rows_can_be_told_apart() {
    let cases = all();
    let ids: std::collections::BTreeSet<_> = cases.iter().map(|case| case.id).collect();
    assert_eq!(ids.len(), cases.len());
    let rows = cases.iter().flat_map(|case| &case.rows);
    let labels: Vec<_> = rows.map(|row| &row.label).collect();
    let different: std::collections::BTreeSet<_> = labels.iter().collect();
    assert_eq!(different.len(), labels.len());
}
