//! One instance of a project's component, in its sandbox.
//!
//! The store holds everything that the guest can reach and nothing else: captured output, clocks and randomness, its
//! limits, and handles on what the host has for it. A call into it ends with the guest's answer or with a [`Fault`];
//! after a fault the instance is done for, and dropping it drops all that it held.

use std::sync::Arc;
use std::time::Duration;

use armada_project::{Capability, is_known_import};
use armada_protocol::{Cause, JobError};
use tokio_util::sync::CancellationToken;
use wasmtime::component::{Accessor, Component, InstancePre, Linker, Resource, ResourceTable};
use wasmtime::{FrameInfo, ResourceLimiter, Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::call::{Calls, Host};
use crate::capabilities::http::Requests;
use crate::capabilities::{Capabilities, output};
use crate::contract::modifiers::{Request, RequestVerdict, Response, ResponseVerdict};
use crate::contract::{Error, Failure, Modifying, ModifyingIndices, Project, ProjectIndices, types};
use crate::engine::{CORE_INSTANCES, ComponentError, Sandbox, TABLE_ELEMENTS};
use crate::meter::CpuMeter;

/// How many streams, pollables and the like of WASI a guest may hold.
const WASI_RESOURCES: usize = 1_000;
/// How many things of the component model's own (tasks, streams, sets of waitables) a guest may hold.
const CONCURRENT_RESOURCES: usize = 10_000;
/// How many random bytes a guest gets at once.
const RANDOM_BYTES: u64 = 1 << 20;
/// Room for what a call passes beside its bytes.
const CALL_OVERHEAD: usize = 64 * 1024;

/// A limit of the guest that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Exceeded {
    #[error("the component asked for more than {0} MiB (run_message.sandbox.limits.memory_mib)")]
    Memory(u64),
    #[error("a table of more than {TABLE_ELEMENTS} elements is not allowed")]
    Table,
    #[error("it computed for longer than its budget (run_message.sandbox.limits.cpu_seconds_per_job)")]
    CpuTime,
}

/// Why an instance is done for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) JobError);

/// What a guest gives back for a call.
pub(crate) type Answer<T> = Result<Result<T, Failure>, Fault>;

/// What the store of an instance holds.
pub(crate) struct InstanceState {
    wasi: WasiCtx,
    wasi_resources: ResourceTable,
    wasi_http: WasiHttpCtx,
    wasi_requests: Requests,
    limiter: Limiter,
    cpu: Arc<CpuMeter>,
    pub(crate) calls: Calls,
    /// What the guest has handles on.
    handles: ResourceTable,
    pub(crate) capabilities: Arc<Capabilities>,
}

impl WasiView for InstanceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.wasi_resources }
    }
}

impl WasiHttpView for InstanceState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.wasi_requests, table: &mut self.wasi_resources, ctx: &mut self.wasi_http }
    }
}

/// The shared types have no functions.
impl types::Host for InstanceState {}

impl InstanceState {
    /// Gives the guest a handle.
    pub(crate) fn hand_out<T: Send + 'static>(&mut self, thing: T) -> Result<Resource<T>, Error> {
        self.handles.push(thing).map_err(|_| {
            Error::Limit("too many handles are held: drop some, or raise run_message.sandbox.limits.handles".to_owned())
        })
    }

    /// What a handle stands for.
    pub(crate) fn handle<T: 'static>(&self, handle: &Resource<T>) -> Result<&T, Error> {
        self.handles.get(handle).map_err(|error| Error::Invalid(error.to_string()))
    }

    /// What a handle stands for, to change it.
    pub(crate) fn handle_mut<T: 'static>(&mut self, handle: &Resource<T>) -> Result<&mut T, Error> {
        self.handles.get_mut(handle).map_err(|error| Error::Invalid(error.to_string()))
    }

    /// Takes a handle back.
    pub(crate) fn take_back<T: Send + 'static>(&mut self, handle: Resource<T>) -> wasmtime::Result<()> {
        self.handles.delete(handle)?;
        Ok(())
    }
}

/// Hands something out to the guest of a call.
pub(crate) fn hand_out<T: Send + 'static>(
    accessor: &Accessor<InstanceState, Host>,
    thing: T,
) -> Result<Resource<T>, Error> {
    accessor.with(|mut access| access.get().hand_out(thing))
}

