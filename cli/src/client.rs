//! The HTTP client: several gateways, the next one when one does not answer.
//!
//! Every call may be sent again: reads change nothing, and a record's id is the hash of its content, so a second copy of
//! a write is the same record (our commands stamp `asserted_at` before the first try).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::failure::{Attempts, Failure, Problem};

/// Connecting on a network of one region takes milliseconds; a host that is gone must not hold up the next try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A gateway answers whether it lives from memory: one that takes longer hangs, or is too busy to be asked first.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Largest reply that is read into memory: 1,000 records of the largest size would be more, a page of real ones is far less.
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// Where a gateway is: `http://host:port`, perhaps with a path before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GatewayUrl(String);

impl FromStr for GatewayUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<GatewayUrl, String> {
        let text = text.trim();
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let uri: Uri = with_scheme
            .parse()
            .map_err(|error| format!("{text:?} is no URL: {error}"))?;
        if uri.scheme_str() != Some("http") {
            return Err(format!("{text:?}: only http:// is spoken by this version"));
        }
        if uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
            return Err(format!("{text:?}: write http://host:port"));
        }
        Ok(GatewayUrl(with_scheme.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One request, before it is known who takes it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    path: String,
    content_type: Option<&'static str>,
    accept: &'static str,
    body: Bytes,
}

impl Call {
    /// A read.
    pub(crate) fn get(path: impl Into<String>) -> Call {
        Call {
            method: Method::GET,
            path: path.into(),
            content_type: None,
            accept: "application/json",
            body: Bytes::new(),
        }
    }

    /// A POST with a body.
    pub(crate) fn post(
        path: impl Into<String>,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Call {
        let content_type = Some(content_type);
        Call {
            method: Method::POST,
            content_type,
            body: body.into(),
            ..Call::get(path)
        }
    }

    /// Asks for another form of reply.
    pub(crate) fn accepting(mut self, accept: &'static str) -> Call {
        self.accept = accept;
        self
    }
}

/// A whole reply with a status of 2xx.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Which gateway sent it.
    pub(crate) url: String,
    /// The trace that it belongs to.
    pub(crate) trace_id: Option<String>,
    /// The body.
    pub(crate) body: Bytes,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| Failure::Reply {
            url: self.url.clone(),
            detail: error.to_string(),
        })
    }
}

/// A client of one cluster.
#[derive(Clone)]
pub(crate) struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    gateways: Vec<GatewayUrl>,
    api_key: Option<HeaderValue>,
    timeout: Duration,
}

impl Client {
    /// A client that tries the gateways in the given order and waits `timeout` for each.
    pub(crate) fn new(
        gateways: Vec<GatewayUrl>,
        api_key: Option<&str>,
        timeout: Duration,
    ) -> Result<Client, Failure> {
        if gateways.is_empty() {
            return Err(Failure::Usage(
                "no gateway: give --url http://host:port".to_owned(),
            ));
        }
        let api_key = api_key.map(secret_header).transpose()?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Ok(Client {
            pool,
            gateways,
            api_key,
            timeout,
        })
    }

    /// The gateways, in order.
    pub(crate) fn gateways(&self) -> &[GatewayUrl] {
        &self.gateways
    }

    /// Sends the call to one gateway after the other until one takes it.
    ///
    /// A gateway that cannot be reached, does not answer in time or says 502, 503 or 504 is passed over; every other
    /// refusal is the answer, since each gateway would say the same.
    pub(crate) async fn send(&self, call: &Call) -> Result<Reply, Failure> {
        let mut attempts = Attempts::default();
        let mut busy = None;
        for (place, gateway) in self.gateways.iter().enumerate() {
            let is_last = place + 1 == self.gateways.len();
            if !is_last && !self.lives(gateway).await {
                let why = format!("no sign of life within {} s", SIGN_OF_LIFE.as_secs());
                attempts.0.push((gateway.to_string(), why));
                continue;
            }
            match self.send_to(gateway, call).await {
                Ok(reply) => return Ok(reply),
                Err(Refusal::Elsewhere(why, problem)) => {
                    attempts.0.push((gateway.to_string(), why));
                    busy = problem.or(busy);
                }
                Err(Refusal::Everywhere(failure)) => return Err(failure),
            }
        }
        // A gateway that explained itself is worth more than a list of connections refused.
        Err(busy.map_or(Failure::Unreachable { attempts }, Failure::Refused))
    }

