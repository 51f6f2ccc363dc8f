//! A small HTTP client: metrics of the neighbours, health of the other gateways.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::request::Builder;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::caller::API_KEY_HEADER;

/// How long a look at another gateway may take.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// How long a neighbour's metrics may take: a pause of a busy machine takes no service out of the scrape. Below the 5 s between
/// two scrapes in `ops/prometheus`, which are the most that one of them may take: one that hangs hides itself, not the others.
const METRICS_MAX: Duration = Duration::from_secs(3);

/// How long an order may take: its effect is written to a disk before the answer.
const ACT_MAX: Duration = Duration::from_secs(8);

/// A host that does not answer a SYN for this long is not there.
const CONNECT_MAX: Duration = Duration::from_millis(500);

/// Largest reply: the metrics of a service are a tenth of it.
const REPLY_MAX: usize = 4 * 1024 * 1024;

/// Connections that are not used for this long are closed.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Asks listeners over HTTP.
#[derive(Debug, Clone)]
pub struct Web(Client<HttpConnector, Empty<Bytes>>);

impl Default for Web {
    fn default() -> Web {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_MAX));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .build(connector);
        Web(client)
    }
}

impl Web {
    /// GET of a path at `host:port`.
    ///
    /// # Errors
    /// Why there is no whole reply, for people.
    pub async fn get(&self, address: &str, path: &str) -> Result<(StatusCode, Bytes), String> {
        let request = Request::get(format!("http://{address}{path}"));
        self.exchange(address, request, LOOK_MAX).await
    }

    /// The metrics of a service of this node.
    ///
    /// # Errors
    /// As [`Web::get`].
    pub async fn metrics(&self, address: SocketAddr) -> Result<(StatusCode, Bytes), String> {
        let request = Request::get(format!("http://{address}/metrics"));
        let address = address.to_string();
        self.exchange(&address, request, METRICS_MAX).await
    }

    /// POST without a body to a path at `host:port`, in the name of a client.
    ///
    /// # Errors
    /// As [`Web::get`].
    pub async fn post(
        &self,
        address: &str,
        path: &str,
        api_key: Option<&[u8]>,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut request = Request::post(format!("http://{address}{path}"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(key) = api_key {
            request = request.header(API_KEY_HEADER, key);
        }
        self.exchange(address, request, ACT_MAX).await
    }

    async fn exchange(
        &self,
        address: &str,
        request: Builder,
        most: Duration,
    ) -> Result<(StatusCode, Bytes), String> {
        let request = request
            .body(Empty::new())
            .map_err(|error| format!("{address} is no address: {error}"))?;
        let exchange = async {
            let reply = self
                .0
                .request(request)
                .await
                .map_err(|error| innermost(&error))?;
            let (parts, body) = reply.into_parts();
            let body = Limited::new(body, REPLY_MAX).collect().await;
            let body = body.map_err(|error| format!("the reply broke off: {error}"))?;
            Ok((parts.status, body.to_bytes()))
        };
        match tokio::time::timeout(most, exchange).await {
            Ok(reply) => reply,
            Err(_) if most == LOOK_MAX => Err("does not answer within a second".to_owned()),
            Err(_) => Err(format!("does not answer within {} s", most.as_secs())),
        }
    }
}

/// "Connection refused" says more than "client error (Connect)".
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
