//! The bytes of small files that the fixtures of the golden tests do not have: what was written once is read by
//! every later broker, and written like this until the format has another version.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use broker_model::{Offset, Timestamp};
use uuid::Uuid;

use super::{DoubtedClock, KnownLosses, LogDirectories, SmallFile};
use crate::recovery::PowerLoss;

const KNOWN_LOSSES: &str = "\
version=1\n\
10 18 10 1000\n\
14 21 14 250\n\
crc32=47386789\n\
";

const CLOCK_DOUBT: &str = "\
version=1\n\
last.alive=1700000000123\n\
held.ms=86400000\n\
crc32=ae19cd47\n\
";

const LOG_DIRECTORIES: &str = "\
version=1\n\
00000000-0000-0000-0000-000000000001 /disk one/data\n\
00000000-0000-0000-0000-000000000002 relative\n\
crc32=e3f916ae\n\
";

fn check<F: SmallFile + Debug + PartialEq>(bytes: &str, value: F) {
    let written = String::from_utf8(value.encode());
    assert_eq!(written.as_deref(), Ok(bytes));
    let read = F::decode(Path::new("a file"), bytes.as_bytes());
    assert_eq!(read.expect("it is sound"), value);
}

#[test]
fn formats_are_what_they_were() {
    let loss = |first, next, millis| PowerLoss {
        end: Offset::new(first),
        known_lost: Some(Offset::new(first)..Offset::new(next)),
        window: Some(Duration::from_millis(millis)),
    };
    check(
        KNOWN_LOSSES,
        KnownLosses(vec![loss(10, 18, 1_000), loss(14, 21, 250)]),
    );
    let doubt = DoubtedClock {
        last_alive: Timestamp::from_millis(1_700_000_000_123),
        held: Duration::from_secs(86_400),
    };
    check(CLOCK_DOUBT, doubt);
    let ids = [1, 2].map(Uuid::from_u128);
    let paths = ["/disk one/data", "relative"].map(PathBuf::from);
    check(
        LOG_DIRECTORIES,
        LogDirectories(ids.into_iter().zip(paths).collect()),
    );
}
