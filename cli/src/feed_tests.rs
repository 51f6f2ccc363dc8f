//! The feed against gateways made of a few lines: one that breaks off, one that is busy, one that refuses.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::client::GatewayUrl;
use crate::client::tests::nobody;

/// A gateway that answers every feed alike and keeps the paths that it was asked.
async fn gateway(status: u16, body: &'static str) -> (GatewayUrl, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let path = serve(stream, status, body).await;
            seen.lock().unwrap().push(path);
        }
    });
    (format!("http://{address}").parse().unwrap(), asked)
}

async fn serve(stream: TcpStream, status: u16, body: &str) -> String {
    let mut stream = BufReader::new(stream);
    let mut path = String::new();
    stream.read_line(&mut path).await.unwrap();
    loop {
        let mut header = String::new();
        if stream.read_line(&mut header).await.unwrap() <= 2 {
            break;
        }
    }
    let reply = format!("HTTP/1.1 {status} \r\nconnection: close\r\n\r\n{body}");
    stream.write_all(reply.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    path.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn feed(gateways: Vec<GatewayUrl>, patience: Duration) -> Feed {
    let client = Client::new(gateways, None, Duration::from_secs(5)).unwrap();
    let filters = Filters {
        kind: vec!["vote".to_owned(), "epoch".to_owned()],
        subject_prefix: Some("cas:".to_owned()),
        ..Filters::default()
    };
    Feed::new(client, filters, "start".to_owned(), true, patience)
}

async fn record(feed: &mut Feed) -> (String, String) {
    match feed.next().await.unwrap() {
        Event::Record { token, record } => (token, record.get().to_owned()),
        other => panic!("expected a record, got {other:?}"),
    }
}

const BREAKS_OFF: &str =
    "\n:\n{\"token\":\"t0\"}\n{\"token\":\"t1\",\"record\":{\"n\":1.50}}\n{\"token\":\"t2\",\"rec";
const ENDS: &str = "{\"token\":\"t2\",\"record\":{\"n\":2}}\n{\"caught_up\":true,\"token\":\"t9\",\"missing\":[\"node3\"],\"complete\":true}\n";
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_next_gateway_goes_on_behind_the_last_whole_line() {
    let (first, asked_first) = gateway(200, BREAKS_OFF).await;
    let (busy, _) = gateway(503, r#"{"code":"overloaded"}"#).await;
    let (last, asked_last) = gateway(200, ENDS).await;
    let mut feed = feed(vec![first, nobody(), busy, last], PATIENCE);
    assert_eq!(
        record(&mut feed).await,
        ("t1".to_owned(), r#"{"n":1.50}"#.to_owned()),
        "the record is the gateway's text"
    );
    assert_eq!(
        record(&mut feed).await,
        ("t2".to_owned(), r#"{"n":2}"#.to_owned())
    );
    assert!(matches!(
        feed.next().await.unwrap(),
        Event::CaughtUp { token, missing, complete: Some(true) } if token == "t9" && missing == ["node3"]
    ));
    assert_eq!(feed.position(), "t9");
    let filters = "kind=vote%2Cepoch&subject_prefix=cas%3A";
    assert_eq!(
        *asked_first.lock().unwrap(),
        [format!("/v1/feed?from=start&until=now&{filters}")]
    );
    assert_eq!(
        *asked_last.lock().unwrap(),
        [format!("/v1/feed?from=t1&until=now&{filters}")]
    );
}

#[tokio::test]
async fn what_the_next_gateway_repeats_is_not_shown_again() {
    let (first, _) = gateway(
        200,
        "{\"token\":\"t1\",\"record\":{\"id\":\"a\"}}\n{\"token\":\"t2\",\"record\":{\"kind\":\"epoch\",\"id\":\"b\"}}\n",
    )
    .await;
    let (second, asked) = gateway(
        200,
        "{\"token\":\"t3\",\"record\":{\"id\":\"b\"}}\n{\"token\":\"t4\",\"record\":{\"id\":\"c\"}}\n{\"token\":\"t5\",\"record\":{\"id\":\"a\"}}\n{\"caught_up\":true,\"token\":\"t6\"}\n",
    )
    .await;
    let mut feed = feed(vec![first, second], PATIENCE);
    let mut shown = Vec::new();
    while let Event::Record { token, .. } = feed.next().await.unwrap() {
        shown.push(token);
    }
    assert_eq!(shown, ["t1", "t2", "t4"]);
    assert_eq!(feed.position(), "t6");
    assert!(asked.lock().unwrap()[0].starts_with("/v1/feed?from=t2&"));
}

#[test]
fn the_window_forgets_the_oldest() {
    let record = |number: usize| -> Box<RawValue> {
        serde_json::from_str(&format!("{{\"id\":\"{number}\"}}")).unwrap()
    };
    let mut shown = Shown::default();
    for number in 0..=SHOWN_MAX {
        assert!(shown.note(&record(number)));
    }
    assert!(!shown.note(&record(1)));
    assert!(shown.note(&record(0)), "it was forgotten");
    assert_eq!(shown.known.len(), SHOWN_MAX);
    let nameless: Box<RawValue> = serde_json::from_str("{\"n\":1}").unwrap();
    assert!(shown.note(&nameless) && shown.note(&nameless));
}

#[tokio::test]
async fn a_gateway_that_says_why_it_ends_is_left() {
    let (stops, _) = gateway(
        200,
        "{\"error\":{\"status\":503,\"code\":\"stopping\",\"detail\":\"this node stops\"}}\n",
    )
    .await;
    let (other, _) = gateway(200, ENDS).await;
    let mut feed = feed(vec![stops, other], PATIENCE);
    assert_eq!(record(&mut feed).await.0, "t2");
}

#[tokio::test]
async fn what_every_gateway_would_refuse_is_the_answer() {
    let (refuses, _) = gateway(400, r#"{"code":"bad_token","next_step":"from=start"}"#).await;
    let (other, asked) = gateway(200, ENDS).await;
    let mut feed = feed(vec![refuses, other], PATIENCE);
    let refused = feed.next().await.unwrap_err();
    assert_eq!(refused.to_json()["code"], "bad_token");
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn patience_ends() {
    let mut feed = feed(vec![nobody(), nobody()], Duration::ZERO);
    let failure = feed.next().await.unwrap_err();
    assert!(matches!(failure, Failure::Unreachable { .. }), "{failure}");
}

#[tokio::test]
async fn a_feed_that_ends_has_no_patience_with_gateways_that_only_live() {
    const STUCK: &str =
        "{\"token\":\"t1\"}\n\n{\"error\":{\"status\":503,\"code\":\"incomplete\"}}\n";
    let (stuck, asked) = gateway(200, STUCK).await;
    let mut feed = feed(vec![stuck], Duration::from_secs(3));
    let next = tokio::time::timeout(PATIENCE, feed.next()).await;
    let failure = next.expect("it gives up").unwrap_err();
    assert!(matches!(failure, Failure::Unreachable { .. }), "{failure}");
    assert!(failure.to_string().contains("incomplete"), "{failure}");
    let asked = asked.lock().unwrap();
    assert!(asked.len() > 1 && asked[1].starts_with("/v1/feed?from=t1&"));
}

#[tokio::test]
async fn a_line_that_is_none_is_a_stranger() {
    let (stranger, _) = gateway(200, "<html>\n").await;
    let failure = feed(vec![stranger], PATIENCE).next().await.unwrap_err();
    assert!(matches!(failure, Failure::Reply { .. }), "{failure}");
}
