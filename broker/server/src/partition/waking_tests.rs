//! What wakes those who wait for a partition: enough of what was appended, once it can be read, and whatever makes what
//! they have found untrue.

use super::*;
use crate::partition::{Bell, OffsetsWatch, Since};

/// Bytes that one batch takes.
fn size() -> u64 {
    batch().size() as u64
}

async fn append(hosted: &Hosted) {
    let appended = tokio::time::timeout(HANG, send(&hosted.handle, Acks::All)).await;
    appended.expect("an answer").expect("an acknowledgement");
}

/// A watch that no growth rings.
fn watch(hosted: &Hosted) -> (OffsetsWatch, Bell) {
    let (mut watch, bell) = (hosted.handle.watch_offsets(), Bell::default());
    watch.ring_at(u64::MAX, &bell);
    (watch, bell)
}

async fn has_rung(bell: &Bell) {
    let rung = tokio::time::timeout(HANG, bell.notified()).await;
    rung.expect("it rings");
}

#[actix_rt::test]
async fn just_what_can_be_read_is_counted_also_over_the_end_of_a_segment() {
    for mode in ["sync", "async"] {
        // More than one segment takes.
        let enough = 1 + 2 * 1_024 / size();
        let hosted = host(&[("flush.mode", mode), ("segment.bytes", "1024")]);
        append(&hosted).await;
        let (mut watch, bell) = (hosted.handle.watch_offsets(), Bell::default());
        watch.ring_at(enough * size(), &bell);
        for count in 1..enough {
            append(&hosted).await;
            assert_eq!(watch.since(), Since::Grown(count * size()), "{mode}");
        }
        let early = tokio::time::timeout(Duration::ZERO, bell.notified()).await;
        assert!(early.is_err(), "{mode}: that is too little");
        append(&hosted).await;
        has_rung(&bell).await;
    }
}

#[actix_rt::test]
async fn what_is_not_durable_yet_wakes_nobody_under_sync() {
    let io = RecordingIo::new();
    let hosted = host_on(io.clone(), &actix_rt::Arbiter::current(), &[]);
    append(&hosted).await;
    let (mut watch, bell) = (hosted.handle.watch_offsets(), Bell::default());
    watch.ring_at(size(), &bell);
    io.hold_syncs();
    let arbiter = actix_rt::Arbiter::new();
    let io_of_syncs = io.clone();
    let appended = send(&hosted.handle, Acks::All);
    // A sync may hold up this thread, so that somebody else lets it go.
    arbiter.spawn(async move {
        a_sync_is_held(&io_of_syncs).await;
        io_of_syncs.release_syncs();
    });
    let waking = async {
        bell.notified().await;
        hosted.handle.offsets()
    };
    let (appended, offsets) = tokio::join!(appended, tokio::time::timeout(HANG, waking));
    appended.expect("an acknowledgement");
    let offsets = offsets.expect("it rings");
    assert_eq!(offsets.high_watermark, offsets.end);
    assert_eq!(watch.since(), Since::Grown(size()));
    arbiter.stop();
}

#[actix_rt::test]
async fn deleted_records_wake_who_waits() {
    let hosted = host(&[]);
    append(&hosted).await;
    let (watch, bell) = watch(&hosted);
    hosted
        .handle
        .delete_records(None)
        .await
        .expect("it is empty");
    has_rung(&bell).await;
    assert_eq!(watch.since(), Since::Upheaval);
}

#[actix_rt::test]
async fn a_sync_that_fails_wakes_who_waits() {
    let io = RecordingIo::new();
    let hosted = host_on(io.clone(), &actix_rt::Arbiter::current(), &[]);
    append(&hosted).await;
    let (watch, bell) = watch(&hosted);
    io.set_faults(|_, operation| {
        let is_sync = matches!(operation, Operation::SyncData { .. });
        is_sync.then_some(broker_storage::io::recording::Fault::Error(5))
    });
    let refused = send(&hosted.handle, Acks::All).await;
    assert!(refused.is_err(), "{refused:?}");
    has_rung(&bell).await;
    assert_eq!(watch.since(), Since::Upheaval);
}

#[actix_rt::test]
async fn the_end_of_the_actor_wakes_who_waits() {
    let hosted = host(&[]);
    let (watch, bell) = watch(&hosted);
    hosted.handle.close().await.expect("it is closed");
    has_rung(&bell).await;
    assert_eq!(watch.since(), Since::Gone);
}
