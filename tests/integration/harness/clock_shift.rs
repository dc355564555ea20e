//! `ClockShift`: a wall clock that a test moves under a running broker. A small preloaded library adds
//! what a file says to what the machine's real-time clock says; every other clock stays as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile int64_t *shift_s;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    int file = open(getenv("CLOCK_SHIFT_FILE"), O_RDONLY);
    void *mapped = file < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) abort();
    shift_s = mapped;
}

int clock_gettime(clockid_t id, struct timespec *at) {
    if (!real_clock_gettime) real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real_clock_gettime(id, at);
    if (!failed && id == CLOCK_REALTIME && shift_s) at->tv_sec += *shift_s;
    return failed;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"#;

/// The library, and the file that it looks at.
pub(crate) struct ClockShift {
    library: PathBuf,
    file: PathBuf,
}

impl ClockShift {
    /// Builds the library in this folder; the clock is right until it is moved.
    #[track_caller]
    pub(crate) fn build_in(folder: &Path) -> Self {
        static BUILT: AtomicU32 = AtomicU32::new(0);
        let number = BUILT.fetch_add(1, Ordering::Relaxed);
        let source = folder.join(format!("clock_shift_{number}.c"));
        let library = folder.join(format!("libclock_shift_{number}.so"));
        fs::write(&source, SOURCE).expect("the source can be written");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()
            .expect("there is a C compiler, as for zstd");
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        let shift = Self {
            library,
            file: folder.join(format!("clock_shift_{number}")),
        };
        shift.set(0);
        shift
    }

    /// What a process needs in its environment.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("CLOCK_SHIFT_FILE", self.file.display().to_string()),
        ]
    }

    /// Moves the clock so many seconds away from what is right.
    pub(crate) fn set(&self, seconds: i64) {
        use std::os::unix::fs::FileExt as _;
        let file = fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.file)
            .expect("the file can be opened");
        // In place: it is mapped.
        file.write_all_at(&seconds.to_ne_bytes(), 0)
            .expect("eight bytes can be written");
    }
}
