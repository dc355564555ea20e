//! The compaction kind: decides which records a cleaning keeps.
//! [`export_compaction!`](crate::export_compaction) makes a type the plugin.

use std::cell::RefCell;

use crate::generated::compaction_plugin::exports::broker::plugin::compaction as exported;
use crate::{Batch, Bitmap, Columns, Config, Environment, Scope};

/// A compaction policy. One instance makes one cleaning of one partition, in two passes: `observe` sees
/// the records that were not cleaned before, or all of them ([`scope`](Self::scope)), `retain` then sees
/// every record from the log's start to where `observe` stopped and decides. What is gathered in between
/// lives in `self`.
///
/// A topic uses it with `cleanup.policy = compact` and `compaction.policy = NAME`;
/// `compaction.policy.option.X` sets option X. If it fails, everything is kept. The broker decides when
/// a log is cleaned, leaves out what is too new, keeps offsets, and removes a tombstone (a record with a
/// key and no value) that the policy keeps once `delete.retention.ms` have passed.
///
/// A policy that looks at each record alone needs no first pass: leave `observe` as it is.
///
/// ```
/// use plugin_sdk::{Batch, Bitmap, Columns, CompactionPolicy, Config, Environment};
///
/// /// Drops what is older than `days` days.
/// struct DropOld {
///     oldest_ms: i64,
/// }
///
/// impl CompactionPolicy for DropOld {
///     fn new(config: &Config, environment: &Environment) -> Result<Self, String> {
///         config.allow_only(&["days"])?;
///         let days: u32 = config.parse("days", 30)?;
///         Ok(DropOld { oldest_ms: environment.now_ms - i64::from(days) * 86_400_000 })
///     }
///
///     fn needs(&self) -> Columns {
///         Columns::TIMESTAMPS
///     }
///
///     fn retain(&mut self, batch: &Batch) -> Bitmap {
///         batch.timestamps().iter().map(|timestamp| *timestamp >= self.oldest_ms).collect()
///     }
/// }
///
/// plugin_sdk::export_compaction!(DropOld);
///
/// // The author's own test needs no broker:
/// let mut policy = DropOld::new(&Config::new("orders", [("days", "1")]), &Environment::at(90_000_000)).unwrap();
/// let batch = Batch::of(2).with_timestamps([0, 80_000_000]).with_offsets([0, 1]);
/// assert_eq!(policy.retain(&batch).kept().collect::<Vec<_>>(), [1]);
/// ```
///
/// # To keep the best of each key
/// `observe` meets only what no cleaning has covered, unless the scope is the whole log. So the best record
/// may be one that only `retain` meets, and a policy that compares records by anything but their offset
/// updates its table in `retain` too: what lies behind a better record then goes. `retain` meets the old
/// records before the new ones, and the table holds the best of the new ones by then.
///
#[cfg_attr(feature = "key-table", doc = "```")]
#[cfg_attr(not(feature = "key-table"), doc = "```ignore")]
/// use plugin_sdk::{Batch, Bitmap, Columns, CompactionPolicy, Config, Environment, KeyTable};
///
/// /// Keeps the record with the latest timestamp of each key; of equal ones the last.
/// struct LatestTimestamp {
///     best: KeyTable<Option<(i64, u64)>>,
/// }
///
/// /// Each record's key and rank. With the offset in it no two records have the same.
/// fn ranked(batch: &Batch) -> impl Iterator<Item = (Option<&[u8]>, Option<(i64, u64)>)> {
///     let ranks = batch.timestamps().iter().copied().zip(batch.offsets());
///     batch.keys().zip(ranks.map(Some))
/// }
///
/// impl CompactionPolicy for LatestTimestamp {
///     fn new(config: &Config, environment: &Environment) -> Result<Self, String> {
///         config.allow_only(&[])?;
///         Ok(LatestTimestamp { best: KeyTable::new(environment) })
///     }
///
///     fn needs(&self) -> Columns {
///         Columns::KEYS | Columns::TIMESTAMPS
///     }
///
///     fn observe(&mut self, batch: &Batch) -> usize {
///         for (row, (key, rank)) in ranked(batch).enumerate() {
///             let Some(key) = key else { continue };
///             if self.best.update(key, |best| *best = rank.max(*best)).is_err() {
///                 return row; // The memory is full: the next cleaning goes on here.
///             }
///         }
///         batch.len()
///     }
///
///     fn retain(&mut self, batch: &Batch) -> Bitmap {
///         let stays = ranked(batch).map(|(key, rank)| {
///             let Some(best) = key.and_then(|key| self.best.get_mut(key)) else {
///                 return true; // No key, or nothing new with this key.
///             };
///             let stays = rank >= *best;
///             *best = rank.max(*best); // An old record may be better than all new ones.
///             stays
///         });
///         stays.collect()
///     }
/// }
///
/// // A second cleaning: the record at offset 0 is behind the first one and was not observed.
/// let mut policy = LatestTimestamp::new(&Config::default(), &Environment::at(0)).unwrap();
/// let records = |times: &[i64], first: u64| {
///     let batch = Batch::from_keys(times.iter().map(|_| Some("a")));
///     batch.with_timestamps(times.iter().copied()).with_offsets(first..first + times.len() as u64)
/// };
/// assert_eq!(policy.observe(&records(&[5, 7], 1)), 2);
/// let kept = |bits: Bitmap| bits.kept().collect::<Vec<_>>();
/// assert_eq!(kept(policy.retain(&records(&[9], 0))), [0]);
/// assert_eq!(kept(policy.retain(&records(&[5, 7], 1))), [0; 0]);
/// ```
pub trait CompactionPolicy: Sized {
    /// Reads the configuration and what the cleaning is made under. Refuse options that you do not know:
    /// [`Config::allow_only`].
    ///
    /// # Errors
    /// The text reaches whoever configured the plugin or the topic.
    fn new(config: &Config, environment: &Environment) -> Result<Self, String>;

