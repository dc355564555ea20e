//! Plugins that come while the broker runs: a module is checked, kept by its digest, and offered under its
//! name from the moment the metadata says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker_cluster::{ClusterMetadata, Deployment, DeploymentLimits};
use broker_wasm::{LimitError, LimitSettings, Limits, LoadError, Plugin, PluginKind, PluginSource};
use tracing::{error, info};

use super::{Plugins, SlotError};

/// What somebody wants to deploy.
pub(crate) struct Wanted<'a> {
    pub(crate) module: &'a [u8],
    pub(crate) options: &'a BTreeMap<String, String>,
    pub(crate) limits: &'a DeploymentLimits,
    pub(crate) fallback: Option<&'a str>,
}

/// Why a module cannot be deployed under a name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeployError {
    /// The name belongs to a plugin that was not deployed.
    #[error("the name {name:?} is taken by a plugin {of}: deploy under another name")]
    NameTaken { name: String, of: String },
    /// The fallback is not one.
    #[error("fallback {fallback:?} {problem}")]
    Fallback {
        fallback: String,
        problem: &'static str,
    },
    /// Another plugin falls back to this one.
    #[error(
        "plugin {by:?} falls back to {name:?}, which therefore has to be a partitioner without a fallback"
    )]
    NeededAsFallback { name: String, by: String },
    /// A limit that cannot be.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// It is no plugin.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The plugin refuses its options, or fails at once.
    #[error(transparent)]
    Slot(#[from] SlotError),
}

impl Plugins {
    /// Offers everything that the metadata says is deployed. A plugin whose module is lost is named in the
    /// log; what topics do without it is as for any plugin that is not available.
    pub(crate) async fn install_deployed(self: &Arc<Self>, metadata: &ClusterMetadata) {
        let plugins = metadata.plugins().iter();
        let deployed = plugins.filter_map(|(name, plugin)| Some((name, plugin.current()?)));
        // What others fall back to comes first; it has no fallback itself.
        let (second, first): (Vec<_>, Vec<_>) =
            deployed.partition(|(_, deployment)| deployment.fallback.is_some());
        for (name, deployment) in first.into_iter().chain(second) {
            self.install(name, deployment).await;
        }
    }

    /// Offers what was deployed under a name.
    pub(crate) async fn install(self: &Arc<Self>, name: &str, deployment: &Deployment) {
        let installing = {
            let (plugins, name, deployment) = (self.clone(), name.to_owned(), deployment.clone());
            actix_rt::task::spawn_blocking(move || plugins.make(&name, &deployment))
        };
        let (revision, digest) = (deployment.revision, &deployment.digest);
        match installing.await {
            Ok(Ok(plugin)) => {
                self.offer(plugin);
                info!(plugin = name, revision, digest, "plugin deployed");
            }
            Ok(Err(error)) => {
                error!(plugin = name, revision, %error, "a deployed plugin is not available")
            }
            Err(error) => {
                error!(plugin = name, revision, %error, "loading a deployed plugin panicked")
            }
        }
    }

    /// A plugin made of a module that somebody wants to deploy: loaded, and tried with its options. Takes
    /// milliseconds: not for an arbiter.
    pub(crate) fn prepare(
        &self,
        name: &str,
        wanted: &Wanted<'_>,
    ) -> Result<Arc<Plugin>, DeployError> {
        self.check_name(name)?;
        let plugin = self.load(name, wanted)?;
        plugin
            .check_own_config(self.engine())
            .map_err(SlotError::from)?;
        Ok(plugin)
    }

    /// The same, whatever the name, and not tried.
    pub(crate) fn load(&self, name: &str, wanted: &Wanted<'_>) -> Result<Arc<Plugin>, DeployError> {
        let module = self.engine().load(wanted.module)?;
        let limits = limits(module.kind(), wanted.limits)?;
        let options: Vec<(String, String)> = wanted.options.clone().into_iter().collect();
        let plugin = Plugin::new(name, module, PluginSource::Deployed)
            .with_options(&options)
            .with_limits(limits)
            .with_fallback(self.fallback(name, wanted.fallback)?);
        Ok(Arc::new(plugin))
    }

    /// The plugin of a deployment whose module is kept.
    pub(crate) fn make(
        &self,
        name: &str,
        deployment: &Deployment,
    ) -> Result<Arc<Plugin>, DeployError> {
        self.check_name(name)?;
        let module = self.module(name, &deployment.digest)?;
        let options: Vec<(String, String)> = deployment.options.clone().into_iter().collect();
        let limits = limits(module.kind(), &deployment.limits)?;
        let plugin = Plugin::new(name, module, PluginSource::Deployed)
            .with_options(&options)
            .with_limits(limits)
            .with_fallback(self.fallback(name, deployment.fallback.as_deref())?);
        Ok(Arc::new(plugin))
    }

    /// Whether a name is free to be deployed under, or was deployed before.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), DeployError> {
        let Some(known) = self.get(name) else {
            return Ok(());
        };
        let of = match known.source() {
            PluginSource::Deployed => return Ok(()),
            PluginSource::Builtin => "that comes with the broker".to_owned(),
            PluginSource::File(path) => format!("of the manifest ({})", path.display()),
        };
        let name = name.to_owned();
        Err(DeployError::NameTaken { name, of })
    }

    /// Whether plugins that fall back to this one could go on to do so.
    pub(crate) fn check_dependents(&self, plugin: &Plugin) -> Result<(), DeployError> {
        if plugin.kind() == PluginKind::Partitioner && plugin.fallback().is_none() {
            return Ok(());
        }
        let offered = self.offered();
        let falls_back = |other: &&Arc<Plugin>| {
            let fallback = other.fallback();
            fallback.is_some_and(|fallback| fallback.name() == plugin.name())
        };
        match offered.plugins().find(falls_back) {
            None => Ok(()),
            Some(by) => Err(DeployError::NeededAsFallback {
                name: plugin.name().to_owned(),
                by: by.name().to_owned(),
            }),
        }
    }

    /// The plugin that is to step in for another of its kind.
    pub(crate) fn fallback(
        &self,
        of: &str,
        fallback: Option<&str>,
    ) -> Result<Option<Arc<Plugin>>, DeployError> {
        let Some(fallback) = fallback else {
            return Ok(None);
        };
        let bad = |problem| {
            let fallback = fallback.to_owned();
            Err(DeployError::Fallback { fallback, problem })
        };
        match self.get(fallback) {
            _ if fallback == of => bad("is the plugin itself"),
            None => bad("is not installed"),
            Some(plugin) if plugin.fallback().is_some() => {
                bad("has a fallback itself; a fallback stands alone")
            }
            Some(plugin) if plugin.kind() != PluginKind::Partitioner => {
                bad("is no partitioner: only partitioners have a fallback")
            }
            Some(plugin) => Ok(Some(plugin)),
        }
    }
}

/// The limits of a deployment: what it says, and otherwise the defaults of its kind.
pub(crate) fn limits(kind: PluginKind, asked: &DeploymentLimits) -> Result<Limits, LimitError> {
    let settings = LimitSettings {
        deadline: asked.deadline_ms.map(Duration::from_millis),
        memory_bytes: asked.memory_bytes,
        output_bytes: asked.output_bytes,
        budget: asked.budget_ms.map(Duration::from_millis),
    };
    Limits::with_settings(kind, &settings)
}
