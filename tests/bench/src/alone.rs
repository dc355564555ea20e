//! Work that only our broker does, held against the machine's limits or against another way to do the
//! same: saturation, catching up, a tail reader beside that, many producers under sync, the default
//! partitioner, recovery.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::load::{self, Length};
use crate::machine;
use crate::rows::{Case, Metric, Work};
use crate::server::{Folder, Server};
use crate::systems::{
    Batch, Class, Ours, OursProducer, Payloads, Producer, Spread, System as _, TailReader,
};
use crate::work::{Figures, GIB, Pace, figures, fill};

/// About 100 KiB in one record.
const LARGE: Batch = Batch {
    records: 100,
    record_bytes: 1024,
};

/// One run.
pub(crate) fn run(ours: &Ours, case: &Case, parent: &Path, pace: Pace) -> Result<Figures> {
    let folder = Folder::new(parent, "alone")?;
    let bench = Bench {
        ours,
        server: Server::start(ours, &folder, case.class)?,
        folder: &folder,
        pace,
    };
    match case.work {
        Work::Saturation { is_synced } => bench.saturation(is_synced),
        Work::CatchUp => bench.catch_up(),
        Work::TailBesideCatchUp => bench.tail(),
        Work::ManyUnderSync => bench.many_under_sync(),
        Work::Partitioner {
            payloads,
            producers,
            in_flight,
        } => bench.partitioner(payloads, producers, in_flight),
        Work::Recovery => bench.recovery(),
        Work::Produce { .. } | Work::Consume { .. } | Work::Idle => bail!("peers do that too"),
    }
}

struct Bench<'a> {
    ours: &'a Ours,
    server: Server,
    folder: &'a Folder,
    pace: Pace,
}

