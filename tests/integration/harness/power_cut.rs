//! `PowerCut`: a data directory whose broker can lose the machine's power. A preloaded library
//! (`power_cut.c`) keeps what was synced, as it was then; a cut puts that in place of what the killed process
//! left, together with none or any part of what was not synced, and the next broker is on another boot.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::broker::Setup;
use super::preload::preloaded;

/// Bytes that a disk writes as a whole.
const SECTOR: usize = 512;

/// What is left of changes that were not synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Survival {
    /// Nothing.
    Synced,
    /// Names by themselves, lengths and sectors by themselves, each or not.
    Any,
}

/// Where a broker's data lies, and what of it is durable.
pub(crate) struct PowerCut {
    folder: TempDir,
    lie: Option<String>,
    dice: Dice,
}

impl PowerCut {
    /// A directory on a disk that does what it says.
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().expect("a temporary directory can be made");
        preloaded("power_cut.c", folder.path());
        let mut power = Self {
            folder,
            lie: None,
            dice: Dice::seeded(),
        };
        power.begin();
        power
    }

    /// One that forgets syncs of files with this in their path.
    pub(crate) fn with_a_lie_about(path: &str) -> Self {
        Self {
            lie: Some(path.to_owned()),
            ..Self::new()
        }
    }

    /// A broker on the directory.
    pub(crate) fn setup(&self) -> Setup {
        let named = |name: &str| self.folder.path().join(name).display().to_string();
        let setup = Setup::new()
            .log_dirs(&[self.data()])
            .environment("LD_PRELOAD", &named("power_cut.so"))
            .environment("POWER_CUT_ROOT", &named("data"))
            .environment("POWER_CUT_DISK", &named("disk"))
            .environment("POWER_CUT_BOOT", &named("boot"));
        match &self.lie {
            None => setup,
            Some(path) => setup.environment("POWER_CUT_LIE", path),
        }
    }

    /// The power goes; the broker was killed before.
    pub(crate) fn cut(&mut self, survival: Survival) {
        let disk = self.folder.path().join("disk");
        if !disk.join("begun").exists() {
            // Killed before it did anything.
            return;
        }
        let (data, before) = (self.data(), self.folder.path().join("before"));
        let _ = fs::remove_dir_all(&before);
        let seen = match survival {
            Survival::Synced => None,
            Survival::Any => Some(Seen::of(&data)),
        };
        let mut cut = Cut {
            durable: Durable::of(&disk),
            seen,
            dice: &mut self.dice,
        };
        let root = identity(&data);
        fs::rename(&data, &before).expect("it can be renamed");
        cut.restore(&root, &data);
        self.begin();
    }

    /// A number below this one, at random.
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.dice.below(below)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Another boot; what is there now is durable.
    fn begin(&mut self) {
        let disk = self.folder.path().join("disk");
        let _ = fs::remove_dir_all(&disk);
        fs::create_dir(&disk).expect("it can be made");
        let boot = format!(
            "00000000-0000-4000-8000-{:012x}\n",
            self.dice.below(1 << 48)
        );
        fs::write(self.folder.path().join("boot"), boot).expect("it can be written");
    }
}

/// Entries of a folder: identities by name.
type Entries = BTreeMap<String, String>;

/// Identity of what lies at a path, with a letter for its kind; `power_cut.c` writes the same.
fn identity(path: &Path) -> String {
    let found = fs::symlink_metadata(path).expect("it is there");
    let born = found.created().ok();
    let born = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let born = born.unwrap_or_default();
    let kind = if found.is_dir() { 'd' } else { 'f' };
    format!(
        "{kind}-{}.{}.{}",
        found.ino(),
        born.as_secs(),
        born.subsec_nanos()
    )
}

/// What was synced: the newest copy of each file and folder, by its identity.
struct Durable(BTreeMap<String, PathBuf>);

impl Durable {
    fn of(disk: &Path) -> Self {
        let entries = fs::read_dir(disk).expect("it is there");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("it can be listed").file_name())
            .map(|name| name.into_string().expect("the library's names are text"))
            .filter(|name| name.starts_with(['d', 'f']))
            .collect();
        // The time, which goes last, has the same length everywhere.
        names.sort();
        let newest = names.into_iter().map(|name| {
            let (id, _) = name.rsplit_once('-').expect("the library adds the time");
            (id.to_owned(), disk.join(&name))
        });
        Self(newest.collect())
    }

    fn bytes(&self, id: &str) -> Vec<u8> {
        let copy = self.0.get(id);
        copy.map_or_else(Vec::new, |path| fs::read(path).expect("it can be read"))
    }

    fn entries(&self, id: &str) -> Entries {
        let text = String::from_utf8(self.bytes(id)).expect("names of a broker are text");
        let lines = text.lines().map(|line| {
            let (id, name) = line.split_once(' ').expect("the library writes both");
            (name.to_owned(), id.to_owned())
        });
        lines.collect()
    }
}

