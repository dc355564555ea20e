//! `Memory`: what a process occupies, as the kernel counts it. Sampled on a thread of its own, and by the
//! kernel's own high-water mark where that can be set back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often memory is looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(5);

/// Resident memory of a process now, in KiB; 0 when it cannot be seen.
pub fn resident_kib(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:")
}

fn status_kib(pid: u32, row: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(row));
    let number = line.map(|line| line.trim().trim_end_matches(" kB"));
    number.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Watches a process until it is asked for the peak.
#[derive(Debug)]
pub struct Memory {
    pid: u32,
    kernel_counts: bool,
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    sampler: JoinHandle<()>,
}

impl Memory {
    /// Starts watching.
    pub fn watch(pid: u32) -> Self {
        let peak = Arc::new(AtomicU64::new(resident_kib(pid)));
        let stop = Arc::new(AtomicBool::new(false));
        let reset = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
        let (highest, stopped) = (peak.clone(), stop.clone());
        let sampler = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                highest.fetch_max(resident_kib(pid), Ordering::Relaxed);
                std::thread::sleep(SAMPLE_EVERY);
            }
        });
        Self {
            pid,
            kernel_counts: reset.is_ok(),
            peak,
            stop,
            sampler,
        }
    }

    /// The most that was resident since the start, in KiB.
    pub fn peak_kib(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.sampler.join();
        let sampled = self.peak.load(Ordering::Relaxed);
        if self.kernel_counts {
            sampled.max(status_kib(self.pid, "VmHWM:"))
        } else {
            sampled
        }
    }
}
