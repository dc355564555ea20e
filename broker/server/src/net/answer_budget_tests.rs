//! Who gets memory for answers, and who waits.

use tokio::time::sleep;

use super::super::held::LOOK_EVERY;
use super::*;

#[actix_rt::test]
async fn an_answer_waits_for_what_is_missing_of_it_and_holds_nothing_meanwhile() {
    let answers = UnreadAnswers::below(&Ceiling::default());
    let (own, other) = (answers.for_connection(), answers.for_connection());
    let bytes = 100 * 1024;
    // All but a little was counted before.
    let most = own.reserve_all(bytes - 10).await.ok();
    let covered = own.cover(most, bytes).await.expect("it does not wait");
    assert_eq!(covered.as_ref().map(AnswerMemory::bytes), Some(bytes));
    assert_eq!(own.held(), bytes);
    drop(covered);
    assert!(matches!(own.cover(None, TINY_ANSWER_BYTES).await, Ok(None)));

    let little = own.reserve_all(10).await.ok();
    let all = other.take(other.free());
    let mut waiting = Box::pin(own.cover(little, bytes));
    assert!(futures::poll!(&mut waiting).is_pending());
    assert_eq!(own.held(), 0, "it was given back");
    drop(all);
    let covered = waiting.await.expect("there is enough");
    assert_eq!(covered.as_ref().map(AnswerMemory::bytes), Some(bytes));
}

#[actix_rt::test]
async fn clients_that_do_not_read_leave_something_for_others() {
    let all = UnreadAnswers::below(&Ceiling::default());
    let mut held = Vec::new();
    for _ in 0..15 {
        let greedy = all.for_connection();
        held.push(greedy.reserve(ANSWER_BYTES_PER_CONNECTION).await.ok());
    }
    assert!(held.iter().all(Option::is_some));
    assert!(all.0.memory.free() > 0);
    let other = all.for_connection().reserve(1_000_000).await;
    assert!(matches!(other, Ok(memory) if memory.bytes() >= SHARE_BYTES_MIN));
}

#[actix_rt::test]
async fn a_client_that_does_not_read_is_minded_when_others_wait() {
    let all = UnreadAnswers::below(&Ceiling::default());
    let (greedy, nothing) = (all.for_connection(), UnreadCount::default());
    let held = greedy.charge(ANSWER_BYTES_TOTAL);
    assert_eq!(greedy.stall_max(&nothing), None);
    let other = all.for_connection();
    let watching = other.clone();
    let much = 2 * SMALL_ANSWER_BYTES;
    let waiting = actix_rt::spawn(async move { other.reserve(much).await.is_ok() });
    tokio::task::yield_now().await;
    assert_eq!(greedy.stall_max(&nothing), Some(ANSWER_STALL_MAX));
    assert_eq!(watching.stall_max(&nothing), None, "it holds nothing");
    drop(held);
    assert!(waiting.await.unwrap());
    assert_eq!(greedy.stall_max(&nothing), None);
}

#[actix_rt::test]
async fn who_has_not_read_what_it_got_leaves_memory_to_one_who_waits_with_nothing() {
    let all = UnreadAnswers::below(&Ceiling::default());
    let (greedy, honest) = (all.for_connection(), all.for_connection());
    let _unread = greedy.charge(SHARE_BYTES_MIN);
    let taken = all.for_connection().charge(all.0.memory.free());
    let mut first = Box::pin(greedy.reserve_all(SHARE_BYTES_MIN));
    assert!(futures::poll!(&mut first).is_pending());
    let mut second = Box::pin(honest.reserve_all(2 * SHARE_BYTES_MIN));
    assert!(futures::poll!(&mut second).is_pending());
    drop(taken);
    sleep(2 * LOOK_EVERY).await;
    assert!(
        futures::poll!(&mut first).is_pending(),
        "though it was first"
    );
    assert!(second.await.is_ok());
    assert!(first.await.is_ok(), "nobody else waits");
}

#[actix_rt::test]
async fn whoever_came_first_gets_memory_first_though_others_want_less() {
    let all = UnreadAnswers::below(&Ceiling::default());
    let taken = all.for_connection().charge(all.0.memory.free());
    let mut taken = taken.expect("it is counted");
    let budgets = [(); 4].map(|()| all.for_connection());
    let wants = [8, 1, 1].map(|times| times * SHARE_BYTES_MIN);
    let mut waiting: Vec<_> = budgets
        .iter()
        .zip(wants)
        .map(|(budget, bytes)| Box::pin(budget.reserve_all(bytes)))
        .collect();
    for one in &mut waiting {
        assert!(futures::poll!(one).is_pending());
    }
    taken.shrink_to(taken.bytes() - 2 * SHARE_BYTES_MIN);
    // A newcomer is behind those who wait.
    let [.., newcomer] = &budgets;
    let mut last = Box::pin(newcomer.reserve_all(SHARE_BYTES_MIN));
    sleep(2 * LOOK_EVERY).await;
    for one in waiting.iter_mut().chain([&mut last]) {
        assert!(futures::poll!(one).is_pending(), "it is kept for the first");
    }
    drop(taken);
    let mut held = Vec::new();
    for one in waiting.into_iter().chain([last]) {
        held.push(one.await.expect("there is enough"));
    }
    let held: Vec<_> = held.iter().map(AnswerMemory::bytes).collect();
    assert_eq!(held, [wants.as_slice(), &[SHARE_BYTES_MIN]].concat());
}

