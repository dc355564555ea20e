//! The WebAssembly engine of a broker: one compiler configuration, one linker with the single host
//! function that plugins have, and the ticker that interrupts them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_model::limits::PLUGIN_MODULE_BYTES_MAX;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, Store, StoreContextMut};
use wit_component::ComponentEncoder;

use crate::abi::{LOG_INTERFACE, LogLevel};
use crate::anatomy::Anatomy;
use crate::compactor::CompactorGuest;
use crate::guest::Code;
use crate::kind::PluginKind;
use crate::limits::GUEST_STACK_BYTES;
use crate::load_error::LoadError;
use crate::module::{LazyCode, Module, ModuleParts, WeakModule, digest};
use crate::partitioner::PartitionerGuest;
use crate::plugin_log::clean;
use crate::retention::RetentionGuest;
use crate::sandbox::Sandbox;
use crate::serializer::SerializerGuest;
use crate::ticker::{CallGuard, Ticker};

/// Loads and runs plugins. One per process; shared by every thread.
pub struct PluginEngine {
    engine: Engine,
    linker: Linker<Sandbox>,
    ticker: Ticker,
    /// The modules in use, by digest, so that no bytes are compiled twice.
    loaded: Mutex<BTreeMap<String, WeakModule>>,
}

/// The engine could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine cannot start: {0}")]
pub struct EngineError(String);

impl PluginEngine {
    /// Starts the engine and its ticker thread.
    ///
    /// # Errors
    /// The processor or the operating system is not supported, or no thread can be started.
    pub fn new() -> Result<Arc<Self>, EngineError> {
        let start = || -> wasmtime::Result<Self> {
            let engine = Engine::new(&config())?;
            let mut linker = Linker::new(&engine);
            linker.instance(LOG_INTERFACE)?.func_wrap(
                "write",
                |mut store: StoreContextMut<'_, Sandbox>, (level, message): (LogLevel, String)| {
                    store.data_mut().write_log(level, &message);
                    Ok(())
                },
            )?;
            let ticker = Ticker::start(&engine)?;
            Ok(PluginEngine {
                engine,
                linker,
                ticker,
                loaded: Mutex::default(),
            })
        };
        start()
            .map(Arc::new)
            .map_err(|error| EngineError(format!("{error:#}")))
    }

    /// Checks a core module, makes it a component and compiles it. Takes milliseconds: not for a
    /// thread that serves requests.
    ///
    /// # Errors
    /// The module is no plugin that this broker runs; the error says why.
    pub fn load(&self, module: &[u8]) -> Result<Module, LoadError> {
        let digest = digest(module);
        let module = self.take(module, &digest, Anatomy::read, |kind| {
            let code = self.compile(kind, module);
            let code = code.map_err(|reason| LoadError::Interface { reason })?;
            Ok(LazyCode::compiled(code))
        })?;
        module.compile(self)?;
        Ok(module)
    }

    /// The same for a module that is known to be good, and to have this digest: it is validated and compiled
    /// when it is first used, and hardly read before.
    ///
    /// # Errors
    /// It is no module of a plugin, which shows without compiling it.
    pub(crate) fn load_later(
        &self,
        module: &'static [u8],
        digest: &str,
    ) -> Result<Module, LoadError> {
        let later = |_| Ok(LazyCode::later(module));
        self.take(module, digest, Anatomy::read_trusted, later)
    }

    fn take(
        &self,
        module: &[u8],
        digest: &str,
        read: impl FnOnce(&[u8]) -> Result<Anatomy, LoadError>,
        code: impl FnOnce(PluginKind) -> Result<LazyCode, LoadError>,
    ) -> Result<Module, LoadError> {
        if module.len() > PLUGIN_MODULE_BYTES_MAX {
            return Err(LoadError::TooLarge {
                bytes: module.len() as u64,
            });
        }
        if let Some(loaded) = self.loaded().get(digest).and_then(WeakModule::upgrade) {
            return Ok(loaded);
        }
        let anatomy = read(module)?;
        let kind = anatomy.check()?;
        let code = code(kind)?;
        let size_bytes = module.len();
        let parts = ModuleParts {
            kind,
            digest: digest.to_owned(),
            size_bytes,
            anatomy,
            code,
        };
        let module = Module::new(parts);
        let mut loaded = self.loaded();
        loaded.retain(|_, module| module.upgrade().is_some());
        loaded.insert(module.digest().to_owned(), module.downgrade());
        Ok(module)
    }

    /// Makes a module a component, compiles it and tries it out as what it is. An error is one clean line.
    pub(crate) fn compile(&self, kind: PluginKind, module: &[u8]) -> Result<Code, String> {
        let component = encode(module).map_err(|error| clean(&error))?;
        let compiled = self.compile_component(kind, &component);
        compiled.map_err(|error| clean(&format!("{error:#}")))
    }

    fn compile_component(&self, kind: PluginKind, component: &[u8]) -> wasmtime::Result<Code> {
        let code = Code::compile(self, kind, component)?;
        match kind {
            PluginKind::Partitioner => code.try_out::<PartitionerGuest>(self)?,
            PluginKind::Serializer => code.try_out::<SerializerGuest>(self)?,
            PluginKind::Retention => code.try_out::<RetentionGuest>(self)?,
            PluginKind::Compaction => code.try_out::<CompactorGuest>(self)?,
        }
        Ok(code)
    }

    fn loaded(&self) -> MutexGuard<'_, BTreeMap<String, WeakModule>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compiles a component and resolves its imports.
    pub(crate) fn prepare(&self, component: &[u8]) -> wasmtime::Result<InstancePre<Sandbox>> {
        self.linker
            .instantiate_pre(&Component::new(&self.engine, component)?)
    }

    pub(crate) fn store(&self, sandbox: Sandbox) -> Store<Sandbox> {
        let mut store = Store::new(&self.engine, sandbox);
        store.limiter(|sandbox| sandbox);
        store.epoch_deadline_callback(|mut store| store.data_mut().on_tick());
        store
    }

    /// To be held while a guest runs.
    pub(crate) fn call(&self) -> CallGuard<'_> {
        self.ticker.call()
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.max_wasm_stack(GUEST_STACK_BYTES);
    config.concurrency_support(false);
    config.wasm_backtrace_max_frames(None);
    // An image of a plugin's data, to be mapped instead of copied, would take a descriptor for as long as it is
    // loaded, and without one at that time it could not be compiled. There are some kilobytes of it.
    config.memory_init_cow(false);
    // The same input gives the same output on every broker.
    config.cranelift_nan_canonicalization(true);
    config.wasm_relaxed_simd(false);
    config
}

fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| format!("{error:#}"))
}
