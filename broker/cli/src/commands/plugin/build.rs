//! `broker plugin build`: builds a plugin's crate and says what came out of it.

use std::path::PathBuf;

use broker_wasm::Inspection;
use clap::Args;

use super::cargo_build::{BuildOptions, build};
use super::module_file::{InspectedFile, engine, read, refused};
use crate::failure::Failure;
use crate::session::Session;

/// Build a plugin's crate: path, size, imports and digest of the module, its entry for the manifest
///
/// Runs `cargo build --release` for wasm32-unknown-unknown and loads what comes out as a broker
/// would. The digest is the same wherever the same sources are built with the same compiler.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin build
  broker plugin build ./by-region
  broker plugin build ./by-region --json")]
pub(super) struct BuildArgs {
    /// Folder of the crate
    #[arg(default_value = ".")]
    folder: PathBuf,

    /// Name of the plugin in the entry for the manifest [default: that of its crate]
    #[arg(long)]
    name: Option<String>,

    #[command(flatten)]
    options: BuildOptions,
}

impl BuildArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let file = build(&self.folder, &self.options, &session.output)?;
        let module = read(&file)?;
        let inspection = Inspection::of(&*engine()?, &module);
        let problem = inspection.problem.clone();
        let inspected = InspectedFile::new(&file, self.name.as_deref(), inspection);
        session.output.show(&inspected, InspectedFile::text)?;
        problem.map_or(Ok(()), |problem| Err(refused(&file, &problem)))
    }
}
