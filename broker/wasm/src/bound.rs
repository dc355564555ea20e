//! A plugin bound to one topic on one thread, whatever its kind: one instance that lives on from call to
//! call, a new one after every failure, the counters, and the plugin's suspension there. The kinds are thin
//! layers over it that put the question and check the answer.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use wasmtime::Store;
use wasmtime::component::ResourceAny;

use crate::abi::Config;
use crate::engine::PluginEngine;
use crate::guest::{Cost, Guest, Running, StartError};
use crate::plugin::Plugin;
use crate::plugin_error::{PluginError, PluginErrorKind};
use crate::plugin_log::clean;
use crate::sandbox::Sandbox;

pub(crate) struct Bound<G: Guest> {
    engine: Arc<PluginEngine>,
    plugin: Arc<Plugin>,
    topic: Arc<str>,
    options: Vec<(String, String)>,
    start: G::Start,
    running: Option<Running<G>>,
    /// Whether the question under way ended in a trap.
    trapped: bool,
    wants: Option<G::Wants>,
}

impl<G: Guest> Bound<G> {
    /// Binds a plugin to a topic without making an instance yet.
    pub(crate) fn new(
        engine: &Arc<PluginEngine>,
        plugin: &Arc<Plugin>,
        topic: &str,
        topic_options: &[(String, String)],
        start: G::Start,
    ) -> Self {
        Bound {
            engine: Arc::clone(engine),
            plugin: Arc::clone(plugin),
            topic: Arc::from(topic),
            options: plugin.options_with(topic_options),
            start,
            running: None,
            trapped: false,
            wants: None,
        }
    }

    /// The same with an instance.
    pub(crate) fn started(mut self) -> Result<Self, PluginError> {
        self.start()?;
        Ok(self)
    }

    /// Has the first instance made. A failure counts like one of a question; that the plugin is
    /// suspended is none.
    pub(crate) fn start(&mut self) -> Result<(), PluginError> {
        let started = self.ready();
        if let Err(error) = &started
            && error.kind != PluginErrorKind::Suspended
        {
            self.settle(error);
        }
        started
    }

    /// Makes an instance and drops it, whether the plugin is suspended or not. What comes of it does
    /// not count towards a suspension: a configuration that is only tried harms nobody. Nor is it the
    /// plugin's failure that it refuses one.
    pub(crate) fn try_out(mut self) -> Result<(), PluginError> {
        self.run().map_err(|Failure { error, is_trap }| {
            if is_trap {
                self.plugin.counters().add_trap();
                self.plugin.counters().add_error();
                self.plugin.on_failure(&self.topic, &error);
            }
            error
        })
    }

