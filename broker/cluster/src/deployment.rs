//! Plugins that were deployed while the broker ran: the newest revisions of a name, and which of
//! them counts. The modules themselves are kept elsewhere, by digest.

use std::collections::BTreeMap;

use broker_model::Timestamp;
use broker_model::limits::{PLUGIN_REVISIONS_KEPT_BYTES_MAX, PLUGIN_REVISIONS_KEPT_MAX};

/// Longest name of a plugin, in bytes.
pub(crate) const PLUGIN_NAME_LEN_MAX: usize = 64;
/// The kinds there are.
pub(crate) const PLUGIN_KINDS: [&str; 4] = ["partitioner", "serializer", "retention", "compaction"];

/// A name and everything that was ever deployed under it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeployedPlugin {
    /// The newest revisions, oldest first.
    pub history: Vec<Deployment>,
    /// When the name was removed; none while it is deployed.
    pub removed_at: Option<Timestamp>,
}

impl DeployedPlugin {
    /// The revision that counts; none when the name was removed.
    pub fn current(&self) -> Option<&Deployment> {
        match self.removed_at {
            None => self.history.last(),
            Some(_) => None,
        }
    }

    /// A revision by its number.
    pub fn revision(&self, revision: u32) -> Option<&Deployment> {
        let mut all = self.history.iter();
        all.find(|deployment| deployment.revision == revision)
    }

    /// Takes a revision in. Of the others, the oldest is forgotten if it is too much.
    pub(crate) fn add(&mut self, deployment: Deployment) {
        self.history.push(deployment);
        let mut bytes = 0;
        let fits = |deployment: &&Deployment| {
            bytes += deployment.bytes();
            bytes <= PLUGIN_REVISIONS_KEPT_BYTES_MAX
        };
        let newest_first = self.history.iter().rev().take(PLUGIN_REVISIONS_KEPT_MAX);
        let kept = newest_first.take_while(fits).count().max(1);
        self.history.drain(..self.history.len() - kept);
    }

    /// The number the next revision gets.
    pub fn next_revision(&self) -> u32 {
        let last = self.history.last().map_or(0, |last| last.revision);
        last.saturating_add(1)
    }
}

/// One revision of a deployed plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Its number under this name, from 1.
    pub revision: u32,
    /// The kind of the plugin.
    pub kind: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the module, hexadecimal.
    pub digest: String,
    /// Size of the module.
    pub size_bytes: u64,
    /// Its options; a topic's go over them.
    pub options: BTreeMap<String, String>,
    /// What it may use.
    pub limits: DeploymentLimits,
    /// Plugin that steps in where this one fails; partitioners only.
    pub fallback: Option<String>,
    /// When.
    pub at: Timestamp,
    /// How it came about.
    pub from: DeploymentSource,
}

impl Deployment {
    /// The memory that it takes, about.
    fn bytes(&self) -> usize {
        let options = self.options.iter();
        let options: usize = options.map(|(name, value)| name.len() + value.len()).sum();
        size_of::<Self>() + options
    }

    /// Whether deploying `new` would change nothing but the number of the revision.
    pub fn equals(&self, new: &NewDeployment) -> bool {
        self.kind == new.kind
            && self.version == new.version
            && self.digest == new.digest
            && self.options == new.options
            && self.limits == new.limits
            && self.fallback == new.fallback
    }
}

/// What a deployed plugin may use; what is not said is the default of its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeploymentLimits {
    /// Time for one call, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// Memory of one instance.
    pub memory_bytes: Option<u64>,
    /// What one call may give back.
    pub output_bytes: Option<u64>,
    /// Processor time of one cleaning, in milliseconds; compaction only.
    pub budget_ms: Option<u64>,
}

/// How a deployment came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeploymentSource {
    /// Somebody deployed a module.
    Deploy,
    /// Somebody went back to an earlier revision.
    Rollback {
        /// Which.
        to: u32,
    },
    /// The manifest named it.
    Manifest,
}

/// A deployment somebody wants; its revision and time are the plan's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDeployment {
    /// The kind of the plugin.
    pub kind: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the module, hexadecimal.
    pub digest: String,
    /// Size of the module.
    pub size_bytes: u64,
    /// Its options.
    pub options: BTreeMap<String, String>,
    /// What it may use.
    pub limits: DeploymentLimits,
    /// Plugin that steps in where this one fails.
    pub fallback: Option<String>,
    /// How it came about.
    pub from: DeploymentSource,
}

impl NewDeployment {
    /// The deployment of an earlier revision once more.
    pub fn rollback(earlier: &Deployment) -> Self {
        Self {
            kind: earlier.kind.clone(),
            version: earlier.version.clone(),
            digest: earlier.digest.clone(),
            size_bytes: earlier.size_bytes,
            options: earlier.options.clone(),
            limits: earlier.limits,
            fallback: earlier.fallback.clone(),
            from: DeploymentSource::Rollback {
                to: earlier.revision,
            },
        }
    }

    pub(crate) fn numbered(self, revision: u32, at: Timestamp) -> Deployment {
        Deployment {
            revision,
            kind: self.kind,
            version: self.version,
            digest: self.digest,
            size_bytes: self.size_bytes,
            options: self.options,
            limits: self.limits,
            fallback: self.fallback,
            at,
            from: self.from,
        }
    }
}

/// Whether a text can name a plugin: as in the manifest, 1 to 64 of `[A-Za-z0-9._-]`.
pub(crate) fn is_plugin_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=PLUGIN_NAME_LEN_MAX).contains(&text.len()) && text.bytes().all(allowed)
}
