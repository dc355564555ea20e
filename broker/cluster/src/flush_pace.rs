//! `FlushPace`: when a partition under `flush.mode = async` syncs, and when its acknowledgements have to
//! wait for it. A power cut may take what was acknowledged within one span of `flush.ms`, and no more:
//! syncs begin early enough to be complete by then, judging by how long the last ones took. Where the disk
//! is too slow for that, acknowledgements wait for syncs, as under `sync`, until it keeps up again.
//! Pure: times are passed in, on the monotonic clock.

use std::time::Duration;

/// The share of `flush.ms` that is left for a sync at least.
const MARGIN: u32 = 4;

/// A sync that was asked for.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    /// When the oldest of what it covers was written.
    since: Duration,
    asked: Duration,
}

/// The pace of one partition.
///
/// ```
/// use std::time::Duration;
/// use broker_cluster::FlushPace;
///
/// let at = Duration::from_millis;
/// let mut pace = FlushPace::default();
/// assert_eq!(pace.begins_at(at(0), at(1000)), at(750));
/// pace.on_begun(at(0), at(750));
/// assert!(!pace.is_late(None, at(999), at(1000)));
/// assert!(pace.is_late(None, at(1000), at(1000)), "what was written at 0 is still not synced");
/// ```
#[derive(Clone, Debug, Default)]
pub struct FlushPace(Option<Box<Syncs>>);

/// What is known of the syncs so far; of most partitions there was none yet.
#[derive(Clone, Debug, Default)]
struct Syncs {
    under_way: Option<UnderWay>,
    /// How long the next sync may take, from being asked for to its end.
    expected: Duration,
    last: Duration,
}

impl FlushPace {
    /// When to ask for the sync of what was first written at `since`, so that it ends within `every`.
    pub fn begins_at(&self, since: Duration, every: Duration) -> Duration {
        let expected = self
            .0
            .as_ref()
            .map_or(Duration::ZERO, |syncs| syncs.expected);
        let margin = (every / MARGIN).max(expected.saturating_mul(2));
        since.saturating_add(every.saturating_sub(margin))
    }

    /// A sync was asked for that covers what was written from `since` on.
    pub fn on_begun(&mut self, since: Duration, now: Duration) {
        let syncs = self.0.get_or_insert_default();
        syncs.under_way = Some(UnderWay { since, asked: now });
    }

    /// It has ended.
    pub fn on_synced(&mut self, now: Duration) {
        if let Some(syncs) = &mut self.0
            && let Some(UnderWay { asked, .. }) = syncs.under_way.take()
        {
            syncs.last = now.saturating_sub(asked);
            // A slow one is remembered for a while: the next may be as slow.
            syncs.expected = syncs.last.max(syncs.expected - syncs.expected / 4);
        }
    }

    /// Whether something acknowledged has waited for its sync for `every`: nothing more may be
    /// acknowledged before it was synced. `written` is since when there are records that no sync was asked
    /// for; these may have waited because nobody came to ask.
    pub fn is_late(&self, written: Option<Duration>, now: Duration, every: Duration) -> bool {
        let under_way = self.0.as_ref().and_then(|syncs| syncs.under_way.as_ref());
        let oldest = under_way.map(|sync| sync.since).or(written);
        oldest.is_some_and(|oldest| now.saturating_sub(oldest) >= every)
    }

