//! A call from the guest to the host and back, against a plain wasmtime host function. The guest takes the time.

use std::time::Duration;

use anyhow::Context as _;
use armada_host::Sandbox;
use armada_host::measured::Runner;
use serde_json::{Map, json};

use crate::component::{self, BareHost, built, grant};
use crate::measure::Row;

const ROUNDS: usize = 30;
const CALLS: u32 = 100_000;

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sandbox, component) = (Sandbox::new()?, built());
    let runner = Runner::new(&sandbox, &component, grant()?, &Map::new())?;
    let bare = BareHost::new(&sandbox, &component)?;
    let job = json!({"measure": "host_call", "times": CALLS}).to_string();
    let times = runtime.block_on(async {
        let mut instance = runner.instantiate().await.map_err(anyhow::Error::msg)?;
        instance.open_agent("{}").await.map_err(anyhow::Error::msg)?;
        let mut store = bare.store();
        let plain = bare.template.instantiate_async(&mut store).await.map_err(component::bare)?;
        let mut function = |name: &str| {
            let (_, lifecycle) = plain
                .get_export(&mut store, None, "armada:project/lifecycle@0.1.0")
                .context("the component has no lifecycle")?;
            let (_, function) = plain.get_export(&mut store, Some(&lifecycle), name).context("no such function")?;
            plain.get_func(&mut store, function).context("it is no function")
        };
        let (open_agent, run_job) = (function("open-agent")?, function("run-job")?);
        call(&mut store, open_agent, "{}").await?;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let armada = duration(&instance.run_job(&job).await.map_err(anyhow::Error::msg)?)?;
            times.push((armada, duration(&call(&mut store, run_job, &job).await?)?));
        }
        anyhow::Ok(times)
    })?;
    Ok(vec![Row::new("host call and back", "a plain wasmtime host function", times, 1.3)])
}

/// Calls a function of the lifecycle; gives its result, or nothing where it has none.
async fn call<T: 'static + Send>(
    store: &mut wasmtime::Store<T>,
    function: wasmtime::component::Func,
    argument: &str,
) -> anyhow::Result<String> {
    use wasmtime::component::Val;
    let arguments = [Val::String(argument.to_owned())];
    let mut results = [Val::Bool(false)];
    let called =
        store.run_concurrent(async |accessor| function.call_concurrent(accessor, &arguments, &mut results).await);
    called.await.flatten().map_err(component::bare)?;
    match results {
        [Val::Result(Ok(None))] => Ok(String::new()),
        [Val::Result(Ok(Some(value)))] => match *value {
            Val::String(text) => Ok(text),
            other => anyhow::bail!("the result is {other:?}"),
        },
        [other] => anyhow::bail!("the guest failed: {other:?}"),
    }
}

/// The time per operation, as a job of `benches/project` gives it: seconds.
pub(crate) fn duration(result: &str) -> anyhow::Result<Duration> {
    let seconds: f64 = serde_json::from_str(result).with_context(|| format!("the result is {result}"))?;
    Ok(Duration::try_from_secs_f64(seconds)?)
}
