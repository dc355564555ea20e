//! The events that the code under test gives to `tracing`, as text.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// Collects events as text.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    /// Runs code on this thread and collects what it says.
    pub(crate) fn of(run: impl FnOnce()) -> Vec<String> {
        // While there is only one collector, tracing asks the thread that comes to a place in the code
        // first, which may be another test's, whether anybody listens there. With two it asks both.
        static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Events::default()));
        LazyLock::force(&SECOND);
        let events = Events::default();
        tracing::subscriber::with_default(events.clone(), run);
        events.texts()
    }

    /// What came so far.
    fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Subscriber for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("broker_wasm")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        span::Id::from_u64(NEXT.fetch_add(1, Ordering::Relaxed) as u64)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0 += &format!("{field}={value} ");
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}
