//! The queue, the store and the ledger, as an agent in another process sees them: over one stream of frames.
//!
//! For an agent of this machine the orchestrator makes a pair of connected sockets, keeps one end ([`serve`]) and gives
//! the other to the agent's process as its standard input ([`Link::connect`]). Nothing listens, so nothing else can
//! connect; and when either process dies, the other one's end closes. An agent from elsewhere has a connection to the
//! server's API become a link ([`RemoteLink`]), and makes another when that is cut.

mod client;
mod frame;
#[cfg(test)]
mod golden;
mod remote;
mod server;

pub use client::Link;
pub use remote::RemoteLink;
pub use server::{Allowance, Peer, Served, serve};

/// What a connection to a server's API becomes when it becomes a link: the name that HTTP's `Upgrade` has for it.
pub const PROTOCOL: &str = "armada-link-1";
/// The header that names the agent's incarnation then.
pub const INCARNATION: &str = "armada-incarnation";

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use armada_project::{Capability, Ceiling, ComponentRef, Configuration, Digest, Grant, Mode, Overrides, Sandbox};
    use async_trait::async_trait;
    use bytes::Bytes;
    use serde_json::value::RawValue;
    use tokio::io::{AsyncWriteExt as _, DuplexStream};
    use tokio::sync::{Semaphore, mpsc};
    use tokio::task::JoinHandle;
    use uuid::Uuid;

    use super::*;
    use crate::embedded::{EmbeddedJobStore, EmbeddedQueue, EmbeddedRunStore};
    use crate::inventory::{Resolve, Upstream};
    use crate::report::{Artifact, Event, EventLevel};
    use crate::{
        AgentRecord, AgentState, Broker as _, Change, CompiledRef, Connections, Incarnation, Inventory,
        InventoryLender, Job, JobQueue, JobStore, Ledger as _, Lender, Lent, Next, Outcome, ProtocolError,
        Registry as _, Report, RunId, RunOptions, RunStore, Start, Stop, Wanted,
    };

    pub(super) const RUN: RunId = RunId(Uuid::from_u128(1));

    struct Orchestrator {
        queue: Arc<EmbeddedQueue>,
        runs: Arc<EmbeddedRunStore>,
        jobs: Arc<EmbeddedJobStore>,
        heard: mpsc::Receiver<Change>,
        artifacts: tempfile::TempDir,
    }

    impl Orchestrator {
        async fn new() -> Self {
            let (changes, heard) = mpsc::channel(100);
            let artifacts = tempfile::tempdir().unwrap();
            let orchestrator =
                Self { queue: Arc::default(), runs: Arc::default(), jobs: Arc::default(), heard, artifacts };
            orchestrator.queue.declare(RUN).await.unwrap();
            let folder = Some(orchestrator.artifacts.path().to_owned());
            let options = RunOptions { attempts_per_job: 2, artifacts: folder, changes };
            orchestrator.jobs.open(RUN, options).await.unwrap();
            orchestrator
        }

        fn agent(&self, index: u32) -> (Link, JoinHandle<Result<Served, ProtocolError>>) {
            let (theirs, serving) = self.stream(index, Allowance::own(), self.runs.clone());
            (Link::connect(theirs), serving)
        }

        /// The agent's end of a link, for a test that writes frames itself.
        fn stream(
            &self,
            index: u32,
            allowance: Allowance,
            runs: Arc<dyn RunStore>,
        ) -> (DuplexStream, JoinHandle<Result<Served, ProtocolError>>) {
            let (ours, theirs) = tokio::io::duplex(256);
            let connections = Connections {
                queue: self.queue.clone(),
                runs: runs.clone(),
                jobs: self.jobs.clone(),
                lender: Arc::new(InventoryLender::new(inventory(), runs)),
            };
            let peer = Peer { run: RUN, by: Incarnation::new(index), allowance };
            (theirs, tokio::spawn(async move { serve(ours, peer, connections, |_| ()).await }))
        }
    }

    pub(super) fn inventory() -> Inventory {
        let upstream = Upstream {
            name: "berlin".to_owned(),
            url: "socks5://user:password@proxy.example:1080".to_owned().try_into().unwrap(),
            location: "DE".to_owned(),
            tags: Vec::new(),
            agents: Some(1),
            resolve: Resolve::Agent,
            exit_addresses: vec!["198.51.100.0/24".parse().unwrap()],
        };
        Inventory { upstreams: vec![upstream], ..Inventory::default() }
    }

    #[tokio::test]
    async fn what_the_operator_has_is_leased_over_a_link_and_comes_back_with_its_end() {
        let orchestrator = Orchestrator::new().await;
        let asked = Sandbox { capabilities: [Capability::Proxy].into(), ..Sandbox::default() };
        let record = AgentRecord { grant: Grant::new(&asked, &Ceiling::none()), ..record() };
        for index in [1, 2] {
            orchestrator.runs.put_agent(RUN, index, record.clone()).await.unwrap();
        }
        let runs: Arc<dyn RunStore> = orchestrator.runs.clone();
        let lender = Arc::new(InventoryLender::new(inventory(), runs.clone()));
        let linked = |index| {
            let (ours, theirs) = tokio::io::duplex(256);
            let connections = Connections {
                queue: orchestrator.queue.clone(),
                runs: runs.clone(),
                jobs: orchestrator.jobs.clone(),
                lender: lender.clone(),
            };
            let peer = Peer { run: RUN, by: Incarnation::new(index), allowance: Allowance::own() };
            let serving = tokio::spawn(async move { serve(ours, peer, connections, |_| ()).await });
            (Link::connect(theirs), serving)
        };
        let (one, serving) = linked(1);
        let by = Incarnation::new(1);
        assert_eq!(one.lent(RUN, by).await.unwrap(), Lent::default());
        assert_eq!(one.lease(RUN, by, Wanted::default()).await.unwrap(), inventory().upstreams[0]);
        let (two, _serving) = linked(2);
        let taken = two.lease(RUN, by, Wanted::default()).await.unwrap_err();
        assert!(matches!(taken, ProtocolError::Unavailable(_)), "{taken}");
        drop(one);
        serving.await.unwrap().unwrap();
        assert_eq!(two.lease(RUN, by, Wanted::default()).await.unwrap().name, "berlin");
        two.give_back(RUN, by, true).await.unwrap();
    }

    fn job(index: u64) -> Job {
        let message = RawValue::from_string(r#"{"exact": 1.10, "big": 12345678901234567890}"#.to_owned()).unwrap();
        Job { uuid: Uuid::from_u128(index.into()), index, message }
    }

    fn success() -> Outcome {
        Outcome::Success { result: RawValue::from_string("[1, 2]".to_owned()).unwrap() }
    }

    pub(crate) fn record() -> AgentRecord {
        let folder = tempfile::tempdir().unwrap();
        let configuration = Configuration::resolve(folder.path(), Mode::Local, &Overrides::default()).unwrap();
        AgentRecord {
            message: serde_json::from_str(r#"{"a": 1}"#).unwrap(),
            component: ComponentRef { digest: Digest::of(b"wasm"), size: 4 },
            grant: Grant::new(configuration.sandbox(), &Ceiling::none()),
            compiled: Some(CompiledRef { engine: "5e0f".to_owned(), signature: "51".to_owned() }),
        }
    }

    #[tokio::test]
    async fn an_agent_does_over_a_link_what_it_does_in_process() {
        let mut orchestrator = Orchestrator::new().await;
        for digest in [Digest::of(b"wasm"), Digest::of(b"other")] {
            orchestrator.runs.put_component(RUN, digest, b"wasm".to_vec()).await.unwrap();
            for engine in ["5e0f", "x"] {
                orchestrator.runs.put_compiled(RUN, digest, engine, b"code".to_vec()).await.unwrap();
            }
        }
        orchestrator.runs.put_agent(RUN, 3, record()).await.unwrap();
        orchestrator.queue.publish(RUN, vec![job(0)]).await.unwrap();
        orchestrator.jobs.dispatched(RUN, 1).await.unwrap();

        let (link, serving) = orchestrator.agent(3);
        assert_eq!(RunStore::agent(&link, RUN, 3).await.unwrap().message["a"], 1);
        assert_eq!(link.component(Digest::of(b"wasm")).await.unwrap(), b"wasm".as_slice());
        assert_eq!(link.compiled(Digest::of(b"wasm"), "5e0f").await.unwrap(), b"code".as_slice());
        // What is not for this agent, it does not get.
        for missing in [
            link.component(Digest::of(b"other")).await,
            link.compiled(Digest::of(b"other"), "5e0f").await,
            link.compiled(Digest::of(b"wasm"), "x").await,
        ] {
            assert!(matches!(missing, Err(ProtocolError::NotFound(_))), "{missing:?}");
        }
        let mut consumer = link.consume(RUN, 3).await.unwrap();
        let delivery = consumer.next().await.unwrap().unwrap();
        assert_eq!(delivery.job.message.get(), job(0).message.get());
        let Start::Attempt(attempt) = link.start(RUN, &delivery.job, Incarnation::new(3)).await.unwrap() else {
            panic!()
        };
        assert_eq!((attempt.agent, attempt.number), (3, 1));
        let event = Event {
            time: jiff::Timestamp::UNIX_EPOCH,
            level: EventLevel::Success,
            content: "seen".to_owned(),
            attachment: None,
        };
        let artifact = |name: &str, bytes: &[u8]| {
            Report::Artifact(Artifact { name: name.into(), media_type: "text/plain".into(), bytes: bytes.to_vec() })
        };
        let reports = vec![artifact("a", b"one"), Report::Event(event), artifact("b", b"three")];
        link.report(attempt, 0, reports).await.unwrap();
        assert_eq!(link.finish(attempt, success()).await.unwrap(), Next::Ended);
        consumer.acknowledge(delivery.tag).await.unwrap();
        assert_eq!(link.stopped(RUN).await.unwrap(), Stop::Drained);
        drop((consumer, link));
        assert_eq!(serving.await.unwrap().unwrap().jobs_taken, 1);

        let record = loop {
            if let Change::Ended(record) = orchestrator.heard.recv().await.unwrap() {
                break record;
            }
        };
        assert_eq!(record.result.unwrap().get(), "[1, 2]");
        assert_eq!(record.events[0].report.content, "seen");
        assert_eq!(std::fs::read(orchestrator.artifacts.path().join("job-0/b")).unwrap(), b"three");
    }

    #[tokio::test]
    async fn the_job_of_an_agent_that_dies_goes_to_another() {
        let orchestrator = Orchestrator::new().await;
        orchestrator.queue.publish(RUN, vec![job(0)]).await.unwrap();
        let (first, serving) = orchestrator.agent(0);
        let mut consumer = first.consume(RUN, 0).await.unwrap();
        let delivery = consumer.next().await.unwrap().unwrap();
        first.start(RUN, &delivery.job, Incarnation::new(0)).await.unwrap();
        drop((consumer, first));
        serving.await.unwrap().unwrap();

        let (second, _serving) = orchestrator.agent(1);
        let mut consumer = second.consume(RUN, 1).await.unwrap();
        let delivery = consumer.next().await.unwrap().unwrap();
        let Start::Attempt(attempt) = second.start(RUN, &delivery.job, Incarnation::new(1)).await.unwrap() else {
            panic!()
        };
        assert_eq!((attempt.agent, attempt.number), (1, 2));
    }

    #[tokio::test]
    async fn giving_up_on_the_next_job_loses_none() {
        let orchestrator = Orchestrator::new().await;
        let (link, _serving) = orchestrator.agent(0);
        let mut consumer = link.consume(RUN, 0).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(20), consumer.next()).await.is_err());
        orchestrator.queue.publish(RUN, vec![job(5)]).await.unwrap();
        assert_eq!(consumer.next().await.unwrap().unwrap().job.index, 5);
    }

    #[tokio::test]
    async fn who_waits_for_too_much_at_once_is_let_go() {
        let orchestrator = Orchestrator::new().await;
        let (mut theirs, serving) = orchestrator.stream(0, Allowance::own(), orchestrator.runs.clone());
        for id in 0..=server::REQUESTS as u64 {
            ask(&mut theirs, id, frame::Ask::Stopped).await;
        }
        let served = tokio::time::timeout(Duration::from_secs(60), serving).await;
        assert_eq!(served.unwrap().unwrap().unwrap(), Served::default());
    }

    async fn ask(stream: &mut DuplexStream, id: u64, ask: frame::Ask) {
        frame::write(stream, &frame::Request { id, ask }, &[]).await.unwrap();
    }

    async fn reply(stream: &mut DuplexStream) -> (frame::Reply, Vec<u8>) {
        frame::read(stream).await.unwrap().unwrap()
    }

    /// Lets every other task go on for as long as it can.
    async fn settle() {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_component_is_read_for_an_agent_when_it_has_taken_the_one_before() {
        let orchestrator = Orchestrator::new().await;
        let digest = Digest::of(b"wasm");
        orchestrator.runs.put_component(RUN, digest, vec![1; 10_000]).await.unwrap();
        orchestrator.runs.put_agent(RUN, 0, record()).await.unwrap();
        let counted = Arc::new(Counted { runs: orchestrator.runs.clone(), reads: AtomicUsize::new(0) });
        let (mut theirs, serving) = orchestrator.stream(0, Allowance::own(), counted.clone());
        for id in 0..3 {
            ask(&mut theirs, id, frame::Ask::Component { digest }).await;
        }
        for read in 1..=3 {
            settle().await;
            assert_eq!(counted.reads.load(Ordering::Relaxed), read);
            assert_eq!(reply(&mut theirs).await.1, [1; 10_000]);
        }
        drop(theirs);
        serving.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_agent_from_elsewhere_that_announces_too_much_is_let_go() {
        let orchestrator = Orchestrator::new().await;
        for (artifacts, most) in [(0, 32 << 20), (64 << 20, 80 << 20)] {
            for (json, payload, is_let_go) in [(0, most + 1, true), (most, 1, true), (most, 0, false)] {
                let allowance = Allowance::distant(artifacts);
                let (mut theirs, serving) = orchestrator.stream(0, allowance, orchestrator.runs.clone());
                theirs.write_u32(json).await.unwrap();
                theirs.write_u32(payload).await.unwrap();
                settle().await;
                assert_eq!(serving.is_finished(), is_let_go, "{json} and {payload} with {artifacts}");
                drop(theirs);
                serving.await.unwrap().unwrap();
            }
        }
    }

    #[tokio::test]
    async fn large_requests_of_a_run_take_turns_and_small_ones_go_on() {
        let orchestrator = Orchestrator::new().await;
        let allowance = Allowance { large: Arc::new(Semaphore::new(100)), ..Allowance::distant(0) };
        let (mut first, one) = orchestrator.stream(0, allowance.clone(), orchestrator.runs.clone());
        let (mut second, two) = orchestrator.stream(1, allowance.clone(), orchestrator.runs.clone());
        // It announces a large request, and sends none of it.
        first.write_u32(100 << 10).await.unwrap();
        first.write_u32(0).await.unwrap();
        settle().await;
        assert_eq!(allowance.large.available_permits(), 0);
        ask(&mut second, 7, frame::Ask::Alive).await;
        assert_eq!(reply(&mut second).await.0.id, 7);
        let state = AgentState::Failed { message: "x".repeat(90 << 10) };
        let told = tokio::spawn(async move {
            ask(&mut second, 8, frame::Ask::AgentState { state }).await;
            reply(&mut second).await.0.id
        });
        settle().await;
        assert!(!told.is_finished());
        drop(first);
        one.await.unwrap().unwrap();
        assert_eq!(told.await.unwrap(), 8);
        two.await.unwrap().unwrap();
        assert_eq!(allowance.large.available_permits(), 100);
    }

    #[tokio::test]
    async fn a_link_from_elsewhere_that_is_silent_is_ended() {
        let orchestrator = Orchestrator::new().await;
        let allowance = Allowance { silence: Some(Duration::from_millis(20)), ..Allowance::distant(0) };
        let (_theirs, serving) = orchestrator.stream(0, allowance, orchestrator.runs.clone());
        serving.await.unwrap().unwrap();
    }

    /// A store that counts how often a component is read.
    struct Counted {
        runs: Arc<EmbeddedRunStore>,
        reads: AtomicUsize,
    }

    #[async_trait]
    impl RunStore for Counted {
        async fn component(&self, digest: Digest) -> Result<Bytes, ProtocolError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.runs.component(digest).await
        }

        async fn compiled(&self, digest: Digest, engine: &str) -> Result<Bytes, ProtocolError> {
            self.runs.compiled(digest, engine).await
        }

        async fn agent(&self, run: RunId, index: u32) -> Result<AgentRecord, ProtocolError> {
            self.runs.agent(run, index).await
        }
    }

    #[tokio::test]
    async fn every_wait_ends_when_the_orchestrator_is_gone() {
        let orchestrator = Orchestrator::new().await;
        let (link, serving) = orchestrator.agent(0);
        let mut consumer = link.consume(RUN, 0).await.unwrap();
        serving.abort();
        assert!(matches!(consumer.next().await, Err(ProtocolError::Closed)));
        assert!(matches!(link.stopped(RUN).await, Err(ProtocolError::Closed)));
        assert!(matches!(RunStore::agent(&link, RUN, 0).await, Err(ProtocolError::Closed)));
    }
}
