//! What surrounds one instance of a plugin: its memory limit, its processor time per call and in all,
//! its log. Lives in the instance's store and goes with it.

mod call_time;

use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{ResourceLimiter, Trap, UpdateDeadline};

use self::call_time::CallTime;
use crate::abi::LogLevel;
use crate::kind::PluginKind;
use crate::limits::Limits;
use crate::plugin::Plugin;
use crate::plugin_error::PluginErrorKind;
use crate::plugin_log::clean;

/// Elements that a guest's tables may have in all; a table holds its indirect functions.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// What wasmtime says, in words that a test holds on to, of an answer that is larger than it may be.
const ANSWER_TOO_LARGE: &str = "fuel allocated for hostcalls has been exhausted";

pub(crate) struct Sandbox {
    limits: Limits,
    /// Whose instance it is; `None` while a module is tried out at load.
    plugin: Option<Arc<Plugin>>,
    topic: Arc<str>,
    /// How many deadlines the running call may take.
    deadlines: u32,
    /// What the running call has used as far as the ticker has seen it.
    call_time: CallTime,
    /// Processor time of the thread when the running call began, where there is a budget.
    running_since: Option<Duration>,
    /// What is left of the processor time for all calls, where the kind has such a budget.
    budget_left: Option<Duration>,
    /// Of all its linear memories.
    memory_bytes: usize,
    memory_refused: bool,
    last_error: Option<String>,
}

/// Ends a call that used up its processor time.
#[derive(Debug, thiserror::Error)]
#[error("deadline exceeded")]
struct DeadlineExceeded;

/// Ends a call when the instance's budget is used up.
#[derive(Debug, thiserror::Error)]
#[error("budget exceeded")]
struct BudgetExceeded;

/// Ends a call that wants more memory than the limit.
#[derive(Debug, thiserror::Error)]
#[error("memory limit exceeded")]
struct MemoryRefused;

impl Sandbox {
    pub(crate) fn of(plugin: &Arc<Plugin>, topic: &Arc<str>) -> Self {
        Sandbox::with(plugin.limits(), Some(Arc::clone(plugin)), Arc::clone(topic))
    }

    /// For trying out a module that is not a plugin yet.
    pub(crate) fn trial(kind: PluginKind) -> Self {
        Sandbox::with(Limits::default_for(kind), None, Arc::from(""))
    }

    fn with(limits: Limits, plugin: Option<Arc<Plugin>>, topic: Arc<str>) -> Self {
        let kind = plugin.as_ref().map(|plugin| plugin.kind());
        Sandbox {
            limits,
            topic,
            deadlines: 1,
            call_time: CallTime::default(),
            running_since: None,
            budget_left: (kind == Some(PluginKind::Compaction)).then_some(limits.budget),
            memory_bytes: 0,
            memory_refused: false,
            last_error: None,
            plugin,
        }
    }

    /// Arms the limits for a call that may take so many deadlines.
    pub(crate) fn begin_call(&mut self, deadlines: u32) -> wasmtime::Result<()> {
        self.deadlines = deadlines;
        self.last_error = None;
        self.running_since = match self.budget_left {
            Some(Duration::ZERO) => return Err(BudgetExceeded.into()),
            Some(_) => Some(thread_time()),
            None => None,
        };
        self.call_time = CallTime::begun_at(self.running_since);
        Ok(())
    }

    /// Takes the call off the budget. A call that failed ends the instance and is not taken off.
    pub(crate) fn end_call(&mut self) {
        if let (Some(left), Some(since)) = (&mut self.budget_left, self.running_since) {
            *left = left.saturating_sub(thread_time().saturating_sub(since));
        }
    }

    /// Runs at each tick that finds a call under way. A guest that a busy machine does not let run
    /// is given its time: only the thread's own processor time counts.
    pub(crate) fn on_tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let used = self.call_time.look(thread_time(), self.deadline());
        if self.budget_left.is_some_and(|left| used > left) {
            return Err(BudgetExceeded.into());
        }
        if used > self.deadline() {
            return Err(DeadlineExceeded.into());
        }
        Ok(UpdateDeadline::Continue(1))
    }

    fn deadline(&self) -> Duration {
        self.limits.deadline.saturating_mul(self.deadlines)
    }

    pub(crate) fn write_log(&mut self, level: LogLevel, message: &str) {
        let text = clean(message);
        if let Some(plugin) = &self.plugin {
            plugin.write_log(&self.topic, level, &text);
        }
        if level == LogLevel::Error {
            self.last_error = Some(text);
        }
    }

    /// The linear memory that the instance has; it never has less again.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Why a call ended with `error`, and in which words.
    pub(crate) fn explain(&mut self, error: &wasmtime::Error) -> (PluginErrorKind, String) {
        if error.is::<DeadlineExceeded>() {
            let deadline = self.deadline();
            let text = format!("used more than {deadline:?} of processor time for one call");
            return (PluginErrorKind::Timeout, text);
        }
        if error.is::<BudgetExceeded>() {
            let budget = self.limits.budget;
            let text = format!("used more than {budget:?} of processor time for one cleaning");
            return (PluginErrorKind::OverBudget, text);
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
        let text = error.to_string();
        let text = match text.contains(ANSWER_TOO_LARGE) {
            true => "more bytes than an answer, its refusals and log lines may have".to_owned(),
            false => clean(&text),
        };
        (PluginErrorKind::InvalidAnswer, text)
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl ResourceLimiter for Sandbox {
    fn memory_growing(
        &mut self,
        current: usize,
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
        self.memory_bytes += desired.saturating_sub(current);
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
