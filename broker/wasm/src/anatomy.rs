//! What a core module says about itself before anything of it is compiled: its imports, its exports,
//! the plugin kind and ABI version that these amount to, and the identity that the SDK wrote into it.

mod census;

use std::collections::BTreeSet;

use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

use census::Census;

use crate::abi::{ABI_VERSION, LOG_INTERFACE};
use crate::kind::PluginKind;
use crate::load_error::LoadError;
use crate::plugin_log::clean;

/// The custom section in which the SDK's export macro puts `name NUL version` of the crate.
const IDENTITY_SECTION: &str = "broker-plugin";
/// What every export of a plugin interface begins with: `broker:plugin/{kind}@{version}#{function}`.
const EXPORT_PREFIX: &str = "broker:plugin/";

/// What a module is made of, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Anatomy {
    /// The host functions it imports, as `interface#function`.
    pub(crate) imports: BTreeSet<String>,
    /// The plugin functions it exports, as `interface#function`.
    pub(crate) exports: BTreeSet<String>,
    /// The crate that it was built from.
    pub(crate) name: Option<String>,
    /// That crate's version.
    pub(crate) version: Option<String>,
}

impl Anatomy {
    /// Reads a core module and validates it, unless it has too much of something to be compiled.
    pub(crate) fn read(module: &[u8]) -> Result<Self, LoadError> {
        let anatomy = Self::read_trusted(module)?;
        Census::check(module)?;
        let mut validator = Validator::new_with_features(WasmFeatures::default());
        validator.validate_all(module).map_err(malformed)?;
        Ok(anatomy)
    }

    /// Reads a core module whose functions are known to be valid.
    pub(crate) fn read_trusted(module: &[u8]) -> Result<Self, LoadError> {
        if !module.starts_with(b"\0asm") {
            return Err(LoadError::NotWasm);
        }
        let mut anatomy = Anatomy::default();
        for payload in Parser::new(0).parse_all(module) {
            anatomy.read_payload(payload.map_err(malformed)?)?;
        }
        Ok(anatomy)
    }

    fn read_payload(&mut self, payload: Payload<'_>) -> Result<(), LoadError> {
        match payload {
            Payload::Version {
                encoding: Encoding::Component,
                ..
            } => return Err(LoadError::IsComponent),
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import.map_err(malformed)?;
                    // The bookkeeping of the resource that the plugin exports itself.
                    if !import.module.starts_with("[export]") {
                        self.imports
                            .insert(format!("{}#{}", import.module, import.name));
                    }
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(malformed)?;
                    if export.name.starts_with(EXPORT_PREFIX) {
                        self.exports.insert(export.name.to_owned());
                    }
                }
            }
            Payload::CustomSection(section) if section.name() == IDENTITY_SECTION => {
                let text = String::from_utf8_lossy(section.data());
                let (name, version) = text.split_once('\0').unwrap_or((&text, ""));
                self.name = Some(clean(name)).filter(|name| !name.is_empty());
                self.version = Some(clean(version)).filter(|version| !version.is_empty());
            }
            _ => {}
        }
        Ok(())
    }

    /// The versions of `broker:plugin` whose interfaces it exports.
    pub(crate) fn abi_versions(&self) -> BTreeSet<&str> {
        self.exports
            .iter()
            .filter_map(|export| Some(Export::parse(export)?.version))
            .collect()
    }

    /// The kinds whose interface it exports a function of, whatever their version.
    pub(crate) fn kinds(&self) -> BTreeSet<PluginKind> {
        let interfaces = self
            .exports
            .iter()
            .filter_map(|export| Export::parse(export));
        interfaces
            .filter_map(|export| PluginKind::from_name(export.interface))
            .collect()
    }

    /// Checks that it imports nothing but the log and exports exactly one kind, as a whole.
    pub(crate) fn check(&self) -> Result<PluginKind, LoadError> {
        let kinds = self.kinds();
        let Some(kind) = kinds.first().copied() else {
            return Err(LoadError::NoPlugin);
        };
        if let Some(found) = self
            .abi_versions()
            .into_iter()
            .find(|version| *version != ABI_VERSION)
        {
            return Err(LoadError::OtherAbi {
                found: clean(found),
            });
        }
        if kinds.len() > 1 {
            return Err(LoadError::SeveralKinds {
                kinds: kinds.into_iter().collect(),
            });
        }
        let allowed = format!("{LOG_INTERFACE}#write");
        if let Some(import) = self.imports.iter().find(|import| **import != allowed) {
            return Err(LoadError::UnknownImport {
                import: clean(import),
            });
        }
        for function in kind.functions() {
            let export = format!("{EXPORT_PREFIX}{kind}@{ABI_VERSION}#{function}");
            if !self.exports.contains(&export) {
                return Err(LoadError::MissingExport { kind, export });
            }
        }
        Ok(kind)
    }
}

fn malformed(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Malformed {
        position: error.offset(),
        reason: clean(error.message()),
    }
}

struct Export<'a> {
    interface: &'a str,
    version: &'a str,
}

impl<'a> Export<'a> {
    fn parse(export: &'a str) -> Option<Self> {
        let (interface, rest) = export.strip_prefix(EXPORT_PREFIX)?.split_once('@')?;
        let (version, _) = rest.split_once('#')?;
        Some(Export { interface, version })
    }
}
