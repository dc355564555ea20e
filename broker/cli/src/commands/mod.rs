//! The commands, one file each. A command unpacks its arguments, calls the client, the server or an
//! offline tool, and prints what came out.

pub(crate) mod bench;
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod consume;
pub(crate) mod log;
pub(crate) mod ping;
pub(crate) mod plugin;
pub(crate) mod produce;
pub(crate) mod serve;
pub(crate) mod topic;
