//! Made-up people. A job whose message says `"retry": true` asks for a second attempt after its first, so that a test can
//! compare whom both have.

use armada::identity::{Address, Gender, Identity, Options, current, generate};
use armada::monitoring::EventLevel;
use armada::{Agent, Failure, Job, Message, Result, Value, bail, json};

pub struct AgentContext {
    /// What is said while no job runs.
    before_jobs: String,
}

impl armada::AgentContext for AgentContext {
    async fn open(agent_message: Message) -> Result<Self> {
        Agent::open(agent_message).await?;
        Ok(Self { before_jobs: current().map_or_else(|error| error.to_string(), |person| format!("{person:?}")) })
    }
}

fn told(person: &Identity) -> Value {
    let Address { street, number, postal_code, city, region, country } = &person.address;
    json!({
        "locale": person.locale, "given_name": person.given_name, "family_name": person.family_name,
        "female": person.gender == Gender::Female, "birth_date": person.birth_date,
        "address": [street, number, postal_code, city, region, country],
        "phone": person.phone, "user_name": person.user_name, "email": person.email, "password": person.password,
    })
}

pub async fn ctx_script(job: &Job, agent: &AgentContext) -> Result<Value> {
    let attempt = job.monitoring_client.current_job().map(|job| job.attempt);
    let person = match current() {
        Ok(person) => person,
        Err(error) => return Ok(json!({"kind": error.kind().name(), "said": error.to_string()})),
    };
    job.monitoring_client.record_event(EventLevel::Info, told(&person).to_string())?;
    if job.job_message["retry"] == true && attempt == Some(1) {
        return Err(Failure::new("once more").retry());
    }
    if generate(Options::new())? != person {
        bail!("without options it is the job's own person");
    }
    let german = generate(Options::new().locale("de").gender(Gender::Female).seed("second"))?;
    let unknown = match generate(Options::new().locale("xx")) {
        Ok(person) => bail!("{person:?}"),
        Err(error) => error.to_string(),
    };
    Ok(json!({
        "own": told(&person), "german": told(&german), "unknown": unknown, "before_jobs": agent.before_jobs,
    }))
}

armada::project! { script: ctx_script, agent_context: AgentContext }
