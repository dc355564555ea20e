//! The first pass of a cleaning: the policy is shown what was not cleaned before, or the whole log if it
//! asks for that, until its memory is full or the end is reached.

use broker_model::Offset;
use broker_record::StoredBatch;

use super::cleaning::CleaningPlan;
use super::{CleaningFailed, CompactionPolicy, ObserveScope, Pace};
use crate::index::OffsetEntry;
use crate::policy_failed::PolicyFailed;

/// What the first pass found.
pub(super) struct FirstPass {
    pub(super) scope: ObserveScope,
    /// Where it began: the number of the segment, and the batch in it.
    pub(super) from: (usize, OffsetEntry),
    /// The cleaning covers everything below it, whole batches.
    pub(super) cleaned_to: Offset,
    /// A checksum over the headers, and so the bodies, of what was taken in of each segment; `None`
    /// for segments that were not read.
    pub(super) seen: Vec<Option<u32>>,
}

pub(super) fn first_pass(
    plan: &CleaningPlan,
    scope: ObserveScope,
    policy: &mut dyn CompactionPolicy,
    pace: &Pace,
) -> Result<FirstPass, CleaningFailed> {
    let (first, from) = plan.observed_from(scope);
    let passed = |cleaned_to, seen| FirstPass {
        scope,
        from: (first, from),
        cleaned_to,
        seen,
    };
    let end = plan.sources.last().map_or(from.offset, |last| last.next);
    let mut seen = vec![None; first.min(plan.sources.len())];
    let mut begin = Some(from);
    for source in plan.sources.iter().skip(first) {
        let begin = begin.take().unwrap_or_else(|| source.beginning());
        let Some(mut reader) = plan.open(source, begin)? else {
            seen.push(None);
            continue;
        };
        let mut headers = crc32fast::Hasher::new();
        loop {
            let (run, bytes) = reader.next_run()?;
            if run.is_empty() {
                break;
            }
            plan.go_on(pace, bytes)?;
            let whole = observe(policy, &run, from.offset)?;
            for batch in run.get(..whole).unwrap_or_default() {
                headers.update(&batch.header.encode());
            }
            if let Some(left) = run.get(whole) {
                seen.push(Some(headers.finalize()));
                let cleaned_to = left.header.base_offset;
                plan.check_gets_on(scope, cleaned_to)?;
                return Ok(passed(cleaned_to, seen));
            }
        }
        seen.push(Some(headers.finalize()));
    }
    Ok(passed(end, seen))
}

/// Shows a run; answers how many of its batches were taken in as a whole.
fn observe(
    policy: &mut dyn CompactionPolicy,
    run: &[StoredBatch],
    begins_at: Offset,
) -> Result<usize, CleaningFailed> {
    let shown: Vec<StoredBatch> = with_records(run).cloned().collect();
    let records: u64 = shown.iter().map(count).sum();
    let taken = match records {
        0 => 0,
        _ => policy.observe(&shown)?,
    };
    if taken > records {
        let reason = format!("it took in {taken} records of {records}");
        return Err(PolicyFailed::new(reason).into());
    }
    let mut left = taken;
    let mut whole = 0;
    for batch in run {
        let Some(after) = left.checked_sub(count(batch)) else {
            break;
        };
        left = after;
        whole += 1;
    }
    match run.get(whole) {
        // Not even what it begins with: the next cleaning would come no further.
        Some(first) if first.header.base_offset == begins_at => {
            Err(CleaningFailed::TookTooLittle {
                taken,
                records: count(first),
            })
        }
        _ => Ok(whole),
    }
}

/// The batches of a run that have records.
pub(super) fn with_records(run: &[StoredBatch]) -> impl Iterator<Item = &StoredBatch> {
    run.iter().filter(|batch| batch.header.record_count > 0)
}

pub(super) fn count(batch: &StoredBatch) -> u64 {
    u64::from(batch.header.record_count)
}
