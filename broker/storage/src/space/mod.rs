//! Room on the disk: what producers may still write before the file system counts as full, and what
//! is kept back for the broker's own small writes when it is.

mod dir_space;
mod headroom;
mod reserve;
mod spending_io;

pub use dir_space::DirSpace;
pub(crate) use headroom::Headroom;
pub use headroom::{LowSpace, MinFree};
pub(crate) use reserve::Reserve;
pub(crate) use spending_io::SpendingIo;
