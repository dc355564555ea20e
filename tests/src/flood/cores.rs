//! `Cores`: who runs where, when attackers and clients are kept apart: what the clients notice then is what the
//! broker does, for nobody competes with them for a core. Set through the command `taskset`, of this thread and of
//! those that it starts.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

/// The cores of attackers and of clients; the broker is to be on others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores {
    /// Of the clients, as `taskset` takes them.
    pub clients: String,
    /// Of the attackers.
    pub attackers: String,
}

impl Cores {
    /// Of the cores that this process may use the clients get the first, the attackers the others.
    ///
    /// # Errors
    /// When there are fewer than two, or when the process `broker` may run on one of them.
    pub fn divide(broker: Option<u32>) -> io::Result<Self> {
        let own = allowed("self")?;
        let broker = match broker {
            Some(pid) => allowed(&pid.to_string())?,
            None => Vec::new(),
        };
        Self::of(&own, &broker).map_err(io::Error::other)
    }

    fn of(own: &[usize], broker: &[usize]) -> Result<Self, String> {
        if let Some(shared) = own.iter().find(|core| broker.contains(core)) {
            return Err(format!(
                "the broker may run on core {shared}, too: start it with `taskset -c 0,1 broker …` and \
                 this with `taskset -c 2,3 flood …`"
            ));
        }
        match own {
            [clients, attackers @ ..] if !attackers.is_empty() => Ok(Self {
                clients: clients.to_string(),
                attackers: listed(attackers),
            }),
            _ => Err("clients and attackers need two cores to be kept apart".to_owned()),
        }
    }
}

/// Keeps this thread, and those that it starts, on `cores`.
///
/// # Errors
/// When `taskset` is not there or refuses.
pub fn keep_to(cores: &str) -> io::Result<()> {
    let this = fs::read_link("/proc/thread-self")?;
    let thread = this.file_name().unwrap_or_default();
    let status = Command::new("taskset")
        .args(["--cpu-list", "--pid", cores])
        .arg(thread)
        .stdout(Stdio::null())
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("taskset {cores} failed"))),
    }
}

fn listed(cores: &[usize]) -> String {
    let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
    cores.join(",")
}

/// The cores that a process may use.
fn allowed(process: &str) -> io::Result<Vec<usize>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let cores = list.and_then(|list| parse(list.trim()));
    cores.ok_or_else(|| io::Error::other("no list of cores in /proc"))
}

/// Of `0-2,5`: 0, 1, 2 and 5.
fn parse(list: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cores.extend(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?);
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cores_is_read() {
        assert_eq!(parse("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(parse("x"), None);
    }

    #[test]
    fn clients_get_the_first_core_and_attackers_the_others() {
        let cores = Cores::of(&[2, 3, 4], &[0, 1]).expect("they are apart");
        assert_eq!((&*cores.clients, &*cores.attackers), ("2", "3,4"));
        assert!(Cores::of(&[2], &[0, 1]).is_err());
        assert!(Cores::of(&[1, 2, 3], &[0, 1]).is_err());
    }
}
