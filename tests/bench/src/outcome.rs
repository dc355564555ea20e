//! `Outcome`: the figures of all repetitions, their medians, and whether our broker meets its targets;
//! as a table for people, as Markdown for the README, as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::rows::{Case, Metric, Row, Target};
use crate::work::Figures;

/// The name under which the loopback's round trip is kept.
pub(crate) const LOOPBACK: &str = "loopback";
/// Our own.
pub(crate) const OURS: &str = "broker";

/// The figures of a case: for each system those of each repetition.
#[derive(Debug, Default)]
pub(crate) struct CaseOutcome {
    runs: BTreeMap<&'static str, Vec<Figures>>,
}

impl CaseOutcome {
    pub(crate) fn add(&mut self, system: &'static str, figures: Figures) {
        self.runs.entry(system).or_default().push(figures);
    }

    fn values(&self, system: &str, metric: Metric) -> Vec<f64> {
        let runs = self.runs.get(system).into_iter().flatten();
        runs.filter_map(|figures| figures.get(&metric).copied())
            .collect()
    }

    fn median(&self, system: &str, metric: Metric) -> Option<f64> {
        let mut values = self.values(system, metric);
        values.sort_unstable_by(f64::total_cmp);
        let (middle, is_odd) = (values.len() / 2, values.len() % 2 == 1);
        let upper = values.get(middle).copied()?;
        let lower = values.get(middle.wrapping_sub(1)).copied();
        Some(if is_odd {
            upper
        } else {
            (lower? + upper) / 2.0
        })
    }
}

/// A line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    row: Row,
    peers: Vec<Option<f64>>,
    ours: Option<f64>,
    best: Option<f64>,
    loopback: Option<f64>,
    all: BTreeMap<&'static str, Vec<f64>>,
}

impl Line {
    /// The lines of a case, the peers in this order.
    pub(crate) fn of(case: &Case, outcome: &CaseOutcome, peers: &[&'static str]) -> Vec<Self> {
        let line = |row: &Row| {
            let of_peers: Vec<_> = peers
                .iter()
                .map(|peer| outcome.median(peer, row.metric))
                .collect();
            let there = of_peers.iter().flatten().copied();
            let best = match row.metric.is_better_higher() {
                true => there.max_by(f64::total_cmp),
                false => there.min_by(f64::total_cmp),
            };
            let names = outcome.runs.keys().copied();
            Self {
                row: row.clone(),
                peers: of_peers,
                ours: outcome.median(OURS, row.metric),
                best,
                loopback: outcome.median(LOOPBACK, row.metric),
                all: names
                    .map(|name| (name, outcome.values(name, row.metric)))
                    .collect(),
            }
        };
        case.rows.iter().map(line).collect()
    }

    fn ratio(&self) -> Option<f64> {
        Some(self.ours? / self.best?)
    }

    /// Whether each target is met; one that nothing was measured for says nothing.
    fn verdicts(&self) -> Vec<(String, bool)> {
        let Some(ours) = self.ours else {
            return Vec::new();
        };
        let (best, loopback) = (self.best, self.loopback);
        let verdict = |target: &Target| {
            let (text, is_met) = match *target {
                Target::TimesBest(times) => (format!("≥ {times} × best"), ours >= times * best?),
                Target::TimesLowest(times) => (format!("≤ {times} × best"), ours <= times * best?),
                Target::TimesLoopback(times) => {
                    let loopback = loopback?;
                    (
                        format!("≤ {times} × loopback ({loopback:.0})"),
                        ours <= times * loopback,
                    )
                }
                Target::AtLeast(figure) => (format!("≥ {figure}"), ours >= figure),
                Target::AtMost(figure) => (format!("≤ {figure}"), ours <= figure),
            };
            Some((text, is_met))
        };
        self.row.targets.iter().filter_map(verdict).collect()
    }

    fn cells(&self) -> Vec<String> {
        let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), figure);
        let mut cells = vec![format!("{}, {}", self.row.label, self.row.unit)];
        cells.extend(self.peers.iter().map(|peer| shown(*peer)));
        cells.push(shown(self.ours));
        cells.push(
            self.ratio()
                .map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
        );
        let verdicts = self.verdicts();
        let verdict = |(text, is_met): &(String, bool)| {
            format!("{text}: {}", if *is_met { "met" } else { "LOST" })
        };
        let texts: Vec<_> = verdicts.iter().map(verdict).collect();
        cells.push(if texts.is_empty() {
            "–".to_owned()
        } else {
            texts.join("; ")
        });
        cells
    }

    fn json(&self) -> Value {
        let verdicts = self.verdicts().into_iter();
        let targets: Vec<_> = verdicts
            .map(|(target, met)| json!({ "target": target, "met": met }))
            .collect();
        json!({
            "row": self.row.label, "unit": self.row.unit, "broker": self.ours,
            "best_peer": self.best, "ratio": self.ratio(), "loopback": self.loopback,
            "targets": targets, "repetitions": self.all,
        })
    }
}

