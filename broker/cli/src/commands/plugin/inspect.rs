//! `broker plugin inspect`: looks at a module file as a broker would, without one, and writes its
//! entry for the manifest.

use std::path::PathBuf;

use broker_wasm::Inspection;
use clap::Args;

use super::module_file::{InspectedFile, engine, read, refused};
use crate::failure::Failure;
use crate::session::Session;

/// Inspect a plugin file without a broker: kind, digest, imports, exports, problems
///
/// Compiles the module and tries it out as `broker serve` would. Ends with exit code 1 if a broker
/// would refuse it, and says why. Prints the entry for the manifest as well; with --manifest-entry
/// nothing else, so that it can be appended to one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin inspect target/wasm32-unknown-unknown/release/my_partitioner.wasm
  broker plugin inspect my_partitioner.wasm --manifest-entry >> plugins.toml
  broker plugin inspect my_partitioner.wasm --json")]
pub(super) struct InspectArgs {
    /// The module, a .wasm file built for wasm32-unknown-unknown
    file: PathBuf,

    /// Print only the [[plugin]] entry for a manifest
    #[arg(long)]
    manifest_entry: bool,

    /// Name of the plugin in the entry [default: that of its crate, or of the file]
    #[arg(long)]
    name: Option<String>,
}

impl InspectArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let module = read(&self.file)?;
        let inspection = Inspection::of(&*engine()?, &module);
        let problem = inspection.problem.clone();
        let inspected = InspectedFile::new(&self.file, self.name.as_deref(), inspection);
        match (&inspected.manifest_entry, self.manifest_entry) {
            (Some(entry), true) => session.output.show(&inspected, |_| entry.clone())?,
            (None, true) => {}
            (_, false) => session.output.show(&inspected, InspectedFile::text)?,
        }
        problem.map_or(Ok(()), |problem| Err(refused(&self.file, &problem)))
    }
}
