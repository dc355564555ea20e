//! `DeathNotice`: how a parent hears that a child actor panicked. actix drops an actor whose handler
//! panics and tells nobody, and its `Supervisor` does not help; so every actor carries a notice
//! that goes out when the actor is dropped without having been told to end.

/// Calls back when dropped, unless defused.
pub(crate) struct DeathNotice(Option<Box<dyn FnOnce() + Send>>);

impl DeathNotice {
    /// `on_death` runs on the thread the actor died on.
    pub(crate) fn new(on_death: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(on_death)))
    }

    /// The end that follows is meant.
    pub(crate) fn defuse(&mut self) {
        self.0 = None;
    }
}

impl Drop for DeathNotice {
    fn drop(&mut self) {
        if let Some(on_death) = self.0.take() {
            on_death();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn dies_noticed(defuse: bool) -> bool {
        let noticed = Arc::new(AtomicBool::new(false));
        let mut notice = DeathNotice::new({
            let noticed = noticed.clone();
            move || noticed.store(true, Ordering::SeqCst)
        });
        if defuse {
            notice.defuse();
        }
        drop(notice);
        noticed.load(Ordering::SeqCst)
    }

    #[test]
    fn a_dropped_notice_goes_out_and_a_defused_one_does_not() {
        assert!(dies_noticed(false));
        assert!(!dies_noticed(true));
    }
}