    /// The columns that both passes look at; the others are not copied. Keys, unless overridden. Offsets
    /// always come along.
    fn needs(&self) -> Columns {
        Columns::KEYS
    }

    /// What the first pass shows: the records that no cleaning has covered, unless overridden.
    ///
    /// [`Scope::NewRecords`] is for a policy that gives up an old record only for a newer one, such as
    /// "the newest of each key": the newer one is among the new records. Memory is needed for the keys of
    /// the new records alone; when it is full, the cleaning ends there and the next one goes on. To a
    /// policy that the topic did not have before, all records are new.
    ///
    /// [`Scope::WholeLog`] is for a policy that counts, or compares old records with each other, such as
    /// "the last three of each key": what is left of earlier cleanings counts too. Both passes are then
    /// shown the same records. The price: each cleaning reads the clean part twice instead of once, within
    /// the same budget of processor time, and the memory has to hold every key of the clean part and some
    /// new ones. If it does not, the cleaning fails, asking for more memory, and everything is kept. So it
    /// is when old segments are deleted between the passes; the next cleaning begins anew.
    fn scope(&self) -> Scope {
        Scope::NewRecords
    }

    /// First pass, oldest first, over what [`scope`](Self::scope) says: takes in the records of the batch
    /// and answers how many. Fewer than there are means that the memory is full; the cleaning then goes no
    /// further than what was taken in, and the rest is left for the next one. To need more memory than
    /// [`Environment::memory_bytes`] is a trap, so stop before. Takes in everything, unless overridden.
    fn observe(&mut self, batch: &Batch) -> usize {
        batch.len()
    }

    /// Second pass, oldest first, over every record, those that `observe` did not meet included: which
    /// records of the batch stay. Both passes are shown a log in calls of at most 16,384 records and
    /// 512 KiB (a larger record comes alone), whose borders need not be those of produced batches, nor the
    /// same in both passes.
    fn retain(&mut self, batch: &Batch) -> Bitmap;
}

impl Environment {
    /// A cleaning at that time with 64 MiB of memory, for a native test.
    pub fn at(now_ms: i64) -> Self {
        Environment {
            now_ms,
            memory_bytes: 64 << 20,
        }
    }
}

/// Carries a [`CompactionPolicy`] through the generated bindings.
pub struct Export<C>(RefCell<C>);

impl<C: CompactionPolicy + 'static> exported::Guest for Export<C> {
    type Compactor = Export<C>;
}

impl<C: CompactionPolicy + 'static> exported::GuestCompactor for Export<C> {
    fn new(config: Config, environment: Environment) -> Result<Self, String> {
        crate::log::report_panics();
        C::new(&config, &environment).map(|plugin| Export(RefCell::new(plugin)))
    }

    fn needs(&self) -> Columns {
        self.0.borrow().needs()
    }

    fn scope(&self) -> Scope {
        self.0.borrow().scope()
    }

    fn observe(&self, batch: Batch) -> u32 {
        let taken = self.0.borrow_mut().observe(&batch);
        // More than there are is refused by the broker.
        u32::try_from(taken).unwrap_or(u32::MAX)
    }

    fn retain(&self, batch: Batch) -> Vec<u8> {
        self.0.borrow_mut().retain(&batch).into_bytes()
    }
}

/// Makes a type that implements [`CompactionPolicy`](crate::CompactionPolicy) the plugin of this crate,
/// and writes the crate's name and version into the module.
#[macro_export]
macro_rules! export_compaction {
    ($plugin:ty) => {
        $crate::__export_plugin!(
            $plugin,
            $crate::CompactionPolicy,
            __CompactionExport,
            compaction_plugin,
            __export_compaction
        );
    };
}