    pub(crate) fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// The linear memory of its instance.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.running.as_ref().map_or(0, Running::memory_bytes)
    }

    /// How the first instance wants to be called; none while there has been no instance.
    pub(crate) fn wants(&self) -> Option<G::Wants> {
        self.wants
    }

    /// Has an instance made if there is none.
    pub(crate) fn ready(&mut self) -> Result<(), PluginError> {
        if let Some(reason) = self.plugin.suspended(&self.topic) {
            // What it holds in memory is of no use any more.
            self.running = None;
            return Err(self.error(PluginErrorKind::Suspended, &reason));
        }
        self.run().map_err(|failure| self.count(failure))
    }

    /// Counts a question with so many records, its time, and whether it got a usable answer.
    pub(crate) fn counted<R>(
        &mut self,
        records: u32,
        ask: impl FnOnce(&mut Self) -> Result<R, PluginError>,
    ) -> Result<R, PluginError> {
        self.counted_if(records, |bound| ask(bound).map(Some))
            .map(|answer| answer.expect("it was not declined"))
    }

    /// The same for a question that the plugin may decline, which is then none.
    pub(crate) fn counted_if<R>(
        &mut self,
        records: u32,
        ask: impl FnOnce(&mut Self) -> Result<Option<R>, PluginError>,
    ) -> Result<Option<R>, PluginError> {
        let began = Instant::now();
        let answer = ask(self);
        if !matches!(answer, Ok(None)) {
            self.plugin.counters().add_batch(records, began.elapsed());
        }
        if let Err(error) = &answer {
            self.settle(error);
        }
        answer
    }

    /// What follows from a failure: it is counted, stands in the plugin's log, and may suspend it.
    fn settle(&mut self, error: &PluginError) {
        self.plugin.counters().add_error();
        self.plugin.on_failure(&self.topic, error);
        // A budget is used up by a large log as well as by a bad plugin, whose single calls have their
        // deadline.
        if mem::take(&mut self.trapped) && error.kind != PluginErrorKind::OverBudget {
            self.plugin.on_trap(&self.topic, error);
        }
    }

    /// One call.
    pub(crate) fn call<R>(
        &mut self,
        cost: Cost,
        call: impl FnOnce(&G, &mut Store<Sandbox>, ResourceAny) -> wasmtime::Result<R>,
    ) -> Result<R, PluginError> {
        self.ready()?;
        let mut running = self.running.take().expect("it was just made ready");
        self.plugin.counters().add_call();
        match running.call(&self.engine, cost, call) {
            Ok(answer) => {
                self.running = Some(running);
                Ok(answer)
            }
            Err(error) => {
                let mut failure = self.failure(&error, running.sandbox());
                // What has piled up in an instance may be gone in the next one.
                failure.error.retriable |=
                    failure.error.kind == PluginErrorKind::OutOfMemory && !running.is_fresh();
                Err(self.count(failure))
            }
        }
    }

    /// An answer that breaks a rule. The instance that gave it is not asked again.
    pub(crate) fn nonsense(&mut self, message: &str) -> PluginError {
        self.running = None;
        self.error(PluginErrorKind::InvalidAnswer, message)
    }

    /// The same about one row of the batch.
    pub(crate) fn nonsense_at(&mut self, row: usize, message: &str) -> PluginError {
        let record = u32::try_from(row).ok();
        PluginError {
            record,
            ..self.nonsense(message)
        }
    }

    pub(crate) fn error(&self, kind: PluginErrorKind, message: &str) -> PluginError {
        PluginError {
            plugin: self.plugin.name().to_owned(),
            version: self.plugin.version().to_owned(),
            plugin_kind: self.plugin.kind(),
            kind,
            message: clean(message),
            record: None,
            retriable: matches!(kind, PluginErrorKind::Timeout | PluginErrorKind::Suspended),
        }
    }

    fn run(&mut self) -> Result<(), Failure> {
        if self.running.is_some() {
            return Ok(());
        }
        let kind = self.plugin.kind();
        if kind != G::KIND {
            let text = format!("it is a {kind} plugin and cannot be a {}", G::KIND);
            return Err(self.error(PluginErrorKind::InvalidConfig, &text).into());
        }
        let sandbox = Sandbox::of(&self.plugin, &self.topic);
        let config = Config {
            topic: &self.topic,
            options: &self.options,
        };
        let code = self.plugin.module().code(&self.engine);
        let code = code.map_err(|reason| self.error(PluginErrorKind::InvalidConfig, reason))?;
        match Running::start(&self.engine, code, sandbox, config, self.start) {
            Ok((running, wants)) => {
                self.running = Some(running);
                self.wants.get_or_insert(wants);
                Ok(())
            }
            Err(StartError::Refused(reason)) => {
                Err(self.error(PluginErrorKind::InvalidConfig, &reason).into())
            }
            Err(StartError::Failed(error, mut sandbox)) => Err(self.failure(&error, &mut sandbox)),
        }
    }

    fn failure(&self, error: &wasmtime::Error, sandbox: &mut Sandbox) -> Failure {
        let (kind, message) = sandbox.explain(error);
        Failure {
            error: self.error(kind, &message),
            is_trap: true,
        }
    }

    fn count(&mut self, failure: Failure) -> PluginError {
        if failure.is_trap {
            self.plugin.counters().add_trap();
            self.trapped = true;
        }
        failure.error
    }
}

/// An error, and whether the guest ended in it.
struct Failure {
    error: PluginError,
    is_trap: bool,
}

impl From<PluginError> for Failure {
    fn from(error: PluginError) -> Self {
        Failure {
            error,
            is_trap: false,
        }
    }
}