/// What an instance's memories and tables may grow to. Exceeding memory is the end of the job in every language: a
/// refused growth would be an exception in one and an abort in another.
struct Limiter {
    memory_mib: u64,
    memory_left: usize,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        match self.memory_left.checked_sub(desired.saturating_sub(current)) {
            Some(left) => {
                self.memory_left = left;
                Ok(true)
            }
            None => Err(Exceeded::Memory(self.memory_mib).into()),
        }
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired <= TABLE_ELEMENTS { Ok(true) } else { Err(Exceeded::Table.into()) }
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn memories(&self) -> usize {
        CORE_INSTANCES as usize
    }
}

/// A component, ready to be instantiated: checked against what this host has and calls.
#[derive(Clone)]
pub(crate) struct Template {
    component: InstancePre<InstanceState>,
    project: ProjectIndices,
    /// What it has for traffic, if it exports that.
    modifying: Option<ModifyingIndices>,
}

impl Template {
    /// Checks a component's imports and exports, and links it.
    pub(crate) fn new(sandbox: &Sandbox, component: &Component) -> Result<Self, ComponentError> {
        let engine = |error: wasmtime::Error| ComponentError::Engine(format!("{error:#}"));
        let mut linker = Linker::<InstanceState>::new(sandbox.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(engine)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).map_err(engine)?;
        Project::add_to_linker::<_, Host>(&mut linker, |state| state).map_err(engine)?;
        let component = linker.instantiate_pre(component).map_err(|error| {
            // The linker names the first import that it does not have, or whose type is another.
            ComponentError::UnknownImport(unknown_import(&linker, component).unwrap_or_else(|| format!("{error:#}")))
        })?;
        let modifying = ModifyingIndices::new(&component).ok();
        let project =
            ProjectIndices::new(&component).map_err(|error| ComponentError::NoLifecycle(format!("{error:#}")))?;
        Ok(Self { component, project, modifying })
    }

    /// Whether it has anything for traffic.
    pub(crate) fn is_modifying(&self) -> bool {
        self.modifying.is_some()
    }
}

/// The import that this host does not have.
fn unknown_import(linker: &Linker<InstanceState>, component: &Component) -> Option<String> {
    let engine = component.engine();
    let known = linker.substituted_component_type(component).is_ok();
    if known {
        return None;
    }
    let component_type = component.component_type();
    let mut imports = component_type.imports(engine).map(|(name, _)| name.to_owned());
    imports.find(|name| !is_known_import(name)).map(|name| format!("`{name}`"))
}

/// An instance of a project.
pub(crate) struct Instance {
    store: Store<InstanceState>,
    project: Project,
    modifying: Option<Modifying>,
    cpu: Arc<CpuMeter>,
}

/// What an instance is for, which decides what its guest may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Contexts and jobs: whatever the grant allows.
    Script,
    /// Traffic of the browser: of what the grant allows, only to report.
    Modifier,
}

impl Role {
    /// Whether a guest of this role may use a capability, if the grant allows it.
    pub(crate) fn check(self, capability: Capability) -> Result<(), Error> {
        if self == Self::Script || capability == Capability::Monitoring {
            return Ok(());
        }
        Err(Error::Denied(format!(
            "a modifier cannot use the capability `{capability}`: it runs beside the script, and only reports"
        )))
    }
}

/// How long a call into a guest may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// The limit that `wall` is.
    pub(crate) limit: &'static str,
}

impl Instance {
    /// Instantiates a component for an agent.
    pub(crate) async fn new(
        template: &Template,
        capabilities: Arc<Capabilities>,
        role: Role,
        budget: Budget,
    ) -> Result<Self, Fault> {
        let limits = capabilities.grant.limits();
        let cpu = Arc::new(CpuMeter::default());
        let bytes_per_call = usize::try_from(limits.bytes_per_call).unwrap_or(usize::MAX);
        let memory_left = usize::try_from(limits.memory_mib.saturating_mul(1 << 20)).unwrap_or(usize::MAX);
        let mut wasi_resources = ResourceTable::new();
        wasi_resources.set_max_capacity(WASI_RESOURCES);
        let mut handles = ResourceTable::new();
        handles.set_max_capacity(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        let (output, error) = output::streams(&capabilities.monitoring);
        let wasi = WasiCtxBuilder::new()
            .stdout(output)
            .stderr(error)
            .max_random_size(RANDOM_BYTES)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let state = InstanceState {
            wasi,
            wasi_resources,
            wasi_http: WasiHttpCtx::new(),
            wasi_requests: Requests { http: capabilities.http.clone(), role },
            limiter: Limiter { memory_mib: limits.memory_mib, memory_left },
            cpu: cpu.clone(),
            calls: Calls::new(capabilities.grant.clone(), role),
            handles,
            capabilities,
        };
        let mut store = Store::new(template.component.engine(), state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(bytes_per_call.saturating_add(CALL_OVERHEAD));
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(CONCURRENT_RESOURCES);
        }
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|context| {
            if context.data().cpu.is_exhausted() {
                return Err(Exceeded::CpuTime.into());
            }
            Ok(UpdateDeadline::Yield(1))
        });
        cpu.begin(budget.cpu);
        let instantiate = cpu.count(template.component.instantiate_async(&mut store));
        let instance = match tokio::time::timeout(budget.wall, instantiate).await {
            Ok(instance) => instance.map_err(|error| fault(&error))?,
            Err(_) => return Err(out_of_time(budget, &[])),
        };
        let project = template.project.load(&mut store, &instance).map_err(|error| fault(&error))?;
        let modifying = template.modifying.as_ref().map(|modifying| modifying.load(&mut store, &instance)).transpose();
        Ok(Self { store, project, modifying: modifying.map_err(|error| fault(&error))?, cpu })
    }

