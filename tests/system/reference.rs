//! Projects that were written for the reference system, and the agent context that it gave them.

use std::path::Path;

use armada_protocol::Hidden;
use armada_protocol::Inventory;
use armada_protocol::inventory::Database;
use armada_tests::command::{Running, armada_for, finish, project, written};
use armada_tests::guests::built;
use armada_tests::processes;
use armada_tests::run::TestRun;
use armada_tests::site::Site;
use armada_tests::upstreams::UpstreamProxy;
use serde_json::{Value, json};

#[test]
fn a_project_that_was_written_for_the_reference_runs_unchanged() {
    let site = armada_sites::Site::default();
    let server = Site::serve(site.router());
    let url = format!("url={}", server.url());
    let ended = Running::start_at(&project("python_reference"), &["--set", &url]).finish();
    assert_eq!(ended.code, Some(0), "{:#?}", ended.told);
    let results: Vec<_> = ended.results.iter().map(|job| job["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["Quotes for “love”", "Quotes for “moon”"]);
    let events = ended.results[0]["events"].as_array().unwrap();
    let contents: Vec<_> = events.iter().map(|event| event["content"].as_str().unwrap()).collect();
    assert_eq!(contents, ["Page loaded", "Quotes for “love”"]);
}

/// An agent context of the reference's kind, and a script that asks what it has.
const OPENED: [(&str, &str); 2] = [
    (
        "ctx_agent_context.py",
        r#"
class AgentContext:
    def __init__(self, agent_message):
        self.agent_message = agent_message

    async def __aenter__(self):
        await self.instantiate_default()
        return self

    async def __aexit__(self, exc_type, exc, tb):
        self.browser.stop()
        self.screen.stop_screen()
        self.database.close()
        self.proxy_manager.stop_proxy()
"#,
    ),
    (
        "ctx_script.py",
        r#"
async def ctx_script(job_ctx, agent_ctx):
    return {
        "proxy": agent_ctx.proxy_manager.status().upstream,
        "device": (await agent_ctx.fingerprint_manager.current()).name,
        "database": await agent_ctx.database.select_from_db("SELECT %s + 1", 1),
        "screen": agent_ctx.screen.size(),
        "headless": (await agent_ctx.browser.launch()).headless,
    }
"#,
    ),
];

/// What an agent asks for, and what its operator lends.
struct Asked {
    proxy: UpstreamProxy,
    component: Vec<u8>,
    folder: tempfile::TempDir,
    message: Value,
    database: &'static str,
}

impl Asked {
    /// Everything, all of it right.
    fn everything() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("right.db"), "").unwrap();
        let message = json!({
            "config_fantomas": {"config_screen": {"screen_visible": 1, "screen_width": 800, "screen_height": 600}},
            "config_proxy": {"upstream_proxy_enabled": 1, "proxy_location": "DE"},
            "config_fingerprint": {"fingerprint_enabled": 1, "device_profile": "android-phone"},
        });
        let component = built(written(&OPENED).path());
        Self { proxy: UpstreamProxy::http("127.0.0.11"), component, folder, message, database: "right.db" }
    }

    fn run(&self) -> TestRun {
        let file = self.folder.path().join(self.database);
        let url = Hidden(format!("sqlite:{}", file.display()));
        let database = Database { url, writable: false, connections_per_agent: 1 };
        let inventory = Inventory {
            upstreams: vec![self.proxy.entry("berlin", "DE")],
            databases: [("orders".to_owned(), database)].into(),
            ..Inventory::default()
        };
        let capabilities = ["browser", "database", "fingerprint", "proxy", "screen"];
        TestRun::of(self.component.clone())
            .sandbox(json!({"capabilities": capabilities, "databases": ["orders"]}))
            .inventory(inventory)
            .agent_message(self.message.clone())
    }

    /// Why the agent could not begin. Nothing that was open by then is left.
    fn failure(&self) -> String {
        let run = self.run();
        let temp = run.temp().display().to_string();
        let ended = run.finish().agents.remove(0);
        let left = processes::all().into_iter().filter(|one| one.command.iter().any(|part| part.contains(&temp)));
        assert_eq!(left.collect::<Vec<_>>(), []);
        ended.expect_err("the agent should fail").to_string()
    }
}

