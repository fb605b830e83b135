//! Cookies and local storage of a context.

use std::sync::Arc;

use chromiumoxide_cdp::cdp::browser_protocol::network::{CookieParam, CookieSameSite, TimeSinceEpoch};
use chromiumoxide_cdp::cdp::browser_protocol::storage::{ClearCookiesParams, GetCookiesParams, SetCookiesParams};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::context::Context;
use crate::contract::Error;
use crate::contract::browser as wit;

/// A storage state, in the form that Playwright also reads and writes.
#[derive(Serialize, Deserialize)]
struct State {
    #[serde(default)]
    cookies: Vec<Cookie>,
    #[serde(default)]
    origins: Vec<Origin>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cookie {
    name: String,
    value: String,
    domain: String,
    path: String,
    /// Seconds since 1970; -1 for the end of the session.
    #[serde(default = "end_of_session")]
    expires: f64,
    #[serde(default)]
    http_only: bool,
    #[serde(default)]
    secure: bool,
    same_site: Option<String>,
}

fn end_of_session() -> f64 {
    -1.0
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Origin {
    origin: String,
    local_storage: Vec<Item>,
}

#[derive(Serialize, Deserialize)]
struct Item {
    name: String,
    value: String,
}

impl From<Cookie> for wit::Cookie {
    fn from(cookie: Cookie) -> Self {
        Self {
            name: cookie.name,
            value: cookie.value,
            domain: cookie.domain,
            path: cookie.path,
            expires: (cookie.expires >= 0.0).then_some(cookie.expires),
            http_only: cookie.http_only,
            secure: cookie.secure,
            same_site: match cookie.same_site.as_deref() {
                Some("Strict") => Some(wit::SameSite::Strict),
                Some("Lax") => Some(wit::SameSite::Lax),
                Some("None") => Some(wit::SameSite::None),
                _ => None,
            },
        }
    }
}

impl From<wit::Cookie> for Cookie {
    fn from(cookie: wit::Cookie) -> Self {
        let same_site = cookie.same_site.map(|same_site| match same_site {
            wit::SameSite::Strict => "Strict".to_owned(),
            wit::SameSite::Lax => "Lax".to_owned(),
            wit::SameSite::None => "None".to_owned(),
        });
        Self {
            name: cookie.name,
            value: cookie.value,
            domain: cookie.domain,
            path: cookie.path,
            expires: cookie.expires.unwrap_or(-1.0),
            http_only: cookie.http_only,
            secure: cookie.secure,
            same_site,
        }
    }
}

/// Whether a cookie would be sent to a URL (RFC 6265, 5.4).
fn is_sent_to(cookie: &Cookie, url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let domain_matches = match cookie.domain.strip_prefix('.') {
        Some(domain) => host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
        None => host == cookie.domain,
    };
    let path = url.path();
    let path_matches = path == cookie.path
        || path
            .strip_prefix(cookie.path.as_str())
            .is_some_and(|rest| cookie.path.ends_with('/') || rest.starts_with('/'));
    let local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    domain_matches && path_matches && (!cookie.secure || url.scheme() == "https" || local)
}

impl Context {
    async fn all_cookies(&self) -> Result<Vec<Cookie>, Error> {
        #[derive(Deserialize)]
        struct Got {
            cookies: Vec<Cookie>,
        }
        let get = GetCookiesParams { browser_context_id: Some(self.id.clone().into()) };
        let got: Got = self.browser.call_as(&get).await.map_err(|error| self.error(error))?;
        Ok(got.cookies)
    }

    /// The cookies that would be sent to these URLs, or all.
    pub(crate) async fn cookies(&self, urls: &[String]) -> Result<Vec<wit::Cookie>, Error> {
        let parse =
            |url: &String| Url::parse(url).map_err(|error| Error::Invalid(format!("{url:?} is no URL: {error}")));
        let urls = urls.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let cookies = self.all_cookies().await?.into_iter();
        Ok(cookies
            .filter(|cookie| urls.is_empty() || urls.iter().any(|url| is_sent_to(cookie, url)))
            .map(Into::into)
            .collect())
    }

    /// Sets cookies.
    pub(crate) async fn set_cookies(&self, cookies: Vec<wit::Cookie>) -> Result<(), Error> {
        self.put_cookies(cookies.into_iter().map(Into::into).collect()).await
    }

    async fn put_cookies(&self, cookies: Vec<Cookie>) -> Result<(), Error> {
        // The protocol leaves out an empty list, and then misses it.
        if cookies.is_empty() {
            return Ok(());
        }
        let params = cookies.into_iter().map(|cookie| {
            let mut param = CookieParam::new(cookie.name, cookie.value);
            param.domain = Some(cookie.domain);
            param.path = Some(cookie.path);
            param.expires = (cookie.expires >= 0.0).then(|| TimeSinceEpoch::new(cookie.expires));
            param.http_only = Some(cookie.http_only);
            param.secure = Some(cookie.secure);
            param.same_site = match cookie.same_site.as_deref() {
                Some("Strict") => Some(CookieSameSite::Strict),
                Some("Lax") => Some(CookieSameSite::Lax),
                Some("None") => Some(CookieSameSite::None),
                _ => None,
            };
            param
        });
        let mut set = SetCookiesParams::new(params.collect::<Vec<_>>());
        set.browser_context_id = Some(self.id.clone().into());
        match self.browser.call(set).await {
            Ok(_) => Ok(()),
            Err(super::cdp::CdpError::Refused(message)) if message.contains("nvalid cookie") => {
                Err(Error::Invalid(format!("the browser refuses a cookie: {message}")))
            }
            Err(error) => Err(self.error(error)),
        }
    }

    /// Removes every cookie.
    pub(crate) async fn clear_cookies(&self) -> Result<(), Error> {
        let clear = ClearCookiesParams { browser_context_id: Some(self.id.clone().into()) };
        self.browser.call(clear).await.map_err(|error| self.error(error))?;
        Ok(())
    }

    /// Cookies and local storage.
    pub(crate) async fn storage_state(self: &Arc<Self>) -> Result<String, Error> {
        let cookies = self.all_cookies().await?;
        let origins = self.origins();
        let script = "() => Object.keys(localStorage).map(name => ({ name, value: localStorage.getItem(name) }))";
        let mut state = State { cookies, origins: Vec::new() };
        for (origin, json) in
            self.at_origins(origins.into_iter().map(|origin| (origin, None)).collect(), script).await?
        {
            let items: Vec<Item> = serde_json::from_str(&json).map_err(|error| Error::Other(error.to_string()))?;
            if !items.is_empty() {
                state.origins.push(Origin { origin, local_storage: items });
            }
        }
        serde_json::to_string(&state).map_err(|error| Error::Other(error.to_string()))
    }

    /// Adds the cookies and local storage of a state.
    pub(crate) async fn set_storage_state(self: &Arc<Self>, state: &str) -> Result<(), Error> {
        let state: State = serde_json::from_str(state)
            .map_err(|error| Error::Invalid(format!("this is no storage state: {error}")))?;
        self.put_cookies(state.cookies).await?;
        let script = "items => items.forEach(({ name, value }) => localStorage.setItem(name, value))";
        let origins = state.origins.into_iter().filter(|origin| !origin.local_storage.is_empty());
        let origins = origins.map(|origin| (origin.origin, Some(json!(origin.local_storage)))).collect();
        self.at_origins(origins, script).await.map(drop)
    }

    /// Runs a function at each of these origins, in a page of which the origins' servers never hear.
    async fn at_origins(
        self: &Arc<Self>,
        origins: Vec<(String, Option<Value>)>,
        script: &str,
    ) -> Result<Vec<(String, String)>, Error> {
        if origins.is_empty() {
            return Ok(Vec::new());
        }
        let owned = self.new_page().await?;
        let page = owned.get()?;
        let blank = wit::Fulfillment {
            status: 200,
            headers: vec![wit::Header { name: "content-type".to_owned(), value: "text/html".to_owned() }],
            body: Vec::new(),
        };
        let visit = async {
            page.route("**", wit::RouteAction::Fulfill(blank))?;
            let mut results = Vec::with_capacity(origins.len());
            let mut bytes = 0;
            for (origin, arg) in origins {
                let options = wit::NavigationOptions { timeout_ms: None, wait_until: None, referer: None };
                page.goto(&origin, options).await?;
                let arg = arg.map(|arg| arg.to_string());
                let result = page.evaluate(script, arg.as_deref()).await?;
                bytes += result.len() as u64;
                if bytes > self.settings.bytes_per_call {
                    return Err(super::cdp::CdpError::TooLarge.into());
                }
                results.push((origin, result));
            }
            Ok(results)
        };
        let results = visit.await;
        page.close().await?;
        results
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(domain: &str, path: &str, secure: bool) -> Cookie {
        Cookie {
            name: "n".into(),
            value: "v".into(),
            domain: domain.into(),
            path: path.into(),
            expires: -1.0,
            http_only: false,
            secure,
            same_site: None,
        }
    }

    #[test]
    fn cookies_are_sent_by_domain_path_and_security() {
        let sent = |cookie: Cookie, url: &str| is_sent_to(&cookie, &Url::parse(url).unwrap());
        assert!(sent(cookie(".a.com", "/", false), "http://x.a.com/y"));
        assert!(sent(cookie(".a.com", "/", false), "http://a.com/"));
        assert!(!sent(cookie(".a.com", "/", false), "http://ba.com/"));
        assert!(!sent(cookie("a.com", "/", false), "http://x.a.com/"));
        assert!(sent(cookie("a.com", "/one", false), "http://a.com/one/two"));
        assert!(!sent(cookie("a.com", "/one", false), "http://a.com/onetwo"));
        assert!(!sent(cookie("a.com", "/", true), "http://a.com/"));
        assert!(sent(cookie("127.0.0.1", "/", true), "http://127.0.0.1:80/"));
    }
}
