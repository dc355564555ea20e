//! `fetch` with form = records: what is stored, decoded in memory that is reserved first. Who has to unfold much for it
//! holds none of that until it is his turn, so that what others ask for meanwhile gets its memory at once.

use broker_protocol::api::fetch::{FetchAnswer, FetchRequest};
use broker_protocol::{ErrorCode, WireError};
use broker_storage::FileSlice;

use super::fetch::{Fetch, Read, locate_all, read_all};
use super::fetch_partition::{Located, RECORDS_BYTES_MAX, RecordsRoom, Wanted};
use crate::connection::Asker;
use crate::net::AnswersFull;
use crate::net::answer_budget::SMALL_ANSWER_BYTES;
use crate::net::unfolding::Turn;

/// How much larger decoded records may be than they are stored, before an answer takes a part of them.
const DECODED_RATIO: u64 = 8;
/// Room for this much is asked for however little is stored.
const DECODED_BYTES_MIN: u64 = SMALL_ANSWER_BYTES as u64;
/// So many times as much is asked for when what was granted is too little for one record.
const GRANTED_STEP: usize = 4;

/// A fetch, what it asks for, and who waits for it.
pub(super) struct Asked<'a> {
    pub(super) fetch: &'a Fetch,
    pub(super) request: &'a FetchRequest,
    pub(super) asker: &'a Asker,
}

impl Asked<'_> {
    /// Decodes what was found. The memory for it is reserved first, and kept until the answer is written; when others
    /// leave little of it, the answer has fewer records. Nothing when nobody asks any more.
    pub(super) async fn read(self, found: Vec<Located>) -> Result<Option<Read>, WireError> {
        let (form, budget) = (self.form(), &self.fetch.budget);
        let much = self.fetch.fetches.much();
        let likely = likely_bytes(&found);
        let (mut turn, mut step) = (None, None);
        let mut found = Some(found);
        loop {
            let mut place = None;
            if turn.is_none() {
                place = Some(much.place().await);
                if much.is_likely() {
                    place = None;
                    turn = self.turn().await?;
                }
            }
            let reserved = match step {
                None => budget.reserve(likely).await,
                Some(bytes) => budget.reserve_all(bytes).await,
            };
            let Ok(mut memory) = reserved else {
                return Err(WireError::new(ErrorCode::Busy, AnswersFull::MESSAGE));
            };
            if self.asker.is_gone() {
                return Ok(None);
            }
            let granted = memory.bytes().min(RECORDS_BYTES_MAX);
            let located = self.locate(found.take(), granted).await;
            let mut room = RecordsRoom::of(granted);
            room.may_unfold_much = turn.is_some();
            // Apart from the task, which is small while it waits for memory.
            let answers = Box::pin(read_all(located, &form, &mut room)).await;
            if room.needs_turn() {
                drop((memory, place));
                turn = self.turn().await?;
                continue;
            }
            if granted < RECORDS_BYTES_MAX && stands_still(&answers, self.request) {
                // Not one record fits what was granted: it is worth waiting for more, in steps, for most are not that
                // large.
                let more = granted.saturating_mul(GRANTED_STEP);
                step = Some(more.min(RECORDS_BYTES_MAX));
                continue;
            }
            much.note(room.unfolds_much);
            memory.shrink_to(granted - room.bytes);
            return Ok(Some((answers, Some(memory))));
        }
    }

    fn form(&self) -> Wanted {
        let context = &*self.fetch.context;
        let unfolding = context.requests.unfolding();
        let unfolding = unfolding.for_client(self.fetch.budget.has_read());
        match self.request.decode {
            true => Wanted::Decoded(context.plugins.clone(), unfolding),
            false => Wanted::Records(unfolding),
        }
    }

    /// Waits until it may unfold much; none when nobody asks any more.
    ///
    /// # Errors
    /// When the client does not read its answers.
    async fn turn(&self) -> Result<Option<Turn>, WireError> {
        self.fetch.fetches.much().note(true);
        let unfolding = self.fetch.context.requests.unfolding();
        tokio::select! {
            biased;
            turn = self.fetch.fetches.much().turn(unfolding, &self.fetch.budget) => turn
                .map(Some)
                .map_err(|AnswersFull| WireError::new(ErrorCode::Busy, AnswersFull::MESSAGE)),
            () = self.asker.gone() => Ok(None),
        }
    }

    /// What was found, if there is room for it, and otherwise as much as there is room for.
    async fn locate(&self, found: Option<Vec<Located>>, granted: usize) -> Vec<Located> {
        match found {
            Some(found) if stored(&found) <= granted as u64 => found,
            _ => {
                let bytes_max = u32::try_from(granted).unwrap_or(u32::MAX);
                let (context, request) = (&self.fetch.context, self.request);
                Box::pin(locate_all(context, request, bytes_max)).await
            }
        }
    }
}

fn stored(found: &[Located]) -> u64 {
    found.iter().map(Located::bytes).sum()
}

/// How much memory what was found is likely to take.
fn likely_bytes(found: &[Located]) -> usize {
    let likely = match stored(found) {
        0 => 0,
        stored => stored.saturating_mul(DECODED_RATIO).max(DECODED_BYTES_MIN),
    };
    let likely = usize::try_from(likely).unwrap_or(usize::MAX);
    likely.min(RECORDS_BYTES_MAX)
}

/// Whether there is more to read, and the answers get on with none of it.
fn stands_still(answers: &[FetchAnswer<FileSlice>], request: &FetchRequest) -> bool {
    let pairs = || answers.iter().zip(&request.partitions);
    pairs().all(|(answer, wanted)| answer.next_offset == wanted.offset)
        && pairs()
            .any(|(answer, wanted)| answer.error.is_none() && wanted.offset < answer.high_watermark)
}
