//! `broker log verify`: reads everything and reports what is wrong. The rules are those of
//! `broker_storage::inspect`; here they become a table, JSON and an exit code. Which topics there are is read
//! from the metadata log.

use std::cell::Cell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use broker_client::model::Offset;
use broker_storage::inspect::{
    DirNotes, Finding, FindingKind, Summary, Topics, Verifier, check_modules, check_twice,
    is_in_use, look_again,
};
use broker_wasm::module_digest;
use clap::Args;
use serde::Serialize;

use super::known_topics::{has_metadata, known_topics};
use super::target::{PartitionFiles, Target};
use crate::exit_status::ExitStatus;
use crate::failure::Failure;
use crate::output::{Align, Progress, Table, bytes, number};
use crate::session::Session;

/// Verify data files: every checksum, every batch, every index, every note of how much there is
///
/// Reports each damage with file, byte position and offset, and what the broker does about it. Ends
/// with exit code 5 if there is one. Changes nothing. What a crash leaves of a write that nobody was told
/// about is named, but is no damage: the next start cuts it off. So is what was not durable when the machine
/// went down. Indexes are made anew when they are missing or wrong. A file that cannot be read is named like
/// a damage. Whether each directory holds the data of its topic is told by the metadata log: name all directories
/// of log.dirs, or the one with that log. Beside a running broker that is not looked at, what it is just writing is
/// left out, and what is wrong is looked at again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker log verify ./broker-data
  broker log verify /disk1/broker /disk2/broker
  broker log verify ./broker-data/orders-0 --json")]
pub(super) struct VerifyArgs {
    /// Data directories, all that are in log.dirs for instance, or directories of partitions
    #[arg(value_name = "DIR", required = true)]
    paths: Vec<PathBuf>,
}

#[derive(Default, Serialize)]
struct Verified {
    /// Whether a broker was running on one of the directories.
    in_use: bool,
    /// What is wrong with the files at the top of the directories.
    damages_of_directory: Vec<Damage>,
    /// What a crash has left of them, and the next start repairs.
    unfinished_of_directory: Vec<Damage>,
    /// Why the topic ids of directories were not compared with the metadata.
    topics_not_compared: Vec<String>,
    partitions: Vec<VerifiedPartition>,
    bytes: u64,
    records: u64,
    damages: usize,
}

#[derive(Serialize)]
struct VerifiedPartition {
    partition: String,
    path: String,
    segments: u64,
    batches: u64,
    records: u64,
    bytes: u64,
    first_offset: u64,
    next_offset: u64,
    damages: Vec<Damage>,
    /// What a crash has left, and the next start repairs.
    unfinished: Vec<Damage>,
    /// What is neither.
    notes: Vec<Damage>,
}

#[derive(Serialize)]
struct Damage {
    file: String,
    position: Option<u64>,
    offset: Option<u64>,
    what: String,
    then: String,
    #[serde(skip)]
    line: String,
}

impl From<Finding> for Damage {
    fn from(finding: Finding) -> Self {
        Self {
            line: format!("{finding}\n  what the broker does: {}\n", finding.then),
            file: finding.file.display().to_string(),
            position: finding.position,
            offset: finding.offset.map(Offset::get),
            what: finding.what,
            then: finding.then,
        }
    }
}

