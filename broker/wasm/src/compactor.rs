//! A compaction plugin at work on one cleaning of one partition: it looks at the new records first, or at
//! the whole log if it asks for that, and then says which of all records stay.
//!
//! One instance makes one cleaning, since what it saw in the first pass is in its memory. So a failure
//! ends the cleaning, in which case everything is kept. All calls share one budget of processor time.

use std::sync::Arc;

use broker_model::Timestamp;
use wasmtime::Store;
use wasmtime::component::{ComponentType, Lift, Lower, ResourceAny, TypedFunc};

use crate::abi::{self, Batch, Columns, Config};
use crate::bitmap;
use crate::bound::Bound;
use crate::columns::BatchColumns;
use crate::engine::PluginEngine;
use crate::guest::{Constructed, Exports, Guest};
use crate::kind::PluginKind;
use crate::parts::{Part, PartSize, Parts};
use crate::plugin::Plugin;
use crate::plugin_error::{PluginError, PluginErrorKind};
use crate::sandbox::Sandbox;

/// A compaction plugin in one cleaning.
pub struct Compactor {
    bound: Bound<CompactorGuest>,
    failed: Option<PluginError>,
}

impl Compactor {
    /// Makes an instance for a cleaning that begins at `now_ms`. The topic's options go over those of
    /// the plugin.
    ///
    /// # Errors
    /// The plugin refuses its configuration, fails already here, or is suspended.
    pub fn new(
        engine: &Arc<PluginEngine>,
        plugin: &Arc<Plugin>,
        topic: &str,
        topic_options: &[(String, String)],
        now_ms: i64,
    ) -> Result<Self, PluginError> {
        let environment = Environment::of(plugin, Timestamp::from_millis(now_ms));
        let bound = Bound::new(engine, plugin, topic, topic_options, environment);
        Ok(Compactor {
            bound: bound.started()?,
            failed: None,
        })
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin> {
        self.bound.plugin()
    }

    /// The columns that batches have to come with.
    pub fn needs(&self) -> Columns {
        needs(&self.bound)
    }

    /// What the first pass has to show it.
    pub fn scope(&self) -> Scope {
        let wants = self.bound.wants();
        wants.map_or(Scope::NewRecords, |wants| wants.scope)
    }

    /// First pass: shows the plugin the next records. Answers how many it took in; if these are not
    /// all, its memory is full and the pass ends there.
    ///
    /// # Errors
    /// The plugin gave no usable answer: the cleaning is over and everything is kept. Every later call
    /// answers the same error.
    ///
    /// # Panics
    /// The batch lacks a column of [`needs`](Self::needs).
    pub fn observe(&mut self, batch: &BatchColumns<'_>) -> Result<u32, PluginError> {
        self.ask(batch, observe)
    }

    /// Second pass: which of the next records stay. `keep` is cleared and gets a bit for each, the
    /// least significant first.
    ///
    /// # Errors
    /// As with [`observe`](Self::observe); `keep` is empty.
    ///
    /// # Panics
    /// The batch lacks a column of [`needs`](Self::needs).
    pub fn retain(
        &mut self,
        batch: &BatchColumns<'_>,
        keep: &mut Vec<u8>,
    ) -> Result<(), PluginError> {
        keep.clear();
        let retained = self.ask(batch, |bound, batch| retain(bound, batch, keep));
        if retained.is_err() {
            keep.clear();
        }
        retained
    }

    fn ask<R>(
        &mut self,
        batch: &BatchColumns<'_>,
        ask: impl FnOnce(&mut Bound<CompactorGuest>, Batch<'_>) -> Result<R, PluginError>,
    ) -> Result<R, PluginError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let selected = batch.select(self.needs());
        let answer = self
            .bound
            .counted(batch.records, |bound| ask(bound, selected));
        if let Err(error) = &answer {
            self.failed = Some(error.clone());
        }
        answer
    }
}

fn needs(bound: &Bound<CompactorGuest>) -> Columns {
    let wants = bound.wants();
    wants.map_or(Columns::empty(), |wants| wants.needs)
}

fn parts<'a>(bound: &Bound<CompactorGuest>, batch: Batch<'a>) -> Parts<'a> {
    let (needs, limits) = (needs(bound), bound.plugin().limits());
    Parts::new(batch, PartSize::of(PluginKind::Compaction, needs, limits))
}

