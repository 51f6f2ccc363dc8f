//! A small HTTP client: metrics of the neighbours, health of the other gateways.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// How long an exchange may take.
const EXCHANGE_MAX: Duration = Duration::from_secs(1);

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
        let request = Request::get(format!("http://{address}{path}"))
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
        match tokio::time::timeout(EXCHANGE_MAX, exchange).await {
            Ok(reply) => reply,
            Err(_) => Err("does not answer within a second".to_owned()),
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