impl VerifyArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let mut targets = Vec::new();
        for path in &self.paths {
            if path.is_file() {
                return Err(
                    Failure::usage("a segment is verified together with its partition")
                        .with_hint("name the directory that it is in"),
                );
            }
            targets.push((path.as_path(), Target::find(path)?));
        }
        let bytes = targets.iter().map(|(_, target)| target.bytes()).sum();
        let progress = session.output.progress(Some(bytes));
        let mut verified = Verified::default();
        let mut with_metadata = targets.iter().filter_map(|(_, target)| {
            let log_dir = target.log_dir.as_deref()?;
            has_metadata(&*target.io, log_dir).then_some(log_dir)
        });
        let metadata_of_all = with_metadata
            .next()
            .filter(|_| with_metadata.next().is_none());
        for (path, target) in &targets {
            verified.add(session, &progress, (path, target), metadata_of_all)?;
        }
        verified.add_twice(&targets);
        progress.clear();
        session.output.show(&verified, text)?;
        match verified.damages {
            0 => Ok(()),
            count => Err(
                Failure::new(ExitStatus::Damaged, format!("{count} damage(s) found"))
                    .with_hint("`broker log dump` shows what is around them"),
            ),
        }
    }
}

impl Verified {
    /// What is wrong with all log directories taken together.
    fn add_twice(&mut self, targets: &[(&Path, Target)]) {
        let of_log_dirs = targets.iter().filter_map(|(path, target)| {
            let log_dir = target.log_dir.as_deref()?;
            (path.canonicalize().ok()? == log_dir).then_some((&target.io, log_dir))
        });
        let (ios, log_dirs): (Vec<_>, Vec<_>) = of_log_dirs.unzip();
        let found = match ios.first() {
            Some(io) => check_twice(&***io, &log_dirs),
            None => Vec::new(),
        };
        self.damages += found.len();
        let found = found.into_iter().map(Damage::from);
        self.damages_of_directory.extend(found);
    }

    /// Verifies what one path means.
    fn add(
        &mut self,
        session: &Session,
        progress: &Progress,
        (path, target): (&Path, &Target),
        metadata_of_all: Option<&Path>,
    ) -> Result<(), Failure> {
        let log_dir = target.log_dir.as_deref();
        let in_use = log_dir.is_some_and(|dir| is_in_use(&*target.io, dir).unwrap_or(false));
        if in_use {
            session.output.warn(format!(
                "a broker is using {}: what it is just writing is left out; stop it for a complete answer",
                path.display()
            ));
        }
        self.in_use |= in_use;
        let (notes, found) = match log_dir {
            Some(dir) => read_notes(target, dir, in_use),
            None => (None, Vec::new()),
        };
        // Of a directory as a whole, if not one partition was asked for.
        if log_dir == path.canonicalize().ok().as_deref() {
            let is_damage = |finding: &Finding| finding.kind == FindingKind::Damage;
            let (damages, unfinished): (Vec<_>, Vec<_>) = found.into_iter().partition(is_damage);
            self.damages += damages.len();
            let damages = damages.into_iter().map(Damage::from);
            self.damages_of_directory.extend(damages);
            let unfinished = unfinished.into_iter().map(Damage::from);
            self.unfinished_of_directory.extend(unfinished);
        }
        let notes = notes.map(|notes| {
            let own = log_dir.filter(|dir| has_metadata(&*target.io, dir));
            match topics(target, own.or(metadata_of_all), in_use) {
                Ok(topics) => notes.with_topics(topics),
                Err(reason) => {
                    let reason = format!("{}: {reason}", notes.dir().display());
                    self.topics_not_compared.push(reason);
                    notes
                }
            }
        });
        for partition in &target.partitions {
            let (before, read) = (self.bytes, Cell::new(0));
            let records = self.records;
            let watch = |bytes: u64| {
                read.set(read.get() + bytes);
                progress.at(before + read.get(), records);
            };
            let mut verifier = Verifier::new(&*target.io).with_progress(&watch);
            if let Some(notes) = &notes {
                verifier = verifier.with_notes(notes);
            }
            if in_use {
                verifier = verifier.beside_a_broker();
            }
            let Some(one) = verify(&verifier, partition, in_use) else {
                continue;
            };
            self.bytes += one.bytes;
            self.records += one.records;
            self.damages += one.damages.len();
            self.partitions.push(one);
            progress.at(self.bytes, self.records);
        }
        Ok(())
    }
}

