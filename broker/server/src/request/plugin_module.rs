//! `plugin_module`: the module that is kept under a digest.

use std::sync::Arc;

use broker_protocol::api::plugin_module::{PluginModuleRequest, PluginModuleResponse};
use broker_protocol::{ErrorCode, WireError};
use broker_storage::BlobError;

use crate::context::Context;

/// Answers a module's bytes.
pub(super) async fn handle(
    context: Arc<Context>,
    request: PluginModuleRequest,
) -> Result<PluginModuleResponse, WireError> {
    let (plugins, digest) = (context.plugins.clone(), request.digest.clone());
    let background = context.arbiters.background();
    let reading = background
        .run_long(move || plugins.module_bytes(&digest))
        .await;
    let failed = |problem: String| WireError::new(ErrorCode::StorageFailed, problem);
    match reading {
        Ok(Ok(Some(module))) => Ok(PluginModuleResponse { module }),
        Ok(Ok(None)) => {
            let message = format!("there is no module with digest {:?}", request.digest);
            Err(WireError::new(ErrorCode::UnknownPlugin, message))
        }
        Ok(Err(error @ BlobError::NotADigest { .. })) => {
            Err(WireError::new(ErrorCode::InvalidRequest, error.to_string()))
        }
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(panicked) => Err(failed(panicked.to_string())),
    }
}
