//! A plugin as topics name it: a module with the options and limits it runs under, what it has cost so
//! far, what it has written, and whether it is suspended.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_model::{Clock, SystemClock};

use crate::abi::LogLevel;
use crate::bound::Bound;
use crate::compactor::{CompactorGuest, Environment};
use crate::counters::Counters;
use crate::engine::PluginEngine;
use crate::kind::PluginKind;
use crate::limits::Limits;
use crate::module::Module;
use crate::partitioner::PartitionerGuest;
use crate::plugin_error::{PluginError, PluginErrorKind};
use crate::plugin_log::{Origin, PluginLog};
use crate::retention::{Bounds, RetentionGuest};
use crate::serializer::SerializerGuest;
use crate::stand_ins::StandIns;
use crate::suspension::{PluginState, Suspension};

/// Where a plugin's module comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginSource {
    /// It is part of the broker's binary.
    Builtin,
    /// It was read from a file that the manifest names.
    File(PathBuf),
    /// It was given to the running broker.
    Deployed,
}

/// A module with a name and a configuration.
pub struct Plugin {
    name: String,
    module: Module,
    options: Vec<(String, String)>,
    limits: Limits,
    fallback: Option<Arc<Plugin>>,
    source: PluginSource,
    counters: Counters,
    log: PluginLog,
    stand_ins: StandIns,
    suspension: Mutex<Suspension>,
    /// Whether it is suspended for any topic, for every call to see without the lock.
    is_suspended: AtomicBool,
    clock: Arc<dyn Clock>,
}

impl Plugin {
    /// A plugin with the default limits of its kind, without options and without a fallback.
    pub fn new(name: &str, module: Module, source: PluginSource) -> Self {
        Plugin {
            name: name.to_owned(),
            options: Vec::new(),
            limits: Limits::default_for(module.kind()),
            module,
            fallback: None,
            source,
            counters: Counters::default(),
            log: PluginLog::default(),
            stand_ins: StandIns::default(),
            suspension: Mutex::default(),
            is_suspended: AtomicBool::new(false),
            clock: Arc::new(SystemClock::new()),
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

    /// The same plugin with one that answers where it fails: both are partitioners.
    #[must_use]
    pub fn with_fallback(self, fallback: Option<Arc<Plugin>>) -> Self {
        Plugin { fallback, ..self }
    }

    /// The same plugin with another clock for its log and its suspension.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Plugin { clock, ..self }
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
            PluginSource::Builtin | PluginSource::Deployed => None,
            PluginSource::File(path) => Some(path),
        }
    }

    /// What it has cost so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What it has written, and what became of it.
    pub fn log(&self) -> &PluginLog {
        &self.log
    }

    /// Whether it is asked for a topic.
    pub fn state(&self, topic: &str) -> PluginState {
        self.suspension().state(topic).clone()
    }

    /// The topics for which it is not asked, the first of them with its state; in the order of their names.
    pub fn suspended_topics(&self) -> (PluginState, Vec<String>) {
        let suspension = self.suspension();
        let first = suspension.suspended().next();
        let state = first.map_or(PluginState::Active, |(_, state)| state.clone());
        let topics = suspension.suspended().map(|(topic, _)| topic.to_string());
        (state, topics.collect())
    }

    /// Ends its suspension in every topic; its traps so far are forgotten. Answers whether it was suspended.
    pub fn resume(&self) -> bool {
        self.resume_as("", Suspension::resume)
    }

    /// The same for one topic, which has given it other options.
    pub fn resume_for(&self, topic: &str) -> bool {
        self.resume_as(topic, |suspension| suspension.resume_for(topic))
    }

    fn resume_as(&self, topic: &str, resume: impl FnOnce(&mut Suspension) -> bool) -> bool {
        let was_suspended = {
            let mut suspension = self.suspension();
            let was_suspended = resume(&mut suspension);
            let is_suspended = suspension.suspended().next().is_some();
            self.is_suspended.store(is_suspended, Ordering::Release);
            was_suspended
        };
        if was_suspended {
            let (plugin, version) = (self.name(), self.version());
            tracing::info!(plugin, version, topic, "plugin resumed");
            self.log.note(self.origin(topic), LogLevel::Info, "resumed");
        }
        was_suspended
    }

