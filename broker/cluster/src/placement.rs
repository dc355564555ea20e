//! Placement: which brokers hold the partitions of a topic. Leaders go round robin over the sorted
//! brokers; the first topic starts at the lowest id, each further topic one further, so that topics
//! of one partition do not pile up. Followers start at a distance that grows with every round, so
//! that the followers of one leader are spread and not all on its neighbour.

use broker_model::BrokerId;

/// Places partitions `first..first + count` with `replication_factor` replicas each over `brokers`
/// (sorted). `start` is the position of the broker that leads partition 0.
///
/// # Panics
/// When there are fewer brokers than replicas; the planner has checked that.
pub(crate) fn round_robin(
    brokers: &[BrokerId],
    start: usize,
    first: usize,
    count: usize,
    replication_factor: usize,
) -> Vec<Vec<BrokerId>> {
    assert!(
        (1..=brokers.len()).contains(&replication_factor),
        "more replicas than brokers"
    );
    let total = brokers.len();
    let replicas_of = |partition: usize| {
        let leader = (start + partition) % total;
        let round = start + partition / total;
        let others = (0..replication_factor - 1).map(|follower| {
            // Kafka's spread: a distance between 1 and total - 1, different for each follower.
            let distance = 1 + (round + follower) % (total - 1);
            (leader + distance) % total
        });
        std::iter::once(leader)
            .chain(others)
            .filter_map(|position| brokers.get(position).copied())
            .collect()
    };
    (first..first + count).map(replicas_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn brokers(ids: &[u32]) -> Vec<BrokerId> {
        ids.iter().copied().map(BrokerId::new).collect()
    }

    fn leaders(placed: &[Vec<BrokerId>]) -> Vec<u32> {
        placed.iter().map(|replicas| replicas[0].get()).collect()
    }

    #[test]
    fn five_partitions_on_four_brokers_go_around() {
        let placed = round_robin(&brokers(&[101, 205, 300, 999]), 0, 0, 5, 1);
        assert_eq!(leaders(&placed), [101, 205, 300, 999, 101]);
        let placed = round_robin(&brokers(&[101, 205, 300, 999]), 3, 0, 5, 1);
        assert_eq!(leaders(&placed), [999, 101, 205, 300, 999]);
    }

    #[test]
    fn growth_continues_where_creation_ended() {
        let ids = brokers(&[1, 2, 3]);
        let whole = round_robin(&ids, 1, 0, 7, 2);
        let mut grown = round_robin(&ids, 1, 0, 4, 2);
        grown.extend(round_robin(&ids, 1, 4, 3, 2));
        assert_eq!(grown, whole);
    }

    #[test]
    fn replicas_of_a_partition_are_on_different_brokers_and_evenly_spread() {
        for total in 1..=6_u32 {
            let ids = brokers(&(1..=total).collect::<Vec<_>>());
            for factor in 1..=ids.len() {
                let partitions = ids.len() * 5;
                let placed = round_robin(&ids, 2, 0, partitions, factor);
                let mut load: BTreeMap<BrokerId, usize> = BTreeMap::new();
                for replicas in &placed {
                    let different: BTreeSet<_> = replicas.iter().collect();
                    assert_eq!(different.len(), factor);
                    for id in replicas {
                        *load.entry(*id).or_default() += 1;
                    }
                }
                assert!(load.values().all(|held| *held == 5 * factor), "{load:?}");
            }
        }
    }

    #[test]
    fn the_followers_of_one_leader_are_not_all_on_its_neighbour() {
        let placed = round_robin(&brokers(&[1, 2, 3]), 0, 0, 6, 2);
        let of_one = placed.iter().filter(|replicas| replicas[0].get() == 1);
        let followers: Vec<u32> = of_one.map(|replicas| replicas[1].get()).collect();
        assert_eq!(followers, [2, 3]);
    }
}
