//! `DirIdentity`: whose a log directory is, as `meta.properties` says.

use broker_model::BrokerId;
use uuid::Uuid;

/// Whose a log directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirIdentity {
    /// The cluster.
    pub cluster_id: Uuid,
    /// The broker.
    pub broker_id: BrokerId,
    /// The directory itself, whatever its path.
    pub directory_id: Uuid,
    /// Whether this start of the broker has created it.
    pub is_new: bool,
}
