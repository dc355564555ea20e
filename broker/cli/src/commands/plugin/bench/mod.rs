//! `broker plugin bench`: what a plugin costs, by batch size, in the broker's sandbox. The arguments
//! and the report are here; `workload` makes the calls, `timing` measures them.

mod timing;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use broker_wasm::PluginKind;
use clap::Args;
use serde::Serialize;

use self::timing::Row;
use self::workload::{Sample, Workload};
use super::module_file::Offline;
use super::name_value;
use crate::failure::Failure;
use crate::output::{Align, Table, bytes, duration, number};
use crate::session::Session;

/// Measure what a plugin costs: time per record and call, memory, share of its limits
///
/// Runs a module in the broker's sandbox on made-up data, in calls of 1, 100, 1,000 and 10,000
/// records (segments, for a retention policy). A share is the 99th percentile of a call's time as a
/// part of the deadline, and the most memory as a part of the memory limit. Build in release mode,
/// and run a release build of broker: a debug one is many times slower.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin bench by_region.wasm
  broker plugin bench keep_last.wasm --records 1000000 --option n=3
  broker plugin bench invoices.wasm --value '{\"id\": 7}' --json")]
pub(super) struct BenchArgs {
    /// The module
    file: PathBuf,

    /// Records for each batch size; fewer if that would take more than three seconds
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    records: u64,

    /// An option of the plugin; may be repeated
    #[arg(short = 'o', long, value_name = "NAME=VALUE", value_parser = name_value)]
    option: Vec<(String, String)>,

    /// For a serializer: a value that it takes, as JSON
    #[arg(long, value_name = "JSON")]
    value: Option<String>,

    /// Size of the values of records
    #[arg(long, default_value_t = 100, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    value_bytes: u32,
}

/// Records in a call.
const BATCHES: [u32; 4] = [1, 100, 1_000, 10_000];

#[derive(Serialize)]
struct Measured {
    file: String,
    name: String,
    version: Option<String>,
    kind: &'static str,
    sha256: String,
    deadline_us: u64,
    memory_bytes_max: usize,
    rows: Vec<Row>,
}

impl BenchArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let offline = Offline::load(&self.file)?;
        let kind = offline.module.kind();
        if self.value.is_some() && kind != PluginKind::Serializer {
            return Err(Failure::usage(format!(
                "--value is for serializers, this is a {kind} plugin"
            )));
        }
        if cfg!(debug_assertions) {
            session
                .output
                .warn("this is a debug build of broker: a release build is many times faster");
        }
        let workload = Workload {
            engine: &offline.engine,
            options: &self.option,
            records: self.records,
            value_bytes: usize::try_from(self.value_bytes).unwrap_or_default(),
        };
        let sample = match kind {
            PluginKind::Serializer => workload.sample(&offline.fresh(), self.value.as_deref())?,
            _ => Sample::default(),
        };
        if let Some(reason) = &sample.refused {
            session.output.warn(format!(
                "the plugin refuses --value, and refusing it is what is measured: {}",
                reason.escape_debug()
            ));
        }
        let mut rows = Vec::new();
        for batch in BATCHES {
            let plugin = offline.fresh();
            let measured = match kind {
                PluginKind::Partitioner => workload.partitioner(&plugin, batch),
                PluginKind::Serializer => workload.serializer(&plugin, batch, &sample.packed),
                PluginKind::Retention => workload.retention(&plugin, batch),
                PluginKind::Compaction => workload.compaction(&plugin, batch),
            };
            rows.extend(measured.map_err(|error| Failure::failed(error.to_string()))?);
        }
        self.report(session, &offline, rows)
    }

    fn report(&self, session: &Session, offline: &Offline, rows: Vec<Row>) -> Result<(), Failure> {
        let limits = offline.fresh().limits();
        let measured = Measured {
            file: self.file.display().to_string(),
            name: offline.name().to_owned(),
            version: offline.module.version().map(str::to_owned),
            kind: offline.module.kind().name(),
            sha256: offline.module.digest().to_owned(),
            deadline_us: u64::try_from(limits.deadline.as_micros()).unwrap_or(u64::MAX),
            memory_bytes_max: limits.memory_bytes,
            rows,
        };
        session.output.show(&measured, text)?;
        let failed = measured.rows.iter().find_map(|row| row.error.as_ref());
        failed.map_or(Ok(()), |error| Err(Failure::failed(error.clone())))
    }
}

