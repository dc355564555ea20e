//! Known damage, and what a scrub reads and finds. A scrub runs elsewhere, on its own handles of the
//! files; the log takes its findings, as long as they are about files that it still has.

use std::sync::Arc;

use broker_model::Offset;

use super::Log;
use crate::corruption::{Corruption, Damage};
use crate::scrub::{ScrubFound, ScrubTarget, Scrubbed};

impl Log {
    /// What is known to be damaged: found when the log was opened, by readers, or by a scrub.
    /// By offset; places below the log start are left out.
    pub fn damage(&self) -> Vec<Corruption> {
        let sealed = self.sealed.iter().map(|segment| &segment.data);
        let found = sealed.chain([&self.active.data]);
        let mut known: Vec<Corruption> = found.flat_map(|data| data.damage()).collect();
        for opened in self.trouble.damage() {
            let place = (&opened.file, opened.position);
            if !known
                .iter()
                .any(|other| (&other.file, other.position) == place)
            {
                known.push(opened.clone());
            }
        }
        // A lost point is no place, and there is no way on behind it.
        let places = known.iter_mut();
        for damage in places.filter(|known| known.damage != Damage::PointLost) {
            // At a segment's end nothing in the file says where the log goes on.
            if damage.next_good.is_none_or(|next| next <= damage.offset) {
                damage.next_good = self.segment_behind(damage.offset);
            }
        }
        known.retain(|damage| damage.next_good.is_none_or(|next| next > self.start));
        known.sort_by_key(|damage| damage.offset);
        known
    }

    /// Where the first segment begins that is behind an offset.
    fn segment_behind(&self, offset: Offset) -> Option<Offset> {
        let sealed = self.sealed.iter().map(|segment| segment.data.base());
        let mut bases = sealed.chain([self.active.data.base()]);
        bases.find(|base| *base > offset)
    }

    /// The segments a scrub has to read, oldest first: what is durable.
    pub fn scrub_targets(&self) -> Vec<ScrubTarget> {
        let durable = self.durable;
        let sealed = self.sealed.iter();
        let sealed = sealed.filter(|segment| segment.next <= durable.end);
        let mut targets: Vec<ScrubTarget> = sealed
            .map(|segment| ScrubTarget::sealed(&self.shared.clock, segment))
            .collect();
        if durable.segment == self.active.data.base() && durable.position > 0 {
            let data = &self.active.data;
            let end = (u64::from(durable.position), durable.end);
            targets.push(ScrubTarget::active(&self.shared.clock, data, end));
        }
        targets
    }

    /// Takes what a scrub has found: damaged batches are refused to readers from now on, a wrong
    /// index is made anew.
    pub fn on_scrubbed(&mut self, scrubbed: Scrubbed) -> ScrubFound {
        let Scrubbed {
            data,
            of,
            damage,
            wrong_index,
            ..
        } = scrubbed;
        let mut sealed = self.sealed.iter();
        let sealed = sealed.find(|segment| Arc::ptr_eq(&segment.data, &data));
        let is_current = sealed.is_some() || Arc::ptr_eq(&self.active.data, &data);
        // Deleted or replaced meanwhile: it may have been read half-way.
        if !is_current {
            return ScrubFound::default();
        }
        if let (Some(segment), Some(reason)) = (sealed, wrong_index) {
            let file = data.path().display();
            tracing::warn!(%file, reason, "an index does not fit its data and is made anew");
            segment.renew_index();
        }
        if sealed.is_some() {
            // Readers have to speak of the file that the scrub has read. One that cannot be opened they tell of.
            let _ = data.len_if_there_again();
        }
        data.set_damage(damage, of)
    }
}
