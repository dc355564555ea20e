//! The order in which connections of one thread run, counted in requests, not measured. One client with a
//! small request sits beside many that always have more; they share nothing but the lane.

use std::cell::Cell;
use std::io::Write;
use std::os::unix::net::UnixStream as Peer;
use std::pin::pin;
use std::rc::Rc;

use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::super::breaths::COPIED_BYTES_MAX;
use super::*;

const BUSY: u32 = 20;
const REQUESTS: u32 = 20_000;
/// Tasks that a request goes through, one after another, until it is answered.
const TASKS_OF_A_REQUEST: usize = 4;

/// What everybody did, in requests of the busy ones.
#[derive(Default)]
struct Served {
    requests: Cell<u32>,
    /// How many came between a byte that the light one was sent and its answer, at most.
    between_max: Cell<u32>,
    answers: Cell<u32>,
}

/// Has a byte sent to the light client's connection, from within a busy one's request.
struct Sender {
    peer: Peer,
    sent_at: Rc<Cell<Option<u32>>>,
}

impl Sender {
    fn send(&mut self, served: &Served) {
        if self.sent_at.get().is_none() {
            self.peer.write_all(b"x").expect("the socket takes a byte");
            self.sent_at.set(Some(served.requests.get()));
        }
    }
}

/// Takes in a request; without a stint, as if there were no lane.
async fn take_in(stint: Option<&Stint>, reading: impl Future<Output = ()>) {
    match stint {
        Some(stint) => stint.take_in(pin!(reading)).await,
        None => reading.await,
    }
}

fn busy(stint: Option<Stint>, served: Rc<Served>, sender: Rc<RefCell<Sender>>) -> JoinHandle<()> {
    tokio::task::spawn_local(async move {
        for _ in 0..REQUESTS {
            take_in(stint.as_ref(), async {}).await;
            served.requests.set(served.requests.get() + 1);
            sender.borrow_mut().send(&served);
        }
    })
}

fn light(stint: Option<Stint>, served: Rc<Served>, socket: Peer, sent_at: Rc<Cell<Option<u32>>>) {
    socket.set_nonblocking(true).expect("a socket");
    let socket = UnixStream::from_std(socket).expect("a socket");
    tokio::task::spawn_local(async move {
        loop {
            let read = async {
                loop {
                    socket.readable().await.expect("the peer is there");
                    if socket.try_read(&mut [0]).is_ok() {
                        return;
                    }
                }
            };
            take_in(stint.as_ref(), read).await;
            for _ in 0..TASKS_OF_A_REQUEST {
                let next = tokio::task::spawn_local(async {});
                next.await.expect("nobody panics");
            }
            if let Some(at) = sent_at.take() {
                let between = served.requests.get() - at;
                served
                    .between_max
                    .set(served.between_max.get().max(between));
                served.answers.set(served.answers.get() + 1);
            }
        }
    });
}

/// Lets the busy ones work off everything they have, in a lane if there is one.
async fn flood(lane: Option<Rc<Lane>>) -> Rc<Served> {
    let stint = || lane.clone().map(Stint::in_lane);
    let served = Rc::<Served>::default();
    let (peer, socket) = Peer::pair().expect("two sockets");
    let sent_at = Rc::<Cell<Option<u32>>>::default();
    let shown = stint().inspect(|light| light.is_busy.set(false));
    light(shown, served.clone(), socket, sent_at.clone());
    tokio::task::yield_now().await;
    let sender = Rc::new(RefCell::new(Sender {
        peer,
        sent_at: sent_at.clone(),
    }));
    let busy: Vec<_> = (0..BUSY)
        .map(|_| busy(stint(), served.clone(), sender.clone()))
        .collect();
    for done in busy {
        done.await.expect("nobody panics");
    }
    while sent_at.get().is_some() {
        tokio::task::yield_now().await;
    }
    served
}

#[actix_rt::test]
async fn one_with_little_to_do_waits_for_a_pass_of_those_with_much() {
    let served = flood(Some(Rc::default())).await;
    assert_eq!(served.requests.get(), BUSY * REQUESTS);
    // What is left of the pass it came in.
    let passes = served.between_max.get().div_ceil(PASS_WORK);
    assert!(passes <= 1, "it waited for {passes} passes");
    let least = BUSY * REQUESTS / (3 * PASS_WORK);
    assert!(served.answers.get() >= least, "{}", served.answers.get());
}

