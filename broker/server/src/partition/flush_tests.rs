//! What acknowledgements under `flush.mode = async` wait for: no sync, as long as all that is not durable is younger
//! than `flush.ms`.

use std::path::Path;

use super::*;

/// Whether a file holds records.
fn is_data(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

/// An answer that has to wait for a held sync, and comes when that is let go.
async fn waits_for_the_sync(
    io: &RecordingIo,
    answer: impl Future<Output = Result<Appended, PartitionError>>,
) {
    let mut answer = std::pin::pin!(answer);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut answer).await;
    io.release_syncs();
    assert!(early.is_err(), "it was acknowledged ahead: {early:?}");
    let answered = tokio::time::timeout(HANG, answer).await;
    assert!(matches!(answered, Ok(Ok(_))), "{answered:?}");
}

#[actix_rt::test]
async fn a_lower_flush_ms_is_in_force_at_once() {
    let io = RecordingIo::new();
    let arbiter = actix_rt::Arbiter::current();
    let config = |ms| [("flush.mode", "async"), ("flush.ms", ms)];
    let hosted = host_on(io.clone(), &arbiter, &config("3600000"));
    let first = send(&hosted.handle, Acks::All).await;
    first.expect("it waits for no sync");
    hosted.configure(&config("3000"));
    // New settings sync what there is, and note it: that is not what is waited for below.
    let is_synced =
        |done: &Operation| matches!(done, Operation::SyncData { path } if is_data(path));
    while !io.operations().iter().any(is_synced) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    io.hold_syncs();
    let second = tokio::time::timeout(HANG, send(&hosted.handle, Acks::All)).await;
    assert!(matches!(second, Ok(Ok(_))), "it waits for no sync");
    a_sync_is_held(&io).await;
    io.release_syncs();
}

#[actix_rt::test]
async fn after_a_write_that_took_longer_than_flush_ms_nothing_is_acknowledged_ahead() {
    let (io, arbiter) = (RecordingIo::new(), actix_rt::Arbiter::new());
    let config = [("flush.mode", "async"), ("flush.ms", "1000")];
    let hosted = host_on(io.clone(), &arbiter.handle(), &config);
    io.hold_syncs();
    let is_written = Arc::new(AtomicBool::new(false));
    let written = is_written.clone();
    io.set_faults(move |_, operation| {
        let is_second = matches!(operation, Operation::Write { path, position, .. }
            if *position > 0 && is_data(path));
        if is_second {
            std::thread::sleep(Duration::from_millis(1_500));
            written.store(true, Ordering::SeqCst);
        }
        None
    });
    let first = send(&hosted.handle, Acks::All);
    let second = async {
        first.await.expect("it waits for no sync");
        send(&hosted.handle, Acks::All).await
    };
    let mut second = std::pin::pin!(second);
    while !is_written.load(Ordering::SeqCst) {
        let in_write = tokio::time::timeout(Duration::from_millis(20), &mut second).await;
        assert!(in_write.is_err(), "it was acknowledged ahead");
    }
    waits_for_the_sync(&io, second).await;
}

#[actix_rt::test]
async fn what_waits_for_a_slow_sync_goes_on_waiting_when_the_settings_change() {
    let async_with = |retention| {
        [
            ("flush.mode", "async"),
            ("flush.ms", "100"),
            ("retention.ms", retention),
        ]
    };
    for before in [
        async_with("3600000"),
        [
            ("flush.mode", "sync"),
            ("flush.ms", "100"),
            ("retention.ms", "3600000"),
        ],
    ] {
        let io = RecordingIo::new();
        let hosted = host_on(io.clone(), &actix_rt::Arbiter::current(), &before);
        io.hold_syncs();
        let _first = send(&hosted.handle, Acks::All);
        a_sync_is_held(&io).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        let second = send(&hosted.handle, Acks::All);
        hosted.configure(&async_with("7200000"));
        waits_for_the_sync(&io, second).await;
    }
}

#[actix_rt::test]
async fn a_change_to_async_holds_up_no_thread_and_is_in_force_once_it_is_noted() {
    let io = RecordingIo::new();
    let arbiter = actix_rt::Arbiter::current();
    let hosted = host_on(io.clone(), &arbiter, &[("flush.mode", "sync")]);
    let first = send(&hosted.handle, Acks::All).await;
    first.expect("it is synced");
    io.hold_syncs();
    hosted.configure(&[("flush.mode", "async"), ("flush.ms", "3600000")]);
    let second = send(&hosted.handle, Acks::All);
    waits_for_the_sync(&io, second).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    io.hold_syncs();
    let third = tokio::time::timeout(HANG, send(&hosted.handle, Acks::All)).await;
    io.release_syncs();
    assert!(matches!(third, Ok(Ok(_))), "it waits for no sync");
}
