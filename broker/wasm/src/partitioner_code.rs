//! The compiled code of a partitioner module and the instances made of it.
//!
//! An instance that returned a `wasmtime::Error` once is poisoned and must be dropped with its store.

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, InstancePre, ResourceAny};

use crate::abi::{self, Assign, Batch, Columns, Config, Construct, Layout, Needs};
use crate::engine::PluginEngine;
use crate::limits::GUEST_TEXT_BYTES;
use crate::sandbox::Sandbox;

pub(crate) struct PartitionerCode {
    pre: InstancePre<Sandbox>,
    construct: ComponentExportIndex,
    needs: ComponentExportIndex,
    assign: ComponentExportIndex,
}

/// An instance whose store is gone with it.
pub(crate) struct PartitionerInstance {
    store: Store<Sandbox>,
    partitioner: ResourceAny,
    needs: Needs,
    assign: Assign,
    calls: u64,
}

/// How making an instance failed.
pub(crate) enum StartError {
    /// The plugin refused its configuration, in its own words.
    Refused(String),
    /// The guest did not come that far. The sandbox knows why.
    Failed(wasmtime::Error, Box<Sandbox>),
}

impl PartitionerCode {
    /// Compiles a component and tries out whether it can be instantiated and its functions have the
    /// types of `plugin.wit`.
    pub(crate) fn new(engine: &PluginEngine, component: &[u8]) -> wasmtime::Result<Self> {
        let pre = engine.prepare(component)?;
        let export = |parent: Option<&ComponentExportIndex>, name: &str| {
            let found = pre.component().get_export_index(parent, name);
            found.ok_or_else(|| wasmtime::format_err!("{name} is not exported"))
        };
        let interface = export(None, abi::PARTITIONER_INTERFACE)?;
        let code = PartitionerCode {
            construct: export(Some(&interface), "[constructor]partitioner")?,
            needs: export(Some(&interface), "[method]partitioner.needs")?,
            assign: export(Some(&interface), "[method]partitioner.assign")?,
            pre,
        };
        let mut store = engine.store(Sandbox::trial());
        code.instantiate(engine, &mut store)?;
        Ok(code)
    }

    /// Makes an instance for a topic.
    pub(crate) fn start(
        &self,
        engine: &PluginEngine,
        sandbox: Sandbox,
        config: Config<'_>,
    ) -> Result<PartitionerInstance, StartError> {
        let mut store = engine.store(sandbox);
        let mut start = || {
            let (construct, needs, assign) = self.instantiate(engine, &mut store)?;
            begin_call(&mut store, 0);
            let _ticking = engine.call();
            let (partitioner,) = construct.call(&mut store, (config,))?;
            Ok((partitioner, needs, assign))
        };
        match start() {
            Ok((Ok(partitioner), needs, assign)) => Ok(PartitionerInstance {
                store,
                partitioner,
                needs,
                assign,
                calls: 0,
            }),
            Ok((Err(reason), ..)) => Err(StartError::Refused(reason)),
            Err(error) => Err(StartError::Failed(error, Box::new(store.into_data()))),
        }
    }

    fn instantiate(
        &self,
        engine: &PluginEngine,
        store: &mut Store<Sandbox>,
    ) -> wasmtime::Result<(Construct, Needs, Assign)> {
        begin_call(store, 0);
        let _ticking = engine.call();
        let instance = self.pre.instantiate(&mut *store)?;
        Ok((
            instance.get_typed_func(&mut *store, self.construct)?,
            instance.get_typed_func(&mut *store, self.needs)?,
            instance.get_typed_func(&mut *store, self.assign)?,
        ))
    }
}

impl PartitionerInstance {
    pub(crate) fn needs(&mut self, engine: &PluginEngine) -> wasmtime::Result<Columns> {
        begin_call(&mut self.store, 0);
        let _ticking = engine.call();
        let (needs,) = self.needs.call(&mut self.store, (self.partitioner,))?;
        Ok(needs)
    }

    pub(crate) fn assign(
        &mut self,
        engine: &PluginEngine,
        batch: Batch<'_>,
        layout: Layout<'_>,
    ) -> wasmtime::Result<Result<Vec<u32>, String>> {
        self.calls += 1;
        begin_call(&mut self.store, batch.count as usize * size_of::<u32>());
        let _ticking = engine.call();
        let arguments = (self.partitioner, batch, layout);
        let (answer,) = self.assign.call(&mut self.store, arguments)?;
        Ok(answer)
    }

    /// Whether the call that is under way, or was the last, was the instance's first.
    pub(crate) fn is_fresh(&self) -> bool {
        self.calls <= 1
    }

    pub(crate) fn sandbox(&mut self) -> &mut Sandbox {
        self.store.data_mut()
    }
}

/// Arms the limits for one call whose answer has at most `answer_bytes` besides its texts.
fn begin_call(store: &mut Store<Sandbox>, answer_bytes: usize) {
    store.data_mut().begin_call();
    store.set_hostcall_fuel(GUEST_TEXT_BYTES + answer_bytes);
    store.set_epoch_deadline(1);
}
