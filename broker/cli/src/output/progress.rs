//! `Progress`: a bar on standard error for long work; nothing when that is not a terminal, and
//! nothing with `--json`, `-q` or `--no-progress`.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Output, Shape, number};

/// A progress bar over bytes, with a count of records beside it.
pub(crate) struct Progress {
    bar: ProgressBar,
}

/// How often the bar is drawn, at most.
const DRAWS_PER_SECOND: u8 = 10;

impl Output {
    /// A bar over what a broker counts, such as `records`; how much there is comes with the reports.
    pub(crate) fn progress_in(&self, unit: &str) -> Progress {
        let progress = self.progress(Some(0));
        let template = format!("{{bar:30}} {{human_pos}}/{{human_len}} {unit} {{elapsed}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            progress.bar.set_style(style);
        }
        progress
    }

    /// A bar; `total` bytes when that is known.
    pub(crate) fn progress(&self, total: Option<u64>) -> Progress {
        let wanted = self.progress && !self.quiet && self.shape == Shape::Text;
        if !wanted || !std::io::stderr().is_terminal() {
            return Progress {
                bar: ProgressBar::hidden(),
            };
        }
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
        let bar = ProgressBar::with_draw_target(total, target);
        let template = match total {
            Some(_) => "{bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {msg} eta {eta}",
            None => "{spinner} {bytes} {binary_bytes_per_sec} {msg} {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress { bar }
    }
}

impl Progress {
    /// So many bytes and records are done.
    pub(crate) fn at(&self, bytes: u64, records: u64) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_position(bytes);
        let rate = records as f64 / self.bar.elapsed().as_secs_f64().max(1e-3);
        let message = format!("{} records, {rate:.0}/s", number(records));
        self.bar.set_message(message);
    }

    /// So much of so much is done.
    pub(crate) fn at_of(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
