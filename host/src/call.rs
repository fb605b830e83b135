//! The one wrapper that every host call goes through.
//!
//! A capability says what a call does; everything that must be true of every call is here: it is granted, counted,
//! bounded in time, in number and in what it gives, it can be cancelled, and it leaves a span in the trace. A call that
//! is answered at once pays for none of the bookkeeping that only a waiting call needs.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use armada_project::{Capability, Grant};
use futures::poll;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use wasmtime::component::{Accessor, HasData};

use crate::contract::Error;
use crate::instance::{InstanceState, Role};

/// How the generated traits reach an instance's state.
pub(crate) struct Host;

impl HasData for Host {
    type Data<'a> = &'a mut InstanceState;
}

/// What a call is, before it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// The capability that it belongs to; none for what every guest may do.
    capability: Option<Capability>,
    /// Its name in the contract, such as `page.goto`.
    name: &'static str,
    /// Whether the time of one call is limited; what only waits for time to pass is limited by the job's.
    timed: bool,
}

impl Call {
    /// A call of a capability.
    pub(crate) const fn of(capability: Capability, name: &'static str) -> Self {
        Self { capability: Some(capability), name, timed: true }
    }

    /// A call that every guest may make, for as long as its job lasts.
    pub(crate) const fn free(name: &'static str) -> Self {
        Self { capability: None, name, timed: false }
    }
}

/// What is known of an instance's calls.
pub(crate) struct Calls {
    grant: Arc<Grant>,
    role: Role,
    /// The number of the next call that waits.
    next: u64,
    waiting: Arc<InProgress>,
    /// Ends every call: the job, or what else the guest was called for, is over.
    over: CancellationToken,
}

/// Calls in progress that can be cancelled, by number. Apart from the instance, because a call may be dropped when the
/// instance cannot be reached.
#[derive(Default)]
struct InProgress(Mutex<BTreeMap<u64, (Call, CancellationToken)>>);

impl InProgress {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (Call, CancellationToken)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    /// The calls of a new instance.
    pub(crate) fn new(grant: Arc<Grant>, role: Role) -> Self {
        Self { grant, role, next: 0, waiting: Arc::default(), over: CancellationToken::new() }
    }

    /// The guest is called for something: `over` ends its calls from now on.
    pub(crate) fn begin(&mut self, over: CancellationToken) {
        self.over = over;
    }

    /// The number of the next call that waits.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Ends a call in progress.
    pub(crate) fn cancel(&self, number: u64) {
        if let Some((_, token)) = self.waiting.lock().get(&number) {
            token.cancel();
        }
    }

    /// The names of the calls in progress, the oldest first.
    pub(crate) fn in_progress(&self) -> Vec<&'static str> {
        self.waiting.lock().values().map(|(call, _)| call.name).collect()
    }

    fn admit(&self, call: Call) -> Result<(), Error> {
        let Some(capability) = call.capability else { return Ok(()) };
        self.role.check(capability)?;
        self.grant.check_capability(capability.name()).map_err(|denied| Error::Denied(denied.to_string()))
    }

    fn time(&self) -> Duration {
        Duration::try_from_secs_f64(self.grant.limits().seconds_per_call).unwrap_or(Duration::MAX)
    }
}

/// How many bytes a value takes in a guest's memory, roughly: what it holds, not its own record.
pub(crate) trait Weigh {
    /// The bytes.
    fn weight(&self) -> usize {
        0
    }
}

/// Makes a call that waits. `start` looks at the instance and says what is to be done; the rest happens without it.
pub(crate) async fn call<T, W>(
    accessor: &Accessor<InstanceState, Host>,
    call: Call,
    start: impl FnOnce(&mut InstanceState) -> Result<W, Error>,
) -> Result<T, Error>
where
    T: Weigh,
    W: Future<Output = Result<T, Error>> + Send,
{
    let (number, most_bytes, work) = accessor.with(|mut access| {
        let state = access.get();
        let number = state.calls.next;
        state.calls.next += 1;
        let most_bytes = state.calls.grant.limits().bytes_per_call;
        (number, most_bytes, state.calls.admit(call).and_then(|()| start(state)))
    });
    let work = work?;
    let span = tracing::debug_span!("host_call", name = call.name, number);
    async move {
        let mut work = pin!(work);
        let given = match poll!(work.as_mut()) {
            std::task::Poll::Ready(given) => given,
            std::task::Poll::Pending => wait(accessor, call, number, work).await,
        };
        given.and_then(|given| bounded(given, most_bytes))
    }
    .instrument(span)
    .await
}

