//! A small HTTP client: one request, one whole reply.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use serde_json::value::RawValue;

/// Longer than any deadline of a gateway for one record or one question.
const TIMEOUT: Duration = Duration::from_secs(15);

/// For calls that go over everything: a development build on a busy machine.
const WALK_TIMEOUT: Duration = Duration::from_secs(90);

/// Codes of a 503 that are about time alone: a store or a gateway did not come to it in its own.
const LATE: [&str; 7] = [
    "comparison_broken",
    "include_not_found",
    "incomplete",
    "maybe_stored",
    "no_store_answers",
    "overloaded",
    "too_slow",
];

/// A reply, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether it says no more than that this machine was too slow: to be sent again, whatever it was.
    pub fn is_late(&self) -> bool {
        let said = self.json();
        self.status == 503
            && said["code"]
                .as_str()
                .is_some_and(|code| LATE.contains(&code))
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The bytes of the member `result` exactly as they were sent.
    ///
    /// # Panics
    /// When there is none.
    pub fn result_text(&self) -> String {
        let body: std::collections::BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(&self.body)
                .unwrap_or_else(|error| panic!("{error}: {}", self.text()));
        body.get("result")
            .unwrap_or_else(|| panic!("no result: {}", self.text()))
            .get()
            .to_owned()
    }
}

/// A client with its own connections.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    /// How long it waits for a reply, when not as long as such a call usually takes.
    patience: Option<Duration>,
}

impl Default for Http {
    fn default() -> Http {
        Http::new()
    }
}

impl Http {
    /// A client of this runtime.
    pub fn new() -> Http {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(2)));
        Http {
            client: Client::builder(TokioExecutor::new()).build(connector),
            patience: None,
        }
    }

    /// A client that waits so long for every reply.
    pub fn patient(patience: Duration) -> Http {
        Http {
            patience: Some(patience),
            ..Http::new()
        }
    }

    /// GET.
    ///
    /// # Errors
    /// When there is no reply.
    pub async fn get(&self, url: &str) -> Result<Reply, String> {
        self.send(Method::GET, url, &[], Bytes::new()).await
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// When there is no reply.
    pub async fn post(&self, url: &str, body: impl Into<Bytes>) -> Result<Reply, String> {
        self.send(
            Method::POST,
            url,
            &[("content-type", "application/json")],
            body,
        )
        .await
    }

    /// Any request.
    ///
    /// # Errors
    /// When there is no reply.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply, String> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(body.into()))
            .map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| explain(&error))?;
            let (parts, body) = response.into_parts();
            let body = body
                .collect()
                .await
                .map_err(|error| error.to_string())?
                .to_bytes();
            Ok(Reply {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body,
            })
        };
        let walks = ["/cluster/verify", "/cluster/sync", "/v1/feed"]
            .iter()
            .any(|path| url.contains(path));
        let usual = if walks { WALK_TIMEOUT } else { TIMEOUT };
        let limit = self.patience.unwrap_or(usual);
        match tokio::time::timeout(limit, exchange).await {
            Ok(reply) => reply,
            Err(_) => Err(format!("{url}: no reply within {} s", limit.as_secs())),
        }
    }
}

fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
