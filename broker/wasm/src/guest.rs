//! What the four kinds of plugin have in common: compiled code, and instances of it that live from call
//! to call. A kind adds its typed functions and how its constructor is called ([`Guest`]).
//!
//! An instance that returned a `wasmtime::Error` once is poisoned and must be dropped with its store.

use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower, ResourceAny,
    TypedFunc,
};
use wasmtime::{Store, StoreContextMut};

use crate::abi::{ABI_VERSION, Config};
use crate::engine::PluginEngine;
use crate::kind::PluginKind;
use crate::limits::GUEST_TEXT_BYTES;
use crate::sandbox::Sandbox;

/// The typed functions of one kind of plugin.
pub(crate) trait Guest: Sized {
    /// The kind.
    const KIND: PluginKind;
    /// What the constructor is given besides the configuration.
    type Start: Copy;
    /// What an instance says once of how it wants to be called.
    type Wants: Copy;

    /// Finds the functions in an instance, and checks their types.
    fn find(exports: &mut Exports<'_>) -> wasmtime::Result<Self>;

    /// Calls the constructor and asks for what the kind has to say.
    fn construct(
        &self,
        store: &mut Store<Sandbox>,
        config: Config<'_>,
        start: Self::Start,
    ) -> wasmtime::Result<Result<Constructed<Self::Wants>, String>>;
}

/// A plugin's resource and how it wants to be called.
pub(crate) struct Constructed<W> {
    pub(crate) resource: ResourceAny,
    pub(crate) wants: W,
}

/// The functions of an instance, by name.
pub(crate) struct Exports<'a> {
    code: &'a Code,
    instance: Instance,
    store: StoreContextMut<'a, Sandbox>,
}

impl Exports<'_> {
    /// The function of that name, if it has these types.
    pub(crate) fn typed<P, R>(&mut self, name: &str) -> wasmtime::Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let found = self.typed_if_there(name)?;
        found.ok_or_else(|| wasmtime::format_err!("{name} is no function of this kind"))
    }

    /// The same for a function that the module may do without.
    pub(crate) fn typed_if_there<P, R>(
        &mut self,
        name: &str,
    ) -> wasmtime::Result<Option<TypedFunc<P, R>>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let found = self.code.functions.iter().find(|(known, _)| *known == name);
        let typed = found.map(|(_, index)| self.instance.get_typed_func(&mut self.store, *index));
        typed.transpose()
    }
}

/// The compiled code of a plugin module.
pub(crate) struct Code {
    pre: InstancePre<Sandbox>,
    functions: Vec<(&'static str, ComponentExportIndex)>,
}

impl Code {
    /// Compiles a component and looks its kind's functions up.
    pub(crate) fn compile(
        engine: &PluginEngine,
        kind: PluginKind,
        component: &[u8],
    ) -> wasmtime::Result<Self> {
        let pre = engine.prepare(component)?;
        let export = |parent: Option<&ComponentExportIndex>, name: &str| {
            let found = pre.component().get_export_index(parent, name);
            found.ok_or_else(|| wasmtime::format_err!("{name} is not exported"))
        };
        let interface = export(None, &format!("broker:plugin/{kind}@{ABI_VERSION}"))?;
        let functions = kind.functions().iter();
        let mut functions = functions
            .map(|name| Ok((*name, export(Some(&interface), name)?)))
            .collect::<wasmtime::Result<Vec<_>>>()?;
        let by_choice = kind.functions_by_choice().iter();
        functions.extend(by_choice.filter_map(|name| {
            let export = export(Some(&interface), name).ok()?;
            Some((*name, export))
        }));
        Ok(Code { pre, functions })
    }

    /// Tries out whether it can be instantiated and its functions have the types of `plugin.wit`.
    pub(crate) fn try_out<G: Guest>(&self, engine: &PluginEngine) -> wasmtime::Result<()> {
        let mut store = engine.store(Sandbox::trial(G::KIND));
        self.instantiate::<G>(engine, &mut store).map(drop)
    }

    fn instantiate<G: Guest>(
        &self,
        engine: &PluginEngine,
        store: &mut Store<Sandbox>,
    ) -> wasmtime::Result<G> {
        begin_call(store, Cost::SMALL)?;
        let _ticking = engine.call();
        let instance = self.pre.instantiate(&mut *store)?;
        store.data_mut().end_call();
        G::find(&mut Exports {
            code: self,
            instance,
            store: store.into(),
        })
    }
}

/// An instance whose store is gone with it.
pub(crate) struct Running<G> {
    store: Store<Sandbox>,
    resource: ResourceAny,
    functions: G,
    calls: u64,
}

/// How making an instance failed.
pub(crate) enum StartError {
    /// The plugin refused its configuration, in its own words.
    Refused(String),
    /// The guest did not come that far. The sandbox knows why.
    Failed(wasmtime::Error, Box<Sandbox>),
}

impl<G: Guest> Running<G> {
    /// Makes an instance; answers how it wants to be called too.
    pub(crate) fn start(
        engine: &PluginEngine,
        code: &Code,
        sandbox: Sandbox,
        config: Config<'_>,
        start: G::Start,
    ) -> Result<(Self, G::Wants), StartError> {
        let mut store = engine.store(sandbox);
        let mut construct = || {
            let functions = code.instantiate::<G>(engine, &mut store)?;
            begin_call(&mut store, Cost::SMALL)?;
            let _ticking = engine.call();
            let constructed = functions.construct(&mut store, config, start)?;
            store.data_mut().end_call();
            Ok((functions, constructed))
        };
        match construct() {
            Ok((functions, Ok(constructed))) => {
                let running = Running {
                    store,
                    resource: constructed.resource,
                    functions,
                    calls: 0,
                };
                Ok((running, constructed.wants))
            }
            Ok((_, Err(reason))) => Err(StartError::Refused(reason)),
            Err(error) => Err(StartError::Failed(error, Box::new(store.into_data()))),
        }
    }

    /// One call under the limits.
    pub(crate) fn call<R>(
        &mut self,
        engine: &PluginEngine,
        cost: Cost,
        call: impl FnOnce(&G, &mut Store<Sandbox>, ResourceAny) -> wasmtime::Result<R>,
    ) -> wasmtime::Result<R> {
        self.calls += 1;
        begin_call(&mut self.store, cost)?;
        let _ticking = engine.call();
        let answer = call(&self.functions, &mut self.store, self.resource)?;
        self.store.data_mut().end_call();
        Ok(answer)
    }

    /// Whether the call that is under way, or was the last, was the instance's first.
    pub(crate) fn is_fresh(&self) -> bool {
        self.calls <= 1
    }

    pub(crate) fn sandbox(&mut self) -> &mut Sandbox {
        self.store.data_mut()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.store.data().memory_bytes()
    }
}

/// What one call is allowed to cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// The most that the answer may have besides its texts, in bytes.
    pub(crate) answer_bytes: usize,
    /// So many deadlines: one, or more for a single record that is larger than a part.
    pub(crate) deadlines: u32,
}

impl Cost {
    /// Of a call that answers a few words.
    pub(crate) const SMALL: Cost = Cost {
        answer_bytes: 0,
        deadlines: 1,
    };
}

/// Arms the limits for one call.
fn begin_call(store: &mut Store<Sandbox>, cost: Cost) -> wasmtime::Result<()> {
    store.data_mut().begin_call(cost.deadlines)?;
    store.set_hostcall_fuel(GUEST_TEXT_BYTES.saturating_add(cost.answer_bytes));
    store.set_epoch_deadline(1);
    Ok(())
}
