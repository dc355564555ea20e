//! What kinds of memory get beside each other: their own in any case, more as long as the ceiling leaves it.

use std::time::Duration;

use super::*;

fn in_common_free(ceiling: &Ceiling) -> usize {
    ceiling.0.max - ceiling.lock().in_common
}

#[test]
fn each_kind_gets_all_it_may_and_all_together_get_the_ceiling() {
    let ceiling = Ceiling::new(100);
    let (first, second) = (ceiling.allowance(20, 110), ceiling.allowance(30, 90));
    let alone = first.try_take(110);
    assert!(alone.is_some() && first.try_take(1).is_none());
    drop(alone);
    let alone = second.try_take(90);
    assert!(alone.is_some() && second.try_take(1).is_none());
    let _beside = first.try_take(60);
    assert_eq!((first.free(), second.free()), (0, 0));
    assert!(first.try_take(1).is_none(), "60 + 40 are in common");
    drop(alone);
    assert_eq!((first.free(), second.free()), (50, 90));
}

#[test]
fn a_kind_has_its_own_however_much_others_use() {
    let ceiling = Ceiling::new(100);
    let (greedy, modest) = (ceiling.allowance(0, 1_000), ceiling.allowance(30, 1_000));
    let _all = greedy.charge(500);
    assert!(greedy.try_take(1).is_none());
    assert_eq!(modest.free(), 30);
    let own = modest.try_take(30);
    assert!(own.is_some() && modest.try_take(1).is_none());
}

#[test]
fn all_is_given_back_in_whatever_order() {
    let ceiling = Ceiling::new(100);
    let kind = ceiling.allowance(50, 150);
    let (mut first, second) = (kind.charge(40), kind.charge(60));
    assert_eq!(in_common_free(&ceiling), 50);
    first.shrink_to(10);
    assert_eq!((first.bytes(), in_common_free(&ceiling)), (10, 80));
    drop(second);
    assert_eq!((kind.free(), in_common_free(&ceiling)), (140, 100));
    drop(first);
    assert_eq!(kind.free(), 150);
}

#[actix_rt::test]
async fn who_waits_gets_what_is_given_back_and_others_see_that_he_does() {
    let ceiling = Ceiling::new(100);
    let (holding, wanting) = (ceiling.allowance(0, 100), ceiling.allowance(10, 100));
    let held = holding.take(60).await;
    let waiter = wanting.clone();
    let waiting = actix_rt::spawn(async move { waiter.take(80).await.bytes() });
    tokio::task::yield_now().await;
    assert!(holding.is_waited_for() && !waiting.is_finished());
    drop(held);
    assert_eq!(waiting.await.unwrap(), 80);
    assert!(!holding.is_waited_for());
    assert_eq!(wanting.free(), 100);
}

#[actix_rt::test]
async fn who_goes_away_while_he_waits_waits_no_more() {
    let ceiling = Ceiling::new(10);
    let kind = ceiling.allowance(0, 10);
    let other = ceiling.allowance(5, 10);
    let held = kind.charge(10);
    let waited = tokio::time::timeout(Duration::from_millis(10), kind.take(1)).await;
    assert!(waited.is_err() && !kind.is_waited_for());
    let waited = tokio::time::timeout(Duration::from_millis(10), other.take(10)).await;
    assert!(waited.is_err() && !kind.is_waited_for());
    drop(held);
    assert_eq!((kind.free(), other.free()), (10, 10));
}

#[actix_rt::test]
async fn who_waits_for_his_own_kind_is_in_nobody_elses_line() {
    let ceiling = Ceiling::new(100);
    let (kind, other) = (ceiling.allowance(0, 10), ceiling.allowance(0, 100));
    let (held, _beside) = (kind.take(10).await, other.charge(50));
    let waiter = kind.clone();
    let waiting = actix_rt::spawn(async move { waiter.take(1).await.bytes() });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished() && kind.is_waited_for());
    assert!(!other.is_waited_for());
    assert_eq!(other.free(), 40, "he has no claim to it");
    drop(held);
    assert_eq!(waiting.await.unwrap(), 1);
}

