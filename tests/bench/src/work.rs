//! Work that every system can do: produce, consume from the start, be idle. Each run has a fresh server
//! on an empty folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::load::{self, Length, Measured};
use crate::rows::{Case, Metric, Work};
use crate::server::{Folder, Server};
use crate::systems::{Batch, Class, System};

/// What a run gave.
pub(crate) type Figures = BTreeMap<Metric, f64>;

pub(crate) const MIB: f64 = 1024.0 * 1024.0;
pub(crate) const GIB: f64 = 1024.0 * MIB;

/// How long things take in this form of the comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) measured: Duration,
    /// What a log holds before it is read.
    pub(crate) fill_bytes: u64,
}

impl Pace {
    pub(crate) fn length(self) -> Length {
        Length {
            warm_up: Duration::from_millis(200),
            measured: self.measured,
            bytes_max: 1024 * 1024 * 1024,
        }
    }
}

/// One run of work that peers can do as well.
pub(crate) fn run(system: &dyn System, case: &Case, parent: &Path, pace: Pace) -> Result<Figures> {
    let folder = Folder::new(parent, system.name())?;
    let server = Server::start(system, &folder, case.class)?;
    match case.work {
        Work::Produce {
            batch,
            producers,
            logs,
        } => {
            system.make_logs(server.address, logs, case.class)?;
            let producers =
                (0..producers).map(|number| system.producer(server.address, number % logs, batch));
            let producers = producers.collect::<Result<Vec<_>>>()?;
            let measured = load::produce(&server, producers, batch.payload_bytes(), pace.length())?;
            figures(&server, &measured, batch, batch.records as u64)
        }
        Work::Consume { batch, consumers } => {
            let records = fill(system, &server, (batch, consumers), pace)?;
            let readers = (0..consumers).map(|log| system.consumer(server.address, log, batch));
            let readers = readers.collect::<Result<Vec<_>>>()?;
            let length = Length {
                warm_up: Duration::ZERO,
                ..pace.length()
            };
            let measured = load::consume(&server, readers, records, length)?;
            figures(&server, &measured, batch, records)
        }
        _ => idle(&server),
    }
}

/// Fills as many logs; how many records each has.
pub(crate) fn fill(
    system: &dyn System,
    server: &Server,
    (batch, logs): (Batch, u32),
    pace: Pace,
) -> Result<u64> {
    system.make_logs(server.address, logs, Class::Written)?;
    let batches = (pace.fill_bytes / u64::from(logs)).div_ceil(batch.payload_bytes());
    let fill = |log| -> Result<()> {
        let mut producer = system.producer(server.address, log, batch)?;
        (0..batches).try_for_each(|_| producer.send())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..logs)
            .map(|log| scope.spawn(move || fill(log)))
            .collect();
        let mut results = threads.into_iter().map(|thread| thread.join());
        results.try_for_each(|result| result.map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    Ok(batches * batch.records as u64)
}

fn idle(server: &Server) -> Result<Figures> {
    thread::sleep(Duration::from_millis(1000));
    let start = server.start_time.as_secs_f64() * 1000.0;
    let memory = server.memory_mib("VmRSS:")?;
    Ok([(Metric::StartTime, start), (Metric::IdleMemory, memory)].into())
}

/// All that a load gives, with so many records a request.
pub(crate) fn figures(
    server: &Server,
    measured: &Measured,
    batch: Batch,
    records_per_request: u64,
) -> Result<Figures> {
    let records = (measured.requests * records_per_request) as f64;
    let bytes = records * batch.record_bytes as f64;
    let per_second = records / measured.seconds;
    Ok([
        (Metric::P50, measured.percentile(50)),
        (Metric::P99, measured.percentile(99)),
        (Metric::MillionRecords, per_second / 1e6),
        (Metric::ThousandRecords, per_second / 1e3),
        (Metric::MibPerSecond, bytes / MIB / measured.seconds),
        (Metric::CpuPerGib, measured.cpu_seconds / (bytes / GIB)),
        (Metric::PeakMemory, server.memory_mib("VmHWM:")?),
    ]
    .into())
}
