//! What surrounds one instance of a plugin: its memory limit, its processor time, its log. Lives in
//! the instance's store and goes with it.

use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{ResourceLimiter, Trap, UpdateDeadline};

use crate::abi::LogLevel;
use crate::limits::Limits;
use crate::plugin::Plugin;
use crate::plugin_error::PluginErrorKind;
use crate::plugin_log::clean;
use crate::ticker::TICK;

/// Elements that a guest's tables may have in all; a table holds its indirect functions.
const TABLE_ELEMENTS_MAX: usize = 100_000;

pub(crate) struct Sandbox {
    limits: Limits,
    /// Whose instance it is; `None` while a module is tried out at load.
    plugin: Option<Arc<Plugin>>,
    topic: Arc<str>,
    /// Processor time of the thread when the running call was first seen by the ticker.
    running_since: Option<Duration>,
    memory_refused: bool,
    last_error: Option<String>,
}

/// Ends a call that used up its processor time.
#[derive(Debug, thiserror::Error)]
#[error("deadline exceeded")]
struct DeadlineExceeded;

/// Ends a call that wants more memory than the limit.
#[derive(Debug, thiserror::Error)]
#[error("memory limit exceeded")]
struct MemoryRefused;

impl Sandbox {
    pub(crate) fn of(plugin: &Arc<Plugin>, topic: &Arc<str>) -> Self {
        Sandbox::with(plugin.limits(), Some(Arc::clone(plugin)), Arc::clone(topic))
    }

    /// For trying out a module that is not a plugin yet.
    pub(crate) fn trial() -> Self {
        Sandbox::with(Limits::default(), None, Arc::from(""))
    }

    fn with(limits: Limits, plugin: Option<Arc<Plugin>>, topic: Arc<str>) -> Self {
        Sandbox {
            limits,
            plugin,
            topic,
            running_since: None,
            memory_refused: false,
            last_error: None,
        }
    }

    pub(crate) fn begin_call(&mut self) {
        self.running_since = None;
        self.last_error = None;
    }

    /// Runs at each tick that finds a call under way. A guest that a busy machine does not let run
    /// is given its time: only the thread's own processor time counts.
    pub(crate) fn on_tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let now = thread_time();
        let since = *self.running_since.get_or_insert(now);
        if now.saturating_sub(since) + TICK > self.limits.deadline {
            return Err(DeadlineExceeded.into());
        }
        Ok(UpdateDeadline::Continue(1))
    }

    pub(crate) fn write_log(&mut self, level: LogLevel, message: &str) {
        let text = clean(message);
        if let Some(plugin) = &self.plugin {
            plugin
                .log_budget()
                .write(plugin.name(), &self.topic, level, &text);
        }
        if level == LogLevel::Error {
            self.last_error = Some(text);
        }
    }

    /// Why a call ended with `error`, and in which words.
    pub(crate) fn explain(&mut self, error: &wasmtime::Error) -> (PluginErrorKind, String) {
        if error.is::<DeadlineExceeded>() {
            let deadline = self.limits.deadline;
            let text = format!("used more than {deadline:?} of processor time for one call");
            return (PluginErrorKind::Timeout, text);
        }
        if self.memory_refused {
            let limit = self.limits.memory_bytes;
            let text = format!("wanted more than its limit of {limit} bytes");
            return (PluginErrorKind::OutOfMemory, text);
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            // The SDK's panic hook has written the panic's text just before.
            let text = self
                .last_error
                .take()
                .unwrap_or_else(|| clean(&trap.to_string()));
            return (PluginErrorKind::Trapped, text);
        }
        // The host could not read the answer: too long, not UTF-8, outside the guest's memory.
        (PluginErrorKind::InvalidAnswer, clean(&error.to_string()))
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl ResourceLimiter for Sandbox {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.limits.memory_bytes {
            self.memory_refused = true;
            return Err(MemoryRefused.into());
        }
        if let Some(plugin) = &self.plugin {
            plugin.counters().see_memory(desired);
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS_MAX {
            self.memory_refused = true;
            return Err(MemoryRefused.into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        16
    }

    fn tables(&self) -> usize {
        16
    }

    fn memories(&self) -> usize {
        1
    }
}