impl Bench<'_> {
    fn producers(&self, count: u32, logs: u32, in_flight: u8) -> Result<Vec<Box<dyn Producer>>> {
        let one = |number: u32| -> Result<Box<dyn Producer>> {
            let request = OursProducer::encoded(number % logs, LARGE)?;
            let address = self.server.address;
            let turns = [vec![request]];
            Ok(Box::new(OursProducer::connect(address, &turns, in_flight)?))
        };
        (0..count).map(one).collect()
    }

    fn saturation(self, is_synced: bool) -> Result<Figures> {
        let limit = machine::produce_limit(self.folder.path())?;
        self.ours
            .make_logs(self.server.address, 2, Class::Written)?;
        if !is_synced {
            self.ours.sync_seldom(self.server.address)?;
        }
        let producers = self.producers(2, 2, 8)?;
        let length = Length {
            bytes_max: 2 * 1024 * 1024 * 1024,
            ..self.pace.length()
        };
        let measured = load::produce(&self.server, producers, LARGE.payload_bytes(), length)?;
        let figures = figures(&self.server, &measured, LARGE, 100)?;
        Ok(with_share(figures, limit))
    }

    fn catch_up(self) -> Result<Figures> {
        let records = fill(self.ours, &self.server, (LARGE, 1), self.pace)?;
        let limit = machine::fetch_limit(self.folder.path())?;
        let consumers = vec![self.ours.consumer(self.server.address, 0, LARGE)?];
        let length = Length {
            warm_up: Duration::ZERO,
            ..self.pace.length()
        };
        let measured = load::consume(&self.server, consumers, records, length)?;
        let figures = figures(&self.server, &measured, LARGE, records)?;
        Ok(with_share(figures, limit))
    }

    /// A record every millisecond into partition 0 and a reader that waits for each, while two others
    /// read partitions 1 and 2 from the start.
    fn tail(self) -> Result<Figures> {
        let address = self.server.address;
        let records = fill(self.ours, &self.server, (LARGE, 3), self.pace)?;
        let mut reader = TailReader::connect(address, 0, records)?;
        let small = Batch {
            records: 1,
            record_bytes: 100,
        };
        let request = OursProducer::encoded(0, small)?;
        let mut producer = OursProducer::connect(address, &[vec![request]], 1)?;
        let end = Instant::now() + self.pace.measured;
        let catch_up = |log: u32| -> Result<()> {
            let mut consumer = self.ours.consumer(address, log, LARGE)?;
            while Instant::now() < end {
                consumer.read(records)?;
            }
            Ok(())
        };
        let mut latencies = thread::scope(|scope| -> Result<Vec<Duration>> {
            let threads = [1, 2].map(|log| scope.spawn(move || catch_up(log)));
            let mut latencies = Vec::new();
            while Instant::now() < end {
                reader.ask()?;
                thread::sleep(Duration::from_millis(1));
                let begun = Instant::now();
                producer.begin()?;
                reader.wait()?;
                latencies.push(begun.elapsed());
                producer.finish()?;
            }
            for thread in threads {
                thread
                    .join()
                    .map_err(|_| anyhow::anyhow!("a reader panicked"))??;
            }
            Ok(latencies)
        })?;
        latencies.sort_unstable();
        let measured = load::Measured {
            latencies,
            ..load::Measured::default()
        };
        Ok([(Metric::P99, measured.percentile(99))].into())
    }

    fn many_under_sync(self) -> Result<Figures> {
        let limit = machine::sync_limit(self.folder.path())?;
        self.ours.make_logs(self.server.address, 1, Class::Synced)?;
        let producers = self.producers(16, 1, 1)?;
        let bytes = LARGE.payload_bytes();
        let measured = load::produce(&self.server, producers, bytes, self.pace.length())?;
        let figures = figures(&self.server, &measured, LARGE, 100)?;
        Ok(with_share(figures, limit))
    }

    /// The same plain records in turn: each producer to a partition of its own, each over all partitions by itself,
    /// and over them by the partitioner.
    fn partitioner(self, payloads: Payloads, producers: u32, in_flight: u8) -> Result<Figures> {
        const PARTITIONS: u32 = 4;
        self.ours
            .make_logs(self.server.address, PARTITIONS, Class::Written)?;
        let batch = Batch {
            records: 100,
            record_bytes: 100,
        };
        let producer = |spread: Spread| -> Result<Box<dyn Producer>> {
            let turns = OursProducer::plain(batch, payloads, spread)?;
            let address = self.server.address;
            Ok(Box::new(OursProducer::connect(address, &turns, in_flight)?))
        };
        let measure = |spread: fn(u32) -> Spread| -> Result<f64> {
            let length = Length {
                measured: self.pace.measured / 4,
                ..self.pace.length()
            };
            let measured = load::produce(
                &self.server,
                (0..producers)
                    .map(|number| producer(spread(number % PARTITIONS)))
                    .collect::<Result<_>>()?,
                batch.payload_bytes(),
                length,
            )?;
            Ok(measured.requests as f64 / measured.seconds)
        };
        let ways: [fn(u32) -> Spread; 3] =
            [Spread::To, |_| Spread::Over(PARTITIONS), |_| Spread::Routed];
        // There and back: what the one has written goes to the disk while the other is measured.
        let mut rates = [0.0; 3];
        for way in [0, 1, 2, 2, 1, 0] {
            rates[way] += measure(ways[way])?;
        }
        let [to_one, over_all, routed] = rates;
        Ok([
            (Metric::Share, routed / to_one),
            (Metric::ShareOfEqualSpread, routed / over_all),
        ]
        .into())
    }

    /// Time of a start on what was written without any goodbye, less that of the first start, by all
    /// that was written: no more than that has to be read again.
    fn recovery(self) -> Result<Figures> {
        let first_start = self.server.start_time.as_secs_f64();
        let pace = Pace {
            fill_bytes: 1024 * 1024 * 1024,
            ..self.pace
        };
        let records = fill(self.ours, &self.server, (LARGE, 1), pace)?;
        self.server.kill();
        let again = Server::start(self.ours, self.folder, Class::Written)?;
        let beyond = again.start_time.as_secs_f64() - first_start;
        // What was acknowledged before it was killed is there.
        self.ours.consumer(again.address, 0, LARGE)?.read(records)?;
        let written = records as f64 * LARGE.record_bytes as f64 / GIB;
        Ok([(Metric::SecondsPerGib, beyond.max(0.0) / written)].into())
    }
}

fn with_share(mut figures: Figures, limit: f64) -> Figures {
    let rate = figures.get(&Metric::MibPerSecond).copied();
    figures.insert(Metric::Share, rate.unwrap_or_default() / limit);
    figures
}
