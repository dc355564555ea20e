//! The part of [`Admin`] that is about plugins: deploying, watching and trying them. A broker that
//! cannot do that answers an error; its `hello` says so beforehand.

use broker_protocol::LimitOverrides;
use broker_protocol::api::deploy_plugin::DeployPluginRequest;
use broker_protocol::api::dry_run_plugin::{DryRunPluginRequest, DryRunPluginResponse};
use broker_protocol::api::dry_run_status::{DryRunStatusRequest, DryRunStatusResponse};
use broker_protocol::api::list_plugins::{ListPluginsRequest, PluginEntry};
use broker_protocol::api::plugin_history::{PluginHistoryRequest, PluginHistoryResponse};
use broker_protocol::api::plugin_logs::{PluginLogsRequest, PluginLogsResponse};
use broker_protocol::api::plugin_module::PluginModuleRequest;
use broker_protocol::api::remove_plugin::RemovePluginRequest;
use broker_protocol::api::resume_plugin::ResumePluginRequest;
use broker_protocol::api::rollback_plugin::RollbackPluginRequest;
use bytes::Bytes;

use crate::admin::Admin;
use crate::cluster::{Client, Retries};
use crate::error::ClientError;
use crate::protocol::DeployedRevision;

impl Admin {
    /// The plugins of the broker that answers.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn list_plugins(&self) -> Result<Vec<PluginEntry>, ClientError> {
        let asked = self
            .client
            .request_any(&ListPluginsRequest {}, Retries::AtLeastOnce);
        Ok(asked.await?.plugins)
    }

    /// A module to be put under a name; [`DeployPlugin::send`] does it.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = broker_client::Client::connect("127.0.0.1:7420").await?;
    /// let module = std::fs::read("invoice.wasm")?;
    /// let deployed = client
    ///     .admin()
    ///     .deploy_plugin("invoice", module)
    ///     .kind("serializer")
    ///     .option("currency", "EUR")
    ///     .send()
    ///     .await?;
    /// println!("revision {} runs on {:?}", deployed.revision, deployed.topics);
    /// # Ok(())
    /// # }
    /// ```
    pub fn deploy_plugin(&self, name: impl Into<String>, module: impl Into<Bytes>) -> DeployPlugin {
        DeployPlugin {
            client: self.client.clone(),
            request: DeployPluginRequest {
                name: name.into(),
                module: module.into(),
                ..DeployPluginRequest::default()
            },
        }
    }

    /// Deploys an earlier revision once more; `None` for the one before the present.
    ///
    /// # Errors
    /// When there is no such plugin or revision, or a topic that uses it cannot run it.
    pub async fn rollback_plugin(
        &self,
        name: &str,
        revision: Option<u32>,
    ) -> Result<DeployedRevision, ClientError> {
        let request = RollbackPluginRequest {
            name: name.to_owned(),
            revision,
        };
        self.client
            .request_any(&request, Retries::OnlyDefinite)
            .await
    }

    /// Gives up the name of a deployed plugin.
    ///
    /// # Errors
    /// When nothing is deployed under the name, or something uses it.
    pub async fn remove_plugin(&self, name: &str) -> Result<(), ClientError> {
        let request = RemovePluginRequest {
            name: name.to_owned(),
        };
        let removed = self.client.request_any(&request, Retries::OnlyDefinite);
        removed.await.map(drop)
    }

    /// Ends the suspension of a plugin on the broker that answers; says whether there was one.
    ///
    /// # Errors
    /// When there is no such plugin.
    pub async fn resume_plugin(&self, name: &str) -> Result<bool, ClientError> {
        let request = ResumePluginRequest {
            name: name.to_owned(),
        };
        // Resuming twice is resuming once.
        let resumed = self.client.request_any(&request, Retries::AtLeastOnce);
        Ok(resumed.await?.was_suspended)
    }

    /// Every revision that was deployed under a name.
    ///
    /// # Errors
    /// When nothing ever was.
    pub async fn plugin_history(&self, name: &str) -> Result<PluginHistoryResponse, ClientError> {
        let request = PluginHistoryRequest {
            name: name.to_owned(),
        };
        self.client
            .request_any(&request, Retries::AtLeastOnce)
            .await
    }

    /// The module with this digest.
    ///
    /// # Errors
    /// When there is none.
    pub async fn plugin_module(&self, digest: &str) -> Result<Bytes, ClientError> {
        let request = PluginModuleRequest {
            digest: digest.to_owned(),
        };
        let found = self.client.request_any(&request, Retries::AtLeastOnce);
        Ok(found.await?.module)
    }

    /// What a plugin has logged after a line number (0 for everything that is kept). To follow it, ask
    /// again with the answer's `next`.
    ///
    /// # Errors
    /// When there is no such plugin.
    pub async fn plugin_logs(
        &self,
        name: &str,
        after: u64,
    ) -> Result<PluginLogsResponse, ClientError> {
        let request = PluginLogsRequest {
            after,
            ..PluginLogsRequest::new(name)
        };
        self.client
            .request_any(&request, Retries::AtLeastOnce)
            .await
    }

    /// Starts to try a plugin on a topic's records, without any effect; the answer names the run.
    ///
    /// # Errors
    /// When there is no such topic or plugin, or it refuses its options.
    pub async fn dry_run_plugin(
        &self,
        request: &DryRunPluginRequest,
    ) -> Result<DryRunPluginResponse, ClientError> {
        self.client
            .request_any(request, Retries::OnlyDefinite)
            .await
    }

    /// How far a dry run is, and its report once it is done.
    ///
    /// # Errors
    /// When the broker knows no such run.
    pub async fn dry_run_status(&self, run: &str) -> Result<DryRunStatusResponse, ClientError> {
        let request = DryRunStatusRequest {
            run: run.to_owned(),
            cancel: false,
        };
        self.client
            .request_any(&request, Retries::AtLeastOnce)
            .await
    }

    /// Ends a dry run, and says how far it was.
    ///
    /// # Errors
    /// When the broker knows no such run.
    pub async fn cancel_dry_run(&self, run: &str) -> Result<DryRunStatusResponse, ClientError> {
        let request = DryRunStatusRequest {
            run: run.to_owned(),
            cancel: true,
        };
        self.client
            .request_any(&request, Retries::AtLeastOnce)
            .await
    }
}

