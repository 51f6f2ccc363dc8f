//! HTTP clients that cost little: one connection for each target, one call in hand, the reply read to its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::load::Client;

/// Longer than any deadline of a gateway.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Characters of a reply in a reason.
const REASON_CHARACTERS: usize = 160;

/// One request.
#[derive(Debug, Clone)]
pub struct Call {
    /// Index into the targets.
    pub target: usize,
    /// GET or POST.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Empty with GET.
    pub body: Bytes,
}

impl Call {
    /// GET of a path.
    pub fn get(target: usize, path: String) -> Call {
        Call {
            target,
            method: Method::GET,
            path,
            body: Bytes::new(),
        }
    }

    /// POST of JSON.
    pub fn post(target: usize, path: &str, body: Bytes) -> Call {
        Call {
            target,
            method: Method::POST,
            path: path.to_owned(),
            body,
        }
    }
}

/// What a group of clients does.
pub trait Work: Send + Sync + 'static {
    /// The n-th call of all.
    fn call(&self, n: u64) -> Call;

    /// Whether a reply is what it should be.
    fn good(&self, status: u16, body: &[u8]) -> bool;
}

/// A connection that is opened when needed, and again when it broke.
#[derive(Debug)]
pub struct Connection {
    authority: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// To `host:port`; nothing is dialled yet.
    pub fn new(authority: &str) -> Connection {
        Connection {
            authority: authority.to_owned(),
            sender: None,
        }
    }

    /// Sends a request and returns the head of its reply.
    ///
    /// # Errors
    /// When there is none.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Response<Incoming>, String> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let mut sender = match self.sender.take() {
            Some(sender) if sender.is_ready() => sender,
            _ => self.open().await?,
        };
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| format!("no reply: {error}"))?;
        self.sender = Some(sender);
        Ok(response)
    }

    /// Makes a call and reads its reply to the end.
    ///
    /// # Errors
    /// When there is none in time; the connection is not used again then.
    pub async fn call(&mut self, call: Call) -> Result<(u16, Bytes), String> {
        let exchange = async {
            let response = self
                .send(call.method, &call.path, "application/json", call.body)
                .await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await;
            Ok((
                status,
                body.map_err(|error| format!("half a reply: {error}"))?
                    .to_bytes(),
            ))
        };
        let reply = tokio::time::timeout(TIMEOUT, exchange).await;
        let reply = reply.unwrap_or_else(|_| Err(format!("no reply in {} s", TIMEOUT.as_secs())));
        if reply.is_err() {
            self.sender = None;
        }
        reply
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let stream = TcpStream::connect(&self.authority)
            .await
            .map_err(|error| error.to_string())?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let shaken = handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            // Whoever waits for the reply learns of a broken connection.
            let _ = connection.await;
        });
        sender.ready().await.map_err(|error| error.to_string())?;
        Ok(sender)
    }
}

/// A client of several targets.
#[derive(Debug)]
pub struct HttpClient<W> {
    connections: Vec<Connection>,
    work: Arc<W>,
}

/// So many clients that share one work.
pub fn clients<W: Work>(count: usize, targets: &[String], work: W) -> Vec<HttpClient<W>> {
    let work = Arc::new(work);
    let client = |_| HttpClient {
        connections: targets
            .iter()
            .map(|target| Connection::new(target))
            .collect(),
        work: Arc::clone(&work),
    };
    (0..count).map(client).collect()
}

impl<W: Work> Client for HttpClient<W> {
    async fn call(&mut self, n: u64) -> Result<(), String> {
        let call = self.work.call(n);
        let target = call.target % self.connections.len().max(1);
        let (status, body) = self.connections[target].call(call).await?;
        if self.work.good(status, &body) {
            return Ok(());
        }
        Err(format!("{status} {}", reason(&body)))
    }
}

/// The code of a problem; of any other reply its beginning.
fn reason(body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let code = problem
        .as_ref()
        .and_then(|problem| problem["code"].as_str());
    code.map_or_else(
        || {
            String::from_utf8_lossy(body)
                .chars()
                .take(REASON_CHARACTERS)
                .collect()
        },
        str::to_owned,
    )
}
