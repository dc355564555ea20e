//! A partition on a disk that hangs: what it leaves alone until the disk answers again. The clock is moved by hand.

use std::path::Path;

use broker_model::ManualClock;
use broker_storage::Log;

use super::*;

/// A partition beside one whose sync hangs.
struct Rig {
    io: Arc<RecordingIo>,
    clock: Arc<ManualClock>,
    hosted: Hosted,
    beside: Log,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.io.release_syncs();
    }
}

impl Rig {
    fn new() -> Self {
        let io = RecordingIo::new();
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
        let choose = |options: &mut LogDirOptions| {
            options.io = io.clone();
            options.clock = clock.clone();
        };
        let config = [("flush.mode", "sync"), ("cleanup.policy", "compact")];
        let hosted = host_with(choose, &actix_rt::Arbiter::current(), &config);
        let name = TopicName::new("beside").expect("a name");
        let partition = TopicPartition::new(name, PartitionId::new(0));
        let config = log_config(&configured(&[]));
        let dir = hosted.handle.dir();
        let opened = dir.open_or_create_log(&partition, TopicId::random(), config);
        let (beside, _) = opened.expect("a log");
        Self {
            io,
            clock,
            hosted,
            beside,
        }
    }

    /// The disk is at one call for longer than any disk should be, and that is known.
    async fn hang(&mut self) {
        self.io.hold_syncs();
        let now = Timestamp::from_millis(1_000_000);
        let appended = self.beside.append(&mut [batch()], LeaderEpoch::new(0), now);
        appended.expect("it needs no sync");
        let request = self.beside.sync_request().expect("there is something");
        let dir = self.hosted.handle.dir();
        dir.sync(request, Box::new(|_| {}));
        a_sync_is_held(&self.io).await;
        self.clock.advance(Duration::from_secs(30));
        assert!(dir.look_whether_it_hangs().is_some());
    }

    async fn answers_again(&self) {
        self.io.release_syncs();
        let dir = self.hosted.handle.dir();
        let until = tokio::time::Instant::now() + HANG;
        while dir.look_whether_it_hangs().is_some() {
            assert!(tokio::time::Instant::now() < until, "it does not");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The data files of the partition that are open after what is done now and then was done twice.
    async fn open_after_a_while(&self) -> usize {
        for _ in 0..2 {
            self.hosted.handle.check_retention();
        }
        // What was sent before is done by then.
        self.hosted.handle.cleaning_state().await.ok();
        let is_its_data = |path: &Path| {
            let dir = path.parent().is_some_and(|dir| dir.ends_with("t-0"));
            dir && path.extension().is_some_and(|extension| extension == "log")
        };
        self.io.open_files(is_its_data)
    }
}

#[actix_rt::test]
async fn files_stay_open_while_the_disk_hangs_and_are_let_go_when_it_answers() {
    let mut rig = Rig::new();
    send(&rig.hosted.handle, Acks::All).await.expect("durable");
    rig.hang().await;
    assert_eq!(rig.open_after_a_while().await, 1);
    rig.answers_again().await;
    assert_eq!(rig.open_after_a_while().await, 0);
}

#[actix_rt::test]
async fn nobody_looks_what_there_is_to_clean_on_a_disk_that_hangs() {
    let mut rig = Rig::new();
    send(&rig.hosted.handle, Acks::All).await.expect("durable");
    rig.hang().await;
    let looked = rig.hosted.handle.cleaning_state().await;
    assert!(
        matches!(looked, Err(PartitionError::NotYet { .. })),
        "it was looked at"
    );
    rig.answers_again().await;
    assert!(rig.hosted.handle.cleaning_state().await.is_ok());
}

#[actix_rt::test]
async fn what_waits_for_a_thread_that_stands_still_is_withdrawn_and_never_written() {
    let arbiter = actix_rt::Arbiter::new();
    let hosted = host_on(RealIo::new(), &arbiter.handle(), &[]);
    let first = send(&hosted.handle, Acks::All).await.expect("durable");
    assert_eq!(first.base_offset, Offset::ZERO);
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    arbiter.spawn_fn(move || {
        let _ = begun.send(());
        let _ = held.recv();
    });
    has_begun.await.expect("it runs");
    let waiting = send(&hosted.handle, Acks::All);
    hosted.handle.standstill.give_up_all();
    let answer = waiting.await;
    assert!(
        matches!(answer, Err(PartitionError::NotYet { .. })),
        "{answer:?}"
    );
    drop(release);
    let next = send(&hosted.handle, Acks::All).await.expect("durable");
    assert_eq!(next.base_offset, Offset::new(1), "nothing came between");
    arbiter.stop();
}