#[test]
fn the_default_agent_context_has_what_its_message_asks_for() {
    let finished = Asked::everything().run().finish();
    assert!(finished.agents.iter().all(Result::is_ok), "{:?}", finished.agents);
    let job = &finished.jobs[0];
    let result = job.result.as_ref().unwrap_or_else(|| panic!("{:#?}", job.error));
    let result: Value = serde_json::from_str(result.get()).unwrap();
    let expected = json!({
        "proxy": "berlin", "device": "android-phone", "database": [[2]], "screen": [800, 600], "headless": false,
    });
    assert_eq!(result, expected);
}

#[test]
fn what_cannot_be_opened_fails_the_agent_in_the_references_order_and_leaves_nothing_open() {
    let mut asked = Asked::everything();
    // Everything is wrong at first, and each thing is put right when it has been told.
    asked.message["config_proxy"]["proxy_location"] = json!("FR");
    asked.message["config_fingerprint"]["device_profile"] = json!("abacus");
    asked.database = "none/wrong.db";
    asked.message["config_fantomas"]["config_browser"] = json!({"launch_timeout_ms": 1});
    let told = asked.failure();
    assert!(told.contains("DE") && told.contains("FR"), "{told}");

    asked.message["config_proxy"]["proxy_location"] = json!("DE");
    let told = asked.failure();
    assert!(told.contains("there is no device profile \"abacus\""), "{told}");
    assert!(
        told.contains("ctx_agent_context.py:7 in AgentContext.__aenter__: await self.instantiate_default()"),
        "{told}"
    );

    asked.message["config_fingerprint"]["device_profile"] = json!("android-phone");
    let told = asked.failure();
    assert!(told.contains("`orders`"), "{told}");

    asked.database = "right.db";
    let told = asked.failure();
    assert!(told.contains("did not become ready") && told.contains("await self.instantiate_default()"), "{told}");
}

/// The capabilities that `armada check` says the project of this folder uses.
fn used(folder: &Path) -> Vec<String> {
    let (_, out, told) = finish(armada_for(folder).args(["check", "--json"]).arg(folder));
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{told}"));
    let capabilities = report["capabilities"].as_object().unwrap().iter();
    let is_used = |said: &Value| ["granted", "refused"].contains(&said["verdict"].as_str().unwrap());
    capabilities.filter(|(_, said)| is_used(said)).map(|(name, _)| name.clone()).collect()
}

#[test]
fn only_what_leads_to_a_capability_counts_as_its_use() {
    let innocent = r#"
import http.client
import secrets
from http import HTTPStatus


class Proxy:
    def __init__(self, identity):
        self.identity = identity
        self.screen = {}

    def reveal(self, browser=None):
        return self.identity, self.screen, browser


async def ctx_script(job_ctx, agent_ctx):
    database = {"monitoring": secrets.token_hex(4), "fingerprint": HTTPStatus.OK}
    agent_ctx.database = database
    proxy = Proxy(http.client.OK)
    return str([proxy.reveal(), proxy.screen, agent_ctx.database, job_ctx.job_message])
"#;
    assert_eq!(used(written(&[("ctx_script.py", innocent)]).path()), [""; 0]);

    let authorised = r#"
from armada import http as web


async def ctx_script(job_ctx, agent_ctx):
    await web.get("http://127.0.0.1/", headers={"authorization": web.Secret("token")})
"#;
    assert_eq!(used(written(&[("ctx_script.py", authorised)]).path()), ["http", "secrets"]);

    let everything = r#"
from addon.shop import Shop
from armada.secrets import reveal
import armada as engine


async def ctx_script(job, agent):
    shop = Shop(agent, screen=agent.screen)
    reveal("password")
    await engine.http.get("http://127.0.0.1/")
    await shop.look(job)
"#;
    let shop = r#"
class Shop:
    def __init__(self, context, screen):
        self.context = context
        self.screen = screen

    async def look(self, task):
        await self.context.browser.get(task.identity.email)
        await self.context.database.query("SELECT 1")
        getattr(self.context, "proxy").status()
        await self.context.fingerprint_manager.current()
        task.monitoring_client.record_success_event("")
"#;
    let used = used(written(&[("ctx_script.py", everything), ("addon/shop.py", shop)]).path());
    let all = armada_project::Capability::ALL.iter().map(|capability| capability.name().to_owned());
    assert_eq!(used, all.collect::<Vec<_>>());
}
