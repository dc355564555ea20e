//! What is wrong with an index is told: which file, and where in it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tracing::span;

use super::support::{edit, file_bytes, open, segment_file};
use super::{bases, check, config, filled};

/// Keeps the warnings that are logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Puts the fields of a warning behind each other.
struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        if *event.metadata().level() == tracing::Level::WARN {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn an_index_that_is_damaged_again_is_told_once_more_and_done_without() {
    let io = filled();
    let (_dir, mut log, _) = open(&io, config());
    let file = segment_file(bases(&io)[1], "index");
    let damage = || {
        edit(&io, &file, |bytes| {
            for byte in &mut bytes[40..] {
                *byte ^= 0xff;
            }
        });
    };
    let lines = Lines::default();
    let told = || lines.0.lock().unwrap().len();
    tracing::subscriber::with_default(lines.clone(), || {
        log.release_idle_files();
        log.release_idle_files();
        damage();
        check(&log);
        assert_eq!(told(), 1, "it is made anew");
        log.release_idle_files();
        log.release_idle_files();
        damage();
        check(&log);
        check(&log);
        assert_eq!(told(), 2, "it is done without");
    });
}

/// Damages an index file, by which a log is opened or searched, and tells what was said of it.
fn told_of(file: &Path, while_it_runs: bool, damage: impl Fn(&mut Vec<u8>)) -> Vec<String> {
    let io = filled();
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || {
        if !while_it_runs {
            edit(&io, file, &damage);
        }
        let (_dir, mut log, _) = open(&io, config());
        if while_it_runs {
            log.release_idle_files();
            log.release_idle_files();
            edit(&io, file, &damage);
        }
        check(&log);
    });
    lines.take()
}

#[test]
fn what_is_wrong_with_an_index_is_told_with_its_file_and_position() {
    let base = bases(&filled())[1];
    let (offsets, times) = (segment_file(base, "index"), segment_file(base, "timeindex"));
    let entries = (file_bytes(&filled(), &offsets).len() - 32) / 12;
    let (middle, last) = (entries / 2, entries - 1);
    let flip = |position: usize| move |bytes: &mut Vec<u8>| bytes[position] ^= 1;
    let flip_all =
        |from: usize| move |bytes: &mut Vec<u8>| bytes[from..].iter_mut().for_each(|b| *b ^= 1);
    let all = [
        (
            told_of(&offsets, true, flip_all(32)),
            &offsets,
            format!(
                "at byte {}: index entry {middle} is damaged",
                32 + 12 * middle
            ),
        ),
        (
            told_of(&times, true, flip_all(32)),
            &times,
            format!(
                "at byte {}: index entry {middle} is damaged",
                32 + 16 * middle
            ),
        ),
        (
            told_of(&times, true, |bytes| bytes.truncate(48)),
            &times,
            "at byte 48: the index ends here, too early".to_owned(),
        ),
        (
            told_of(&offsets, false, flip(32 + 12 * last)),
            &offsets,
            format!("at byte {}: index entry {last} is damaged", 32 + 12 * last),
        ),
        (
            told_of(&times, false, flip(3)),
            &times,
            "at byte 0: bad index header".to_owned(),
        ),
        (
            told_of(&offsets, false, Vec::clear),
            &offsets,
            "at byte 0: the index ends here, too early".to_owned(),
        ),
    ];
    for (told, file, what) in all {
        let [told] = told.try_into().unwrap();
        assert!(
            told.contains(&format!("file={} ", file.display())),
            "{told}"
        );
        assert!(told.contains(&what), "{told}, not {what}");
    }
}