/// What processes saw until the power went.
#[derive(Default)]
struct Seen {
    files: BTreeMap<String, Vec<u8>>,
    folders: BTreeMap<String, Entries>,
}

impl Seen {
    fn of(root: &Path) -> Self {
        let mut seen = Self::default();
        seen.walk(root);
        seen
    }

    fn walk(&mut self, folder: &Path) {
        let mut entries = Entries::new();
        for entry in fs::read_dir(folder).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            let name = path.file_name().and_then(|name| name.to_str());
            let id = identity(&path);
            entries.insert(
                name.expect("names of a broker are text").to_owned(),
                id.clone(),
            );
            if path.is_dir() {
                self.walk(&path);
            } else {
                self.files
                    .insert(id, fs::read(&path).expect("it can be read"));
            }
        }
        self.folders.insert(identity(folder), entries);
    }
}

/// One loss of power.
struct Cut<'a> {
    durable: Durable,
    seen: Option<Seen>,
    dice: &'a mut Dice,
}

impl Cut<'_> {
    fn restore(&mut self, folder: &str, to: &Path) {
        fs::create_dir(to).expect("it can be made");
        for (name, id) in self.entries(folder) {
            let to = to.join(name);
            if id.starts_with('d') {
                self.restore(&id, &to);
            } else {
                fs::write(to, self.bytes(&id)).expect("it can be written");
            }
        }
    }

    /// Each name that was made or removed is there or not; a rename happens as a whole.
    fn entries(&mut self, folder: &str) -> Entries {
        let durable = self.durable.entries(folder);
        let seen = self.seen.as_ref();
        let Some(seen) = seen.and_then(|seen| seen.folders.get(folder)) else {
            return durable;
        };
        let mut left = durable.clone();
        for (name, id) in seen {
            if durable.get(name) != Some(id) && self.dice.below(2) == 0 {
                left.retain(|_, known| known != id);
                left.insert(name.clone(), id.clone());
            }
        }
        for (name, id) in &durable {
            let is_removed = !seen.contains_key(name) && !seen.values().any(|known| known == id);
            if is_removed && self.dice.below(2) == 0 {
                left.remove(name);
            }
        }
        left
    }

    fn bytes(&mut self, file: &str) -> Vec<u8> {
        let durable = self.durable.bytes(file);
        let seen = self.seen.as_ref();
        match seen.and_then(|seen| seen.files.get(file)) {
            Some(seen) if *seen != durable => mixed(&durable, seen, self.dice),
            _ => durable,
        }
    }
}

/// A length between the two, and each sector from one or the other, with zeros where it has none.
fn mixed(durable: &[u8], seen: &[u8], dice: &mut Dice) -> Vec<u8> {
    let (short, long) = (durable.len().min(seen.len()), durable.len().max(seen.len()));
    let stops = (short / SECTOR + 1..long.div_ceil(SECTOR)).map(|sector| sector * SECTOR);
    let lens: Vec<usize> = [short, long].into_iter().chain(stops).collect();
    let which = dice.below(u64::try_from(lens.len()).expect("a file is not that long"));
    let len = lens[usize::try_from(which).expect("it is below that length")];
    let mut bytes = vec![0; len];
    for (number, sector) in bytes.chunks_mut(SECTOR).enumerate() {
        let from = if dice.below(2) == 0 { durable } else { seen };
        let found = from.iter().skip(number * SECTOR);
        for (byte, found) in sector.iter_mut().zip(found) {
            *byte = *found;
        }
    }
    bytes
}

/// Seeded dice (SplitMix64).
struct Dice(u64);

impl Dice {
    fn seeded() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("the clock is past 1970");
        Self(now.as_secs() ^ u64::from(now.subsec_nanos()) << 32)
    }

    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % count
    }
}

#[test]
fn sectors_of_a_torn_file_are_old_or_new_or_were_never_written() {
    let (old, new) = (vec![1; 1_300], vec![2; 4_000]);
    let mut dice = Dice(7);
    let mut lens = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let found = mixed(&old, &new, &mut dice);
        lens.insert(found.len());
        for (number, sector) in found.chunks(SECTOR).enumerate() {
            let olds = old.len().saturating_sub(number * SECTOR).min(sector.len());
            let is_old = sector[..olds].iter().all(|byte| *byte == 1)
                && sector[olds..].iter().all(|byte| *byte == 0);
            assert!(is_old || sector.iter().all(|byte| *byte == 2));
        }
    }
    assert!(
        lens.contains(&1_300) && lens.contains(&4_000) && lens.contains(&2_048),
        "{lens:?}"
    );
}