#[actix_rt::test]
async fn without_the_lane_it_would_wait_for_all_of_them() {
    let served = flood(None).await;
    let passes = served.between_max.get().div_ceil(PASS_WORK);
    assert!(passes > 100, "it waited for {passes} passes only");
}

#[actix_rt::test]
async fn much_now_and_then_does_not_wait_for_much_all_the_time() {
    const BATCH: u32 = 128;
    let lane = Rc::<Lane>::default();
    let served = Rc::<Cell<u32>>::default();
    for _ in 0..BUSY {
        let (stint, served) = (Stint::in_lane(lane.clone()), served.clone());
        tokio::task::spawn_local(async move {
            loop {
                stint.take_in(pin!(async {})).await;
                served.set(served.get() + 1);
            }
        });
    }
    let now_and_then = Stint::in_lane(lane);
    for round in 1..=20 {
        // Meanwhile the others do far more each.
        while served.get() < round * BUSY * 4 * BATCH {
            tokio::task::yield_now().await;
        }
        let before = served.get();
        for _ in 0..BATCH {
            now_and_then.take_in(pin!(async {})).await;
        }
        now_and_then.end();
        let between = served.get() - before;
        // One pass of a few is for those who have waited longest.
        assert!(between <= 4 * PASS_WORK, "{between} in round {round}");
    }
}

/// How much two busy ones do until a burst of one that did much before is served.
async fn between_a_burst_after(earlier: impl AsyncFn(&Stint)) -> u32 {
    let lane = Rc::<Lane>::default();
    let old = Stint::in_lane(lane.clone());
    earlier(&old).await;
    old.end();
    let served = Rc::<Cell<u32>>::default();
    for _ in 0..2 {
        let (stint, served) = (Stint::in_lane(lane.clone()), served.clone());
        tokio::task::spawn_local(async move {
            for _ in 0..REQUESTS {
                stint.take_in(pin!(async {})).await;
                served.set(served.get() + 1);
            }
        });
    }
    while served.get() < 4 * PASS_WORK {
        tokio::task::yield_now().await;
    }
    let before = served.get();
    for _ in 0..4 * LIGHT_WORK {
        old.take_in(pin!(async {})).await;
    }
    served.get() - before
}

#[actix_rt::test]
async fn what_one_did_in_a_long_life_is_not_held_against_it() {
    let between = between_a_burst_after(async |old| {
        for _ in 0..1_000_000 / LIGHT_WORK {
            for _ in 0..LIGHT_WORK {
                old.take_in(pin!(async {})).await;
            }
            old.end();
        }
    });
    let between = between.await;
    assert!(between <= 8 * PASS_WORK, "{between} after little at a time");
    let between = between_a_burst_after(async |old| {
        for _ in 0..1_000_000 {
            old.take_in(pin!(async {})).await;
        }
    });
    let between = between.await;
    assert!(between <= 8 * PASS_WORK, "{between} after much at once");
}

#[actix_rt::test]
async fn who_is_known_does_not_wait_for_newcomers_who_have_done_less() {
    let lane = Rc::<Lane>::default();
    let known = Stint::in_lane(lane.clone());
    let served = Rc::<Cell<u32>>::default();
    for _ in 0..100 {
        let (newcomer, served) = (Stint::in_lane(lane.clone()), served.clone());
        newcomer.trials.set(TRIALS);
        tokio::task::spawn_local(async move {
            for _ in 0..REQUESTS / 100 {
                newcomer.take_in(pin!(async {})).await;
                served.set(served.get() + 1);
            }
        });
    }
    while served.get() < 2 * PASS_WORK {
        tokio::task::yield_now().await;
    }
    // Many times what each of those has done.
    let (before, passes) = (served.get(), 40);
    for _ in 0..passes * PASS_WORK {
        known.take_in(pin!(async {})).await;
    }
    let between = served.get() - before;
    assert!(between <= passes * PASS_WORK / 2, "{between}");
    assert!(between > 0, "one pass of a few is theirs");
}

#[actix_rt::test]
async fn nobody_holds_the_lane_while_it_waits() {
    let lane = Rc::<Lane>::default();
    let (holder, other) = (Stint::in_lane(lane.clone()), Stint::in_lane(lane));
    holder.take_in(pin!(async {})).await;
    assert!(holder.place.borrow().is_some(), "it is in the lane");
    tokio::task::spawn_local(async move {
        holder.take_in(pin!(std::future::pending::<()>())).await;
    });
    tokio::task::yield_now().await;
    other.take_in(pin!(async {})).await;
    assert!(other.place.borrow().is_some());
}

