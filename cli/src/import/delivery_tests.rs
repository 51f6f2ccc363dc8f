//! Delivery to gateways made of a few lines: one that dies in the middle of a reply, one that is not there, one that
//! refuses a line, and none at all.

use std::io::Cursor;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::super::lines::Lines;
use super::*;
use crate::client::GatewayUrl;
use crate::client::tests::nobody;

#[derive(Clone, Copy)]
enum Manner {
    /// Answers every line with 201; a line that names `refuse` with a problem.
    Good,
    /// Answers the first three lines, then the connection is gone.
    DiesInTheMiddle,
    /// Answers no line: none durable anywhere.
    MaybeStored,
    /// Has every line already.
    HasAll,
    /// Turns the request away at the door.
    Full,
}

async fn gateway(manner: Manner) -> GatewayUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, manner));
        }
    });
    format!("http://{address}").parse().unwrap()
}

async fn serve(stream: TcpStream, manner: Manner) {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut header = String::new();
        if stream.read_line(&mut header).await.unwrap() <= 2 {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let mut reply = String::from(
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n",
    );
    let text = String::from_utf8(body).unwrap();
    if matches!(manner, Manner::Full) {
        reply =
            "HTTP/1.1 503 \r\nconnection: close\r\n\r\n{\"status\":503,\"code\":\"overloaded\"}"
                .to_owned();
    }
    let text = match manner {
        Manner::Full => String::new(),
        _ => text,
    };
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        match manner {
            Manner::MaybeStored => {
                reply.push_str(&format!(
                    "{{\"line\":{number},\"error\":{{\"status\":503,\"code\":\"maybe_stored\"}}}}\n"
                ));
            }
            Manner::DiesInTheMiddle if number > 3 => break,
            Manner::HasAll => {
                reply.push_str(&format!(
                    "{{\"line\":{number},\"status\":200,\"copies\":2}}\n"
                ));
            }
            _ if line.contains("refuse") => {
                reply.push_str(&format!(
                    "{{\"line\":{number},\"error\":{{\"status\":400,\"code\":\"bad\"}}}}\n"
                ));
            }
            _ => reply.push_str(&format!(
                "{{\"line\":{number},\"status\":201,\"copies\":2}}\n"
            )),
        }
    }
    stream.write_all(reply.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

fn delivery(gateways: Vec<GatewayUrl>, patience: Duration) -> Arc<Delivery> {
    let client = Client::new(gateways, None, Duration::from_secs(5)).unwrap();
    Arc::new(Delivery::new(
        client,
        patience,
        Tally::default(),
        Progress::new(None, true),
    ))
}

fn claims(count: usize, refused: usize) -> Chunk {
    let mut text = String::new();
    for number in 0..count {
        let word = if number < refused { "refuse" } else { "take" };
        text.push_str(&format!(
            "{{\"subject\":\"cas:{number}\",\"note\":\"{word}\",\"asserted_at\":1}}\n"
        ));
    }
    match Lines::new(Cursor::new(text.into_bytes()), 0)
        .unwrap()
        .next()
    {
        Some(Ok(Piece::Chunk(chunk))) => chunk,
        other => panic!("expected one chunk, got {other:?}"),
    }
}

#[tokio::test]
async fn lines_of_a_gateway_that_dies_go_to_the_next() {
    let delivery = delivery(
        vec![
            gateway(Manner::DiesInTheMiddle).await,
            nobody(),
            gateway(Manner::Good).await,
        ],
        Duration::from_secs(20),
    );
    for connection in 0..3 {
        delivery.deliver(connection, claims(10, 0)).await.unwrap();
    }
    let tally = Arc::into_inner(delivery).unwrap().close();
    assert_eq!(
        (tally.counts.stored, tally.counts.lines()),
        (30, 30),
        "each line counted once"
    );
}

#[tokio::test]
async fn a_line_that_may_have_been_stored_by_this_run_is_not_called_present_before() {
    let counts = async |first: GatewayUrl| {
        let delivery = delivery(
            vec![first, gateway(Manner::HasAll).await],
            Duration::from_secs(20),
        );
        delivery.deliver(0, claims(10, 0)).await.unwrap();
        let counts = Arc::into_inner(delivery).unwrap().close().counts;
        assert_eq!(counts.lines(), 10);
        (counts.stored, counts.present, counts.sent_again)
    };
    // Three were answered; of the seven others nobody knows.
    assert_eq!(
        counts(gateway(Manner::DiesInTheMiddle).await).await,
        (3, 0, 7)
    );
    assert_eq!(counts(gateway(Manner::MaybeStored).await).await, (0, 0, 10));
    // These never came to a store.
    assert_eq!(counts(nobody()).await, (0, 10, 0));
    assert_eq!(counts(gateway(Manner::Full).await).await, (0, 10, 0));
    assert_eq!(counts(gateway(Manner::HasAll).await).await, (0, 10, 0));
}

#[tokio::test]
async fn refused_lines_are_final() {
    let delivery = delivery(vec![gateway(Manner::Good).await], Duration::from_secs(20));
    delivery.deliver(0, claims(10, 4)).await.unwrap();
    let tally = Arc::into_inner(delivery).unwrap().close();
    assert_eq!((tally.counts.stored, tally.counts.refused), (6, 4));
}

#[tokio::test]
async fn patience_ends_and_says_which_lines_are_left() {
    let delivery = delivery(
        vec![gateway(Manner::MaybeStored).await, nobody()],
        Duration::ZERO,
    );
    let error = delivery
        .deliver(0, claims(10, 0))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("10 lines from line 1") && error.contains("maybe_stored"),
        "{error}"
    );
}

#[tokio::test]
async fn a_gateway_that_failed_rests() {
    let delivery = delivery(
        vec![nobody(), gateway(Manner::Good).await],
        Duration::from_secs(20),
    );
    assert_eq!(delivery.choose(0), 0);
    delivery.deliver(0, claims(1, 0)).await.unwrap();
    // A slow machine may be past it already.
    let rest = lock(&delivery.rests)[0].until;
    assert!(rest.is_some());
    lock(&delivery.rests)[0].until = Some(Instant::now() + Duration::from_secs(3_600));
    assert_eq!(
        delivery.choose(0),
        1,
        "the one that refused the connection is left alone"
    );
}