#[actix_rt::test]
async fn nobody_who_comes_later_and_wants_less_is_served_before_who_waits() {
    let ceiling = Ceiling::new(100);
    let kind = ceiling.allowance(0, 100);
    let first = kind.take(60).await;
    let large = kind.clone();
    let large = actix_rt::spawn(async move { large.take(90).await });
    tokio::task::yield_now().await;
    assert!(kind.try_take(1).is_none());
    let small = kind.clone();
    let small = actix_rt::spawn(async move { small.take(20).await.bytes() });
    tokio::task::yield_now().await;
    assert!(!large.is_finished() && !small.is_finished());
    drop(first);
    let held = large.await.unwrap();
    tokio::task::yield_now().await;
    assert!(!small.is_finished());
    drop(held);
    assert_eq!(small.await.unwrap(), 20);
    assert!(kind.try_take(100).is_some());
}

#[actix_rt::test]
async fn who_waits_longest_has_first_claim_to_what_is_in_common() {
    let ceiling = Ceiling::new(100);
    let (small, large) = (ceiling.allowance(5, 100), ceiling.allowance(10, 100));
    let mut held = small.take(65).await;
    let waiter = large.clone();
    let waiting = actix_rt::spawn(async move { waiter.take(90).await.bytes() });
    tokio::task::yield_now().await;
    assert!(small.try_take(1).is_none(), "60 are used, 80 are wanted");
    held.shrink_to(30);
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished() && small.try_take(1).is_none());
    held.shrink_to(3);
    assert!(small.try_take(2).is_some(), "they are its own");
    assert_eq!(waiting.await.unwrap(), 90);
    assert_eq!(small.free(), 97);
}

#[actix_rt::test]
async fn only_kinds_beyond_their_own_are_waited_for() {
    let ceiling = Ceiling::new(100);
    let (greedy, modest) = (ceiling.allowance(0, 100), ceiling.allowance(30, 100));
    let (_greedy, _modest) = (greedy.charge(100), modest.charge(30));
    let wanting = ceiling.allowance(0, 100);
    let waiting = actix_rt::spawn(async move { wanting.take(1).await });
    tokio::task::yield_now().await;
    assert!(greedy.is_waited_for() && !modest.is_waited_for());
    let _more = modest.charge(1);
    assert!(modest.is_waited_for());
    drop(_greedy);
    drop(waiting.await.unwrap());
    assert!(!greedy.is_waited_for() && !modest.is_waited_for());
}

#[test]
fn threads_that_wait_are_told_of_all_that_is_given_back() {
    let ceiling = Ceiling::new(100);
    let kinds = [(0, 100), (10, 100), (50, 120)].map(|(own, max)| ceiling.allowance(own, max));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let kinds = &kinds;
            scope.spawn(move || {
                let takes = async {
                    for turn in 0..2_000_usize {
                        let kind = &kinds[(turn + thread) % kinds.len()];
                        let mut drawn = kind.take(turn * 7 % 100).await;
                        drawn.shrink_to(turn % 10);
                    }
                };
                let all = async { tokio::time::timeout(Duration::from_secs(60), takes).await };
                actix_rt::System::new().block_on(all).unwrap();
            });
        }
    });
    assert_eq!(in_common_free(&ceiling), 100);
    assert!(
        kinds
            .iter()
            .all(|kind| kind.0.in_line.load(Ordering::Relaxed) == 0)
    );
    assert_eq!(ceiling.0.waiting.load(Ordering::Relaxed), 0);
}

#[test]
fn threads_that_take_and_give_back_leave_nothing() {
    let ceiling = Ceiling::new(1_000);
    let kinds = [0, 300, 700].map(|own| ceiling.allowance(own, 900));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let kinds = &kinds;
            scope.spawn(move || {
                for turn in 0..20_000_usize {
                    let kind = &kinds[(turn + thread) % kinds.len()];
                    let first = kind.try_take(turn % 450);
                    let _second = kind.try_take(turn % 331);
                    drop(first);
                }
            });
        }
    });
    assert_eq!(in_common_free(&ceiling), 1_000);
    assert!(kinds.iter().all(|kind| kind.free() == 900));
}