    /// Tries a topic's options out by making one instance, whatever the kind. Works on a suspended
    /// plugin too, and what comes of it does not count towards a suspension.
    ///
    /// # Errors
    /// The plugin refuses the options, or fails over them.
    pub fn check_config(
        self: &Arc<Self>,
        engine: &Arc<PluginEngine>,
        topic: &str,
        topic_options: &[(String, String)],
    ) -> Result<(), PluginError> {
        match self.kind() {
            PluginKind::Partitioner => {
                Bound::<PartitionerGuest>::new(engine, self, topic, topic_options, ()).try_out()
            }
            PluginKind::Serializer => {
                Bound::<SerializerGuest>::new(engine, self, topic, topic_options, ()).try_out()
            }
            PluginKind::Retention => {
                let bounds = Bounds::default();
                Bound::<RetentionGuest>::new(engine, self, topic, topic_options, bounds).try_out()
            }
            PluginKind::Compaction => {
                let environment = Environment::of(self, self.clock.now());
                Bound::<CompactorGuest>::new(engine, self, topic, topic_options, environment)
                    .try_out()
            }
        }
    }

    /// Tries its own options out, before any topic names it. A plugin without options of its own may
    /// refuse that: which ones it needs, a topic may say.
    ///
    /// # Errors
    /// The plugin refuses the options that it has, or fails.
    pub fn check_own_config(
        self: &Arc<Self>,
        engine: &Arc<PluginEngine>,
    ) -> Result<(), PluginError> {
        match self.check_config(engine, "", &[]) {
            Err(error)
                if error.kind == PluginErrorKind::InvalidConfig && self.options.is_empty() =>
            {
                Ok(())
            }
            checked => checked,
        }
    }

    /// Why it is not to be asked for a topic.
    pub(crate) fn suspended(&self, topic: &str) -> Option<String> {
        if !self.is_suspended.load(Ordering::Acquire) {
            return None;
        }
        match self.suspension().state(topic) {
            PluginState::Active => None,
            PluginState::Suspended { reason, .. } => Some(reason.clone()),
        }
    }

    /// Writes a failure into its log, so that the reason stands beside what it wrote itself. That it is
    /// suspended was said when it was.
    pub(crate) fn on_failure(&self, topic: &str, error: &PluginError) {
        let level = match error.kind {
            PluginErrorKind::Suspended => return,
            PluginErrorKind::Rejected | PluginErrorKind::InvalidConfig => LogLevel::Warn,
            _ => LogLevel::Error,
        };
        self.log.write_failure(self.origin(topic), level, error);
    }

    /// Counts a trap; the one that is too many suspends the plugin for the topic.
    pub(crate) fn on_trap(&self, topic: &Arc<str>, error: &PluginError) {
        let last = format!("{}: {}", error.kind, error.message);
        let at = (self.clock.monotonic(), self.clock.now());
        {
            let mut suspension = self.suspension();
            if !suspension.on_trap(topic, at, &last) {
                return;
            }
            self.is_suspended.store(true, Ordering::Release);
        }
        self.counters.add_suspension();
        let (plugin, version, kind) = (self.name(), self.version(), self.kind());
        let consequence = match &self.fallback {
            Some(fallback) => format!("{} answers in its place", fallback.name()),
            None => kind.without().to_owned(),
        };
        let topic: &str = topic;
        let reason = self.suspended(topic).unwrap_or_default();
        tracing::warn!(
            plugin,
            version,
            %kind,
            topic,
            reason,
            consequence,
            "plugin suspended for the topic, until `broker plugin resume`"
        );
        let text = format!("suspended, {consequence}: {reason}");
        self.log.note(self.origin(topic), LogLevel::Error, &text);
    }

    /// Counts a batch that its fallback answers for, and tells it now and then. That it is suspended was said
    /// when it was.
    pub(crate) fn on_stand_in(&self, topic: &str, fallback: &str, error: &PluginError) {
        self.counters.add_fallback();
        if error.kind == PluginErrorKind::Suspended {
            return;
        }
        if let Some(batches) = self.stand_ins.happened(topic, self.clock.monotonic()) {
            tracing::warn!(topic, fallback, batches, %error, "partitioner failed, its fallback answers; told once a minute while it goes on");
        }
    }

    pub(crate) fn write_log(&self, topic: &str, level: LogLevel, text: &str) {
        self.log.write(self.origin(topic), level, text);
    }

    fn origin<'a>(&'a self, topic: &'a str) -> Origin<'a> {
        Origin {
            plugin: &self.name,
            topic,
            clock: &*self.clock,
        }
    }

    fn suspension(&self) -> MutexGuard<'_, Suspension> {
        self.suspension
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("module", &self.module)
            .field("options", &self.options)
            .field("limits", &self.limits)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