#[actix_rt::test]
async fn whoever_is_not_the_first_is_told_and_does_not_look_until_then() {
    let all = UnreadAnswers::below(&Ceiling::default());
    let budgets = [(); 2].map(|()| all.for_connection());
    let looks = [const { AtomicUsize::new(0) }; 2];
    let never = |index: usize| {
        let looks = &looks;
        move |_, _| looks[index].fetch_add(1, Ordering::Relaxed) == usize::MAX
    };
    let mut first = Box::pin(budgets[0].poll(1, never(0)));
    let mut second = Box::pin(budgets[1].poll(1, never(1)));
    assert!(futures::poll!(&mut first).is_pending());
    assert!(futures::poll!(&mut second).is_pending());
    let [of_first, of_second] = looks.each_ref().map(|of| of.load(Ordering::Relaxed));
    while looks[0].load(Ordering::Relaxed) < of_first + 10 {
        let some = sleep(2 * LOOK_EVERY);
        let waiting = futures::future::join(&mut first, &mut second);
        futures::future::select(Box::pin(some), waiting).await;
    }
    assert_eq!(looks[1].load(Ordering::Relaxed), of_second);
    drop(first);
    assert!(futures::poll!(&mut second).is_pending());
    assert!(looks[1].load(Ordering::Relaxed) > of_second, "it was told");
}

#[actix_rt::test]
async fn those_who_hold_some_leave_a_part_to_those_who_hold_nothing() {
    let all = UnreadAnswers::below(&Ceiling::default());
    let greedy = [(); 4].map(|()| all.for_connection());
    let mut held = Vec::new();
    // Each takes what it gets, for as long as it gets any.
    for budget in greedy.iter().cycle().take(200) {
        let reserving = budget.reserve(ANSWER_BYTES_PER_CONNECTION);
        if let Ok(memory) = tokio::time::timeout(Duration::ZERO, reserving).await {
            held.extend(memory);
        }
    }
    assert!(all.0.memory.free() >= LEFT_TO_OTHERS / 2);
    let wanted = 4 * SMALL_ANSWER_BYTES;
    let honest = all.for_connection();
    let memory = tokio::time::timeout(Duration::ZERO, honest.reserve(wanted)).await;
    let memory = memory.expect("at once").expect("there is some");
    assert!(memory.bytes() >= wanted / 2, "{}", memory.bytes());
}

#[actix_rt::test]
async fn who_has_shown_that_it_reads_does_not_wait_for_newcomers() {
    let all = UnreadAnswers::below(&Ceiling::default());
    let at_once = async |reserving| tokio::time::timeout(Duration::ZERO, reserving).await;
    let newcomers: Vec<_> = (0..400).map(|_| all.for_connection()).collect();
    let mut held = Vec::new();
    for newcomer in &newcomers {
        let much = newcomer.reserve(ANSWER_BYTES_PER_CONNECTION);
        held.extend(at_once(Box::pin(much)).await.ok());
    }
    let mut waiting: Vec<_> = newcomers
        .iter()
        .filter(|newcomer| !newcomer.holds_some())
        .map(|newcomer| Box::pin(newcomer.reserve(ANSWER_BYTES_PER_CONNECTION)))
        .collect();
    assert!(!waiting.is_empty(), "they have used up what they may");
    for one in &mut waiting {
        assert!(futures::poll!(one).is_pending());
    }
    let (reader, wanted) = (all.for_connection(), 4 * SMALL_ANSWER_BYTES);
    reader.note_read(READ_BYTES_MIN - 1);
    let early = at_once(Box::pin(reader.reserve(wanted))).await;
    assert!(early.is_err(), "it has not read much yet");
    reader.note_read(READ_BYTES_MIN);
    let memory = at_once(Box::pin(reader.reserve(wanted))).await;
    let memory = memory.expect("at once").expect("there is some");
    assert!(memory.bytes() >= wanted, "{}", memory.bytes());
    // A list, for which there is memory, is begun whoever asks for one.
    let list = tokio::time::timeout(Duration::from_secs(1), all.for_connection().turn()).await;
    assert!(matches!(list, Ok(Ok(_))), "it waits for fetches");
}