/// A plugin that is about to be deployed. What is not set is the default of its kind.
#[derive(Clone, Debug)]
#[must_use = "nothing is deployed before `send`"]
pub struct DeployPlugin {
    client: Client,
    request: DeployPluginRequest,
}

impl DeployPlugin {
    /// The kind that the module has to be of.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.request.kind = Some(kind.into());
        self
    }

    /// An option; a topic's own go over it.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.options.insert(name.into(), value.into());
        self
    }

    /// What it may use.
    pub fn limits(mut self, limits: LimitOverrides) -> Self {
        self.request.limits = limits;
        self
    }

    /// The plugin that steps in where this one fails; for partitioners.
    pub fn fallback(mut self, plugin: impl Into<String>) -> Self {
        self.request.fallback = Some(plugin.into());
        self
    }

    /// Deploys it.
    ///
    /// # Errors
    /// When the module is no plugin of that kind, or a topic that uses the name cannot run it.
    pub async fn send(self) -> Result<DeployedRevision, ClientError> {
        self.client
            .request_any(&self.request, Retries::OnlyDefinite)
            .await
    }

    /// Says whether it could be deployed, and what that would change, without doing it.
    ///
    /// # Errors
    /// As [`DeployPlugin::send`].
    pub async fn validate(mut self) -> Result<DeployedRevision, ClientError> {
        self.request.validate_only = true;
        self.client
            .request_any(&self.request, Retries::AtLeastOnce)
            .await
    }
}