    /// Whether the last sync was quick enough to acknowledge ahead of syncs again.
    pub fn keeps_up(&self, every: Duration) -> bool {
        let last = self.0.as_ref().map_or(Duration::ZERO, |syncs| syncs.last);
        last <= every / MARGIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(1000);

    /// A disk whose N-th sync takes `took(n)`, and a producer that writes every `step`.
    struct Run {
        /// The longest span of time in which records were acknowledged that were not yet synced.
        span: Duration,
        /// The longest time that one of them was not synced.
        age: Duration,
        syncs: u32,
        held: u32,
    }

    fn run(step: Duration, took: impl Fn(u32) -> Duration) -> Run {
        let mut pace = FlushPace::default();
        let mut result = Run {
            span: Duration::ZERO,
            age: Duration::ZERO,
            syncs: 0,
            held: 0,
        };
        let mut now = Duration::ZERO;
        let (mut since, mut ends_at, mut is_behind) = (None, None, false);
        // Acknowledged and not synced: those that the sync under way covers, and the others.
        let (mut covered, mut open): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
        let mut waiting = 0_u32;
        while now < Duration::from_secs(60) {
            now += Duration::from_millis(1);
            if ends_at.is_some_and(|ends_at| ends_at <= now) {
                ends_at = None;
                pace.on_synced(now);
                covered.clear();
                if is_behind && pace.keeps_up(EVERY) {
                    is_behind = false;
                    open.extend(std::iter::repeat_n(
                        now,
                        std::mem::take(&mut waiting) as usize,
                    ));
                }
            }
            if now.as_millis().is_multiple_of(step.as_millis()) {
                since.get_or_insert(now);
                is_behind |= pace.is_late(since, now, EVERY);
                match is_behind {
                    true => {
                        result.held += 1;
                        waiting += 1;
                    }
                    false => open.push(now),
                }
            }
            let due = since.filter(|since| is_behind || pace.begins_at(*since, EVERY) <= now);
            if let (None, Some(from)) = (ends_at, due) {
                pace.on_begun(from, now);
                since = None;
                ends_at = Some(now + took(result.syncs));
                result.syncs += 1;
                covered.append(&mut open);
                waiting = 0;
            }
            let ends = (
                covered.first().or(open.first()),
                open.last().or(covered.last()),
            );
            if let (Some(first), Some(last)) = ends {
                result.span = result.span.max(*last - *first);
                result.age = result.age.max(now - *first);
            }
        }
        result
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_nobody_came_to_ask_a_sync_for_is_late_too() {
        let mut pace = FlushPace::default();
        assert!(!pace.is_late(None, millis(5_000), EVERY));
        assert!(!pace.is_late(Some(millis(10)), millis(1_009), EVERY));
        assert!(pace.is_late(Some(millis(10)), millis(1_010), EVERY));
        pace.on_begun(millis(10), millis(1_010));
        assert!(pace.is_late(Some(millis(1_005)), millis(1_011), EVERY));
        pace.on_synced(millis(1_012));
        assert!(!pace.is_late(Some(millis(1_005)), millis(1_013), EVERY));
    }

    #[test]
    fn while_syncs_are_quick_they_end_in_time_and_nothing_waits() {
        for took in [1, 20, 100, 240] {
            let run = run(millis(3), |_| millis(took));
            assert_eq!(run.held, 0, "{took} ms");
            assert!(run.age <= EVERY + millis(2), "{took} ms: {:?}", run.age);
        }
        assert!(
            run(millis(3), |_| millis(5)).syncs <= 81,
            "no more than needed"
        );
    }

    #[test]
    fn however_slow_syncs_are_no_more_than_flush_ms_of_acknowledgements_can_be_lost() {
        for took in [400, 600, 900, 1500, 5000, 30_000] {
            for step in [1, 7, 350] {
                let run = run(millis(step), |_| millis(took));
                assert!(run.span <= EVERY, "{took} ms: {:?}", run.span);
            }
        }
    }

    #[test]
    fn syncs_that_are_slow_now_and_then_never_widen_the_span() {
        for seed in 0..20_u32 {
            let took = |number: u32| {
                let mixed = (number + 1).wrapping_mul(2_654_435_761).rotate_left(seed);
                millis(u64::from(mixed % 7) * u64::from(mixed % 7) * 80 + 1)
            };
            let run = run(millis(2), took);
            assert!(run.span <= EVERY, "seed {seed}: {:?}", run.span);
            assert!(run.held > 0, "seed {seed}: it was never slow");
        }
    }

    #[test]
    fn once_syncs_are_quick_again_acknowledgements_leave_before_them() {
        let run = run(millis(2), |number| {
            millis(if number == 3 { 4000 } else { 2 })
        });
        assert!((1000..2500).contains(&run.held), "{}", run.held);
        assert!(run.span <= EVERY, "{:?}", run.span);
    }
}
