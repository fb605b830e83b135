//! The same requests for libraries that know nothing of Armada: `wasi:http` outgoing, as WASI 0.2 has it.
//!
//! They need the same grant, go through the same connections and count for the same limits. Redirects and compression
//! are the library's own business, as that interface has it. It has no words for a reason, so what is refused is told
//! to the job as an event.
//!
//! No call of ours waits for them, so the time of a call bounds what they wait for: room among the requests at once
//! (such libraries know of no limit, and so wait for it), the head of the response, and each piece of its body. A
//! request whose body the library never ends is one that gets no head.

use std::sync::Arc;
use std::time::Duration;

use armada_project::Capability;
use bytes::Bytes;
use futures::stream;
use http::header::AUTHORIZATION;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use url::Url;
use wasmtime_wasi_http::{Error as WasiError, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::Http;
use super::client::Client;
use super::request::{is_ours, take_credentials, uri_of};
use crate::contract::Error;
use crate::instance::Role;

/// What goes on in the background of a request; here, nothing does that its connection does not do.
type Background = Box<dyn Future<Output = Result<(), WasiError>> + Send>;
/// A request that is made as soon as it is awaited.
type Sending = Box<dyn Future<Output = Result<(Response<WasiBody>, Background), WasiError>> + Send>;

/// How many bytes of a request's body are taken at once. They are kept in this process until the server takes them, for
/// every request that has been begun, sent or not.
const PIECE: usize = 64 * 1024;

/// Makes the requests of `wasi:http` ours.
pub(crate) struct Requests {
    pub(crate) http: Arc<Http>,
    /// Whose they are.
    pub(crate) role: Role,
}

impl WasiHttpHooks for Requests {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_ours)
    }

    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        PIECE
    }

    fn send_request(&mut self, request: Request<WasiBody>, options: Option<RequestOptions>, _: Background) -> Sending {
        let allowed = self.role.check(Capability::Http).map_err(|error| self.http.refuse(error));
        let sent = allowed.and_then(|()| self.http.send_for_wasi(request, options.unwrap_or_default()));
        Box::new(async move { Ok((sent?.await?, Box::new(std::future::ready(Ok(()))) as Background)) })
    }
}

impl Http {
    fn send_for_wasi(
        &self,
        mut request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<impl Future<Output = Result<Response<WasiBody>, WasiError>> + Send + use<>, WasiError> {
        let client = self.client_for_wasi(&mut request).map_err(|error| self.refuse(error))?;
        let shorter = |asked: Option<Duration>| asked.unwrap_or(Duration::MAX).min(self.time);
        // There may be a connection already, so the time for making one is a part of the time for the head.
        let connecting = options.connect_timeout.unwrap_or_default();
        let head_time = shorter(options.first_byte_timeout.map(|time| time.saturating_add(connecting)));
        let piece_time = shorter(options.between_bytes_timeout);
        let (notice, most) = (self.notice.clone(), self.limits.bytes);
        let (room, no_room) = (self.room.clone(), self.no_room());
        Ok(async move {
            let over = client.over();
            let permit = tokio::select! {
                biased;
                () = over.cancelled() => return Err(WasiError::ConnectionTerminated),
                permit = tokio::time::timeout(head_time, room.acquire_owned()) => permit,
            };
            let Ok(Ok(permit)) = permit else {
                notice(no_room);
                return Err(WasiError::ConnectionLimitReached);
            };
            let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            let answered = tokio::select! {
                biased;
                () = over.cancelled() => return Err(WasiError::ConnectionTerminated),
                answered = tokio::time::timeout(head_time, client.request(request)) => answered,
            };
            let response = answered.map_err(|_| WasiError::HttpResponseTimeout)?.map_err(|error| match error {
                Error::Denied(reason) => {
                    notice(reason);
                    WasiError::HttpRequestDenied
                }
                other => WasiError::InternalError(Some(other.into_message())),
            })?;
            Ok(response.map(|incoming| bounded(incoming, most, piece_time, permit, over)))
        })
    }

    /// Who makes a request, if it may be made.
    fn client_for_wasi(&self, request: &mut Request<WasiBody>) -> Result<Arc<Client>, Error> {
        let grant = self.grant.check_capability(Capability::Http.name());
        grant.map_err(|denied| Error::Denied(denied.to_string()))?;
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(Error::Invalid(format!("requests cannot have the method {}", request.method())));
        }
        let url = request.uri().to_string();
        let mut url = Url::parse(&url).map_err(|error| Error::Invalid(format!("{url:?} is no URL: {error}")))?;
        self.egress.allow(&url)?;
        if let Some(credentials) = take_credentials(&mut url) {
            request.headers_mut().entry(AUTHORIZATION).or_insert(credentials);
        }
        // What was looked at is what is sent.
        *request.uri_mut() = uri_of(&url)?;
        self.client()
    }

    fn refuse(&self, error: Error) -> WasiError {
        match error {
            Error::Denied(reason) => {
                (self.notice)(reason);
                WasiError::HttpRequestDenied
            }
            other => WasiError::InternalError(Some(other.into_message())),
        }
    }
}

/// A body that ends with its job, and with an error when it is too large or a piece of it does not come in time.
fn bounded(
    incoming: Incoming,
    most: u64,
    piece_time: Duration,
    permit: OwnedSemaphorePermit,
    over: CancellationToken,
) -> WasiBody {
    let frames = stream::unfold(Some((incoming, permit, most)), move |state| {
        let over = over.clone();
        async move {
            let (mut incoming, permit, left) = state?;
            let frame: Result<Frame<Bytes>, WasiError> = tokio::select! {
                biased;
                () = over.cancelled() => Err(WasiError::ConnectionTerminated),
                frame = tokio::time::timeout(piece_time, incoming.frame()) => match frame {
                    Ok(frame) => frame?.map_err(WasiError::Hyper),
                    Err(_) => Err(WasiError::ConnectionReadTimeout),
                },
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
