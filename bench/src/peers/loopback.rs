//! Raw HTTP over loopback: the least that any answer costs, with and without an fsync before it.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::connection::{Call, Work};
use crate::figures;

/// A server on a thread of its own, so that client and server are as far apart as two processes. Ends when dropped.
#[derive(Debug)]
pub struct Server {
    /// `host:port`.
    pub authority: String,
    _end: oneshot::Sender<()>,
}

impl Server {
    /// Answers with what it was sent; with a directory, after writing it to a file there and fsync.
    ///
    /// # Errors
    /// When the file cannot be made, or there is no port.
    pub fn start(durable: Option<&Path>) -> Result<Server, String> {
        let file = durable
            .map(|directory| File::create(directory.join("raw.log")))
            .transpose();
        let file = file.map_err(|error| error.to_string())?;
        let (end, ended) = oneshot::channel();
        let (sender, authority) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(serve(file, ended, sender)),
                Err(error) => drop(sender.send(Err(error.to_string()))),
            }
        });
        let authority = authority.recv().map_err(|error| error.to_string())??;
        Ok(Server {
            authority,
            _end: end,
        })
    }
}

async fn serve(
    file: Option<File>,
    ended: oneshot::Receiver<()>,
    started: mpsc::Sender<Result<String, String>>,
) {
    let file: &'static Mutex<Option<File>> = Box::leak(Box::new(Mutex::new(file)));
    let bound = TcpListener::bind("127.0.0.1:0").await;
    let listener = match bound.and_then(|listener| Ok((listener.local_addr()?, listener))) {
        Ok((addr, listener)) => {
            // The starter waits for it.
            let _ = started.send(Ok(addr.to_string()));
            listener
        }
        Err(error) => return drop(started.send(Err(error.to_string()))),
    };
    let accept = async {
        while let Ok((stream, _)) = listener.accept().await {
            // A connection that cannot be set up is closed; its client says so.
            let _ = stream.set_nodelay(true);
            let answer = service_fn(move |request| echo(file, request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    };
    tokio::select! {
        () = accept => {}
        _ = ended => {}
    }
}

async fn echo(
    file: &Mutex<Option<File>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request
        .into_body()
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = match (&body, &mut *file) {
        (Ok(body), Some(file)) => file.write_all(body).and_then(|()| file.sync_data()).is_ok(),
        (body, _) => body.is_ok(),
    };
    let mut response = Response::new(Full::new(body.unwrap_or_default()));
    if !kept {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(response)
}

/// Sends the given bodies around.
#[derive(Debug)]
pub struct Echo(pub Vec<Bytes>);

impl Work for Echo {
    fn call(&self, n: u64) -> Call {
        let place = usize::try_from(n).unwrap_or(0) % self.0.len().max(1);
        Call::post(0, "/", self.0.get(place).cloned().unwrap_or_default())
    }

    fn good(&self, status: u16, _: &[u8]) -> bool {
        status == 200
    }
}

/// Times of one write of `bytes` and fsync each, `count` times.
///
/// # Errors
/// When the file cannot be written.
pub fn fsyncs(directory: &Path, bytes: &[u8], count: usize) -> Result<Histogram<u64>, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut file = File::create(directory.join("fsync.log")).map_err(failed)?;
    let mut times = figures::histogram();
    for _ in 0..count {
        let began = Instant::now();
        file.write_all(bytes)
            .and_then(|()| file.sync_data())
            .map_err(failed)?;
        figures::record(&mut times, began.elapsed());
        // As far apart as the writes of row 1.
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;

    #[tokio::test]
    async fn a_durable_echo_is_in_the_file_when_it_answers() {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(Some(directory.path())).unwrap();
        let mut connection = Connection::new(&server.authority);
        for body in ["one", "two"] {
            let reply = connection
                .call(Call::post(0, "/", Bytes::from(body)))
                .await
                .unwrap();
            assert_eq!(reply, (200, Bytes::from(body)));
        }
        let kept = std::fs::read_to_string(directory.path().join("raw.log")).unwrap();
        assert_eq!(kept, "onetwo");
    }
}
