//! The project that is measured, built as every project is, and the thinnest program that can run it: wasmtime alone.

use armada_host::Sandbox;
use armada_project::{Ceiling, Configuration, Grant, Mode, Overrides};
use armada_tests::repository;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{
    Component, ComponentType, InstancePre, Lift, Linker, LinkerInstance, Lower, ResourceTable, ResourceType,
};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// The component of `benches/project`.
pub(crate) fn built() -> Vec<u8> {
    armada_tests::guests::built(&repository().join("benches/project"))
}

/// The component of `benches/python-project`.
pub(crate) fn built_in_python() -> Vec<u8> {
    armada_tests::guests::built(&repository().join("benches/python-project"))
}

/// What `benches/project` asks for.
pub(crate) fn grant() -> anyhow::Result<Grant> {
    let folder = repository().join("benches/project");
    let configuration = Configuration::resolve(&folder, Mode::Local, &Overrides::default())?;
    Ok(Grant::new(configuration.sandbox(), &Ceiling::none()))
}

/// What a bare store holds.
pub(crate) struct Bare {
    wasi: WasiCtx,
    resources: ResourceTable,
}

impl WasiView for Bare {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

/// `current-job` of the contract, which a bare host answers with nothing.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Job {
    #[component(name = "run-id")]
    run_id: String,
    #[component(name = "job-uuid")]
    job_uuid: String,
    index: u64,
    attempt: u32,
    agent: u32,
}

/// wasmtime with nothing of Armada but its engine's configuration, so that both run the same code.
pub(crate) struct BareHost {
    pub(crate) engine: Engine,
    pub(crate) template: InstancePre<Bare>,
}

impl BareHost {
    pub(crate) fn new(sandbox: &Sandbox, component: &[u8]) -> anyhow::Result<Self> {
        let engine = sandbox.engine().clone();
        let template = linked(&engine, component).map_err(bare)?;
        Ok(Self { engine, template })
    }

    pub(crate) fn store(&self) -> Store<Bare> {
        let wasi = WasiCtx::builder().build();
        let mut store = Store::new(&self.engine, Bare { wasi, resources: ResourceTable::new() });
        store.set_epoch_deadline(u64::MAX / 2);
        store
    }
}

fn linked(engine: &Engine, component: &[u8]) -> wasmtime::Result<InstancePre<Bare>> {
    let component = Component::new(engine, component)?;
    let mut linker = Linker::<Bare>::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    let mut monitoring = linker.instance("armada:monitoring/monitoring@0.1.0")?;
    monitoring.func_wrap("current-job", |_, ()| Ok((None::<Job>,)))?;
    for (name, import) in component.component_type().imports(engine) {
        if let ComponentItem::ComponentInstance(interface) = import.ty
            && name.starts_with("armada:")
        {
            stub(&mut linker.instance(name)?, &interface, engine)?;
        }
    }
    linker.instantiate_pre(&component)
}

/// Stands in for what the measured jobs do not call.
fn stub(linker: &mut LinkerInstance<'_, Bare>, interface: &ComponentInstance, engine: &Engine) -> wasmtime::Result<()> {
    for (name, export) in interface.exports(engine) {
        match export.ty {
            _ if name == "current-job" => {}
            ComponentItem::ComponentFunc(function) if function.async_() => {
                linker.func_new_concurrent(name, |_, _, _, _| Box::pin(async { wasmtime::bail!("not here") }))?;
            }
            ComponentItem::ComponentFunc(_) => linker.func_new(name, |_, _, _, _| wasmtime::bail!("not here"))?,
            ComponentItem::Resource(_) => linker.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?,
            _ => {}
        }
    }
    Ok(())
}

/// An error of wasmtime, as errors are here.
pub(crate) fn bare(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}
