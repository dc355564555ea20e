//! `broker cluster actors`.

use clap::Args;

use crate::failure::Failure;
use crate::output::{Align, Table, number};
use crate::session::Session;

/// List the live actors of a broker: what they are, how busy, how often restarted
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker cluster actors
  broker cluster actors --kind partition")]
pub(super) struct ActorsArgs {
    /// Only actors of this kind, such as partition
    #[arg(long)]
    kind: Option<String>,
}

impl ActorsArgs {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.connect().await?;
        let mut actors = client.admin().list_actors().await?;
        if let Some(kind) = &self.kind {
            actors.retain(|actor| actor.kind == *kind);
        }
        session.output.show(&actors, |actors| {
            let mut table = Table::new(&[
                ("KIND", Align::Left),
                ("NAME", Align::Left),
                ("STATE", Align::Left),
                ("MAILBOX", Align::Right),
                ("HANDLED", Align::Right),
                ("RESTARTS", Align::Right),
            ]);
            for actor in actors {
                table.row([
                    actor.kind.clone(),
                    actor.name.clone(),
                    actor.state.clone(),
                    number(actor.mailbox_depth),
                    number(actor.handled),
                    number(actor.restarts),
                ]);
            }
            table.to_string()
        })
    }
}
