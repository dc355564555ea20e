//! Reading a broker's log: what panicked, and the last lines for whoever has to find out why.

/// The lines that tell of a panic of the broker itself; a plugin's is a log line like any other.
pub(crate) fn panics(log: &str) -> Vec<&str> {
    let is_panic = |line: &&str| line.starts_with("thread '") && line.contains(" panicked at ");
    log.lines().filter(is_panic).collect()
}

/// The end of a log.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

#[test]
fn a_panic_in_a_log_is_found() {
    let log = "INFO started\n\nthread 'x' (12) panicked at src/a.rs:1:2:\noh\n";
    assert_eq!(panics(log).len(), 1);
    assert_eq!(
        panics("INFO a partition actor panicked\nERROR panicked at src/lib.rs:1:2: a plugin\n")
            .len(),
        0
    );
}
