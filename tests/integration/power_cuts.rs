//! Loss of power under load, again and again: files are as they were synced, and of what was not synced
//! nothing or any part is left. Under `flush.mode = sync` nothing that was acknowledged is missing, under
//! `async` no more than the window, and the broker says so. A disk that lies shows that the checks can fail.
//!
//! `BROKER_POWER_CUTS=100 cargo test --release -p broker-tests --test integration power_cuts` cuts more often.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::harness::{
    Acknowledged, Broker, Ledger, PowerCut, Survival, Wire, eventually, map, produce_alone,
    produce_until_killed,
};

/// `flush.ms` of the topic under `async`.
const FLUSH_MS: u64 = 100;
/// What is missing was acknowledged within so long: twenty times what the topic says, since a machine under tests
/// is slow.
const WINDOW: Duration = Duration::from_millis(20 * FLUSH_MS);
/// Partitions of the topic `t`.
const PARTITIONS: u32 = 3;

/// How often the power is cut, unless `BROKER_POWER_CUTS` says otherwise.
fn rounds(usually: u64) -> u64 {
    let asked = std::env::var("BROKER_POWER_CUTS").ok();
    let asked = asked.map(|text| text.parse().expect("BROKER_POWER_CUTS is a number"));
    asked.unwrap_or(usually)
}

/// A broker under load whose power can be cut, and what it has promised.
struct Rig {
    power: PowerCut,
    broker: Broker,
    ledger: Ledger,
    /// Whether a topic is there, as far as it was acknowledged.
    topics: BTreeMap<String, bool>,
    /// How much of the broker's log is from before the last cut.
    logged: usize,
}

impl Rig {
    fn start(power: PowerCut, flush_mode: &str) -> Self {
        let broker = power.setup().start();
        let flush_ms = FLUSH_MS.to_string();
        let config = [
            ("flush.mode", flush_mode),
            ("flush.ms", &flush_ms),
            ("segment.bytes", "4KiB"),
            ("index.interval.bytes", "512"),
        ];
        broker.connect().create_topic("t", PARTITIONS, &config);
        Self {
            power,
            broker,
            ledger: Ledger::default(),
            topics: BTreeMap::new(),
            logged: 0,
        }
    }

    /// Producers of all kinds and an administrator, until the broker is killed. Every third time the producer
    /// is alone, whose syncs go another way. Answers when it was killed: to be rid of it may take as long as the
    /// syncs that it is at.
    fn kill_under_load(&mut self, round: u64) -> Instant {
        let (before, wait) = (self.ledger.count(), self.power.roll(300));
        let (broker, ledger, topics) = (&mut self.broker, &self.ledger, &mut self.topics);
        std::thread::scope(|scope| {
            let administrator = broker.connect();
            let producers = if round % 3 == 2 { 1 } else { PARTITIONS };
            for partition in 0..producers {
                let wire = broker.connect();
                scope.spawn(move || match producers {
                    1 => produce_alone(wire, "t", partition, ledger, || true),
                    _ => produce_until_killed(wire, "t", partition, ledger),
                });
            }
            if producers > 1 {
                scope.spawn(move || administer(administrator, round, topics));
            }
            eventually("there is a load", || {
                (ledger.count() >= before + 100).then_some(())
            });
            std::thread::sleep(Duration::from_millis(wait));
            let killed_at = Instant::now();
            broker.kill();
            killed_at
        })
    }

    /// One producer that takes its time for longer than the window, then the usual load.
    fn kill_after_a_while(&mut self, round: u64) -> Instant {
        let begun = Instant::now();
        let at_leisure = || {
            std::thread::sleep(Duration::from_millis(10));
            begun.elapsed() < WINDOW + WINDOW / 2
        };
        produce_alone(self.broker.connect(), "t", 1, &self.ledger, at_leisure);
        self.kill_under_load(round)
    }

    /// Cuts the power of a killed broker and starts another; sometimes that one dies on its way.
    fn cut(&mut self, survival: Survival) {
        self.logged = self.broker.log().len();
        self.power.cut(survival);
        if self.power.roll(2) == 0 {
            let wait = Duration::from_millis(self.power.roll(150));
            self.broker.start_and_kill_after(wait);
            self.power.cut(survival);
        }
        self.broker.start_again();
    }

    fn verify_topics(&self) {
        let mut wire = self.broker.connect();
        for (name, is_there) in &self.topics {
            let found = wire.call("describe_topic", map! { "name" => name.as_str() });
            assert_eq!(found.is_ok(), *is_there, "{name}: {found:?}");
        }
    }

    /// What the broker has logged since the last cut.
    fn logged(&self) -> String {
        self.broker.log().split_off(self.logged)
    }
}