/// Waits for a call that was not answered at once.
async fn wait<T>(
    accessor: &Accessor<InstanceState, Host>,
    call: Call,
    number: u64,
    work: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Error> {
    let (waiting, over, time) = accessor.with(|mut access| {
        let calls = &access.get().calls;
        let most = calls.grant.limits().concurrent_calls;
        let mut in_progress = calls.waiting.lock();
        // What only waits for time to pass is counted by itself: a script whose calls are all in progress can still
        // time them.
        if in_progress.values().filter(|(other, _)| other.timed == call.timed).count() as u64 >= most {
            return Err(Error::Limit(format!(
                "{most} calls are in progress: await some, or raise run_message.sandbox.limits.concurrent_calls"
            )));
        }
        let token = CancellationToken::new();
        in_progress.insert(number, (call, token.clone()));
        let waiting = Waiting { calls: calls.waiting.clone(), number };
        Ok(((token, waiting), calls.over.clone(), calls.time()))
    })?;
    let (waiting, _until_dropped) = waiting;
    let time = if call.timed { time } else { Duration::MAX };
    tokio::select! {
        biased;
        given = work => given,
        () = waiting.cancelled() => Err(Error::Closed("the call was cancelled".to_owned())),
        () = over.cancelled() => Err(Error::Closed("the job is over".to_owned())),
        () = sleep(time) => Err(Error::Timeout(format!(
            "{} took longer than {} s: raise run_message.sandbox.limits.seconds_per_call",
            call.name,
            time.as_secs_f64()
        ))),
    }
}

async fn sleep(time: Duration) {
    if time == Duration::MAX {
        std::future::pending().await
    } else {
        tokio::time::sleep(time).await;
    }
}

/// Makes a call that is answered at once.
pub(crate) fn call_now<T: Weigh>(
    state: &mut InstanceState,
    call: Call,
    answer: impl FnOnce(&mut InstanceState) -> Result<T, Error>,
) -> Result<T, Error> {
    state.calls.admit(call)?;
    let _span = tracing::debug_span!("host_call", name = call.name).entered();
    let most_bytes = state.calls.grant.limits().bytes_per_call;
    answer(state).and_then(|given| bounded(given, most_bytes))
}

/// Lets a value through unless it is larger than one call may give.
fn bounded<T: Weigh>(given: T, most: u64) -> Result<T, Error> {
    let weight = given.weight();
    if weight as u64 <= most {
        return Ok(given);
    }
    Err(Error::Limit(format!(
        "the answer has {weight} bytes, more than {most}: raise run_message.sandbox.limits.bytes_per_call"
    )))
}

/// A call in progress, as long as it is.
struct Waiting {
    calls: Arc<InProgress>,
    number: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.number);
    }
}

macro_rules! weightless {
    ($($type:ty),* $(,)?) => {
        $(impl Weigh for $type {})*
    };
}

weightless!((), bool, u32, u64);

impl Weigh for String {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Weigh for Vec<u8> {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Weigh for Vec<String> {
    fn weight(&self) -> usize {
        self.iter().map(|text| text.len() + 8).sum()
    }
}

impl Weigh for Vec<u64> {
    fn weight(&self) -> usize {
        self.len() * 8
    }
}

impl Weigh for Vec<(String, String)> {
    fn weight(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len() + 16).sum()
    }
}

impl<T: Weigh> Weigh for Option<T> {
    fn weight(&self) -> usize {
        self.as_ref().map_or(0, Weigh::weight)
    }
}

impl<T> Weigh for Arc<T> {}
