//! The engine: one configuration for everybody who compiles or runs components.
//!
//! A precompiled component runs only on an engine of the same configuration, so there is one function that builds it,
//! and one thread per process that moves its epoch on: guests look at it in their loops, which is how a guest that only
//! computes is made to yield and, in the end, stopped.

mod cache;
mod signed;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails};

pub use cache::{ComponentCache, ComponentError};
pub use signed::{SigningKey, VerifyingKey};

/// How often guests look up from computing. Also how far a guest may overrun its CPU time.
const TICK: Duration = Duration::from_millis(10);
/// How much stack a guest has, in bytes. Python needs more than Rust for the same recursion.
const GUEST_STACK: usize = 1 << 20;
/// How much stack a fiber has: the guest's, and room for the host functions that it calls.
const FIBER_STACK: usize = 2 << 20;
/// How large a linear memory can be at most: all that 32-bit addresses reach. Grants allow less.
const MEMORY: usize = 1 << 32;
/// How many elements a table can have. Python has the largest one in use, of about 20,000.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;
/// How many core instances, memories and tables one component may be made of. Python has about 10 of each.
pub(crate) const CORE_INSTANCES: u32 = 100;

/// The configuration of every engine.
fn configuration() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    // One process has few instances at a time: its agents', each with one.
    pool.total_component_instances(256);
    pool.total_core_instances(2_560);
    pool.total_memories(512);
    pool.total_tables(2_560);
    pool.total_stacks(512);
    pool.max_core_instances_per_component(CORE_INSTANCES);
    pool.max_memories_per_component(CORE_INSTANCES);
    pool.max_tables_per_component(CORE_INSTANCES);
    pool.table_elements(TABLE_ELEMENTS);
    pool.max_memory_size(MEMORY);
    // Pages that an instance used stay with its slot, zeroed, for the next one: a job starts with warm memory.
    pool.linear_memory_keep_resident(1 << 20);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config.memory_init_cow(true);
    config.epoch_interruption(true);
    config.wasm_component_model_async(true);
    config.max_wasm_stack(GUEST_STACK);
    config.async_stack_size(FIBER_STACK);
    config.cranelift_opt_level(OptLevel::Speed);
    // Backtraces name the author's files and lines.
    config.wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config
}

/// An engine, and the thread that moves its epoch on.
#[derive(Clone)]
pub struct Sandbox {
    engine: Engine,
    /// Stops the thread when the last clone goes.
    _ticker: Arc<Ticker>,
}

struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}

impl Sandbox {
    /// Makes the engine and starts its ticks.
    pub fn new() -> Result<Self, ComponentError> {
        let engine = Engine::new(&configuration()).map_err(|error| ComponentError::Engine(format!("{error:#}")))?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("epoch".to_owned()).spawn({
            let (engine, stop) = (engine.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                    engine.increment_epoch();
                }
            }
        });
        let thread = thread.map_err(|error| ComponentError::Engine(error.to_string()))?;
        Ok(Self { engine, _ticker: Arc::new(Ticker { stop, thread: Some(thread) }) })
    }

    /// Everything that decides which engines can load what this one compiles, as a number: the version, the
    /// configuration, the processor.
    fn configuration(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    /// The same as text.
    pub(crate) fn id(&self) -> String {
        format!("{:016x}", self.configuration())
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}