fn observe(bound: &mut Bound<CompactorGuest>, batch: Batch<'_>) -> Result<u32, PluginError> {
    let mut observed = 0;
    for part in parts(bound, batch) {
        let (given, taken) = (part.batch.count, observe_part(bound, &part)?);
        observed += taken;
        if taken < given {
            break;
        }
    }
    Ok(observed)
}

fn observe_part(bound: &mut Bound<CompactorGuest>, part: &Part<'_>) -> Result<u32, PluginError> {
    refuse_oversized(bound, part)?;
    let (batch, given) = (part.batch, part.batch.count);
    let taken = bound.call(part.cost(0), |guest, store, resource| {
        let (taken,) = guest.observe.call(store, (resource, batch))?;
        Ok(taken)
    })?;
    if taken > given {
        return Err(bound.nonsense(&format!("it took in {taken} records of {given}")));
    }
    Ok(taken)
}

fn retain(
    bound: &mut Bound<CompactorGuest>,
    batch: Batch<'_>,
    keep: &mut Vec<u8>,
) -> Result<(), PluginError> {
    let mut done = 0;
    for part in parts(bound, batch) {
        refuse_oversized(bound, &part)?;
        let (batch, records) = (part.batch, part.batch.count as usize);
        let bits = bound.call(part.cost(records.div_ceil(8)), |guest, store, resource| {
            let (bits,) = guest.retain.call(store, (resource, batch))?;
            Ok(bits)
        })?;
        if let Some(problem) = bitmap::problem(&bits, records) {
            return Err(bound.nonsense(&problem));
        }
        bitmap::append(keep, done, &bits);
        done += records;
        bitmap::trim(keep, done);
    }
    Ok(())
}

fn refuse_oversized(bound: &Bound<CompactorGuest>, part: &Part<'_>) -> Result<(), PluginError> {
    match &part.problem {
        Some(problem) => Err(bound.error(PluginErrorKind::OutOfMemory, problem)),
        None => Ok(()),
    }
}

/// What the first pass of a cleaning shows a compaction plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "a guest's scope is made by Lift")]
pub enum Scope {
    /// What no cleaning has covered.
    #[component(name = "new-records")]
    NewRecords,
    /// Everything from the log's start on.
    #[component(name = "whole-log")]
    WholeLog,
}

/// How a compactor wants to be called.
#[derive(Clone, Copy)]
pub(crate) struct Wants {
    needs: Columns,
    scope: Scope,
}

/// What one cleaning is made under.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Environment {
    #[component(name = "now-ms")]
    now_ms: i64,
    #[component(name = "memory-bytes")]
    memory_bytes: u64,
}

impl Environment {
    pub(crate) fn of(plugin: &Plugin, now: Timestamp) -> Self {
        Environment {
            now_ms: now.as_millis(),
            memory_bytes: plugin.limits().memory_bytes as u64,
        }
    }
}

/// The functions of a compactor.
pub(crate) struct CompactorGuest {
    construct: TypedFunc<(Config<'static>, Environment), abi::Constructed>,
    needs: TypedFunc<(ResourceAny,), (Columns,)>,
    scope: TypedFunc<(ResourceAny,), (Scope,)>,
    observe: TypedFunc<(ResourceAny, Batch<'static>), (u32,)>,
    retain: TypedFunc<(ResourceAny, Batch<'static>), (Vec<u8>,)>,
}

impl Guest for CompactorGuest {
    const KIND: PluginKind = PluginKind::Compaction;
    type Start = Environment;
    type Wants = Wants;

    fn find(exports: &mut Exports<'_>) -> wasmtime::Result<Self> {
        Ok(CompactorGuest {
            construct: exports.typed("[constructor]compactor")?,
            needs: exports.typed("[method]compactor.needs")?,
            scope: exports.typed("[method]compactor.scope")?,
            observe: exports.typed("[method]compactor.observe")?,
            retain: exports.typed("[method]compactor.retain")?,
        })
    }

    fn construct(
        &self,
        store: &mut Store<Sandbox>,
        config: Config<'_>,
        environment: Environment,
    ) -> wasmtime::Result<Result<Constructed<Wants>, String>> {
        let (made,) = self.construct.call(&mut *store, (config, environment))?;
        let resource = match made {
            Ok(resource) => resource,
            Err(reason) => return Ok(Err(reason)),
        };
        let (needs,) = self.needs.call(&mut *store, (resource,))?;
        let (scope,) = self.scope.call(store, (resource,))?;
        let wants = Wants { needs, scope };
        Ok(Ok(Constructed { resource, wants }))
    }
}
