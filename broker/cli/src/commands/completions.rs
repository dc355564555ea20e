//! `broker completions`.

use clap::Args;
use clap_complete::Shell;

use crate::cli::grammar;
use crate::failure::Failure;
use crate::session::Session;

/// Print a completion script for a shell
///
/// The script goes to standard output; where to put it depends on the shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker completions bash > ~/.local/share/bash-completion/completions/broker
  broker completions zsh > ~/.zfunc/_broker
  broker completions fish > ~/.config/fish/completions/broker.fish")]
pub(crate) struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

impl CompletionsArgs {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut grammar(), "broker", &mut script);
        let mut stream = session.output.stream();
        stream.write(&script)?;
        stream.flush()
    }
}