    /// Whether a gateway says anything at all. One that hangs would otherwise hold up the call for its whole time limit
    /// although others would answer at once.
    async fn lives(&self, gateway: &GatewayUrl) -> bool {
        let call = Call::get("/v1/health/live");
        let opened = tokio::time::timeout(SIGN_OF_LIFE, self.open(gateway, &call)).await;
        // A connection that is refused at once is for the call itself to find and to tell.
        opened.is_ok()
    }

    /// A read whose reply is JSON.
    pub(crate) async fn get_json(&self, path: impl Into<String>) -> Result<Value, Failure> {
        self.send(&Call::get(path)).await?.json()
    }

    /// Asks one gateway, and takes what it says for the answer, whatever the status.
    pub(crate) async fn ask_one(
        &self,
        gateway: &GatewayUrl,
        call: &Call,
    ) -> Result<(u16, Bytes), String> {
        let exchange = async {
            let response = self.open(gateway, call).await.map_err(String::from)?;
            let status = response.status().as_u16();
            let body = read_whole(response.into_body()).await?;
            Ok((status, body))
        };
        within(self.timeout, exchange).await
    }

    /// Sends the call to one gateway and returns once the reply has begun. No time limit: the caller watches the stream.
    pub(crate) async fn open(
        &self,
        gateway: &GatewayUrl,
        call: &Call,
    ) -> Result<Response<Incoming>, NoReply> {
        let request = self.request(gateway, call).map_err(|why| NoReply {
            why,
            arrived: false,
        })?;
        self.pool.request(request).await.map_err(|error| NoReply {
            why: explain(&error),
            arrived: !error.is_connect(),
        })
    }

    async fn send_to(&self, gateway: &GatewayUrl, call: &Call) -> Result<Reply, Refusal> {
        let exchange = async {
            let response = self.open(gateway, call).await.map_err(String::from)?;
            let (parts, body) = response.into_parts();
            Ok((parts, read_whole(body).await?))
        };
        let (parts, body) = within(self.timeout, exchange)
            .await
            .map_err(|why| Refusal::Elsewhere(why, None))?;
        if parts.status.is_success() {
            let trace_id = parts
                .headers
                .get(X_TRACE_ID)
                .and_then(|id| id.to_str().ok())
                .map(str::to_owned);
            return Ok(Reply {
                url: gateway.to_string(),
                trace_id,
                body,
            });
        }
        let problem = Problem::read(parts.status.as_u16(), &body);
        if is_passing(problem.status) {
            return Err(Refusal::Elsewhere(problem.to_string(), Some(problem)));
        }
        Err(Refusal::Everywhere(Failure::Refused(problem)))
    }

    fn request(&self, gateway: &GatewayUrl, call: &Call) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{gateway}{}", call.path))
            .header(ACCEPT, call.accept)
            .header(USER_AGENT, concat!("stemedb/", env!("CARGO_PKG_VERSION")));
        if let Some(content_type) = call.content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        if let Some(key) = &self.api_key {
            request = request.header(X_API_KEY, key);
        }
        request
            .body(Full::new(call.body.clone()))
            .map_err(|error| format!("not a request: {error}"))
    }
}

/// Why there is no reply.
#[derive(Debug)]
pub(crate) struct NoReply {
    /// For people.
    pub(crate) why: String,
    /// Whether the gateway may have had the request, or a part of it: what it was to store may be stored.
    pub(crate) arrived: bool,
}

impl From<NoReply> for String {
    fn from(NoReply { why, .. }: NoReply) -> String {
        why
    }
}

/// Whether a status speaks of this gateway or this moment, not of the request.
pub(crate) fn is_passing(status: u16) -> bool {
    matches!(status, 502..=504)
}

enum Refusal {
    /// Another gateway may take it; with what this one said, if it said anything.
    Elsewhere(String, Option<Problem>),
    /// Every gateway would refuse it.
    Everywhere(Failure),
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(format!("no answer within {} s", limit.as_secs_f64())),
    }
}

async fn read_whole(body: Incoming) -> Result<Bytes, String> {
    let whole = Limited::new(body, REPLY_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| format!("reply broke off: {error}"))?;
    Ok(whole.to_bytes())
}

fn secret_header(key: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(key.trim())
        .map_err(|_| Failure::Usage("the API key holds characters that no key has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The innermost reason: "Connection refused" says more than "client error (Connect)".
fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Percent-encodes one query value (RFC 3986: all but the unreserved characters).
pub(crate) fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
#[path = "client_tests.rs"]
pub(crate) mod tests;
