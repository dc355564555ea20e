//! A plugin as topics name it: a module with the options and limits it runs under, and what it has
//! cost so far.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::counters::Counters;
use crate::kind::PluginKind;
use crate::limits::Limits;
use crate::module::Module;
use crate::plugin_log::LogBudget;

/// Where a plugin's module comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginSource {
    /// It is part of the broker's binary.
    Builtin,
    /// It was read from a file that the manifest names.
    File(PathBuf),
}

/// A module with a name and a configuration.
#[derive(Debug)]
pub struct Plugin {
    name: String,
    module: Module,
    options: Vec<(String, String)>,
    limits: Limits,
    fallback: Option<Arc<Plugin>>,
    source: PluginSource,
    counters: Counters,
    log_budget: LogBudget,
}

impl Plugin {
    /// A plugin with default limits, without options and without a fallback.
    pub fn new(name: &str, module: Module, source: PluginSource) -> Self {
        Plugin {
            name: name.to_owned(),
            module,
            options: Vec::new(),
            limits: Limits::default(),
            fallback: None,
            source,
            counters: Counters::default(),
            log_budget: LogBudget::default(),
        }
    }

    /// The same plugin with options.
    #[must_use]
    pub fn with_options(mut self, options: &[(String, String)]) -> Self {
        self.options = self.options_with(options);
        self
    }

    /// The same plugin with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Plugin { limits, ..self }
    }

    /// The same plugin with one that answers where it fails; has to be of the same kind.
    #[must_use]
    pub fn with_fallback(self, fallback: Option<Arc<Plugin>>) -> Self {
        Plugin { fallback, ..self }
    }

    /// The name by which topics ask for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version of the crate it was built from; `unversioned` where the module does not say.
    pub fn version(&self) -> &str {
        self.module.version().unwrap_or("unversioned")
    }

    /// What it decides.
    pub fn kind(&self) -> PluginKind {
        self.module.kind()
    }

    /// Its code.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Its options as the manifest sets them, sorted by name.
    pub fn options(&self) -> &[(String, String)] {
        &self.options
    }

    /// What one call may cost.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The plugin that answers where this one fails.
    pub fn fallback(&self) -> Option<&Arc<Plugin>> {
        self.fallback.as_ref()
    }

    /// Where its module comes from.
    pub fn source(&self) -> &PluginSource {
        &self.source
    }

    /// The file that it was read from.
    pub fn path(&self) -> Option<&Path> {
        match &self.source {
            PluginSource::Builtin => None,
            PluginSource::File(path) => Some(path),
        }
    }

    /// What it has cost so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn log_budget(&self) -> &LogBudget {
        &self.log_budget
    }

    /// Its own options with those of a topic over them.
    pub(crate) fn options_with(&self, topic_options: &[(String, String)]) -> Vec<(String, String)> {
        let mut options = self.options.clone();
        for (name, value) in topic_options {
            match options.iter_mut().find(|(known, _)| known == name) {
                Some((_, old)) => old.clone_from(value),
                None => options.push((name.clone(), value.clone())),
            }
        }
        options.sort();
        options
    }
}
