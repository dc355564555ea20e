//! `meta.properties` at the top of a log directory: whose it is. Written once, never changed.

use broker_model::BrokerId;
use uuid::Uuid;

use super::{SmallFile, value_of};

/// The identity of a log directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MetaProperties {
    pub(crate) cluster_id: Uuid,
    pub(crate) node_id: BrokerId,
    pub(crate) directory_id: Uuid,
}

impl MetaProperties {
    pub(crate) const FILE: &str = "meta.properties";
}

impl SmallFile for MetaProperties {
    fn write_lines(&self, text: &mut String) {
        text.push_str(&format!("cluster.id={}\n", self.cluster_id));
        text.push_str(&format!("node.id={}\n", self.node_id));
        text.push_str(&format!("directory.id={}\n", self.directory_id));
    }

    fn from_lines(lines: &[&str]) -> Result<Self, String> {
        let uuid = |key: &str| {
            value_of(lines, key)?
                .parse::<Uuid>()
                .map_err(|_| format!("its {key} is no UUID"))
        };
        let node: u32 = value_of(lines, "node.id")?
            .parse()
            .map_err(|_| "its node.id is no number".to_owned())?;
        Ok(Self {
            cluster_id: uuid("cluster.id")?,
            node_id: BrokerId::new(node),
            directory_id: uuid("directory.id")?,
        })
    }
}