fn text(measured: &Measured) -> String {
    let version = measured.version.as_deref().unwrap_or("unversioned");
    let head = format!(
        "{} {version}, a {} plugin; limits: {} for a call, {}\n",
        measured.name,
        measured.kind,
        duration(Duration::from_micros(measured.deadline_us)),
        bytes(measured.memory_bytes_max as u64),
    );
    if !measured.rows.iter().any(Row::has_answers) {
        return format!("{head}\nevery call failed: there is nothing to measure\n");
    }
    format!("{head}\n{}", table(&measured.rows))
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        ("CALL", Align::Left),
        ("BATCH", Align::Right),
        ("CALLS", Align::Right),
        ("NS/RECORD", Align::Right),
        ("CALL P50", Align::Right),
        ("CALL P99", Align::Right),
        ("OF DEADLINE", Align::Right),
        ("MEMORY", Align::Right),
        ("OF LIMIT", Align::Right),
    ]);
    for row in rows {
        let time = |nanos: u64| match row.calls {
            0 => "-".to_owned(),
            _ => duration(Duration::from_nanos(nanos)),
        };
        table.row([
            row.call.to_owned(),
            number(u64::from(row.batch)),
            number(row.calls),
            format!("{:.0}", row.ns_per_record),
            time(row.call_p50_ns),
            time(row.call_p99_ns),
            of_deadline(row),
            bytes(row.memory_bytes),
            percent(row.memory_share),
        ]);
    }
    table
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// The sandbox stops a call at the deadline, as a broker's does. What took longer and came back went to
/// the plugin in several calls, or waited for the processor.
fn of_deadline(row: &Row) -> String {
    let share = percent(row.deadline_share);
    match (row.stopped, row.deadline_share > 1.0) {
        (true, _) => format!("{share}, a broker would stop it"),
        (false, true) => format!("{share}, over several calls or waiting"),
        (false, false) => share,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(calls: u64) -> Row {
        Row {
            call: "assign",
            batch: 1,
            calls,
            failures: 1,
            stopped: false,
            ns_per_record: 0.0,
            call_p50_ns: 0,
            call_p99_ns: 0,
            memory_bytes: 0,
            deadline_share: 0.0,
            memory_share: 0.0,
            error: Some("trapped".to_owned()),
        }
    }

    #[test]
    fn a_call_that_was_stopped_is_told_from_a_batch_that_took_several() {
        let shown = |deadline_share, stopped| {
            of_deadline(&Row {
                deadline_share,
                stopped,
                ..failed(1)
            })
        };
        assert_eq!(shown(1.0, false), "100.0 %");
        assert_eq!(shown(1.5, true), "150.0 %, a broker would stop it");
        assert_eq!(shown(1.5, false), "150.0 %, over several calls or waiting");
    }

    #[test]
    fn calls_that_all_failed_are_not_shown_as_figures() {
        let mut measured = Measured {
            file: "mine.wasm".to_owned(),
            name: "mine".to_owned(),
            version: None,
            kind: "partitioner",
            sha256: String::new(),
            deadline_us: 5_000,
            memory_bytes_max: 1 << 24,
            rows: vec![failed(1)],
        };
        assert!(text(&measured).contains("every call failed"));
        assert!(!text(&measured).contains("NS/RECORD"));
        measured.rows.push(failed(2));
        assert!(text(&measured).contains("NS/RECORD"));
    }
}