    /// Opens the agent context.
    pub(crate) async fn open_agent(&mut self, message: String, budget: Budget) -> Answer<()> {
        let guest = self.project.armada_project_lifecycle().clone();
        self.enter(budget, CancellationToken::new(), async move |accessor| {
            guest.call_open_agent(accessor, message).await
        })
        .await
    }

    /// Runs a job. `over` ends the host calls in progress and all further ones, so that the guest can end by itself.
    pub(crate) async fn run_job(&mut self, message: String, budget: Budget, over: CancellationToken) -> Answer<String> {
        let guest = self.project.armada_project_lifecycle().clone();
        self.enter(budget, over, async move |accessor| guest.call_run_job(accessor, message).await).await
    }

    /// Closes the agent context.
    pub(crate) async fn close_agent(&mut self, budget: Budget) -> Answer<()> {
        let guest = self.project.armada_project_lifecycle().clone();
        self.enter(budget, CancellationToken::new(), async move |accessor| guest.call_close_agent(accessor).await).await
    }

    /// Looks at a request before it is sent. Nothing if the component has nothing for traffic.
    pub(crate) async fn modify_request(
        &mut self,
        modifier: String,
        request: Request,
        budget: Budget,
    ) -> Option<Answer<RequestVerdict>> {
        let guest = self.modifying.as_ref()?.armada_project_modifiers().clone();
        let call = async move |accessor: &Accessor<InstanceState>| {
            guest.call_modify_request(accessor, modifier, request).await
        };
        Some(self.enter(budget, CancellationToken::new(), call).await)
    }

    /// Looks at a response before the browser gets it. Nothing if the component has nothing for traffic.
    pub(crate) async fn modify_response(
        &mut self,
        modifier: String,
        request: Request,
        response: Response,
        budget: Budget,
    ) -> Option<Answer<ResponseVerdict>> {
        let guest = self.modifying.as_ref()?.armada_project_modifiers().clone();
        let call = async move |accessor: &Accessor<InstanceState>| {
            guest.call_modify_response(accessor, modifier, request, response).await
        };
        Some(self.enter(budget, CancellationToken::new(), call).await)
    }

    async fn enter<T>(
        &mut self,
        budget: Budget,
        over: CancellationToken,
        call: impl AsyncFnOnce(&Accessor<InstanceState>) -> wasmtime::Result<Result<T, Failure>>,
    ) -> Answer<T> {
        self.cpu.begin(budget.cpu);
        self.store.data_mut().calls.begin(over);
        self.store.set_epoch_deadline(1);
        let work = self.cpu.count(self.store.run_concurrent(call));
        match tokio::time::timeout(budget.wall, work).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error)) | Err(error)) => Err(fault(&error)),
            Err(_) => Err(out_of_time(budget, &self.store.data().calls.in_progress())),
        }
    }
}

/// The time is over, while these calls were in progress.
fn out_of_time(budget: Budget, calls: &[&str]) -> Fault {
    let (seconds, limit) = (budget.wall.as_secs_f64(), budget.limit);
    let waiting = match calls {
        [] => String::new(),
        [call] => format!(", waiting for {call}"),
        [call, ..] => format!(", waiting for {call} and {} calls more", calls.len() - 1),
    };
    let message = format!("it took longer than {seconds} s (run_message.sandbox.limits.{limit}){waiting}");
    Fault(JobError { cause: Cause::WallTime, message, traceback: Vec::new() })
}

