//! Instantiating a component for one job, against wasmtime alone with the same engine and component.

use std::time::{Duration, Instant};

use armada_host::Sandbox;
use armada_host::measured::Runner;
use serde_json::Map;

use crate::component::{self, BareHost, built, grant};
use crate::measure::Row;

const ROUNDS: usize = 30;
const TIMES: u32 = 100;

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sandbox, component) = (Sandbox::new()?, built());
    let runner = Runner::new(&sandbox, &component, grant()?, &Map::new())?;
    let bare = BareHost::new(&sandbox, &component)?;
    let times = runtime.block_on(async {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let started = Instant::now();
            for _ in 0..TIMES {
                drop(runner.instantiate().await.map_err(anyhow::Error::msg)?);
            }
            let armada = started.elapsed() / TIMES;
            let started = Instant::now();
            for _ in 0..TIMES {
                let mut store = bare.store();
                bare.template.instantiate_async(&mut store).await.map_err(component::bare)?;
            }
            times.push((armada, started.elapsed() / TIMES));
        }
        anyhow::Ok::<Vec<(Duration, Duration)>>(times)
    })?;
    Ok(vec![Row::new("instantiate a component", "wasmtime, pooling, the same component", times, 1.2)])
}
