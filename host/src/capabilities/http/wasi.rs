//! The same requests for libraries that know nothing of Armada: `wasi:http` outgoing, as WASI 0.2 has it.
//!
//! They need the same grant, go through the same connections and count for the same limits. Redirects and compression are
//! the library's own business, as that interface has it. It has no words for a reason, so what is refused is told to the
//! job as an event.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use url::Url;
use wasmtime_wasi_http::{Error as WasiError, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::Http;
use super::request::is_ours;
use crate::contract::Error;

/// What goes on in the background of a request; here, nothing does that its connection does not do.
type Background = Box<dyn Future<Output = Result<(), WasiError>> + Send>;
/// A request that is made as soon as it is awaited.
type Sending = Box<dyn Future<Output = Result<(Response<WasiBody>, Background), WasiError>> + Send>;

/// Makes the requests of `wasi:http` ours.
pub(crate) struct Requests(pub(crate) Arc<Http>);

impl WasiHttpHooks for Requests {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_ours)
    }

    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(&mut self, request: Request<WasiBody>, options: Option<RequestOptions>, _: Background) -> Sending {
        let sent = self.0.send_for_wasi(request, options);
        Box::new(async move { Ok((sent?.await?, Box::new(std::future::ready(Ok(()))) as Background)) })
    }
}

impl Http {
    fn send_for_wasi(
        &self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<impl Future<Output = Result<Response<WasiBody>, WasiError>> + Send + use<>, WasiError> {
        let permitted = self.permit_for_wasi(&request).map_err(|error| self.refuse(error))?;
        let (permit, client) = permitted;
        let asked = options.and_then(|options| options.first_byte_timeout);
        let time = asked.unwrap_or(Duration::MAX).min(self.time);
        let (notice, most) = (self.notice.clone(), self.limits.bytes);
        Ok(async move {
            let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            let answered = tokio::time::timeout(time, client.request(request)).await;
            let response = answered.map_err(|_| WasiError::HttpResponseTimeout)?.map_err(|error| match error {
                Error::Denied(reason) => {
                    notice(reason);
                    WasiError::HttpRequestDenied
                }
                other => WasiError::InternalError(Some(other.into_message())),
            })?;
            Ok(response.map(|incoming| bounded(incoming, most, permit, client.over())))
        })
    }

    fn permit_for_wasi(
        &self,
        request: &Request<WasiBody>,
    ) -> Result<(OwnedSemaphorePermit, Arc<super::Client>), Error> {
        let grant = self.grant.check_capability(armada_project::Capability::Http.name());
        grant.map_err(|denied| Error::Denied(denied.to_string()))?;
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(Error::Invalid(format!("requests cannot have the method {}", request.method())));
        }
        let url = request.uri().to_string();
        let url = Url::parse(&url).map_err(|error| Error::Invalid(format!("{url:?} is no URL: {error}")))?;
        self.egress.allow(&url)?;
        Ok((self.permit()?, self.client()?))
    }

    fn refuse(&self, error: Error) -> WasiError {
        match error {
            Error::Denied(reason) => {
                (self.notice)(reason);
                WasiError::HttpRequestDenied
            }
            Error::Limit(_) => WasiError::ConnectionLimitReached,
            other => WasiError::InternalError(Some(other.into_message())),
        }
    }
}

/// A body that ends with its job, and with an error when it is too large.
fn bounded(incoming: Incoming, most: u64, permit: OwnedSemaphorePermit, over: CancellationToken) -> WasiBody {
    let frames = stream::unfold(Some((incoming, permit, most)), move |state| {
        let over = over.clone();
        async move {
            let (mut incoming, permit, left) = state?;
            let frame: Result<Frame<Bytes>, WasiError> = tokio::select! {
                biased;
                () = over.cancelled() => Err(WasiError::ConnectionTerminated),
                frame = incoming.frame() => frame?.map_err(WasiError::Hyper),
            };
            let bytes = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len) as u64;
            match (frame, left.checked_sub(bytes)) {
                (Ok(frame), Some(left)) => Some((Ok(frame), Some((incoming, permit, left)))),
                (Ok(_), None) => Some((Err(WasiError::HttpResponseBodySize(Some(most))), None)),
                (Err(error), _) => Some((Err(error), None)),
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}
