//! A partitioner plugin bound to one topic on one thread: one call per batch, one instance that lives
//! on from call to call, and a new one after every failure.
//!
//! Every answer is checked: as many partitions as records, each of them a partition of the topic. If
//! the plugin has a fallback, that one answers for a batch on which it failed.

use std::sync::Arc;
use std::time::Instant;

use crate::abi::{Batch, Columns, Config, Layout};
use crate::columns::BatchColumns;
use crate::engine::PluginEngine;
use crate::partitioner_code::{PartitionerInstance, StartError};
use crate::parts::Parts;
use crate::plugin::Plugin;
use crate::plugin_error::{PluginError, PluginErrorKind};
use crate::plugin_log::clean;
use crate::sandbox::Sandbox;

/// A partitioner plugin that serves one topic.
pub struct Partitioner {
    engine: Arc<PluginEngine>,
    plugin: Arc<Plugin>,
    topic: Arc<str>,
    options: Vec<(String, String)>,
    instance: Option<PartitionerInstance>,
    needs: Columns,
    fallback: Option<Box<Partitioner>>,
}

impl Partitioner {
    /// Binds a plugin to a topic. The topic's options go over those of the manifest; the fallback
    /// has those of the manifest alone.
    ///
    /// # Errors
    /// The plugin refuses its configuration, or fails already here.
    pub fn new(
        engine: &Arc<PluginEngine>,
        plugin: &Arc<Plugin>,
        topic: &str,
        topic_options: &[(String, String)],
    ) -> Result<Self, PluginError> {
        let fallback = plugin
            .fallback()
            .map(|fallback| Self::new(engine, fallback, topic, &[]));
        let mut partitioner = Partitioner {
            engine: Arc::clone(engine),
            plugin: Arc::clone(plugin),
            topic: Arc::from(topic),
            options: plugin.options_with(topic_options),
            instance: None,
            needs: Columns::empty(),
            fallback: fallback.transpose()?.map(Box::new),
        };
        let mut instance = partitioner.start()?;
        match instance.needs(engine) {
            Ok(needs) => partitioner.needs = needs,
            Err(error) => return Err(partitioner.failed(&error, instance.sandbox())),
        }
        partitioner.instance = Some(instance);
        Ok(partitioner)
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// The columns that a batch has to come with: what the plugin and its fallback look at.
    pub fn needs(&self) -> Columns {
        match &self.fallback {
            Some(fallback) => self.needs | fallback.needs(),
            None => self.needs,
        }
    }

    /// Asks the plugin where each record of a batch goes: one partition per record, in order.
    ///
    /// # Errors
    /// The plugin, and its fallback if it has one, gave no usable answer. The batch is to be refused.
    ///
    /// # Panics
    /// A topic without partitions, or a batch that lacks a column of [`needs`](Self::needs).
    pub fn assign(
        &mut self,
        batch: &BatchColumns<'_>,
        layout: &Layout<'_>,
    ) -> Result<Vec<u32>, PluginError> {
        assert!(layout.partitions > 0, "a topic has at least one partition");
        let began = Instant::now();
        let answer = self.call(batch, layout);
        let counters = self.plugin.counters();
        counters.add_batch(batch.records, began.elapsed());
        let Err(error) = answer else {
            return answer;
        };
        counters.add_error();
        let Some(fallback) = &mut self.fallback else {
            return Err(error);
        };
        counters.add_fallback();
        let (topic, used) = (&*self.topic, fallback.plugin.name());
        tracing::warn!(topic, fallback = used, %error, "partitioner failed, its fallback answers");
        fallback.assign(batch, layout)
    }

    /// Asks for the whole batch: in one call, unless it is too large for the guest.
    fn call(
        &mut self,
        batch: &BatchColumns<'_>,
        layout: &Layout<'_>,
    ) -> Result<Vec<u32>, PluginError> {
        let selected = batch.select(self.needs);
        let mut answer = Vec::new();
        for part in Parts::new(selected, self.plugin.limits().memory_bytes) {
            let done = answer.len();
            let sequence = layout.sequence.wrapping_add(done as u64);
            let given = self.call_part(
                part,
                Layout {
                    sequence,
                    ..*layout
                },
            );
            let given = given.map_err(|error| error.behind(done))?;
            if answer.is_empty() {
                answer = given;
            } else {
                answer.extend(given);
            }
        }
        Ok(answer)
    }

    fn call_part(&mut self, part: Batch<'_>, layout: Layout<'_>) -> Result<Vec<u32>, PluginError> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.start()?,
        };
        self.plugin.counters().add_call();
        let answer = match instance.assign(&self.engine, part, layout) {
            Ok(Ok(answer)) => self.check(answer, part.count, layout.partitions)?,
            Ok(Err(reason)) => {
                self.instance = Some(instance);
                return Err(self.error(PluginErrorKind::Rejected, &reason));
            }
            Err(error) => {
                let mut failed = self.failed(&error, instance.sandbox());
                // What has piled up in an instance may be gone in the next one.
                failed.retriable |=
                    failed.kind == PluginErrorKind::OutOfMemory && !instance.is_fresh();
                return Err(failed);
            }
        };
        self.instance = Some(instance);
        Ok(answer)
    }

    fn start(&self) -> Result<PartitionerInstance, PluginError> {
        let sandbox = Sandbox::of(&self.plugin, &self.topic);
        let config = Config {
            topic: &self.topic,
            options: &self.options,
        };
        let started = self
            .plugin
            .module()
            .code()
            .start(&self.engine, sandbox, config);
        started.map_err(|error| match error {
            StartError::Refused(reason) => self.error(PluginErrorKind::InvalidConfig, &reason),
            StartError::Failed(error, mut sandbox) => self.failed(&error, &mut sandbox),
        })
    }

    fn check(
        &self,
        answer: Vec<u32>,
        records: u32,
        partitions: u32,
    ) -> Result<Vec<u32>, PluginError> {
        let nonsense = |message: String| self.error(PluginErrorKind::InvalidAnswer, &message);
        if answer.len() != records as usize {
            let given = answer.len();
            return Err(nonsense(format!(
                "{given} partitions for {records} records"
            )));
        }
        let Some(row) = answer.iter().position(|partition| *partition >= partitions) else {
            return Ok(answer);
        };
        let partition = answer[row];
        let text = format!("partition {partition}, the topic has {partitions}");
        Err(PluginError {
            record: u32::try_from(row).ok(),
            ..nonsense(text)
        })
    }

    fn failed(&self, error: &wasmtime::Error, sandbox: &mut Sandbox) -> PluginError {
        self.plugin.counters().add_trap();
        let (kind, message) = sandbox.explain(error);
        self.error(kind, &message)
    }

    fn error(&self, kind: PluginErrorKind, message: &str) -> PluginError {
        PluginError {
            plugin: self.plugin.name().to_owned(),
            version: self.plugin.version().to_owned(),
            kind,
            message: clean(message),
            record: None,
            retriable: kind == PluginErrorKind::Timeout,
        }
    }
}
