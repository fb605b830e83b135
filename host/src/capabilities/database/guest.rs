//! The databases' part of the contract, function by function.
//!
//! Nothing is decided here: each function says which call it is, finds what its handle stands for, and passes on.

use std::sync::Arc;

use armada_project::Capability;
use wasmtime::component::{Accessor, Resource};

use super::Transaction;
use crate::call::{Call, Host, call, call_now};
use crate::contract::Error;
use crate::contract::database as wit;
use crate::instance::{InstanceState, hand_out};

/// A script's handle on a transaction. Dropping it rolls back what was not committed.
#[allow(unreachable_pub, reason = "the generated contract re-exports it")]
pub struct TransactionHandle(Arc<Transaction>);

type Guest = Accessor<InstanceState, Host>;
type Given<T> = Result<T, Error>;

const fn named(name: &'static str) -> Call {
    Call::of(Capability::Database, name)
}

impl wit::Host for InstanceState {
    fn databases(&mut self) -> Given<Vec<wit::Info>> {
        call_now(self, named("databases"), |state| Ok(state.capabilities.database.list()))
    }
}

impl wit::HostWithStore<InstanceState> for Host {
    async fn query(guest: &Guest, database: String, sql: String, parameters: Vec<wit::Value>) -> Given<wit::Rows> {
        call(guest, named("query"), |state| {
            let databases = state.capabilities.database.clone();
            Ok(async move { databases.query(&database, &sql, parameters).await })
        })
        .await
    }

    async fn execute(guest: &Guest, database: String, sql: String, parameters: Vec<wit::Value>) -> Given<u64> {
        call(guest, named("execute"), |state| {
            let databases = state.capabilities.database.clone();
            Ok(async move { databases.execute(&database, &sql, parameters).await })
        })
        .await
    }

    async fn begin(guest: &Guest, database: String) -> Given<Resource<TransactionHandle>> {
        let transaction = call(guest, named("begin"), |state| {
            let databases = state.capabilities.database.clone();
            Ok(async move { databases.begin(&database).await })
        });
        hand_out(guest, TransactionHandle(transaction.await?))
    }
}

impl wit::HostTransaction for InstanceState {
    fn drop(&mut self, handle: Resource<TransactionHandle>) -> wasmtime::Result<()> {
        self.take_back(handle)
    }
}

impl wit::HostTransactionWithStore<InstanceState> for Host {
    async fn query(
        guest: &Guest,
        handle: Resource<TransactionHandle>,
        sql: String,
        parameters: Vec<wit::Value>,
    ) -> Given<wit::Rows> {
        call(guest, named("transaction.query"), |state| {
            let transaction = state.handle(&handle)?.0.clone();
            Ok(async move { transaction.query(&sql, parameters).await })
        })
        .await
    }

    async fn execute(
        guest: &Guest,
        handle: Resource<TransactionHandle>,
        sql: String,
        parameters: Vec<wit::Value>,
    ) -> Given<u64> {
        call(guest, named("transaction.execute"), |state| {
            let transaction = state.handle(&handle)?.0.clone();
            Ok(async move { transaction.execute(&sql, parameters).await })
        })
        .await
    }

    async fn commit(guest: &Guest, handle: Resource<TransactionHandle>) -> Given<()> {
        call(guest, named("transaction.commit"), |state| {
            let transaction = state.handle(&handle)?.0.clone();
            Ok(async move { transaction.commit().await })
        })
        .await
    }

    async fn rollback(guest: &Guest, handle: Resource<TransactionHandle>) -> Given<()> {
        call(guest, named("transaction.rollback"), |state| {
            let transaction = state.handle(&handle)?.0.clone();
            Ok(async move { transaction.rollback().await })
        })
        .await
    }
}
