//! What the tests of this folder share, and of the ones beside it.

use std::sync::{Arc, LazyLock};

use broker_cluster::PluginSlot;
use broker_storage::LogDir;
use broker_wasm::{Builtin, Catalog, Plugin, PluginEngine};

use super::{BoundSlot, Pace, Plugins};

static SHIPPED: LazyLock<(Arc<PluginEngine>, Catalog)> = LazyLock::new(|| {
    let engine = PluginEngine::new().expect("the engine starts");
    let builtins = broker_plugin_bundle::modules()
        .iter()
        .map(|module| Builtin {
            name: module.name,
            bytes: module.bytes,
            digest: module.digest,
        });
    let builtins: Vec<_> = builtins.collect();
    let catalog = Catalog::load(&engine, &builtins, None).expect("the shipped plugins load");
    (engine, catalog)
});

/// The shipped plugins, with their modules kept in a log directory.
pub(crate) fn shipped(dir: &LogDir) -> Arc<Plugins> {
    let (engine, catalog) = &*SHIPPED;
    Arc::new(Plugins::new(engine.clone(), catalog.clone(), dir.blobs()))
}

/// A slot of some topic, bound to the default partitioner.
pub(super) fn bound_slot() -> Arc<BoundSlot> {
    let plugin: &Arc<Plugin> = SHIPPED.1.get("key-hash").expect("it is shipped");
    Arc::new(BoundSlot {
        slot: PluginSlot::Partitioner,
        plugin: plugin.clone(),
        options: Vec::new(),
        pace: Pace::default(),
    })
}
