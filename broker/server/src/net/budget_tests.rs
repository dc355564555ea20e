//! Who gets a place beside whom: frames of different sizes, newcomers and known senders, and those whose frames
//! are much work.

use broker_model::limits::MEMORY_IN_COMMON;

use super::*;

const MIB: usize = 1024 * 1024;

/// A connection that has completed a frame of this size.
fn known_for(budget: &RequestBudget, bytes: usize) -> ConnectionBudget {
    let connection = budget.for_connection();
    connection
        .standing
        .completed
        .store(bytes, Ordering::Relaxed);
    connection
}

#[actix_rt::test]
async fn frames_of_one_size_do_not_take_the_place_of_another() {
    let budget = RequestBudget::new(Workers::start());
    let mut held = Vec::new();
    let mut fill = async |size: usize, total: usize| {
        for _ in 0..total / size {
            held.push(known_for(&budget, size).acquire(size).await);
        }
    };
    fill(16 * MIB, IN_FLIGHT_BYTES_LARGE).await;
    assert_eq!(budget.frames.large.all.bytes.available_permits(), 0);
    let batch = budget.for_connection();
    let _permit = batch.acquire(MIB).await;
    // All that is left of what they have in common, and what is theirs alone.
    let in_common = MEMORY_IN_COMMON - (IN_FLIGHT_BYTES_LARGE - MEMORY_OWN_LARGE);
    fill(MIB, in_common + MEMORY_OWN_BATCHES - MIB).await;
    let newcomer = budget.for_connection();
    let waited = tokio::time::timeout(FRAME_STALL_MAX / 100, newcomer.acquire(MIB));
    assert!(waited.await.is_err());
    fill(128 * 1024, MEMORY_OWN_SMALL).await;
    let tiny = budget.for_connection();
    let _permit = tiny.acquire(100).await;
    assert!(!tiny.is_idle());
}

