//! The controller from the outside of its handle, on a real directory whose syncs can be held. Nobody carries out
//! what it commits.

use std::sync::Arc;

use broker_cluster::{CreationDefaults, TopicDefaults};
use broker_model::limits::CHANGE_WORK_UNDER_WAY;
use broker_model::{BrokerId, SystemClock};
use broker_storage::io::recording::RecordingIo;
use broker_storage::{LogDir, LogDirOptions};

use super::actor::{ControllerActor, ControllerSetup};
use super::messages::Outcome;
use super::{ControllerError, ControllerHandle, Intent, MetadataLog, Plan, Share};
use crate::death_notice::DeathNotice;

fn started(io: Arc<RecordingIo>) -> (ControllerHandle, tempfile::TempDir) {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let mut options = LogDirOptions::new(temp.path(), BrokerId::new(1));
    options.io = io;
    let dir = LogDir::open(options).expect("a log dir");
    let (log, replayed) = MetadataLog::open(dir.clone(), None).expect("a metadata log");
    let handle = ControllerHandle::new(Arc::default(), 1);
    let setup = ControllerSetup {
        log,
        metadata: replayed.metadata,
        term: replayed.term,
        published: Arc::default(),
        defaults: Arc::new(CreationDefaults {
            partitions: 1,
            replication_factor: 1,
            topic: TopicDefaults::default(),
        }),
        clock: Arc::new(SystemClock::new()),
        broker: Default::default(),
        stats: handle.stats().clone(),
        trouble: handle.notice_board().clone(),
        death: DeathNotice::new(|| {}),
    };
    let addr = ControllerActor::start_on(&actix_rt::Arbiter::current(), setup);
    handle.attach(addr, dir);
    (handle, temp)
}

/// A change that is a change whatever came before.
async fn change(handle: &ControllerHandle, number: usize) -> Result<Outcome, ControllerError> {
    let address = format!("host{number}:1");
    let id = BrokerId::new(1);
    let plan = Plan::RegisterBroker { id, address };
    let share = Share::default();
    handle.propose(plan, Intent::CarryOut, &share).await
}

#[actix_rt::test]
async fn changes_wait_for_those_under_way() {
    let io = RecordingIo::new();
    let (handle, _dir) = started(io.clone());
    // It has begun to run then, and its mailbox has its size.
    let first = change(&handle, usize::MAX).await;
    assert_eq!(first.err(), Some(ControllerError::Lost), "not carried out");
    io.hold_syncs();
    let mut changing: Vec<_> = (0..usize::try_from(4 * CHANGE_WORK_UNDER_WAY).expect("a number"))
        .map(|number| Box::pin(change(&handle, number)))
        .collect();
    for change in &mut changing {
        assert!(futures::poll!(change.as_mut()).is_pending());
    }
    // At most one sync is under way, and covers what was written before it began.
    let proposed = || handle.stats().handled_total() + handle.stats().mailbox_depth() as u64;
    assert!(proposed() <= 1 + CHANGE_WORK_UNDER_WAY);
    io.release_syncs();
    // All of them go on, whichever is looked at.
    let answers = futures::future::join_all(changing).await;
    for answer in answers {
        assert_eq!(answer.err(), Some(ControllerError::Lost), "not carried out");
    }
    let next = change(&handle, usize::MAX - 1).await;
    assert_eq!(next.err(), Some(ControllerError::Lost), "there is room");
}

#[actix_rt::test]
async fn changes_that_wait_when_the_broker_stops_are_refused() {
    let io = RecordingIo::new();
    let (handle, _dir) = started(io.clone());
    io.hold_syncs();
    let count = usize::try_from(2 * CHANGE_WORK_UNDER_WAY).expect("a number");
    let mut changing: Vec<_> = (0..count)
        .map(|number| Box::pin(change(&handle, number)))
        .collect();
    for change in &mut changing {
        assert!(futures::poll!(change.as_mut()).is_pending());
    }
    handle.stop_letting_in();
    changing.push(Box::pin(change(&handle, count)));
    io.release_syncs();
    let answers = futures::future::join_all(changing).await;
    let refused = answers.iter().map(|answer| answer.as_ref().map(drop));
    let refused = refused.filter(|answer| *answer == Err(&ControllerError::Stopping));
    assert_eq!(refused.count(), count + 1 - count / 2);
}
