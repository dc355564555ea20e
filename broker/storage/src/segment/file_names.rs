//! What data files are called: by the offset that they begin with, so that their order is that of their names.

use broker_model::Offset;

/// `{base, 20 digits}.log`.
pub(crate) fn file_name(base: Offset) -> String {
    format!("{:020}.log", base.get())
}

/// The base offset in a data file's name; `None` when it is not the name of one.
pub(crate) fn base_of(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(".log")?;
    let base = Offset::new(digits.parse().ok()?);
    (file_name(base) == name).then_some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_files_are_named_by_their_base_offset() {
        assert_eq!(file_name(Offset::new(42)), "00000000000000000042.log");
        assert_eq!(base_of("00000000000000000042.log"), Some(Offset::new(42)));
        for other in [
            "42.log",
            "00000000000000000042.index",
            "+0000000000000000042.log",
        ] {
            assert_eq!(base_of(other), None, "{other}");
        }
    }
}