#[actix_rt::test]
async fn who_has_to_queue_is_seen_by_what_came_at_once() {
    let stint = Stint::in_lane(Rc::default());
    for (requests, is_busy) in [(LIGHT_WORK + 1, true), (1, false)] {
        for _ in 0..requests {
            stint.take_in(pin!(async {})).await;
        }
        stint.end();
        assert_eq!(stint.is_busy.get(), is_busy, "after {requests} requests");
    }
}

#[actix_rt::test]
async fn bytes_that_come_in_small_pieces_are_as_much_work_as_at_once() {
    let stint = Stint::in_lane(Rc::default());
    stint.go_on().await;
    let piece = BYTES_OF_WORK / 4;
    for _ in 0..4 * PASS_WORK - 1 {
        stint.has_worked_on(piece);
    }
    assert!(stint.may_go_on(), "a piece of the pass is left");
    stint.has_worked_on(piece);
    assert!(!stint.may_go_on(), "the pass is over");
}

#[actix_rt::test]
async fn connections_that_never_cease_to_come_do_not_keep_one_with_much_waiting() {
    let lane = Rc::<Lane>::default();
    let much = Stint::in_lane(lane.clone());
    much.take_in(pin!(async {})).await;
    much.work(PASS_WORK);
    much.end();
    let arrived = Rc::new(Cell::new(0_u32));
    // Each comes before the last one is gone, so that somebody is always in line.
    let coming: Vec<_> = (0..2)
        .map(|_| {
            let (lane, arrived) = (lane.clone(), arrived.clone());
            tokio::task::spawn_local(async move {
                loop {
                    Stint::in_lane(lane.clone()).arrive().await;
                    arrived.set(arrived.get() + 1);
                }
            })
        })
        .collect();
    while arrived.get() < 10 {
        tokio::task::yield_now().await;
    }
    let served = tokio::task::spawn_local(async move { much.go_on().await });
    let before = arrived.get();
    while !served.is_finished() && arrived.get() < before + 10_000 {
        tokio::task::yield_now().await;
    }
    coming.iter().for_each(JoinHandle::abort);
    assert!(
        served.is_finished(),
        "{} came before it",
        arrived.get() - before
    );
}

#[actix_rt::test]
async fn connections_that_come_do_so_in_passes() {
    let lane = Rc::<Lane>::default();
    let arrived = Rc::<Cell<u32>>::default();
    for _ in 0..BUSY {
        let (stint, arrived) = (Stint::in_lane(lane.clone()), arrived.clone());
        tokio::task::spawn_local(async move {
            stint.arrive().await;
            arrived.set(arrived.get() + 1);
            stint.end();
        });
    }
    let mut before = 0;
    while before < BUSY {
        tokio::task::yield_now().await;
        let now = arrived.get();
        assert!(now - before <= PASS_WORK, "{} at once", now - before);
        before = now;
    }
}

#[actix_rt::test]
async fn frames_that_begin_and_are_not_complete_are_taken_in_in_passes() {
    let lane = Rc::<Lane>::default();
    let begun = Rc::<Cell<u32>>::default();
    for _ in 0..BUSY {
        let (stint, begun) = (Stint::in_lane(lane.clone()), begun.clone());
        tokio::task::spawn_local(async move {
            let reading = async {
                stint.has_begun();
                begun.set(begun.get() + 1);
                std::future::pending::<()>().await;
            };
            stint.take_in(pin!(reading)).await;
        });
    }
    let mut before = 0;
    while before < BUSY {
        tokio::task::yield_now().await;
        let now = begun.get();
        let at_once = now - before;
        assert!(at_once <= PASS_WORK / WAKING_WORK, "{at_once} at once");
        before = now;
    }
}

