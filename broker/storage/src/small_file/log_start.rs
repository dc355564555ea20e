//! `log-start-offset-checkpoint` of a partition: the first offset that may be read, when
//! `delete_records` moved it past the first segment's base. Durable before that is answered.

use broker_model::Offset;

use super::{SmallFile, value_of};

/// The log start offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogStart(pub(crate) Offset);

impl LogStart {
    pub(crate) const FILE: &str = "log-start-offset-checkpoint";
}

impl SmallFile for LogStart {
    fn write_lines(&self, text: &mut String) {
        text.push_str(&format!("log_start_offset={}\n", self.0));
    }

    fn from_lines(lines: &[&str]) -> Result<Self, String> {
        value_of(lines, "log_start_offset")?
            .parse()
            .map(|raw| Self(Offset::new(raw)))
            .map_err(|_| "its log_start_offset is no number".to_owned())
    }
}
