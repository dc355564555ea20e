//! A partitioner plugin bound to one topic on one thread: which partition each record of a batch goes to.
//!
//! Every answer is checked: as many partitions as records, each of them a partition of the topic. If
//! the plugin has a fallback, that one answers for a batch on which it failed.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{ComponentType, Lower, ResourceAny, TypedFunc};

use crate::abi::{self, Batch, Columns, Config};
use crate::bound::Bound;
use crate::columns::BatchColumns;
use crate::engine::PluginEngine;
use crate::guest::{Constructed, Cost, Exports, Guest};
use crate::kind::PluginKind;
use crate::parts::{Part, PartSize, Parts};
use crate::plugin::Plugin;
use crate::plugin_error::{PluginError, PluginErrorKind};
use crate::sandbox::Sandbox;

/// How a topic's partitions lie when a batch is routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Layout<'a> {
    /// How many partitions the topic has now; never 0.
    pub partitions: u32,
    /// The topic's partition count at creation and after each growth, newest last.
    pub counts: &'a [u32],
    /// How many records this broker has routed for the topic before this batch.
    pub sequence: u64,
    /// How many batches this broker has routed for the topic before this one.
    pub batches: u64,
}

/// A partitioner plugin that serves one topic.
pub struct Partitioner {
    bound: Bound<PartitionerGuest>,
    fallback: Option<Box<Partitioner>>,
    /// Whether it wants to see batches without keys as any others.
    declines_keyless: bool,
}

impl Partitioner {
    /// Binds a plugin to a topic. The topic's options go over those of the manifest; the fallback
    /// has those of the manifest alone. A suspended plugin can be bound if it has a fallback.
    ///
    /// # Errors
    /// The plugin refuses its configuration, fails already here, or is suspended.
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
            bound: Bound::new(engine, plugin, topic, topic_options, ()),
            fallback: fallback.transpose()?.map(Box::new),
            declines_keyless: false,
        };
        match partitioner.bound.start() {
            Err(error)
                if error.kind == PluginErrorKind::Suspended && partitioner.fallback.is_some() => {}
            started => started?,
        }
        Ok(partitioner)
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin> {
        self.bound.plugin()
    }

    /// The linear memory that its instance has taken, and that of its fallback's, in bytes; they never give any back.
    pub fn memory_bytes(&self) -> usize {
        let fallback = self.fallback.as_ref();
        self.bound.memory_bytes() + fallback.map_or(0, |fallback| fallback.memory_bytes())
    }

    /// The columns that a batch has to come with: what the plugin and its fallback look at.
    pub fn needs(&self) -> Columns {
        let own = needs(&self.bound);
        match &self.fallback {
            Some(fallback) => own | fallback.needs(),
            None => own,
        }
    }

    /// Whether [`keyless`](Self::keyless) may know an answer. One with a fallback never does: it is asked with
    /// what the fallback may need.
    pub fn knows_keyless(&self) -> bool {
        let exported = self.bound.wants().is_some_and(|wants| wants.knows_keyless);
        exported && !self.declines_keyless && self.fallback.is_none()
    }

    /// The one partition that a batch of so many records without keys goes to, whatever else is in them;
    /// `None` if that takes [`assign`](Self::assign).
    ///
    /// # Errors
    /// The plugin gave no usable answer.
    pub fn keyless(
        &mut self,
        records: u32,
        layout: &Layout<'_>,
    ) -> Result<Option<u32>, PluginError> {
        if !self.knows_keyless() {
            return Ok(None);
        }
        let answer = self
            .bound
            .counted_if(records, |bound| ask_keyless(bound, records, *layout))?;
        self.declines_keyless = answer.is_none();
        Ok(answer)
    }

    /// The partition of each record of a batch, in order. A batch is one call, unless it has so many
    /// records or bytes that a guest could not take them; then it is given in parts.
    ///
    /// # Errors
    /// The plugin, and its fallback if it has one, gave no usable answer. The same partitioner can be
    /// called again.
    ///
    /// # Panics
    /// A topic without partitions, or a batch that lacks a column of [`needs`](Self::needs).
    pub fn assign(
        &mut self,
        batch: &BatchColumns<'_>,
        layout: &Layout<'_>,
    ) -> Result<Vec<u32>, PluginError> {
        assert!(layout.partitions > 0, "a topic has at least one partition");
        let answer = self
            .bound
            .counted(batch.records, |bound| ask(bound, batch, layout));
        let (Err(error), Some(fallback)) = (&answer, &mut self.fallback) else {
            return answer;
        };
        let used = fallback.plugin().name();
        let (plugin, topic) = (self.bound.plugin(), self.bound.topic());
        plugin.on_stand_in(topic, used, error);
        fallback.assign(batch, layout)
    }
}

/// The columns that the plugin itself looks at.
fn needs(bound: &Bound<PartitionerGuest>) -> Columns {
    let wants = bound.wants();
    wants.map_or(Columns::empty(), |wants| wants.needs)
}