#[actix_rt::test]
async fn much_that_is_copied_is_copied_in_parts_and_others_run_between() {
    const PIECE: usize = COPIED_BYTES_MAX / 4;
    let lane = Rc::<Lane>::default();
    let copied = Rc::<Cell<usize>>::default();
    for _ in 0..BUSY {
        let (stint, copied) = (Stint::in_lane(lane.clone()), copied.clone());
        stint.is_busy.set(false);
        tokio::task::spawn_local(async move {
            for _ in 0..8 {
                // As frames are read.
                let read = async {
                    stint.breathe(false).await;
                    stint.has_copied(PIECE);
                    copied.set(copied.get() + PIECE);
                };
                stint.take_in(pin!(read)).await;
            }
        });
    }
    let (mut before, mut looks) = (0, 0);
    while before < 8 * BUSY as usize * PIECE {
        tokio::task::yield_now().await;
        let now = copied.get();
        assert!(now - before <= COPIED_BYTES_MAX, "{} at once", now - before);
        (before, looks) = (now, looks + 1);
    }
    assert!(looks <= 4 * BUSY, "they get on");
}

#[actix_rt::test]
async fn connections_that_are_reset_at_once_are_taken_down_in_passes() {
    let lane = Rc::<Lane>::default();
    let left = Rc::<Cell<u32>>::default();
    for _ in 0..BUSY {
        let (stint, left) = (Stint::in_lane(lane.clone()), left.clone());
        stint.is_busy.set(false);
        tokio::task::spawn_local(async move {
            stint.take_in(pin!(async {})).await;
            stint.end();
            stint.leave().await;
            left.set(left.get() + 1);
        });
    }
    let mut before = 0;
    while before < BUSY {
        tokio::task::yield_now().await;
        let now = left.get();
        let at_once = PASS_WORK / ARRIVAL_WORK;
        assert!(now - before <= at_once, "{} at once", now - before);
        before = now;
    }
}

#[actix_rt::test]
async fn a_newcomer_queues_until_it_has_been_light_for_a_while() {
    let stint = Stint::of_connection(Trials::default());
    for trial in 0..TRIALS {
        assert!(stint.is_busy.get(), "trial {trial}");
        stint.take_in(pin!(async {})).await;
        stint.end();
    }
    assert!(!stint.is_busy.get());
}

#[actix_rt::test]
async fn who_did_much_queues_the_next_time_however_often_it_looked_meanwhile() {
    let stint = Stint::of_task();
    for _ in 0..=LIGHT_WORK {
        stint.take_in(pin!(async {})).await;
    }
    stint.end();
    // As when a thread polls.
    for _ in 0..3 {
        stint.end();
        assert!(stint.is_busy.get());
    }
    stint.take_in(pin!(async {})).await;
    stint.end();
    assert!(!stint.is_busy.get());
}

#[actix_rt::test]
async fn who_lets_others_run_before_it_copies_gives_its_place_to_them() {
    let lane = Rc::<Lane>::default();
    let (copying, other) = (Stint::in_lane(lane.clone()), Stint::in_lane(lane.clone()));
    copying.go_on().await;
    copying.has_copied(COPIED_BYTES_MAX);
    let breath = pin!(copying.breathe(false));
    let mut read = pin!(copying.take_in(breath));
    let first = std::future::poll_fn(|task| Poll::Ready(read.as_mut().poll(task))).await;
    assert!(first.is_pending(), "much was copied");
    assert!(copying.place.borrow().is_none());
    other.take_in(pin!(async {})).await;
    assert!(other.place.borrow().is_some());
    other.end();
    read.await;
}

#[actix_rt::test]
async fn whoever_wakes_a_connection_for_a_single_request_makes_more_work_than_who_brings_more() {
    let (lane, served) = (Rc::<Lane>::default(), Rc::<Cell<u32>>::default());
    for _ in 0..BUSY {
        let (stint, served) = (Stint::in_lane(lane.clone()), served.clone());
        tokio::task::spawn_local(async move {
            stint.take_in(pin!(async {})).await;
            stint.end();
            served.set(served.get() + 1);
        });
    }
    let mut before = 0;
    while before < BUSY {
        tokio::task::yield_now().await;
        let now = served.get();
        let at_once = PASS_WORK / WAKING_WORK;
        assert!(now - before <= at_once, "{} at once", now - before);
        before = now;
    }
}

#[actix_rt::test]
async fn what_was_copied_while_nobody_waited_counts_for_nothing() {
    let stint = Stint::in_lane(Rc::default());
    let before = format!("{:?}", stint.copied);
    stint.breathe(false).await;
    stint.has_copied(COPIED_BYTES_MAX);
    assert_eq!(format!("{:?}", stint.copied), before);
    stint.breathe(false).await;
    stint.has_copied(1);
    assert_ne!(format!("{:?}", stint.copied), before, "it had to wait");
}
