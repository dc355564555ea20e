//! Reading a broker's log: what panicked, and the last lines for whoever has to find out why.

/// The lines that tell of a panic.
pub(crate) fn panics(log: &str) -> Vec<&str> {
    log.lines()
        .filter(|line| line.contains("panicked at"))
        .collect()
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
    assert_eq!(panics("INFO a partition actor panicked\n").len(), 0);
}