/// What an error of the engine means for the job.
fn fault(error: &wasmtime::Error) -> Fault {
    let (cause, message) = match (error.downcast_ref::<Exceeded>(), error.downcast_ref::<Trap>()) {
        (Some(exceeded @ Exceeded::CpuTime), _) => (Cause::CpuTime, exceeded.to_string()),
        (Some(exceeded), _) => (Cause::Memory, exceeded.to_string()),
        (None, Some(Trap::StackOverflow)) => (Cause::Stack, "a function calls itself too deeply".to_owned()),
        // A compiled language has a stack of its own at the start of its memory, and falls off it there.
        (None, Some(Trap::MemoryOutOfBounds)) => {
            let message = "an access outside of memory, as when a function calls itself too deeply";
            (Cause::Stack, message.to_owned())
        }
        (None, Some(trap)) => (Cause::Trap, trap.to_string()),
        (None, None) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(status)) => (Cause::Trap, format!("the script ended its process with status {status}")),
            None if error.root_cause().to_string().contains("fuel allocated for hostcalls has been exhausted") => {
                let message = "the script passed more at once than run_message.sandbox.limits.bytes_per_call allows, as its \
                               result or to a function: keep large data as an artifact, or pass it in parts";
                (Cause::TooLarge, message.to_owned())
            }
            None => (Cause::Trap, error.root_cause().to_string()),
        },
    };
    let traceback = error.downcast_ref::<WasmBacktrace>().map(traceback).unwrap_or_default();
    Fault(JobError { cause, message, traceback })
}

/// The places of a backtrace that are in the author's own source, innermost first.
fn traceback(backtrace: &WasmBacktrace) -> Vec<String> {
    const MOST: usize = 32;
    // What the component exports, such as `[async-lift]armada:project/lifecycle@0.1.0#run-job`, is where a macro is
    // called.
    let is_export = |frame: &&FrameInfo| frame.func_name().is_some_and(|name| name.starts_with('['));
    let frames = backtrace.frames().iter().filter(|frame| !is_export(frame));
    let places = frames.flat_map(FrameInfo::symbols).filter_map(|symbol| {
        let file = symbol.file().filter(|file| is_authors(file))?;
        // What the compiler or a macro has made has no line, or a name of its own.
        let line = symbol.line().filter(|line| *line > 0)?;
        match symbol.name().map(function_name) {
            Some(name) if is_generated(&name) => None,
            Some(name) if !name.starts_with('{') => Some(format!("{file}:{line} in {name}")),
            _ => Some(format!("{file}:{line}")),
        }
    });
    places.take(MOST).collect()
}

/// Whether a source file is the author's. Builds name those by their place in the project, and all others by a path
/// from the root.
fn is_authors(file: &str) -> bool {
    let elsewhere = ["/", "<", ".armada/"].iter().any(|start| file.starts_with(start));
    !elsewhere && !file.contains(":\\") && !file.contains("://") && !file.contains("{{root}}")
}

/// Whether a function is what `armada::project!` has made.
fn is_generated(name: &str) -> bool {
    name.contains("__armada") || ["export_", "_export_", "_callback_"].iter().any(|prefix| name.starts_with(prefix))
}

/// A function's name without the hash that the compiler adds.
fn function_name(name: &str) -> String {
    let name = match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => name,
    };
    name.replace("::{{closure}}", "").replace("::{closure#0}", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_over_all_memories() {
        let mut limiter = Limiter { memory_mib: 1, memory_left: 1 << 20 };
        assert!(limiter.memory_growing(0, 600_000, None).unwrap());
        let error = limiter.memory_growing(0, 600_000, None).unwrap_err();
        assert_eq!(fault(&error).0.cause, Cause::Memory);
        assert!(limiter.memory_growing(600_000, 1_000_000, None).unwrap());
    }

    #[test]
    fn traps_have_their_causes() {
        assert_eq!(fault(&Trap::StackOverflow.into()).0.cause, Cause::Stack);
        assert_eq!(fault(&Trap::UnreachableCodeReached.into()).0.cause, Cause::Trap);
        assert_eq!(fault(&Exceeded::CpuTime.into()).0.cause, Cause::CpuTime);
    }

    #[test]
    fn only_the_authors_own_files_are_in_a_traceback() {
        assert!(is_authors("ctx_script.rs") && is_authors("addon/login.rs"));
        assert!(
            !is_authors("/rustc/abc/library/std/src/panicking.rs") && !is_authors("/armada/guest-sdk/rust/src/lib.rs")
        );
        assert_eq!(
            function_name("demo::ctx_script::ctx_script::{{closure}}::h0123456789abcdef"),
            "demo::ctx_script::ctx_script"
        );
    }
}
