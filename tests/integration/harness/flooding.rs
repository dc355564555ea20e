//! Attacks from the flood tool in a size that a test can afford: a broker with the stage set, and what has to
//! hold whatever the attack: memory is bounded, well-behaved clients are answered, and go on afterwards.

use std::time::Duration;

use broker_tests::flood::link::Fate;
use broker_tests::flood::{Attackers, Plan, Report, attacks, carry_out, stage};

use super::broker::{Broker, Setup};
use super::value::map;

/// Most that attacks may add to a broker's memory.
const GROWN_MIB_MAX: u64 = 320;
/// How often an attack is carried out until others were served meanwhile, or until it met what is expected: each
/// takes seconds, in which a busy machine may have had no time for it.
const TRIES: u32 = 15;

/// How often somebody who was slowed massively is given another chance.
pub(crate) const COMPARISONS: usize = 3;

/// Whether somebody waits so long that no machine is to blame on which he waits for `control` beside busy cores.
pub(crate) fn is_massive(waited: Duration, control: Duration) -> bool {
    waited > (20 * control).max(Duration::from_secs(1))
}

/// A broker that is attacked.
pub(crate) struct Flooded {
    broker: Broker,
    plan: Plan,
}

impl Flooded {
    /// A broker with the stage set.
    #[track_caller]
    pub(crate) fn on(size: stage::Size) -> Self {
        let broker = Setup::new().start();
        stage::set_up(broker.address(), size).expect("the stage can be set");
        let plan = Plan {
            address: broker.address().to_owned(),
            pid: Some(broker.pid()),
            before: Duration::from_millis(200),
            during: Duration::from_secs(3),
            attackers: Attackers::Compete,
        };
        Self { broker, plan }
    }

    /// Carries out an attack until it comes out as expected.
    #[track_caller]
    pub(crate) fn until(
        &self,
        name: &str,
        connections: usize,
        is_meant: impl Fn(&Report) -> bool,
    ) -> Report {
        self.all_until(&[(name, connections)], is_meant)
    }

    /// The same for several attacks at once.
    #[track_caller]
    pub(crate) fn all_until(
        &self,
        attacks: &[(&str, usize)],
        is_meant: impl Fn(&Report) -> bool,
    ) -> Report {
        let mut report = self.by_all(attacks);
        for _ in 1..TRIES {
            if is_meant(&report) {
                return report;
            }
            report = self.by_all(attacks);
        }
        assert!(is_meant(&report), "{report:?}");
        report
    }

    /// Carries out an attack and asserts that others do not wait for it: far longer than beside threads that keep every
    /// core busy, and longer than a second, each time that both are tried.
    #[track_caller]
    pub(crate) fn spares_others(&self, name: &str, connections: usize) {
        let mut seen = Vec::new();
        for _ in 0..COMPARISONS {
            let waited =
                |report: &Report| Duration::from_micros(report.during.small.percentile(99));
            let control = waited(&self.by("busy-cpu", 1));
            let attacked = waited(&self.by(name, connections));
            if !is_massive(attacked, control) {
                return;
            }
            seen.push((attacked, control));
        }
        panic!("{name}: others wait for so long, and so long beside busy cores: {seen:?}");
    }

    /// Carries out an attack, and asserts what has to hold for any.
    #[track_caller]
    pub(crate) fn by(&self, name: &str, connections: usize) -> Report {
        self.by_all(&[(name, connections)])
    }

    /// The same for several attacks at once.
    #[track_caller]
    pub(crate) fn by_all(&self, attacks: &[(&str, usize)]) -> Report {
        let named =
            |name| attacks::named(name).unwrap_or_else(|| panic!("there is no attack {name}"));
        let sized = attacks.iter();
        let sized: Vec<_> = sized.map(|(name, size)| (named(name), *size)).collect();
        let carried_out = || carry_out(&sized, &self.plan).expect("it can be carried out");
        let mut report = carried_out();
        for _ in 1..TRIES {
            if report.during.small.served() > 0 || report.during.small.errors > 0 {
                break;
            }
            report = carried_out();
        }
        let name = &report.attack;
        assert!(
            report.grown_mib() <= GROWN_MIB_MAX,
            "{name} cost {} MiB",
            report.grown_mib()
        );
        let during = &report.during;
        assert!(during.small.served() > 0, "{name}: {:?}", during.small);
        assert_eq!(during.small.errors, 0, "{name}: {:?}", during.small);
        let mut wire = self.broker.connect();
        wire.call("ping", map! {})
            .unwrap_or_else(|error| panic!("after {name}: {error:?}"));
        report
    }
}

/// How many attackers met a fate of this kind.
pub(crate) fn counted(report: &Report, is_meant: impl Fn(&Fate) -> bool) -> usize {
    let fates = report.fates.iter();
    fates
        .filter_map(|(fate, count)| is_meant(fate).then_some(*count))
        .sum()
}