fn ask_keyless(
    bound: &mut Bound<PartitionerGuest>,
    records: u32,
    layout: Layout<'_>,
) -> Result<Option<u32>, PluginError> {
    let answer = bound.call(Cost::SMALL, |guest, store, resource| {
        let Some(keyless) = &guest.keyless else {
            return Ok(None);
        };
        let (answer,) = keyless.call(store, (resource, records, layout))?;
        Ok(answer)
    })?;
    match answer {
        Some(partition) if partition >= layout.partitions => {
            let text = out_of_bounds(partition, layout.partitions);
            Err(bound.nonsense(&text))
        }
        answer => Ok(answer),
    }
}

fn out_of_bounds(partition: u32, partitions: u32) -> String {
    format!("partition {partition}, the topic has {partitions}")
}

/// Asks for the whole batch: in one call, unless it is too large for the guest.
fn ask(
    bound: &mut Bound<PartitionerGuest>,
    batch: &BatchColumns<'_>,
    layout: &Layout<'_>,
) -> Result<Vec<u32>, PluginError> {
    let known = bound.wants();
    bound.ready()?;
    let needs = needs(bound);
    if known.is_none() && !batch.has(needs) {
        // Bound while it was suspended, and resumed since: its columns are known from the next batch on.
        return Err(bound.error(PluginErrorKind::Suspended, "it has just been resumed"));
    }
    let selected = batch.select(needs);
    let mut answer = Vec::new();
    for part in Parts::new(
        selected,
        PartSize::of(PluginKind::Partitioner, needs, bound.plugin().limits()),
    ) {
        let done = answer.len();
        let sequence = layout.sequence.wrapping_add(done as u64);
        let layout = Layout {
            sequence,
            ..*layout
        };
        let given = ask_part(bound, &part, layout).map_err(|error| error.behind(done))?;
        if answer.is_empty() {
            answer = given;
        } else {
            answer.extend(given);
        }
    }
    Ok(answer)
}

fn ask_part(
    bound: &mut Bound<PartitionerGuest>,
    part: &Part<'_>,
    layout: Layout<'_>,
) -> Result<Vec<u32>, PluginError> {
    let batch = part.batch;
    if let Some(problem) = &part.problem {
        let error = bound.error(PluginErrorKind::OutOfMemory, problem);
        return Err(PluginError {
            record: Some(0),
            ..error
        });
    }
    let cost = part.cost(batch.count as usize * size_of::<u32>());
    let answer = bound.call(cost, |guest, store, resource| {
        let (answer,) = guest.assign.call(store, (resource, batch, layout))?;
        Ok(answer)
    })?;
    let answer = answer.map_err(|reason| bound.error(PluginErrorKind::Rejected, &reason))?;
    if answer.len() != batch.count as usize {
        let text = format!("{} partitions for {} records", answer.len(), batch.count);
        return Err(bound.nonsense(&text));
    }
    let partitions = layout.partitions;
    let mut rows = answer.iter().enumerate();
    let Some((row, partition)) = rows.find(|(_, partition)| **partition >= partitions) else {
        return Ok(answer);
    };
    let text = out_of_bounds(*partition, partitions);
    Err(bound.nonsense_at(row, &text))
}

type Assign =
    TypedFunc<(ResourceAny, Batch<'static>, Layout<'static>), (Result<Vec<u32>, String>,)>;

type Keyless = TypedFunc<(ResourceAny, u32, Layout<'static>), (Option<u32>,)>;

/// The functions of a partitioner.
pub(crate) struct PartitionerGuest {
    construct: TypedFunc<(Config<'static>,), abi::Constructed>,
    needs: TypedFunc<(ResourceAny,), (Columns,)>,
    assign: Assign,
    keyless: Option<Keyless>,
}

/// How a partitioner wants to be called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartitionerWants {
    needs: Columns,
    knows_keyless: bool,
}

impl Guest for PartitionerGuest {
    const KIND: PluginKind = PluginKind::Partitioner;
    type Start = ();
    type Wants = PartitionerWants;

    fn find(exports: &mut Exports<'_>) -> wasmtime::Result<Self> {
        Ok(PartitionerGuest {
            construct: exports.typed("[constructor]partitioner")?,
            needs: exports.typed("[method]partitioner.needs")?,
            assign: exports.typed("[method]partitioner.assign")?,
            keyless: exports.typed_if_there("[method]partitioner.keyless")?,
        })
    }

    fn construct(
        &self,
        store: &mut Store<Sandbox>,
        config: Config<'_>,
        (): (),
    ) -> wasmtime::Result<Result<Constructed<PartitionerWants>, String>> {
        let (made,) = self.construct.call(&mut *store, (config,))?;
        let resource = match made {
            Ok(resource) => resource,
            Err(reason) => return Ok(Err(reason)),
        };
        let (needs,) = self.needs.call(store, (resource,))?;
        Ok(Ok(Constructed {
            resource,
            wants: PartitionerWants {
                needs,
                knows_keyless: self.keyless.is_some(),
            },
        }))
    }
}
