//! Agents from elsewhere: who gets a link, and how many.

use armada_project::{Ceiling, ComponentRef, Configuration, Digest, Grant, Mode, Overrides};
use armada_protocol::link::{INCARNATION, Link, PROTOCOL};
use armada_protocol::{AgentRecord, Incarnation, JobStore as _, ProtocolError, Registry as _, RunId, RunStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Server;

impl Server {
    /// A run with so many agents, which somebody else would start.
    async fn distant_run(&self, agents: u32) -> RunId {
        let run = self.run().await;
        self.conduct(&run).await;
        let update = sqlx::query("UPDATE runs SET agents = $1 WHERE id = $2").bind(i64::from(agents)).bind(run.clone());
        update.execute(self.store.pool()).await.unwrap();
        let run = RunId(run.parse().unwrap());
        let configuration = Configuration::resolve(self.folder.path(), Mode::Local, &Overrides::default()).unwrap();
        for index in 0..agents {
            let record = AgentRecord {
                message: serde_json::from_str(r#"{"a": 1}"#).unwrap(),
                component: ComponentRef { digest: Digest::of(b"wasm"), size: 4 },
                grant: Grant::new(configuration.sandbox(), &Ceiling::none()),
                compiled: None,
            };
            self.runs.put_agent(run, index, record).await.unwrap();
        }
        run
    }

    /// A link of a new incarnation of an agent, or the status that it is refused with.
    async fn link(&self, run: RunId, agent: u32) -> Result<Link, u16> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET /api/runs/{run}/agents/{agent}/link HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\n\
             upgrade: {PROTOCOL}\r\n{INCARNATION}: {}\r\n\r\n",
            self.address,
            Incarnation::new(agent).id
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        match str::from_utf8(&head[9..12]).unwrap().parse().unwrap() {
            101 => Ok(Link::connect(stream)),
            status => Err(status),
        }
    }
}

#[tokio::test]
async fn an_agent_has_one_link_and_the_newest_counts() {
    let server = Server::start().await;
    let (run, another) = (server.distant_run(2).await, server.distant_run(1).await);
    let beside = [server.link(run, 1).await.unwrap(), server.link(another, 0).await.unwrap()];
    let mut older = server.link(run, 0).await.unwrap();
    for _ in 0..20 {
        let newer = server.link(run, 0).await.unwrap();
        assert!(matches!(older.stopped(run).await, Err(ProtocolError::Closed)));
        assert_eq!(RunStore::agent(&newer, run, 0).await.unwrap().message["a"], 1);
        older = newer;
    }
    for link in &beside {
        assert_eq!(RunStore::agent(link, run, 0).await.unwrap().message["a"], 1);
    }
    assert_eq!(server.link(run, 2).await.err(), Some(404));
    drop((beside, older));
    server.stop().await;
}

#[tokio::test]
async fn an_agent_that_comes_before_its_run_is_there_again_is_told_to_come_later() {
    let server = Server::start().await;
    let run = server.distant_run(1).await;
    server.runs.delete(run).await.unwrap();
    assert_eq!(server.link(run, 0).await.err(), Some(503));
    server.stop().await;
}
