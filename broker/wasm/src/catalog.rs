//! The plugins that a broker offers, by name: the shipped ones, those of its manifest, and those that
//! were put in while it runs. Every plugin of the manifest was compiled and tried out with its options.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use broker_model::limits::PLUGIN_MODULE_BYTES_MAX;

use crate::engine::PluginEngine;
use crate::load_error::LoadError;
use crate::manifest::Manifest;
use crate::manifest_entry::{ManifestEntry, ModuleSource};
use crate::manifest_error::{ManifestError, ManifestProblem};
use crate::module::{Module, digest};
use crate::plugin::{Plugin, PluginSource};

/// A module that is part of the binary.
#[derive(Clone, Copy, Debug)]
pub struct Builtin<'a> {
    /// The plugin's name.
    pub name: &'a str,
    /// The core module.
    pub bytes: &'static [u8],
    /// Its digest, which is taken for granted: see [`module_digest`](crate::module_digest).
    pub digest: &'a str,
}

/// Every plugin of a broker, by name.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    plugins: BTreeMap<String, Arc<Plugin>>,
}

impl Catalog {
    /// Loads the shipped plugins, each of which is compiled when it is first used, and those of a manifest. An entry of the manifest that has the name
    /// of a shipped plugin and names it as `builtin` sets that one's options and limits.
    ///
    /// # Errors
    /// The first plugin that cannot be offered; the broker is not to start.
    pub fn load(
        engine: &Arc<PluginEngine>,
        builtins: &[Builtin<'_>],
        manifest: Option<&Manifest>,
    ) -> Result<Self, ManifestError> {
        let mut shipped = BTreeMap::new();
        for builtin in builtins {
            let module = engine
                .load_later(builtin.bytes, builtin.digest)
                .map_err(|error| ManifestError {
                    path: None,
                    line: None,
                    plugin: Some(builtin.name.to_owned()),
                    problem: Box::new(error.into()),
                })?;
            shipped.insert(builtin.name.to_owned(), module);
        }
        let plugins = shipped.iter().map(|(name, module)| {
            let plugin = Plugin::new(name, module.clone(), PluginSource::Builtin);
            (name.clone(), Arc::new(plugin))
        });
        let mut catalog = Catalog {
            plugins: plugins.collect(),
        };
        if let Some(manifest) = manifest {
            catalog.add(engine, &shipped, manifest)?;
        }
        Ok(catalog)
    }

    /// The plugin of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.plugins.get(name)
    }

    /// Every plugin, sorted by name.
    pub fn plugins(&self) -> impl ExactSizeIterator<Item = &Arc<Plugin>> {
        self.plugins.values()
    }

    /// Offers a plugin under its name; answers the one that had the name before.
    pub fn insert(&mut self, plugin: Arc<Plugin>) -> Option<Arc<Plugin>> {
        self.plugins.insert(plugin.name().to_owned(), plugin)
    }

    /// Offers a plugin no longer.
    pub fn remove(&mut self, name: &str) -> Option<Arc<Plugin>> {
        self.plugins.remove(name)
    }

    fn add(
        &mut self,
        engine: &Arc<PluginEngine>,
        shipped: &BTreeMap<String, Module>,
        manifest: &Manifest,
    ) -> Result<(), ManifestError> {
        // Those without a fallback first: they are what the others fall back on.
        let (leaning, standing): (Vec<_>, Vec<_>) = manifest
            .entries()
            .iter()
            .partition(|entry| entry.fallback.is_some());
        for entry in standing.into_iter().chain(leaning) {
            let refuse = |(key, problem)| manifest.error(entry, key, problem);
            let (module, source) = open_module(engine, shipped, entry).map_err(refuse)?;
            check_module(&module, entry).map_err(refuse)?;
            let fallback = self.fallback(manifest, entry).map_err(refuse)?;
            let plugin = Plugin::new(&entry.name, module, source)
                .with_options(&entry.options)
                .with_limits(entry.limits)
                .with_fallback(fallback);
            let plugin = Arc::new(plugin);
            // An option that the plugin does not know shows here and not at the first record.
            plugin
                .check_own_config(engine)
                .map_err(|error| refuse(("options", error.into())))?;
            self.plugins.insert(entry.name.clone(), plugin);
        }
        Ok(())
    }

