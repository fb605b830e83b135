//! Agents, as the store knows them: what they say that they do, and which of them are not heard of any more.

use std::time::Instant;

use armada_protocol::{Incarnation, RunId};
use futures::FutureExt as _;

use super::attempts::{incarnation, release};
use super::runs::clean;
use super::views::AgentView;
use super::writer::Book;
use super::{Store, StoreError};

impl Store {
    /// Whether any agent of the run is alive.
    pub(crate) fn has_agents(&self, run: RunId) -> bool {
        !self.live.of(run).heard().is_empty()
    }

    /// The agents of a run that have not been heard of for longer than they may be silent. Who has a job and was not
    /// heard of since this process began, or since another process took its number, has as long from now on.
    pub(crate) async fn silent_agents(&self, run: RunId) -> Result<Vec<Incarnation>, StoreError> {
        let select = "SELECT DISTINCT agent, incarnation FROM jobs WHERE run_id = $1 AND status = 'Running'";
        let rows = sqlx::query(select).bind(run.to_string()).fetch_all(self.pool()).await?;
        let live = self.live.of(run);
        let mut heard = live.heard();
        for row in &rows {
            heard.entry(incarnation(row)?).or_insert_with(Instant::now);
        }
        let silent = heard.iter().filter(|(_, when)| when.elapsed() >= self.lease);
        Ok(silent.map(|(by, _)| *by).collect())
    }

    /// Takes an agent for dead: the job that it had goes to another. Nothing is known of its process if that was not
    /// this one's child.
    pub(crate) async fn agent_is_gone(&self, run: RunId, by: Incarnation, reason: String) -> Result<(), StoreError> {
        let (live, retry) = (self.live.of(run), self.retry.clone());
        live.heard().remove(&by);
        self.writer.write(move |book| {
            async move {
                let update = "UPDATE agents SET state = 'Lost', message = $4, updated_at = $5 WHERE run_id = $1 AND agent \
                              = $2 AND incarnation = $3 AND state IN ('Opening', 'Open')";
                let update = sqlx::query(update).bind(run.to_string()).bind(i64::from(by.agent));
                let update = update.bind(by.id.to_string()).bind(clean(&reason)).bind(book.now);
                if update.execute(book.sql()).await?.rows_affected() > 0 {
                    tell_agent(book, run, by.agent).await?;
                }
                release(book, run, by, true, &live, &retry).await
            }
            .boxed()
        }).await
    }

    /// Takes for dead whoever has a job of this run and was not heard of since this process began.
    pub(crate) async fn forget_agents(&self, run: RunId) -> Result<(), StoreError> {
        let select = "SELECT agent, incarnation FROM jobs WHERE run_id = $1 AND status = 'Running' UNION SELECT agent, \
                      incarnation FROM agents WHERE run_id = $1 AND state IN ('Opening', 'Open')";
        let rows = sqlx::query(select).bind(run.to_string()).fetch_all(self.pool()).await?;
        for row in &rows {
            let by = incarnation(row)?;
            if !self.live.of(run).heard().contains_key(&by) {
                self.agent_is_gone(run, by, "the orchestrator was started again".to_owned()).await?;
            }
        }
        Ok(())
    }
}

/// Stores what an agent says that it does.
pub(super) async fn note_agent(
    book: &mut Book,
    run: RunId,
    by: Incarnation,
    state: &str,
    message: Option<String>,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO agents (run_id, agent, state, message, incarnation, starts, updated_at) VALUES ($1, $2, $3, \
                  $4, $5, 1, $6) ON CONFLICT (run_id, agent) DO UPDATE SET state = excluded.state, message = \
                  excluded.message, starts = agents.starts + CASE WHEN agents.incarnation = excluded.incarnation THEN 0 \
                  ELSE 1 END, incarnation = excluded.incarnation, updated_at = excluded.updated_at WHERE \
                  agents.incarnation = excluded.incarnation OR excluded.state IN ('Opening', 'Open')";
    sqlx::query(insert)
        .bind(run.to_string())
        .bind(i64::from(by.agent))
        .bind(state)
        .bind(message)
        .bind(by.id.to_string())
        .bind(book.now)
        .execute(book.sql())
        .await?;
    tell_agent(book, run, by.agent).await
}

async fn tell_agent(book: &mut Book, run: RunId, agent: u32) -> Result<(), StoreError> {
    let select =
        "SELECT run_id, agent, state, message, starts, updated_at FROM agents WHERE run_id = $1 AND agent = $2";
    let select = sqlx::query_as(select).bind(run.to_string()).bind(i64::from(agent));
    let view: AgentView = select.fetch_one(book.sql()).await?;
    book.tell(run.0, "agent", &view).map(drop)
}
