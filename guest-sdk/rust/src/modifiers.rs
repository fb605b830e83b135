//! What a project does to its browser's traffic, beside the script.
//!
//! A modifier is a type with a name in [`project!`](crate::project) and in `config_proxy.modifiers`, which says for
//! which URLs it is asked and of which it gets the bodies:
//!
//! ```no_run
//! use armada::Result;
//! use armada::modifiers::{Modifier, Request, Response, ResponseVerdict};
//!
//! /// Makes everything free.
//! pub struct Prices;
//!
//! impl Modifier for Prices {
//!     async fn modify_response(_request: &Request, mut response: Response) -> Result<ResponseVerdict> {
//!         let Some(text) = response.text() else { return Ok(ResponseVerdict::Unchanged) };
//!         response.set_text(text.replace("9.99", "0.00"));
//!         Ok(ResponseVerdict::Changed(response))
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! ```ignore
//! armada::project! { script: ctx_script::ctx_script, modifiers: { "prices": addon::Prices } }
//! ```
//!
//! Modifiers run in an instance of their own: what they keep in statics is not the script's, and of the capabilities
//! they have only [`monitoring`](crate::monitoring). One that fails, or takes too long, fails the request.

use crate::error::Result;

pub use crate::__bindings::exports::armada::project::modifiers::{
    Header, Request, RequestVerdict, Response, ResponseVerdict,
};

/// Looks at the browser's traffic. A modifier that is not interested in one direction leaves it as it is.
#[allow(async_fn_in_trait, reason = "guests have one thread")]
pub trait Modifier {
    /// Looks at a request before it is sent.
    async fn modify_request(_request: Request) -> Result<RequestVerdict> {
        Ok(RequestVerdict::Unchanged)
    }

    /// Looks at a response before the browser gets it.
    async fn modify_response(_request: &Request, _response: Response) -> Result<ResponseVerdict> {
        Ok(ResponseVerdict::Unchanged)
    }
}

macro_rules! message {
    ($type:ident) => {
        impl $type {
            /// The value of a header.
            pub fn header(&self, name: &str) -> Option<&str> {
                let header = self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
                header.map(|header| header.value.as_str())
            }

            /// Sets a header, in place of all that have its name.
            pub fn set_header(&mut self, name: impl Into<String>, value: impl Into<String>) {
                let name = name.into();
                self.remove_header(&name);
                self.headers.push(Header { name, value: value.into() });
            }

            /// Removes every header of a name.
            pub fn remove_header(&mut self, name: &str) {
                self.headers.retain(|header| !header.name.eq_ignore_ascii_case(name));
            }

            /// The body as text, if there is one and it is UTF-8.
            pub fn text(&self) -> Option<&str> {
                std::str::from_utf8(self.body.as_deref()?).ok()
            }

            /// Sets the body.
            pub fn set_text(&mut self, text: impl Into<String>) {
                self.body = Some(text.into().into_bytes());
            }
        }
    };
}

message!(Request);
message!(Response);

impl Response {
    /// A response of this text and media type.
    pub fn new(status: u16, media_type: impl Into<String>, text: impl Into<String>) -> Self {
        let content_type = Header { name: "content-type".to_owned(), value: media_type.into() };
        Self { status, headers: vec![content_type], body: Some(text.into().into_bytes()) }
    }
}
