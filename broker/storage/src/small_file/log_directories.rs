//! `log-directories` at the top of every log directory: which directories the broker keeps its data in.
//! With it a disk that is not mounted is missed, instead of being taken for a new and empty directory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use uuid::Uuid;

use super::SmallFile;

/// The directories of a broker by their ids, each with its path when it was last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogDirectories(pub(crate) BTreeMap<Uuid, PathBuf>);

impl LogDirectories {
    pub(crate) const FILE: &str = "log-directories";
}

impl SmallFile for LogDirectories {
    fn write_lines(&self, text: &mut String) {
        for (id, path) in &self.0 {
            // The path is for people: what it is found by is the id.
            let path = path.display().to_string().replace(['\n', '\r'], "?");
            text.push_str(&format!("{id} {path}\n"));
        }
    }

    fn from_lines(lines: &[&str]) -> Result<Self, String> {
        let directory = |line: &&str| {
            let (id, path) = line.split_once(' ')?;
            Some((id.parse().ok()?, PathBuf::from(path)))
        };
        let all: Option<BTreeMap<Uuid, PathBuf>> = lines.iter().map(directory).collect();
        all.map(Self)
            .ok_or_else(|| "a line is not an id and a path".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let ids = [1, 2].map(Uuid::from_u128);
        let paths = ["/disk one/data", "relative"].map(PathBuf::from);
        let written = LogDirectories(ids.into_iter().zip(paths).collect());
        let file = Path::new("/data/log-directories");
        assert_eq!(
            LogDirectories::decode(file, &written.encode()).unwrap(),
            written
        );
        let none = LogDirectories::default();
        assert_eq!(LogDirectories::decode(file, &none.encode()).unwrap(), none);
    }
}
