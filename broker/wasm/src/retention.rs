//! A retention plugin bound to one topic on one thread: how many of a partition's oldest segments may go.
//!
//! It is given sealed segments below the high watermark and answers a number of them, so that it can
//! neither leave a hole nor take what is being written. Whatever goes wrong, nothing goes.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{ComponentType, Lower, ResourceAny, TypedFunc};

use crate::abi::{self, Config};
use crate::bound::Bound;
use crate::engine::PluginEngine;
use crate::guest::{Constructed, Cost, Exports, Guest};
use crate::kind::PluginKind;
use crate::plugin::Plugin;
use crate::plugin_error::PluginError;
use crate::sandbox::Sandbox;

/// Most segments of one call. A log with more is asked about in parts: if all of the oldest may go, then
/// about the next as if those were gone.
const SEGMENTS_PER_CALL_MAX: usize = 1_024;

/// What the topic's configuration says about how much to keep; `None` for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Bounds {
    /// `retention.ms`, in milliseconds.
    #[component(name = "retention-ms")]
    pub retention_ms: Option<u64>,
    /// `retention.bytes`.
    #[component(name = "retention-bytes")]
    pub retention_bytes: Option<u64>,
}

/// A sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct SegmentFacts {
    /// The offset that it begins with.
    #[component(name = "base-offset")]
    pub base_offset: u64,
    /// The offset that the next one begins with.
    #[component(name = "next-offset")]
    pub next_offset: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The largest timestamp of its records, in milliseconds since the Unix epoch.
    #[component(name = "max-timestamp-ms")]
    pub max_timestamp_ms: i64,
}

/// A partition's log as a retention policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct RetentionView<'a> {
    /// The time, in milliseconds since the Unix epoch.
    #[component(name = "now-ms")]
    pub now_ms: i64,
    /// The high watermark.
    #[component(name = "high-watermark")]
    pub high_watermark: u64,
    /// The first offset that can be read.
    #[component(name = "log-start")]
    pub log_start: u64,
    /// The offset that the next record gets.
    #[component(name = "log-end")]
    pub log_end: u64,
    /// Bytes of the whole log, the segment that is being written included.
    #[component(name = "log-bytes")]
    pub log_bytes: u64,
    /// Sealed segments below the high watermark only, oldest first.
    pub segments: &'a [SegmentFacts],
}

/// A retention plugin that serves one topic.
pub struct Retention(Bound<RetentionGuest>);

impl Retention {
    /// Binds a plugin to a topic. The topic's options go over those of the plugin.
    ///
    /// # Errors
    /// The plugin refuses its configuration, fails already here, or is suspended.
    pub fn new(
        engine: &Arc<PluginEngine>,
        plugin: &Arc<Plugin>,
        topic: &str,
        topic_options: &[(String, String)],
        bounds: Bounds,
    ) -> Result<Self, PluginError> {
        let bound = Bound::new(engine, plugin, topic, topic_options, bounds);
        bound.started().map(Retention)
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin> {
        self.0.plugin()
    }

    /// The linear memory that its instance has taken, in bytes; it never gives any back.
    pub fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }

    /// How many of the oldest segments may go.
    ///
    /// # Errors
    /// The plugin gave no usable answer, such as more segments than there are: everything is to be
    /// kept. It can be called again.
    pub fn expired(&mut self, view: &RetentionView<'_>) -> Result<u32, PluginError> {
        let segments = u32::try_from(view.segments.len()).unwrap_or(u32::MAX);
        self.0.counted(segments, |bound| expired(bound, *view))
    }
}

fn expired(
    bound: &mut Bound<RetentionGuest>,
    mut view: RetentionView<'_>,
) -> Result<u32, PluginError> {
    let mut expired = 0;
    let mut rest = view.segments;
    loop {
        let (part, behind) = rest.split_at(rest.len().min(SEGMENTS_PER_CALL_MAX));
        view.segments = part;
        let of_part = bound.call(Cost::SMALL, |guest, store, resource| {
            let (expired,) = guest.expired.call(store, (resource, view))?;
            Ok(expired)
        })?;
        let given = u32::try_from(part.len()).unwrap_or(u32::MAX);
        if of_part > given {
            return Err(bound.nonsense(&format!("{of_part} segments may go, there are {given}")));
        }
        expired += of_part;
        if of_part < given || behind.is_empty() {
            return Ok(expired);
        }
        view.log_start = behind
            .first()
            .map_or(view.log_start, |next| next.base_offset);
        let gone = part.iter().map(|segment| segment.bytes);
        view.log_bytes = view.log_bytes.saturating_sub(gone.sum());
        rest = behind;
    }
}

/// The functions of a retention policy.
pub(crate) struct RetentionGuest {
    construct: TypedFunc<(Config<'static>, Bounds), abi::Constructed>,
    expired: TypedFunc<(ResourceAny, RetentionView<'static>), (u32,)>,
}

impl Guest for RetentionGuest {
    const KIND: PluginKind = PluginKind::Retention;
    type Start = Bounds;
    type Wants = ();

    fn find(exports: &mut Exports<'_>) -> wasmtime::Result<Self> {
        Ok(RetentionGuest {
            construct: exports.typed("[constructor]retention-policy")?,
            expired: exports.typed("[method]retention-policy.expired")?,
        })
    }

    fn construct(
        &self,
        store: &mut Store<Sandbox>,
        config: Config<'_>,
        bounds: Bounds,
    ) -> wasmtime::Result<Result<Constructed<()>, String>> {
        let (made,) = self.construct.call(store, (config, bounds))?;
        let wants = ();
        Ok(made.map(|resource| Constructed { resource, wants }))
    }
}
