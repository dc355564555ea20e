//! `dry_run_plugin`: starts a dry run on this broker and answers its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_cluster::{DeploymentLimits, PluginSlot};
use broker_model::limits::DRY_RUN_SAMPLE_MAX;
use broker_protocol::api::dry_run_plugin::{DryRunPluginRequest, DryRunPluginResponse};
use broker_protocol::{ErrorCode, WireError};
use broker_wasm::{Plugin, PluginKind};

use super::{lookup, wire};
use crate::context::Context;
use crate::dry_run::DryRun;
use crate::plugins::{BoundSlot, Pace, SlotError, Wanted};

const SAMPLE_DEFAULT: u32 = 10;

/// Starts a dry run.
pub(super) async fn handle(
    context: Arc<Context>,
    request: DryRunPluginRequest,
) -> Result<DryRunPluginResponse, WireError> {
    let topic = lookup::topic(&context, &request.topic, None)?;
    let place = context.dry_runs.place().await.ok_or_else(too_many)?;
    let plugin = plugin(&context, &request).await?;
    let slot = slot(&request, plugin.kind())?;
    let options: Vec<(String, String)> = request.options.clone().into_iter().collect();
    try_options(&context, &plugin, topic.name.as_str(), &options).await?;
    let kind = plugin.kind().to_string();
    let sample = request
        .sample
        .unwrap_or(SAMPLE_DEFAULT)
        .min(DRY_RUN_SAMPLE_MAX);
    let dry_run = DryRun {
        plugins: context.plugins.clone(),
        topic,
        slot: BoundSlot {
            slot,
            plugin,
            options,
            pace: Pace::default(),
        },
        last: request.last,
        sample: usize::try_from(sample).unwrap_or(0),
        clock: context.clock.clone(),
        unfolding: context.requests.unfolding().clone(),
    };
    let run = context
        .dry_runs
        .start(context.arbiters.background(), dry_run, place);
    Ok(DryRunPluginResponse {
        run: run.to_string(),
        kind,
        slot: slot.to_string(),
    })
}

fn too_many() -> WireError {
    let message = "other dry runs are under way: wait for them, or cancel one";
    WireError::new(ErrorCode::Busy, message)
}

/// Makes an instance with these options, which runs code of the plugin.
async fn try_options(
    context: &Arc<Context>,
    plugin: &Arc<Plugin>,
    topic: &str,
    options: &[(String, String)],
) -> Result<(), WireError> {
    let (plugins, plugin) = (context.plugins.clone(), plugin.clone());
    let (topic, options) = (topic.to_owned(), options.to_vec());
    let trying = context
        .arbiters
        .background()
        .run_long(move || plugin.check_config(plugins.engine(), &topic, &options));
    match trying.await {
        Ok(tried) => tried.map_err(|error| wire::trial_error(&error.into())),
        Err(panicked) => Err(WireError::new(ErrorCode::Unknown, panicked.to_string())),
    }
}

/// The plugin to try, with counters and a log of its own: a dry run costs the installed plugin nothing.
async fn plugin(
    context: &Arc<Context>,
    request: &DryRunPluginRequest,
) -> Result<Arc<Plugin>, WireError> {
    match (&request.module, &request.plugin) {
        (None, Some(name)) => {
            let Some(installed) = context.plugins.get(name) else {
                let plugin = name.clone();
                let meant = None;
                return Err(wire::slot_error(&SlotError::NotInstalled { plugin, meant }));
            };
            let module = installed.module().clone();
            let copy = Plugin::new(name, module, installed.source().clone());
            let copy = copy.with_options(installed.options());
            Ok(Arc::new(copy.with_limits(installed.limits())))
        }
        (Some(module), None) => {
            let _turn = context.requests.module_turn(module.len()).await;
            let (plugins, module) = (context.plugins.clone(), module.clone());
            let loading = context.arbiters.background().run_long(move || {
                let wanted = Wanted {
                    module: &module,
                    options: &BTreeMap::new(),
                    limits: &DeploymentLimits::default(),
                    fallback: None,
                };
                plugins.load("dry-run", &wanted)
            });
            match loading.await {
                Ok(loaded) => loaded.map_err(|error| wire::deploy_error("dry-run", &error)),
                Err(panicked) => Err(WireError::new(ErrorCode::Unknown, panicked.to_string())),
            }
        }
        _ => {
            let message = "give either a module or the name of an installed plugin";
            Err(WireError::new(ErrorCode::InvalidRequest, message))
        }
    }
}

fn slot(request: &DryRunPluginRequest, kind: PluginKind) -> Result<PluginSlot, WireError> {
    let Some(key) = &request.slot else {
        return Ok(match kind {
            PluginKind::Partitioner => PluginSlot::Partitioner,
            PluginKind::Serializer => PluginSlot::ValueSerializer,
            PluginKind::Retention => PluginSlot::RetentionPolicy,
            PluginKind::Compaction => PluginSlot::CompactionPolicy,
        });
    };
    let found = PluginSlot::from_key(key).filter(|slot| slot.kind_name() == kind.name());
    found.ok_or_else(|| {
        let fits = PluginSlot::ALL.into_iter();
        let fits = fits.filter(|slot| slot.kind_name() == kind.name());
        let fits: Vec<&str> = fits.map(PluginSlot::key).collect();
        let message = format!(
            "a {kind} does not go into slot {key:?}; it goes into {}",
            fits.join(" or ")
        );
        WireError::new(ErrorCode::InvalidRequest, message)
    })
}
