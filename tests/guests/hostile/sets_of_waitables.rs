//! Makes things of the component model itself, which no host function hands out.

use armada::{Agent, Job, Result, Value};

guests::hostile!(attack);

#[link(wasm_import_module = "$root")]
unsafe extern "C" {
    #[link_name = "[waitable-set-new]"]
    fn waitable_set_new() -> u32;
}

async fn attack(_job: &Job, _agent: &Agent) -> Result<Value> {
    loop {
        // SAFETY: it takes nothing and gives a number.
        std::hint::black_box(unsafe { waitable_set_new() });
    }
}
