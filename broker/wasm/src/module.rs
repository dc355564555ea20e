//! A loaded module: checked, made a component, compiled, and ready to be instantiated many times. One that is
//! part of the binary is compiled when it is first used: most brokers use a few of them.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use sha2::{Digest, Sha256};

use crate::abi::ABI_VERSION;
use crate::anatomy::Anatomy;
use crate::engine::PluginEngine;
use crate::guest::Code;
use crate::kind::PluginKind;
use crate::load_error::LoadError;

/// A compiled plugin module. A clone is cheap and shares the code.
#[derive(Clone)]
pub struct Module(Arc<ModuleParts>);

/// A module as long as somebody else uses it.
pub(crate) struct WeakModule(Weak<ModuleParts>);

impl WeakModule {
    pub(crate) fn upgrade(&self) -> Option<Module> {
        self.0.upgrade().map(Module)
    }
}

pub(crate) struct ModuleParts {
    pub(crate) kind: PluginKind,
    pub(crate) digest: String,
    pub(crate) size_bytes: usize,
    pub(crate) anatomy: Anatomy,
    pub(crate) code: LazyCode,
}

/// Code, or the bytes that it will be made of.
#[derive(Default)]
pub(crate) struct LazyCode {
    compiled: OnceLock<Result<Code, String>>,
    bytes: &'static [u8],
}

impl LazyCode {
    /// Code that is there already.
    pub(crate) fn compiled(code: Code) -> Self {
        LazyCode {
            compiled: OnceLock::from(Ok(code)),
            ..LazyCode::default()
        }
    }

    /// Code of a module that is compiled when it is asked for.
    pub(crate) fn later(module: &'static [u8]) -> Self {
        LazyCode {
            bytes: module,
            ..LazyCode::default()
        }
    }
}

impl Module {
    pub(crate) fn new(parts: ModuleParts) -> Self {
        Module(Arc::new(parts))
    }

    /// A reference that does not keep the code.
    pub(crate) fn downgrade(&self) -> WeakModule {
        WeakModule(Arc::downgrade(&self.0))
    }

    /// What it decides.
    pub fn kind(&self) -> PluginKind {
        self.0.kind
    }

    /// SHA-256 of the module's bytes, in lower-case hexadecimal.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// The size of the module, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.0.size_bytes
    }

    /// The version of `broker:plugin` that it was built for.
    pub fn abi_version(&self) -> &'static str {
        ABI_VERSION
    }

    /// The crate that it was built from, where the SDK's macro wrote it down.
    pub fn name(&self) -> Option<&str> {
        self.0.anatomy.name.as_deref()
    }

    /// That crate's version.
    pub fn version(&self) -> Option<&str> {
        self.0.anatomy.version.as_deref()
    }

    /// The host functions that it imports, as `interface#function`, sorted.
    pub fn imports(&self) -> impl Iterator<Item = &str> {
        self.0.anatomy.imports.iter().map(String::as_str)
    }

    /// The plugin functions that it exports, as `interface#function`, sorted.
    pub fn exports(&self) -> impl Iterator<Item = &str> {
        self.0.anatomy.exports.iter().map(String::as_str)
    }

    /// Whether it is compiled: a shipped one is not before it is first used.
    pub fn is_compiled(&self) -> bool {
        self.0.code.compiled.get().is_some()
    }

    /// Compiles it, if nobody has yet. Takes milliseconds: not for a thread that serves requests.
    ///
    /// # Errors
    /// The module does not fit its interface after all.
    pub fn compile(&self, engine: &PluginEngine) -> Result<(), LoadError> {
        let compiled = self.code(engine).map(drop);
        compiled.map_err(|reason| LoadError::Interface {
            reason: reason.to_owned(),
        })
    }

    pub(crate) fn code(&self, engine: &PluginEngine) -> Result<&Code, &str> {
        let lazy = &self.0.code;
        let compile = || engine.compile(self.0.kind, lazy.bytes);
        let compiled = lazy.compiled.get_or_init(compile);
        compiled.as_ref().map_err(String::as_str)
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("kind", &self.0.kind)
            .field("digest", &self.0.digest)
            .field("size_bytes", &self.0.size_bytes)
            .finish_non_exhaustive()
    }
}

/// SHA-256 of a module, in lower-case hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
