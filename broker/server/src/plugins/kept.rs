//! Modules kept by digest in the first log directory, so that topics can go on with them whatever their names mean
//! by now. Their files are read again at start and by every scrub: what the broker has elsewhere as well, in its
//! binary or in a file of its manifest, is written anew, and of the others it tells.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use broker_cluster::{ClusterMetadata, PluginSlot};
use broker_storage::BlobError;
use broker_wasm::{Plugin, PluginSource, module_digest, read_module};
use bytes::Bytes;
use tracing::{error, warn};

use super::{Plugins, SlotError};

impl Plugins {
    /// Keeps a module under its digest, durably, in place of a file that is something else.
    pub(crate) fn store(&self, digest: &str, module: &[u8]) -> Result<(), BlobError> {
        self.modules.put(digest, module)?;
        self.unsound_modules().remove(digest);
        Ok(())
    }

    /// Keeps a plugin's module.
    pub(super) fn keep(&self, plugin: &Plugin) -> Result<(), SlotError> {
        let digest = plugin.module().digest();
        let failed = |reason: String| SlotError::NoModule {
            plugin: plugin.name().to_owned(),
            digest: digest.to_owned(),
            reason,
            passes: false,
        };
        let not_kept = |error: BlobError| SlotError::NoModule {
            plugin: plugin.name().to_owned(),
            digest: digest.to_owned(),
            reason: error.to_string(),
            passes: error.is_passing(),
        };
        let known = self.modules.get(digest).map_err(not_kept)?;
        if known.is_some_and(|module| module_digest(&module) == digest) {
            return Ok(());
        }
        let module = match plugin.source() {
            PluginSource::Builtin => {
                shipped(digest).ok_or_else(|| failed("it is not part of this binary".to_owned()))?
            }
            PluginSource::File(path) => {
                let read = read_module(path).map_err(|error| failed(error.to_string()))?;
                if module_digest(&read) != digest {
                    let path = path.display();
                    let reason = format!("{path} was changed since the broker started: restart it");
                    return Err(failed(reason));
                }
                read.into()
            }
            PluginSource::Deployed => {
                let reason = "its file is gone or damaged; deploy the same module again";
                return Err(failed(reason.to_owned()));
            }
        };
        self.store(digest, &module).map_err(not_kept)
    }

    /// The module of that digest, if it is kept or part of the binary.
    pub(crate) fn module_bytes(&self, digest: &str) -> Result<Option<Bytes>, BlobError> {
        let kept = self.modules.get(digest)?;
        Ok(kept.or_else(|| shipped(digest)))
    }

    /// Reads a kept module again, from the disk where that can be had. Answers its length, and whether it is
    /// sound, as it also is after it was written anew. Not for an arbiter.
    pub(crate) fn check_kept(&self, digest: &str) -> Result<(u64, bool), BlobError> {
        let kept = self.modules.reread(digest)?;
        let len = kept.as_ref().map_or(0, Bytes::len) as u64;
        let problem = match kept {
            Some(module) if module_digest(&module) == digest => {
                self.unsound_modules().remove(digest);
                return Ok((len, true));
            }
            Some(_) => "damaged",
            None => "gone",
        };
        if let Some(module) = self.elsewhere(digest) {
            self.store(digest, &module)?;
            warn!(
                digest,
                problem, "the kept module of a plugin is written anew"
            );
            return Ok((len, true));
        }
        let known = self.unsound_modules().insert(digest.to_owned(), problem);
        if known != Some(problem) {
            error!(
                digest,
                problem,
                "the kept module of a plugin is not available to the next start: deploy the same module again"
            );
        }
        Ok((len, false))
    }

    /// Tries the modules again that could not be read for a reason that passes; answers the plugins of those that can
    /// be now. Not for an arbiter.
    pub(crate) fn readable_again(&self) -> Vec<String> {
        let unread = self.unread().clone();
        let readable = unread
            .into_iter()
            .filter(|(digest, _)| self.modules.get(digest).is_ok());
        readable
            .map(|(digest, plugin)| {
                self.unread().remove(&digest);
                plugin
            })
            .collect()
    }

    /// Modules that could not be read for a reason that passes, by digest, each with its plugin's name.
    pub(super) fn unread(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.unread
            .lock()
            .expect("no code panics while it holds this lock")
    }

    /// Whether there are any.
    pub(crate) fn has_unread(&self) -> bool {
        !self.unread().is_empty()
    }

    /// Modules of which the next start knows no more, by digest, each with what is wrong with its file.
    pub(crate) fn unsound_modules(&self) -> MutexGuard<'_, BTreeMap<String, &'static str>> {
        self.unsound
            .lock()
            .expect("no code panics while it holds this lock")
    }

    /// A module from where the broker has it besides its log directory.
    fn elsewhere(&self, digest: &str) -> Option<Bytes> {
        if let Some(module) = shipped(digest) {
            return Some(module);
        }
        let offered = self.offered();
        let mut plugins = offered.plugins();
        let plugin = plugins.find(|plugin| plugin.module().digest() == digest)?;
        let PluginSource::File(path) = plugin.source() else {
            return None;
        };
        let module = read_module(path).ok()?;
        (module_digest(&module) == digest).then(|| module.into())
    }
}

fn shipped(digest: &str) -> Option<Bytes> {
    let mut shipped = broker_plugin_bundle::modules().iter();
    let found = shipped.find(|module| module.digest == digest)?;
    Some(Bytes::from_static(found.bytes))
}

/// The modules that may be asked for, by digest, each with the name of a plugin: what topics are bound to, and every
/// revision of what is deployed.
pub(crate) fn needed_modules(metadata: &ClusterMetadata) -> BTreeMap<String, String> {
    let mut needed = BTreeMap::new();
    for topic in metadata.topics() {
        for slot in PluginSlot::ALL {
            let binding = topic.binding(slot);
            if let Some(bound) = binding.and_then(|binding| binding.bound.as_ref()) {
                needed.insert(bound.digest.clone(), bound.plugin.clone());
            }
        }
    }
    for (name, plugin) in metadata.plugins() {
        for revision in plugin
            .history
            .iter()
            .filter(|_| plugin.removed_at.is_none())
        {
            needed.insert(revision.digest.clone(), name.clone());
        }
    }
    needed
}