    fn fallback(
        &self,
        manifest: &Manifest,
        entry: &ManifestEntry,
    ) -> Result<Option<Arc<Plugin>>, (&'static str, ManifestProblem)> {
        let Some(name) = &entry.fallback else {
            return Ok(None);
        };
        let bad = |problem| {
            let name = name.clone();
            Err(("fallback", ManifestProblem::BadFallback { name, problem }))
        };
        if *name == entry.name {
            return bad("is the plugin itself");
        }
        let leans = |other: &ManifestEntry| other.name == *name && other.fallback.is_some();
        if manifest.entries().iter().any(leans) {
            return bad("has a fallback itself; a fallback stands alone");
        }
        match self.plugins.get(name) {
            Some(plugin) if plugin.kind() == entry.kind => Ok(Some(Arc::clone(plugin))),
            Some(_) => bad("is a plugin of another kind"),
            None => Err((
                "fallback",
                ManifestProblem::UnknownFallback { name: name.clone() },
            )),
        }
    }
}

type Opened = (Module, PluginSource);

fn open_module(
    engine: &PluginEngine,
    shipped: &BTreeMap<String, Module>,
    entry: &ManifestEntry,
) -> Result<Opened, (&'static str, ManifestProblem)> {
    let path = match &entry.module {
        ModuleSource::Builtin(name) => {
            let unknown = || ManifestProblem::UnknownBuiltin {
                name: name.clone(),
                known: shipped.keys().cloned().collect(),
            };
            let module = shipped.get(name).ok_or_else(|| ("builtin", unknown()))?;
            if *name != entry.name && shipped.contains_key(&entry.name) {
                return Err(("name", ManifestProblem::ShippedName));
            }
            check_digest(entry, name, module.digest())?;
            return Ok((module.clone(), PluginSource::Builtin));
        }
        ModuleSource::File(path) => path,
    };
    if shipped.contains_key(&entry.name) {
        return Err(("name", ManifestProblem::ShippedName));
    }
    let bytes = read_module(path).map_err(|problem| ("path", problem))?;
    check_digest(entry, &path.display().to_string(), &digest(&bytes))?;
    let module = engine
        .load(&bytes)
        .map_err(|error| ("path", error.into()))?;
    Ok((module, PluginSource::File(path.clone())))
}

/// Reads the file of a module.
///
/// # Errors
/// It is not there, cannot be read, or is larger than a module may be.
pub fn read_module(path: &Path) -> Result<Vec<u8>, ManifestProblem> {
    let unreadable = |error: std::io::Error| {
        let (path, reason) = (path.to_owned(), error.to_string());
        ManifestProblem::MissingFile { path, reason }
    };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > PLUGIN_MODULE_BYTES_MAX as u64 {
        return Err(LoadError::TooLarge { bytes }.into());
    }
    fs::read(path).map_err(unreadable)
}

fn check_digest(
    entry: &ManifestEntry,
    of: &str,
    actual: &str,
) -> Result<(), (&'static str, ManifestProblem)> {
    match (&entry.sha256, &entry.module) {
        (Some(expected), _) if expected == actual => Ok(()),
        (Some(expected), _) => {
            let (of, expected, actual) = (of.to_owned(), expected.clone(), actual.to_owned());
            Err((
                "sha256",
                ManifestProblem::WrongDigest {
                    of,
                    expected,
                    actual,
                },
            ))
        }
        (None, ModuleSource::Builtin(_)) => Ok(()),
        (None, ModuleSource::File(_)) => {
            let hint = format!("if you trust this file, write sha256 = \"{actual}\"");
            Err((
                "sha256",
                ManifestProblem::MissingKey {
                    key: "sha256",
                    hint,
                },
            ))
        }
    }
}

fn check_module(
    module: &Module,
    entry: &ManifestEntry,
) -> Result<(), (&'static str, ManifestProblem)> {
    if module.kind() != entry.kind {
        let (declared, actual) = (entry.kind, module.kind());
        return Err(("kind", ManifestProblem::WrongKind { declared, actual }));
    }
    let actual = module.version().unwrap_or("nothing");
    match &entry.version {
        Some(declared) if declared != actual => {
            let (declared, actual) = (declared.clone(), actual.to_owned());
            Err((
                "version",
                ManifestProblem::WrongVersion { declared, actual },
            ))
        }
        _ => Ok(()),
    }
}
