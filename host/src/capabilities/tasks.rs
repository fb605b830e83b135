//! Time and cancellation: `wit/deps/tasks.wit`.

use std::time::Duration;

use wasmtime::component::Accessor;

use crate::call::{Call, Host, call, call_now};
use crate::contract::{Error, tasks as wit};
use crate::instance::InstanceState;

impl wit::Host for InstanceState {
    fn next_call(&mut self) -> u64 {
        call_now(self, Call::free("next-call"), |state| Ok(state.calls.next())).unwrap_or_default()
    }

    fn cancel(&mut self, number: u64) {
        let _ = call_now(self, Call::free("cancel"), |state| {
            state.calls.cancel(number);
            Ok(())
        });
    }
}

impl wit::HostWithStore<InstanceState> for Host {
    async fn sleep(accessor: &Accessor<InstanceState, Self>, duration_ms: u32) -> Result<(), Error> {
        call(accessor, Call::free("sleep"), |_| {
            Ok(async move {
                tokio::time::sleep(Duration::from_millis(duration_ms.into())).await;
                Ok(())
            })
        })
        .await
    }
}