/// Makes topics and deletes some of them.
fn administer(mut wire: Wire, round: u64, topics: &mut BTreeMap<String, bool>) {
    let mut ask = |method, args| {
        let sent = wire.try_send(method, args);
        let answer = sent.and_then(|_| wire.try_receive());
        let answer = answer.ok().flatten();
        answer.map(|answer| answer.outcome.expect("a healthy broker does it"))
    };
    for number in 0..6 {
        let name = format!("r{round}-{number}");
        let args = map! { "name" => name.as_str(), "partitions" => 2 };
        if ask("create_topic", args).is_none() {
            return;
        }
        topics.insert(name.clone(), true);
        if number % 2 == 1 {
            // Until it is acknowledged it is there or not.
            topics.remove(&name);
            if ask("delete_topic", map! { "name" => name.as_str() }).is_none() {
                return;
            }
            topics.insert(name, false);
        }
    }
}

fn survival(round: u64) -> Survival {
    match round % 2 {
        0 => Survival::Any,
        _ => Survival::Synced,
    }
}

#[test]
fn nothing_acknowledged_is_lost_to_a_power_cut_under_sync() {
    let mut rig = Rig::start(PowerCut::new(), "sync");
    for round in 0..rounds(4) {
        rig.kill_under_load(round);
        rig.cut(survival(round));
        rig.ledger
            .verify(&mut rig.broker.connect(), "t", PARTITIONS);
        rig.verify_topics();
    }
    assert!(
        !rig.broker.log().contains("stored data is damaged"),
        "nothing that was promised is damaged"
    );
}

#[test]
fn under_async_a_power_cut_takes_no_more_than_the_window_and_the_broker_says_so() {
    let mut rig = Rig::start(PowerCut::new(), "async");
    let (mut missed, wanted) = (0, rounds(2));
    for round in 0..wanted.max(10) {
        if round >= wanted && missed > 0 {
            break;
        }
        let killed_at = rig.kill_after_a_while(round);
        rig.cut(survival(round));
        let mut wire = rig.broker.connect();
        let missing = rig.ledger.take_missing(&mut wire, "t", PARTITIONS);
        let logged = rig.logged();
        for lost in &missing {
            // While a disk is slow acknowledgements wait, so that the last one may be from a while before the cut.
            let of_partition = missing
                .iter()
                .filter(|other| other.partition == lost.partition);
            let last = of_partition
                .map(|other| other.at)
                .max()
                .expect("there is one");
            let before = last.duration_since(lost.at);
            assert!(before < WINDOW, "{lost:?}, {before:?} before the last");
            let before = killed_at.saturating_duration_since(lost.at);
            assert!(before < 5 * WINDOW, "{lost:?}, {before:?} before the cut");
            assert!(is_told(&logged, lost), "{lost:?} without a word: {logged}");
        }
        missed += missing.len();
        rig.verify_topics();
    }
    assert!(missed > 0, "nothing was ever missing: was anything cut?");
}

/// Whether the broker says that the record may be missing: which partition, where it ends, and how much more
/// there may have been.
fn is_told(logged: &str, lost: &Acknowledged) -> bool {
    let partition = format!("partition=t-{}", lost.partition);
    let window = format!("flush.ms = {FLUSH_MS} ");
    logged.lines().any(|line| {
        let is_about_it = line.contains(&window) && line.split(' ').any(|word| word == partition);
        let end = line.split("the log ends at ").nth(1);
        let end = end.and_then(|rest| rest.split([',', ' ']).next()?.parse::<u64>().ok());
        is_about_it && end.is_some_and(|end| end <= lost.offset)
    })
}

/// Whether the checks of `sync` are passed after one cut.
fn passes(power: PowerCut, flush_mode: &str) -> bool {
    let mut rig = Rig::start(power, flush_mode);
    rig.kill_under_load(0);
    let checks = AssertUnwindSafe(|| {
        rig.cut(Survival::Synced);
        rig.ledger
            .verify(&mut rig.broker.connect(), "t", PARTITIONS);
        rig.verify_topics();
    });
    catch_unwind(checks).is_ok()
}

#[test]
fn a_disk_that_lies_and_syncs_that_come_later_are_found_out() {
    // What matters may have been there by chance, now and then.
    let is_found_out =
        |power: &dyn Fn() -> PowerCut, flush_mode| (0..5).any(|_| !passes(power(), flush_mode));
    for lie in ["/t-0/", "/__cluster_metadata-0/"] {
        let lying = || PowerCut::with_a_lie_about(lie);
        assert!(is_found_out(&lying, "sync"), "{lie}");
    }
    assert!(
        is_found_out(&PowerCut::new, "async"),
        "acknowledged before the sync"
    );
}