/// Three figures that count.
fn figure(value: f64) -> String {
    match value.abs() {
        0.0..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Everything that was measured, and on what.
pub(crate) struct Outcome {
    pub(crate) machine: String,
    pub(crate) versions: Vec<(&'static str, String)>,
    pub(crate) peers: Vec<&'static str>,
    pub(crate) repetitions: usize,
    pub(crate) lines: Vec<Line>,
}

impl Outcome {
    fn header(&self) -> Vec<String> {
        let mut header = vec!["Work".to_owned()];
        header.extend(self.peers.iter().map(|peer| (*peer).to_owned()));
        header.extend([OURS, "ratio", "target"].map(str::to_owned));
        header
    }

    fn heading(&self) -> String {
        let versions = self
            .versions
            .iter()
            .map(|(name, version)| format!("{name} {version}"));
        let versions: Vec<_> = versions.collect();
        format!(
            "{}; {}; medians of {}. Ratio: ours to the best peer.",
            self.machine,
            versions.join(", "),
            self.repetitions
        )
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut table = vec![self.header()];
        table.extend(self.lines.iter().map(Line::cells));
        let columns = self.peers.len() + 4;
        let width = |column: usize| {
            table
                .iter()
                .map(|cells| cells[column].chars().count())
                .max()
        };
        let widths: Vec<_> = (0..columns)
            .map(|column| width(column).unwrap_or_default())
            .collect();
        let mut text = format!("{}\n\n", self.heading());
        for cells in &table {
            for (column, cell) in cells.iter().enumerate() {
                let blanks = " ".repeat(widths[column] - cell.chars().count());
                let is_text = column == 0 || column == columns - 1;
                text += &if is_text {
                    format!("{cell}{blanks}  ")
                } else {
                    format!("{blanks}{cell}  ")
                };
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        let verdicts = self.lines.iter().flat_map(Line::verdicts);
        let (met, lost): (Vec<_>, Vec<_>) = verdicts.partition(|(_, is_met)| *is_met);
        text + &format!("\n{} targets met, {} lost\n", met.len(), lost.len())
    }

    /// For the README.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n\n", self.heading());
        text += &format!("| {} |\n", self.header().join(" | "));
        text += &format!("|---|{}---|\n", "--:|".repeat(self.peers.len() + 2));
        for line in &self.lines {
            text += &format!("| {} |\n", line.cells().join(" | "));
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let versions: BTreeMap<_, _> = self
            .versions
            .iter()
            .map(|(name, version)| (*name, version))
            .collect();
        let rows: Vec<_> = self.lines.iter().map(Line::json).collect();
        json!({
            "machine": self.machine, "versions": versions, "repetitions": self.repetitions,
            "rows": rows,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows;

    /// A case with this target on its one row, and figures of two systems.
    fn line(target: Target, metric: Metric, (peer, ours): (&[f64], &[f64])) -> Line {
        let mut case = rows::all().remove(0);
        case.rows.truncate(1);
        case.rows[0].metric = metric;
        case.rows[0].targets = vec![target];
        let mut outcome = CaseOutcome::default();
        for (name, values) in [("peer", peer), (OURS, ours)] {
            for value in values {
                outcome.add(name, [(metric, *value)].into());
            }
        }
        Line::of(&case, &outcome, &["peer"]).remove(0)
    }

    #[test]
    fn medians_are_compared_with_the_best_peer() {
        let rate = (&[9.0, 1.0, 2.0][..], &[4.0, 2.0][..]);
        let met = line(Target::TimesBest(1.5), Metric::MibPerSecond, rate);
        assert_eq!((met.best, met.ours), (Some(2.0), Some(3.0)));
        assert_eq!(met.verdicts(), [("≥ 1.5 × best".to_owned(), true)]);
        let lost = line(Target::TimesLowest(1.0), Metric::P50, rate);
        assert_eq!(lost.verdicts(), [("≤ 1 × best".to_owned(), false)]);
    }

    #[test]
    fn without_a_peer_nothing_is_said_about_it() {
        let alone = line(Target::TimesBest(1.0), Metric::MibPerSecond, (&[], &[4.0]));
        assert!(alone.verdicts().is_empty());
        let absolute = line(Target::AtMost(3.0), Metric::PeakMemory, (&[], &[4.0]));
        assert_eq!(absolute.verdicts(), [("≤ 3".to_owned(), false)]);
    }

    #[test]
    fn the_table_has_as_many_cells_as_its_header() {
        let outcome = Outcome {
            machine: "a machine".to_owned(),
            versions: vec![("peer", "1.0".to_owned())],
            peers: vec!["peer"],
            repetitions: 1,
            lines: vec![line(Target::AtLeast(1.0), Metric::Share, (&[1.0], &[0.5]))],
        };
        let markdown = outcome.markdown();
        let bars = markdown
            .lines()
            .skip(2)
            .map(|line| line.matches('|').count());
        assert_eq!(bars.collect::<Vec<_>>(), [6, 6, 6]);
        assert!(
            outcome.text().contains("0 targets met, 1 lost"),
            "{}",
            outcome.text()
        );
    }
}
