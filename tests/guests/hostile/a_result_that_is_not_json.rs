//! Gives a result that is no JSON, past the SDK.

use armada::__private::{Failure, Lifecycle, Modifiers, Request, RequestVerdict, Response, ResponseVerdict};

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

impl Modifiers for Project {
    async fn modify_request(_modifier: String, _request: Request) -> Result<RequestVerdict, Failure> {
        Ok(RequestVerdict::Unchanged)
    }

    async fn modify_response(_: String, _request: Request, _response: Response) -> Result<ResponseVerdict, Failure> {
        Ok(ResponseVerdict::Unchanged)
    }
}

armada::__bindings::export!(Project with_types_in armada::__bindings);
