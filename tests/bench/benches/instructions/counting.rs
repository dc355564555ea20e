//! Counting: this program under `valgrind --tool=callgrind`, which counts only while the one function
//! that executes a case is on the stack. The environment is empty, so that it does not shift the stack.

use std::env;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cases::ROUNDS;

/// The function around what is counted, see [`crate::cases`].
const COUNTED: &str = "*counted_rounds*";

/// Says what to install, if it is missing.
pub(crate) fn check_for_valgrind() -> Result<()> {
    let said = Command::new("valgrind").arg("--version").output();
    if !said.is_ok_and(|said| said.status.success()) {
        bail!("counting instructions needs valgrind: apt-get install valgrind");
    }
    Ok(())
}

/// Instructions of one round of a case.
pub(crate) fn count(case: &str) -> Result<u64> {
    let file = env::temp_dir().join(format!("instructions-{}", std::process::id()));
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--collect-atstart=no"]);
    valgrind.arg(format!("--toggle-collect={COUNTED}"));
    valgrind.arg(format!("--callgrind-out-file={}", file.display()));
    valgrind.arg(env::current_exe()?).args(["--run", case]);
    let path = env::var_os("PATH").unwrap_or_default();
    let said = valgrind.env_clear().env("PATH", path).output()?;
    let text = fs::read_to_string(&file).unwrap_or_default();
    // It may not be there.
    let _ = fs::remove_file(&file);
    if !said.status.success() {
        bail!(
            "{case} fails under valgrind:\n{}",
            String::from_utf8_lossy(&said.stderr)
        );
    }
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: u64 = total.context("callgrind gives no totals")?.trim().parse()?;
    if total == 0 {
        bail!("callgrind has counted nothing of {case}: is the program stripped of its symbols?");
    }
    Ok(total / ROUNDS)
}