#[actix_rt::test]
async fn newcomers_do_not_hold_up_those_who_have_completed_frames() {
    let budget = RequestBudget::new(Workers::start());
    let mut held = Vec::new();
    for _ in 0..IN_FLIGHT_BYTES_BATCHES / MIB / NEWCOMERS_PART {
        held.push(budget.for_connection().acquire(MIB).await);
    }
    let newcomer = budget.for_connection();
    let waiting = actix_rt::spawn(async move { newcomer.acquire(MIB).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "newcomers have their part");
    let known = known_for(&budget, MIB);
    let mut place = known.acquire(MIB).await;
    assert_eq!(known.stall_max(MIB), None, "it is in nobody's way");
    assert_eq!(
        budget.for_connection().stall_max(MIB),
        Some(FRAME_STALL_MAX)
    );
    place.trust();
    let of_large = known.standing.sender(4 * MIB);
    assert_eq!(of_large, Sender::Newcomer, "nobody knows that of it");
    held.pop();
    waiting.await.unwrap().trust();
    let _next = budget.for_connection().acquire(MIB).await;
}

#[actix_rt::test]
async fn who_sends_what_is_much_work_makes_up_for_it_with_as_much_that_is_little() {
    let budget = RequestBudget::new(Workers::start());
    let connection = known_for(&budget, 2 * MIB);
    let sender = |bytes| connection.standing.sender(bytes);
    assert!(connection.acquire(MIB).await.distrust());
    let place = connection.acquire(MIB).await;
    assert!(place.part.is_some() && place.is_costly);
    let costly = budget.frames.batches.costly.bytes.available_permits();
    assert_eq!(costly, IN_FLIGHT_BYTES_BATCHES / COSTLY_PART - MIB);
    connection.acquire(50).await.trust();
    assert_eq!(sender(MIB), Sender::Costly, "50 bytes are not enough");
    connection.acquire(MIB / 2).await.trust();
    assert_eq!(sender(MIB), Sender::Costly, "though it completed such");
    connection.acquire(MIB / 2).await.trust();
    assert_eq!(sender(MIB), Sender::Known);
    assert_eq!(sender(50), Sender::Known);
}

#[actix_rt::test]
async fn bombs_and_dust_are_judged_by_what_they_came_to() {
    let budget = RequestBudget::new(Workers::start());
    for (records, unfolded, sender) in [
        (1, MIB, Sender::Known),
        (1_000, 8 * MIB, Sender::Known),
        (100_000, 8 * MIB, Sender::Known),
        (1, 2 * 8 * MIB, Sender::Costly),
        (300_000, MIB, Sender::Costly),
    ] {
        let connection = budget.for_connection();
        let mut place = connection.acquire(MIB).await;
        assert!(place.set_aside());
        let nothing_known = connection.standing.sender(MIB);
        assert_eq!(nothing_known, Sender::Newcomer);
        place.judge(records, unfolded);
        let seen = connection.standing.sender(MIB);
        assert_eq!(seen, sender, "{records} records in {unfolded} bytes");
    }
}

#[actix_rt::test]
async fn a_frame_that_was_much_work_is_so_whatever_comes_of_it() {
    let budget = RequestBudget::new(Workers::start());
    let connection = budget.for_connection();
    let mut place = connection.acquire(MIB).await;
    assert!(place.distrust());
    place.judge(1, MIB);
    assert!(place.is_costly);
    assert_eq!(connection.standing.sender(MIB), Sender::Costly);
}

#[actix_rt::test]
async fn a_known_sender_may_ask_for_what_is_no_batch() {
    let budget = RequestBudget::new(Workers::start());
    let known = known_for(&budget, MIB);
    assert!(known.acquire(20_000).await.doubt());
    assert_eq!(known.standing.sender(MIB), Sender::Known);
    let newcomer = budget.for_connection();
    let mut places = Vec::new();
    for _ in 0..IN_FLIGHT_BYTES_BATCHES / COSTLY_PART / MIB {
        let mut place = budget.for_connection().acquire(MIB).await;
        assert!(place.doubt());
        places.push(place);
    }
    assert!(!newcomer.acquire(MIB).await.doubt(), "there is no room");
    assert_eq!(newcomer.standing.sender(MIB), Sender::Costly);
}

#[actix_rt::test]
async fn a_permit_is_given_back_when_dropped() {
    let connection = RequestBudget::new(Workers::start()).for_connection();
    let permit = connection.acquire(1_000).await;
    drop(permit);
    assert!(connection.is_idle());
    assert_eq!(
        connection.bytes.available_permits(),
        IN_FLIGHT_BYTES_PER_CONNECTION
    );
}

#[actix_rt::test]
async fn a_frame_may_stand_still_as_long_as_nobody_waits_for_its_place() {
    let budget = RequestBudget::new(Workers::start());
    let holder = known_for(&budget, 16 * MIB);
    let held = holder.acquire(16 * MIB).await;
    let second = budget.for_connection().acquire(16 * MIB).await;
    assert_eq!(holder.stall_max(16 * MIB), None);
    let waiter = known_for(&budget, 16 * MIB);
    let waiting = actix_rt::spawn(async move { drop(waiter.acquire(16 * MIB).await) });
    tokio::task::yield_now().await;
    assert_eq!(holder.stall_max(16 * MIB), Some(FRAME_STALL_MAX));
    assert_eq!(holder.stall_max(MIB), None, "another size");
    drop(held);
    waiting.await.unwrap();
    assert_eq!(holder.stall_max(16 * MIB), None);
    drop(second);
}

#[actix_rt::test]
async fn tiny_frames_that_do_not_end_are_counted() {
    let budget = RequestBudget::new(Workers::start());
    let connection = budget.for_connection();
    let mut begun = connection.begin(1);
    assert_eq!(connection.stall_max(100), None);
    begun.has(FRAMES_INCOMPLETE_BYTES_MAX + 1);
    assert_eq!(connection.stall_max(100), Some(FRAME_STALL_MAX));
    drop(begun);
    assert_eq!(connection.stall_max(100), None);
}

#[actix_rt::test]
async fn what_a_newcomer_sends_is_read_with_caution() {
    let budget = RequestBudget::new(Workers::start());
    let newcomer = budget.for_connection();
    assert_eq!(newcomer.caution(MIB), CAUTION);
    assert_eq!(newcomer.caution(100), 1, "anybody may send tiny frames");
    let known = known_for(&budget, MIB);
    assert_eq!(known.caution(MIB), 1);
    assert_eq!(known.caution(16 * MIB), CAUTION, "nobody knows that of it");
    known.acquire(MIB).await.distrust();
    assert_eq!(known.caution(MIB), CAUTION);
}

#[actix_rt::test]
async fn a_frame_that_waits_for_memory_holds_no_place_that_others_need() {
    let budget = RequestBudget::new(Workers::start());
    let batches = &budget.frames.batches;
    let of_others = &batches.memory.as_ref().unwrap().of_others;
    let _all = of_others.charge(MEMORY_IN_COMMON);
    let newcomer = budget.for_connection();
    let waiting = actix_rt::spawn(async move { newcomer.acquire(MIB).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    let places = batches.all.bytes.available_permits();
    assert_eq!(places, IN_FLIGHT_BYTES_BATCHES);
}

#[actix_rt::test]
async fn a_frame_within_what_known_senders_have_of_their_own_may_stand_still() {
    let budget = RequestBudget::new(Workers::start());
    let known = known_for(&budget, MIB);
    let _place = known.acquire(MIB).await;
    let greedy = budget.for_connection();
    let _held = greedy.acquire(4 * MIB).await;
    let of_others = &budget.frames.small.memory.as_ref().unwrap().of_others;
    let _rest = of_others.charge(MEMORY_IN_COMMON);
    let newcomer = budget.for_connection();
    let waiting = actix_rt::spawn(async move { newcomer.acquire(MIB).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    assert_eq!(known.stall_max(MIB), None);
    assert_eq!(greedy.stall_max(4 * MIB), Some(FRAME_STALL_MAX));
}

#[actix_rt::test]
async fn two_large_modules_at_once_get_their_turns_and_lists_theirs() {
    let budget = RequestBudget::new(Workers::start());
    let (first, second) = tokio::join!(
        budget.lists().memory(4 * MIB),
        budget.lists().memory(4 * MIB)
    );
    let within = Duration::from_secs(5);
    for held in [first, second] {
        let turn = tokio::time::timeout(within, budget.module_turn(4 * MIB)).await;
        assert!(turn.is_ok());
        drop(held);
    }
    let list = tokio::time::timeout(within, budget.lists().memory(100)).await;
    assert!(list.is_ok());
}

#[actix_rt::test]
async fn a_module_that_is_compiled_counts_and_waits_for_nothing() {
    let budget = RequestBudget::new(Workers::start());
    let of_others = &budget.frames.small.memory.as_ref().unwrap().of_others;
    let before = of_others.free();
    let all = of_others.charge(before - MIB);
    let turn = budget.module_turn(16 * MIB).await;
    assert_eq!(of_others.free(), 0);
    drop(all);
    assert_eq!(of_others.free(), before / 2, "others have some");
    drop(turn);
    assert_eq!(of_others.free(), before);
}
