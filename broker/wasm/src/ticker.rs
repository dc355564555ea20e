//! The thread that moves the engine's epoch once a millisecond, by which a guest that does not come
//! back is interrupted.
//!
//! It sleeps while no plugin has been called for a while, so that an idle broker is really idle; the
//! first call afterwards wakes it. It ends when the engine is dropped.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// One step of the epoch.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// Ticks without a call after which the thread parks.
const IDLE_TICKS_MAX: u32 = 1_000;

pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

struct Shared {
    calls_begun: AtomicU64,
    calls_ended: AtomicU64,
    parked: AtomicBool,
    stopped: AtomicBool,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            calls_begun: AtomicU64::new(0),
            calls_ended: AtomicU64::new(0),
            parked: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let (engine, of_thread) = (engine.clone(), Arc::downgrade(&shared));
        let builder = thread::Builder::new().name("plugin-ticker".to_owned());
        let thread = builder.spawn(move || {
            let mut idle = Idle::default();
            while tick(&of_thread, &mut idle) {
                engine.increment_epoch();
            }
        })?;
        Ok(Ticker {
            shared,
            thread: thread.thread().clone(),
        })
    }

    /// Marks a call as under way until the guard is dropped, and sees to it that the thread ticks.
    pub(crate) fn call(&self) -> CallGuard<'_> {
        self.shared.calls_begun.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        CallGuard(&self.shared)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

pub(crate) struct CallGuard<'a>(&'a Shared);

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.0.calls_ended.fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct Idle {
    calls_seen: u64,
    ticks: u32,
}

/// Waits for the next tick; `false` when the ticker is gone.
fn tick(shared: &Weak<Shared>, idle: &mut Idle) -> bool {
    thread::sleep(TICK);
    let Some(shared) = shared.upgrade() else {
        return false;
    };
    let begun = shared.calls_begun.load(Ordering::SeqCst);
    let under_way = begun != shared.calls_ended.load(Ordering::SeqCst);
    if under_way || begun != idle.calls_seen {
        *idle = Idle {
            calls_seen: begun,
            ticks: 0,
        };
        return true;
    }
    idle.ticks += 1;
    if idle.ticks < IDLE_TICKS_MAX {
        return true;
    }
    shared.parked.store(true, Ordering::SeqCst);
    // A call that began before it could see `parked` is seen here; one that begins later unparks.
    while shared.calls_begun.load(Ordering::SeqCst) == begun
        && !shared.stopped.load(Ordering::SeqCst)
    {
        thread::park();
    }
    shared.parked.store(false, Ordering::SeqCst);
    idle.ticks = 0;
    !shared.stopped.load(Ordering::SeqCst)
}
