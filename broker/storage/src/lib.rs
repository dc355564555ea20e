//! The log on disk: segments, indexes, recovery, retention, and the files of a log directory.
//!
//! Synchronous and single-handed: a [`Log`] belongs to one owner who appends, asks for syncs and
//! passes the outcomes back; slices of it can be read anywhere. Policies come in as traits. Only
//! [`io`] touches files. No async, no actors, no plugins in here.
//!
//! ```
//! use broker_model::{BrokerId, LeaderEpoch, Offset, PartitionId, Timestamp};
//! use broker_model::{TopicId, TopicName, TopicPartition};
//! use broker_record::ProducedBatch;
//! use broker_storage::{LogConfig, LogDir, LogDirOptions, ReadLimit};
//! use broker_storage::io::recording::RecordingIo;
//!
//! let mut options = LogDirOptions::new("/data", BrokerId::new(1));
//! options.io = RecordingIo::new();
//! let dir = LogDir::open(options)?;
//! let orders = TopicPartition::new(TopicName::new("orders")?, PartitionId::new(0));
//! let (mut log, _) = dir.open_or_create_log(&orders, TopicId::random(), LogConfig::default())?;
//!
//! // One record with a null key and the value "hi": MessagePack [[nil, bin "hi"]].
//! let records = bytes::Bytes::from_static(b"\x91\x92\xc0\xc4\x02hi");
//! let batch = ProducedBatch::plain(records, Timestamp::from_millis(1))?;
//! let run = log.append(&mut [batch], LeaderEpoch::new(0), Timestamp::from_millis(1))?;
//! assert_eq!((run.first, run.end), (Offset::ZERO, Offset::new(1)));
//!
//! let request = log.sync_request().expect("something was written");
//! log.on_synced(&dir.sync_now(request))?;
//! assert_eq!(log.durable_end(), Offset::new(1));
//! let slice = log.read(Offset::ZERO, log.durable_end(), ReadLimit::OneBatchOr(1 << 20))?;
//! assert_eq!(slice.next_offset(), Offset::new(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blob_store;
mod compaction;
mod corruption;
mod durable_positions;
mod era;
mod file_slice;
mod health;
mod index;
pub mod inspect;
pub mod io;
mod log;
mod log_dir;
mod policy_failed;
mod recovery;
mod retention;
mod scrub;
mod segment;
mod small_file;
mod space;
mod sync;

pub use blob_store::{BlobError, BlobStore};
pub use compaction::{
    Cleaned, Cleaning, CleaningFailed, CleaningOutcome, CleaningState, CleaningSummary,
    CompactionPolicy, CompactionSettings, DueReason, ObserveScope, Pace, RemovedRecord, Throttle,
};
pub use corruption::{Corruption, Damage};
pub use file_slice::FileSlice;
pub use health::{DirFailed, NotPermitted};
pub use log::{
    AppendError, AppendedRun, ChangeError, FlushMode, Log, LogConfig, LogPurpose, ReadError,
    ReadLimit, TimeFound, TimeSearchError, Vanished,
};
#[doc(hidden)]
pub use log_dir::PlantedBugs;
pub use log_dir::{
    AgeHold, CloseError, DeleteLogError, DirIdentity, DirTrace, FoundPartition, LogDir,
    LogDirError, LogDirOptions, OpenLogError, ReserveRoom, check_usable,
};
pub use policy_failed::PolicyFailed;
pub use recovery::{LastStop, PowerLoss, RecoveryReport, TornTail};
pub use retention::{RetentionOutcome, RetentionPolicy, RetentionView};
pub use scrub::{ScrubFailed, ScrubFound, ScrubTarget, Scrubbed};
pub use segment::SegmentInfo;
pub use small_file::{DoubtedClock, LeaderEpochs, SmallFileError};
pub use space::{DirSpace, LowSpace, MinFree};
pub use sync::{BehindSyncs, SyncBacklog, SyncDone, SyncOutcome, SyncRequest};