#[actix_rt::test]
async fn a_small_answer_to_one_who_reads_waits_for_nobody() {
    let all = UnreadAnswers::below(&Ceiling::default());
    let _unread = all.for_connection().charge(ANSWER_BYTES_TOTAL);
    let at_once = async |budget: &AnswerBudget, bytes| {
        let waiting = tokio::time::timeout(Duration::ZERO, budget.reserve(bytes)).await;
        waiting.ok().and_then(Result::ok)
    };
    let mut held = Vec::new();
    for _ in 0..ANSWERS_SMALL_BYTES_MAX / SHARE_BYTES_MIN {
        let reader = all.for_connection();
        let first = at_once(&reader, SMALL_ANSWER_BYTES).await;
        let first = first.expect("there is room for it");
        assert_eq!(first.bytes(), SHARE_BYTES_MIN);
        let second = at_once(&reader, SMALL_ANSWER_BYTES).await;
        assert!(second.is_none(), "it has not read the first");
        held.push(first);
    }
    let reader = all.for_connection();
    assert!(at_once(&reader, SMALL_ANSWER_BYTES).await.is_none());
    drop(held.pop());
    let large = at_once(&reader, SMALL_ANSWER_BYTES + 1).await;
    assert!(large.is_none(), "it is not small");
    assert!(at_once(&reader, SMALL_ANSWER_BYTES).await.is_some());
}

#[actix_rt::test]
async fn memory_is_given_back_in_parts_and_at_the_end() {
    let budget = UnreadAnswers::below(&Ceiling::default()).for_connection();
    assert!(budget.charge(TINY_ANSWER_BYTES).is_none());
    let Ok(mut memory) = budget.reserve_all(1_000_000).await else {
        panic!("there is enough");
    };
    memory.shrink_to(10_000);
    assert_eq!(budget.free(), ANSWER_BYTES_TOTAL - 10_000);
    drop(memory);
    assert_eq!(budget.free(), ANSWER_BYTES_TOTAL);
}

#[test]
fn tiny_answers_are_counted_by_their_number_beyond_a_few() {
    let all = UnreadAnswers::below(&Ceiling::default());
    let (budget, mut counted) = (all.for_connection(), UnreadCount::default());
    let unused = || all.0.tiny.free();
    assert!(budget.count(ANSWERS_FEW, &mut counted));
    assert_eq!(unused(), ANSWERS_TINY_BYTES_MAX);
    for answers in [100, 128, 50] {
        assert!(budget.count(answers, &mut counted));
        assert_eq!(unused(), ANSWERS_TINY_BYTES_MAX - answers * ANSWER_WEIGHT);
    }
    let _others = all.0.tiny.try_take(unused()).unwrap();
    let (other, mut counted_too) = (all.for_connection(), UnreadCount::default());
    assert!(!other.count(ANSWERS_FEW + 1, &mut counted_too));
    assert_eq!(
        budget.stall_max(&counted),
        Some(ANSWER_STALL_MAX),
        "it has of what is scarce"
    );
    assert_eq!(other.stall_max(&counted_too), None);
    assert!(!budget.count(51, &mut counted));
    assert!(budget.count(50, &mut counted), "it keeps what it has");
    drop(counted);
    assert_eq!(unused(), 50 * ANSWER_WEIGHT);
}

#[actix_rt::test]
async fn a_connection_makes_one_list_at_a_time() {
    let all = UnreadAnswers::below(&Ceiling::default());
    let budget = all.for_connection();
    let first = budget.turn().await.ok();
    let second = tokio::time::timeout(Duration::from_millis(20), budget.turn()).await;
    assert!(second.is_err());
    assert!(all.for_connection().turn().await.is_ok());
    drop(first);
    assert!(budget.turn().await.is_ok());
}

#[actix_rt::test]
async fn whoever_asks_for_short_lists_does_not_wait_for_all_who_ask_for_long_ones() {
    let all = UnreadAnswers::below(&Ceiling::default());
    let at_once = async |budget: &AnswerBudget| {
        let turn = tokio::time::timeout(Duration::from_millis(20), budget.turn()).await;
        turn.ok().and_then(Result::ok)
    };
    let long = [(); LIST_REQUESTS_MAX].map(|()| all.for_connection());
    let mut first = Vec::new();
    for budget in &long {
        first.push(at_once(budget).await.expect("nothing is known of it"));
    }
    let short = all.for_connection();
    assert!(at_once(&short).await.is_none(), "there are no more");
    sleep(2 * LONG_LIST_TIME).await;
    first.clear();
    let mut second = Vec::new();
    for budget in &long {
        second.extend(at_once(budget).await);
    }
    assert_eq!(second.len(), LIST_REQUESTS_MAX / 2);
    assert!(at_once(&short).await.is_some());
    // One that was short makes up for it.
    second.clear();
    for budget in &long {
        drop(at_once(budget).await);
    }
    for budget in &long {
        second.extend(at_once(budget).await);
    }
    assert_eq!(second.len(), LIST_REQUESTS_MAX);
}
