//! The client against gateways made of a few lines: who is asked next, and when nobody is.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A gateway that gives every connection the same reply.
async fn gateway((status, body): (u16, &'static str)) -> GatewayUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let reply = format!(
        "HTTP/1.1 {status} \r\nx-trace-id: 4bf92f35\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    });
    format!("http://{address}").parse().unwrap()
}

/// A gateway whose process is gone. Its port is kept, so that nobody else's gateway comes to listen there.
pub(crate) fn nobody() -> GatewayUrl {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    format!("http://{address}").parse().unwrap()
}

/// A gateway that takes connections and says nothing, as a stopped process does.
async fn hung() -> (GatewayUrl, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (format!("http://{address}").parse().unwrap(), listener)
}

const READY: (u16, &str) = (200, r#"{"status":"up"}"#);
const BUSY: (u16, &str) = (503, r#"{"code":"overloaded","detail":"busy"}"#);
const REFUSED: (u16, &str) = (400, r#"{"code":"bad_number","detail":"1e400"}"#);

fn client(gateways: Vec<GatewayUrl>) -> Client {
    Client::new(gateways, Some("steme_test_key"), TIMEOUT).unwrap()
}

#[tokio::test]
async fn the_next_gateway_answers_for_one_that_is_gone_or_busy() {
    let client = client(vec![nobody(), gateway(BUSY).await, gateway(READY).await]);
    let reply = client.send(&Call::get("/v1/health")).await.unwrap();
    assert_eq!(reply.json().unwrap()["status"], "up");
    assert_eq!(reply.trace_id.as_deref(), Some("4bf92f35"));
    assert_eq!(reply.url, client.gateways()[2].to_string());
}

#[tokio::test]
async fn a_gateway_that_hangs_is_passed_over_long_before_the_time_limit() {
    let (hangs, _listener) = hung().await;
    let client = client(vec![hangs, gateway(READY).await]);
    let began = std::time::Instant::now();
    let reply = client.send(&Call::get("/v1/health")).await.unwrap();
    assert_eq!(reply.url, client.gateways()[1].to_string());
    assert!(began.elapsed() < TIMEOUT);
}

#[tokio::test]
async fn a_refusal_is_the_answer_of_all() {
    let client = client(vec![gateway(REFUSED).await, gateway(READY).await]);
    match client
        .send(&Call::post("/v1/assert", "application/json", "{}"))
        .await
    {
        Err(Failure::Refused(problem)) => assert_eq!(problem.text("code"), Some("bad_number")),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_gateway_that_explains_itself_is_quoted() {
    let client = client(vec![gateway(BUSY).await, nobody()]);
    match client.send(&Call::get("/v1/query")).await {
        Err(Failure::Refused(problem)) => assert_eq!(
            (problem.status, problem.text("code")),
            (503, Some("overloaded"))
        ),
        other => panic!("expected what the busy one said, got {other:?}"),
    }
}

#[tokio::test]
async fn with_nobody_there_every_try_is_named() {
    let urls = vec![nobody(), nobody()];
    let error = client(urls.clone())
        .send(&Call::get("/v1/health"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        urls.iter().all(|url| error.contains(&url.to_string())),
        "{error}"
    );
    assert!(
        error.contains("refused") && error.contains("stemedb up"),
        "{error}"
    );
}

#[test]
fn urls_are_checked_before_anything_is_sent() {
    let url: GatewayUrl = "localhost:18180/".parse().unwrap();
    assert_eq!(url.to_string(), "http://localhost:18180");
    for wrong in [
        "https://localhost:18180",
        "ftp://x",
        "http://",
        "http://localhost:18180/?a=b",
        "http://a b",
    ] {
        assert!(wrong.parse::<GatewayUrl>().is_err(), "{wrong}");
    }
    assert_eq!(encode("cas:7732-18-5 °"), "cas%3A7732-18-5%20%C2%B0");
}
