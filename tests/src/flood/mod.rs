//! Floods: attacks on a running broker, how much memory it takes under them, and what its other clients
//! notice. The binary `flood` runs them in full size against any broker; the integration tests run them small.

pub mod attacks;
pub mod cores;
pub mod link;
pub mod memory;
pub mod message;
pub mod neighbour;
pub mod stage;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use attacks::{Attack, Field};
use cores::Cores;
use link::{Fate, Fates};
use memory::Memory;
use neighbour::{Neighbours, Observed, Seen};

/// How many connections are being opened at the same time.
const CONNECTING: usize = 128;
/// How long after its end an attack's connections are waited for.
const GRACE: Duration = Duration::from_secs(5);

/// How an attack is carried out.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the broker listens.
    pub address: String,
    /// Its process, when it runs on this machine.
    pub pid: Option<u32>,
    /// How long the neighbours are watched without the attack.
    pub before: Duration,
    /// How long the attack goes on.
    pub during: Duration,
    /// What the attackers take from others by using the machine.
    pub attackers: Attackers,
}

/// How the thread that attacks uses the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attackers {
    /// Like any other.
    Compete,
    /// It runs only where nobody else wants to.
    StandBack,
    /// It has cores of its own, and so have the clients: what those notice is what the broker does.
    Apart(Cores),
}

/// The priority of a thread that stands back for everybody.
const LOWEST: i32 = 19;

/// What came of an attack.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name; of several, all of them.
    pub attack: String,
    /// How many connections attacked.
    pub connections: usize,
    /// Resident memory before it, in KiB.
    pub base_kib: u64,
    /// The most resident during it, in KiB.
    pub peak_kib: u64,
    /// What the neighbours saw before it.
    pub before: Observed,
    /// What they saw during it.
    pub during: Observed,
    /// What became of the attackers.
    pub fates: Fates,
}

impl Report {
    /// How much memory the attack added at most, in MiB.
    pub fn grown_mib(&self) -> u64 {
        self.peak_kib.saturating_sub(self.base_kib) / 1024
    }

    /// The p99 of one of the neighbours during the attack, in percent of what it was before.
    pub fn slowdown_percent(&self, of: fn(&Observed) -> &Seen) -> u64 {
        of(&self.during).percentile(99) * 100 / of(&self.before).percentile(99).max(1)
    }
}

/// Carries out an attack with so many connections, or several at the same time. The stage has to be set.
///
/// # Errors
/// When the attack cannot be started.
pub fn carry_out(attacks: &[(Attack, usize)], plan: &Plan) -> io::Result<Report> {
    let payloads: Vec<Vec<u8>> = attacks
        .iter()
        .map(|(attack, _)| (attack.payload)())
        .collect();
    if let Attackers::Apart(cores) = &plan.attackers {
        cores::keep_to(&cores.clients)?;
    }
    let neighbours = Neighbours::start(&plan.address);
    std::thread::sleep(plan.before / 4);
    neighbours.take();
    std::thread::sleep(plan.before);
    let before = neighbours.take();
    let base_kib = plan.pid.map_or(0, memory::resident_kib);
    let memory = plan.pid.map(Memory::watch);
    // A thread of its own: its priority and its cores are not the neighbours'.
    let attacking = std::thread::scope(|scope| {
        let thread = scope.spawn(|| attack_with(attacks, payloads, plan));
        thread.join()
    });
    let fates = attacking.map_err(|_| io::Error::other("the attackers' thread panicked"))??;
    let during = neighbours.take();
    let peak_kib = memory.map_or(0, Memory::peak_kib);
    neighbours.stop();
    let names: Vec<&str> = attacks.iter().map(|(attack, _)| attack.name).collect();
    Ok(Report {
        attack: names.join("+"),
        connections: attacks.iter().map(|(_, connections)| connections).sum(),
        base_kib,
        peak_kib,
        before,
        during,
        fates,
    })
}

/// What becomes of the attackers, on this thread.
fn attack_with(
    attacks: &[(Attack, usize)],
    payloads: Vec<Vec<u8>>,
    plan: &Plan,
) -> io::Result<Fates> {
    match &plan.attackers {
        Attackers::Compete => {}
        Attackers::StandBack => {
            rustix::process::nice(LOWEST)?;
        }
        Attackers::Apart(cores) => cores::keep_to(&cores.attackers)?,
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(async {
        let mut offences = JoinSet::new();
        for ((attack, connections), payload) in attacks.iter().zip(payloads) {
            offences.spawn(offend(*attack, *connections, plan.clone(), payload));
        }
        let mut fates = Fates::new();
        while let Some(of_one) = offences.join_next().await {
            for (fate, count) in of_one.unwrap_or_default() {
                *fates.entry(fate).or_default() += count;
            }
        }
        fates
    }))
}

async fn offend(attack: Attack, connections: usize, plan: Plan, payload: Vec<u8>) -> Fates {
    let field = Arc::new(Field {
        address: plan.address,
        until: Instant::now() + plan.during,
        payload,
        connecting: Semaphore::new(CONNECTING),
    });
    let mut offenders = JoinSet::new();
    for _ in 0..connections {
        let offence = (attack.offend)(field.clone());
        offenders.spawn(async move {
            match offence.await {
                Ok(fate) => fate,
                Err(error) if error.kind() == io::ErrorKind::Other => {
                    Fate::SentAway(error.to_string())
                }
                Err(_) => Fate::NotTaken,
            }
        });
    }
    let mut fates = Fates::new();
    let last = field.until + GRACE;
    while let Ok(Some(ended)) = tokio::time::timeout_at(last, offenders.join_next()).await {
        *fates.entry(ended.unwrap_or(Fate::Held)).or_default() += 1;
    }
    if !offenders.is_empty() {
        *fates.entry(Fate::Held).or_default() += offenders.len();
    }
    fates
}
