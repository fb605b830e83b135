//! Gives a result that is no JSON, past the SDK.

use armada::__private::{Failure, Lifecycle};

struct Project;

impl Lifecycle for Project {
    async fn open_agent(_message: String) -> Result<(), Failure> {
        Ok(())
    }

    async fn run_job(message: String) -> Result<String, Failure> {
        Ok(if message.contains("honest") { "\"honest\"".to_owned() } else { "{not json".to_owned() })
    }

    async fn close_agent() -> Result<(), Failure> {
        Ok(())
    }
}

armada::__bindings::export!(Project with_types_in armada::__bindings);
