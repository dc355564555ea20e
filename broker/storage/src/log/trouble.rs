//! `Trouble`: what has gone wrong with a log. Mostly nothing has, and then it takes no room: there may be many
//! thousand logs. A log that is in trouble says here what is to be done before it goes on, or why it cannot.

use crate::corruption::Corruption;
use crate::durable_positions::DurablePoint;

/// What has gone wrong so far.
#[derive(Default)]
pub(super) struct Trouble(Option<Box<Found>>);

#[derive(Default)]
struct Found {
    uncut: Option<DurablePoint>,
    broken: Option<String>,
    damage: Vec<Corruption>,
    has_met_limit: bool,
}

impl Trouble {
    /// Nothing but this damage, which was found when the log was opened.
    pub(super) fn of_damage(damage: Vec<Corruption>) -> Self {
        let found = (!damage.is_empty()).then(|| {
            Box::new(Found {
                damage,
                ..Found::default()
            })
        });
        Self(found)
    }

    /// What was found damaged when the log was opened.
    pub(super) fn damage(&self) -> &[Corruption] {
        self.0.as_ref().map_or(&[], |found| &found.damage)
    }

    /// Where the log ends, with what a failed append has left behind it to be removed before the next one.
    pub(super) fn uncut(&self) -> Option<DurablePoint> {
        self.0.as_ref()?.uncut
    }

    pub(super) fn set_uncut(&mut self, end: DurablePoint) {
        self.0.get_or_insert_default().uncut = Some(end);
    }

    /// Nothing is left behind the end any more.
    pub(super) fn forget_uncut(&mut self) {
        if let Some(found) = &mut self.0 {
            found.uncut = None;
        }
    }

    /// A limit on file sizes has ended a segment; whether that is new.
    pub(super) fn meets_limit(&mut self) -> bool {
        let found = self.0.get_or_insert_default();
        !std::mem::replace(&mut found.has_met_limit, true)
    }

    /// A change that has failed half-way: its reason.
    pub(super) fn broken(&self) -> Option<&str> {
        self.0.as_ref()?.broken.as_deref()
    }

    pub(super) fn set_broken(&mut self, reason: String) {
        self.0.get_or_insert_default().broken = Some(reason);
    }
}