/// What is noted in the log directory; nothing when that cannot be read.
fn read_notes(target: &Target, dir: &Path, in_use: bool) -> (Option<DirNotes>, Vec<Finding>) {
    let io = &*target.io;
    let looked = look_again(in_use, |report| {
        let notes = DirNotes::read(io, dir, report)?;
        notes.check_directories(io, report)?;
        check_modules(io, dir, &module_digest, report)?;
        Ok(notes)
    });
    match looked {
        Ok((notes, found)) => (Some(notes), found),
        Err(error) => (None, vec![Finding::unreadable(dir, &error)]),
    }
}

/// Which topics there are, by the metadata log in a directory, or why that is not known.
fn topics(target: &Target, metadata: Option<&Path>, in_use: bool) -> Result<Topics, String> {
    if in_use {
        return Err("a broker is using it".to_owned());
    }
    let dir = metadata.ok_or("no directory that was named has the metadata log")?;
    known_topics(&*target.io, dir)
        .map_err(|error| format!("the metadata log in {}: {error}", dir.display()))
}

/// Nothing when a running broker has removed it meanwhile.
fn verify(
    verifier: &Verifier<'_>,
    partition: &PartitionFiles,
    in_use: bool,
) -> Option<VerifiedPartition> {
    let (mut damages, mut unfinished, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let mut report = |finding: Finding| match finding.kind {
        FindingKind::Damage => damages.push(Damage::from(finding)),
        FindingKind::Unfinished => unfinished.push(Damage::from(finding)),
        FindingKind::Note => notes.push(Damage::from(finding)),
    };
    let summary = match verifier.partition(&partition.path, &mut report) {
        Ok(summary) => summary,
        Err(error) if in_use && error.kind() == ErrorKind::NotFound => return None,
        Err(error) => {
            report(Finding::unreadable(&partition.path, &error));
            Summary::default()
        }
    };
    Some(VerifiedPartition {
        partition: partition.name.clone(),
        path: partition.path.display().to_string(),
        segments: summary.segments,
        batches: summary.batches,
        records: summary.records,
        bytes: summary.bytes,
        first_offset: summary.first.get(),
        next_offset: summary.next.get(),
        damages,
        unfinished,
        notes,
    })
}

fn text(verified: &Verified) -> String {
    let mut table = Table::new(&[
        ("PARTITION", Align::Left),
        ("SEGMENTS", Align::Right),
        ("BATCHES", Align::Right),
        ("RECORDS", Align::Right),
        ("SIZE", Align::Right),
        ("FIRST", Align::Right),
        ("NEXT", Align::Right),
        ("STATE", Align::Left),
    ]);
    for partition in &verified.partitions {
        let state = match partition.damages.len() {
            0 if !partition.unfinished.is_empty() => "ok, but unfinished".to_owned(),
            0 if !partition.notes.is_empty() => "ok, with a note".to_owned(),
            0 => "ok".to_owned(),
            count => format!("{count} damage(s)"),
        };
        table.row([
            partition.partition.clone(),
            number(partition.segments),
            number(partition.batches),
            number(partition.records),
            bytes(partition.bytes),
            partition.first_offset.to_string(),
            partition.next_offset.to_string(),
            state,
        ]);
    }
    let of_partitions = verified.partitions.iter();
    let of_partitions = of_partitions.flat_map(|partition| {
        let others = partition.unfinished.iter().chain(&partition.notes);
        partition.damages.iter().chain(others)
    });
    let of_directory = verified.damages_of_directory.iter();
    let of_directory = of_directory.chain(&verified.unfinished_of_directory);
    let damages = of_directory.chain(of_partitions);
    let lines: String = damages.map(|damage| damage.line.as_str()).collect();
    let not_compared: String = verified
        .topics_not_compared
        .iter()
        .map(|reason| format!("topic ids are not compared with the metadata: {reason}\n"))
        .collect();
    format!("{table}{lines}{not_compared}")
}
