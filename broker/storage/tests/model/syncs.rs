//! Syncs of a script: what each request covers, and that all of it counts as durable once it was carried out.
//! A log that acknowledged less would promise nothing, and could lose what it likes.

use super::{Checked, Runner, check};
use crate::support::offset;

impl Runner {
    pub(super) fn take_request(&mut self) -> Checked {
        self.written_at = None;
        let end = self.model.end();
        let Some(request) = self.log().sync_request() else {
            let covered = self.requests.iter().map(|(_, covered)| *covered);
            let covered = covered.fold(self.model.durable, u64::max);
            check!(covered == end, "no request covers {covered}..{end}");
            return Ok(());
        };
        let covered = request.end();
        check!(
            covered == offset(end),
            "a request covers {covered}, not {end}"
        );
        self.requests.push((request, end));
        Ok(())
    }

    /// The log was cut: what was asked for before that says nothing any more.
    pub(super) fn void_requests(&mut self) {
        for (_, covered) in &mut self.requests {
            *covered = 0;
        }
    }

    pub(super) fn run_requests(&mut self) -> Checked {
        for (request, covered) in std::mem::take(&mut self.requests) {
            let outcome = self.dir.as_ref().unwrap().sync_now(request);
            match self.log().on_synced(&outcome) {
                Ok(durable) => {
                    check!(durable <= self.log().end(), "durable beyond the end");
                    check!(
                        durable >= offset(covered),
                        "durable below {durable} after a sync of {covered}"
                    );
                    self.model.durable = durable.get();
                    self.high_watermark = self.high_watermark.max(durable.get());
                }
                Err(error) => return self.unless_killed(Err(error.to_string())),
            }
        }
        // An acknowledgement that came although the process died on the way is a promise, too.
        if self.io.is_killed() {
            let bounds = self.exact();
            return self.crash(self.power, bounds);
        }
        Ok(())
    }
}
