//! The stored form of bindings and deployments. These structs are the format: they change only
//! together with `COMMAND_VERSION`, and nothing outside `command` sees them.

use std::collections::BTreeMap;

use broker_model::{Offset, Timestamp};
use serde::{Deserialize, Serialize};

use super::DecodeCommandError;
use crate::{Binding, BoundPlugin, Deployment, DeploymentLimits, DeploymentSource, PluginSlot};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireBinding {
    slot: String,
    bound: Option<WireBound>,
    since: i64,
    offsets: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireBound {
    plugin: String,
    version: String,
    kind: String,
    digest: String,
    options: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireRebind {
    #[serde(with = "serde_bytes")]
    pub(super) topic: [u8; 16],
    pub(super) binding: WireBinding,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireDeployment {
    revision: u32,
    kind: String,
    version: String,
    digest: String,
    size_bytes: u64,
    options: BTreeMap<String, String>,
    limits: WireLimits,
    fallback: Option<String>,
    at: i64,
    from: WireSource,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireLimits {
    deadline_ms: Option<u64>,
    memory_bytes: Option<u64>,
    output_bytes: Option<u64>,
    budget_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WireSource {
    Deploy,
    Rollback { to: u32 },
    Manifest,
}

impl From<Binding> for WireBinding {
    fn from(binding: Binding) -> Self {
        Self {
            slot: binding.slot.key().to_owned(),
            bound: binding.bound.map(|bound| WireBound {
                plugin: bound.plugin,
                version: bound.version,
                kind: bound.kind,
                digest: bound.digest,
                options: bound.options,
            }),
            since: binding.since.as_millis(),
            offsets: binding.offsets.into_iter().map(Offset::get).collect(),
        }
    }
}

impl TryFrom<WireBinding> for Binding {
    type Error = DecodeCommandError;

    fn try_from(wire: WireBinding) -> Result<Self, DecodeCommandError> {
        let slot = PluginSlot::from_key(&wire.slot)
            .ok_or(DecodeCommandError::Slot { found: wire.slot })?;
        Ok(Self {
            slot,
            bound: wire.bound.map(|bound| BoundPlugin {
                plugin: bound.plugin,
                version: bound.version,
                kind: bound.kind,
                digest: bound.digest,
                options: bound.options,
            }),
            since: Timestamp::from_millis(wire.since),
            offsets: wire.offsets.into_iter().map(Offset::new).collect(),
        })
    }
}

impl From<Deployment> for WireDeployment {
    fn from(deployment: Deployment) -> Self {
        let limits = deployment.limits;
        Self {
            revision: deployment.revision,
            kind: deployment.kind,
            version: deployment.version,
            digest: deployment.digest,
            size_bytes: deployment.size_bytes,
            options: deployment.options,
            limits: WireLimits {
                deadline_ms: limits.deadline_ms,
                memory_bytes: limits.memory_bytes,
                output_bytes: limits.output_bytes,
                budget_ms: limits.budget_ms,
            },
            fallback: deployment.fallback,
            at: deployment.at.as_millis(),
            from: match deployment.from {
                DeploymentSource::Deploy => WireSource::Deploy,
                DeploymentSource::Rollback { to } => WireSource::Rollback { to },
                DeploymentSource::Manifest => WireSource::Manifest,
            },
        }
    }
}

impl From<WireDeployment> for Deployment {
    fn from(wire: WireDeployment) -> Self {
        Self {
            revision: wire.revision,
            kind: wire.kind,
            version: wire.version,
            digest: wire.digest,
            size_bytes: wire.size_bytes,
            options: wire.options,
            limits: DeploymentLimits {
                deadline_ms: wire.limits.deadline_ms,
                memory_bytes: wire.limits.memory_bytes,
                output_bytes: wire.limits.output_bytes,
                budget_ms: wire.limits.budget_ms,
            },
            fallback: wire.fallback,
            at: Timestamp::from_millis(wire.at),
            from: match wire.from {
                WireSource::Deploy => DeploymentSource::Deploy,
                WireSource::Rollback { to } => DeploymentSource::Rollback { to },
                WireSource::Manifest => DeploymentSource::Manifest,
            },
        }
    }
}
