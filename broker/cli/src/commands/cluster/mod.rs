//! `broker cluster`: the brokers of the cluster and what lives in them.

mod actors;
mod describe;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::runtime::block_on;
use crate::session::Session;

/// Look at the cluster: brokers, disks, actors
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker cluster describe
  broker cluster actors --json")]
pub(crate) struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    Describe(describe::DescribeArgs),
    Actors(actors::ActorsArgs),
}

impl ClusterArgs {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        block_on(async {
            match self.command {
                ClusterCommand::Describe(args) => args.run(session).await,
                ClusterCommand::Actors(args) => args.run(session).await,
            }
        })
    }
}
