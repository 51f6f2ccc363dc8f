//! What every request meets: limits, refusals, origins, traces, metrics, and the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use http::Method;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::stage::{PATIENT, Stage, claim};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn what_is_too_long_is_refused_with_its_limit() {
    let stage = Stage::calm().await;
    let long = format!("/v1/query?subject={}", "a".repeat(9_000));
    let said = stage.get(&long).await.refused(414, "url_too_long");
    assert_eq!(said["limit"], 8_192);
    let large = "x".repeat(8 * 1024 * 1024 + 1);
    for path in ["/v1/assert", "/v1/assert/batch", "/v1/query"] {
        let said = stage
            .post(path, large.clone())
            .await
            .refused(413, "body_too_large");
        assert_eq!(said["limit"], 8 * 1024 * 1024);
    }
    let value = "v".repeat(20_000);
    let headers = [
        ("content-type", "application/json"),
        ("x-much", value.as_str()),
    ];
    let reply = stage
        .ask(
            stage.api,
            Method::POST,
            "/v1/assert",
            &headers,
            claim(1.0, "u"),
        )
        .await;
    reply.refused(431, "headers_too_large");
    let note = "n".repeat(20 * 1024);
    let record = claim(1.0, "u").replacen('{', &format!("{{\"note\":\"{note}\","), 1);
    let said = stage
        .post("/v1/assert", record)
        .await
        .refused(422, "too_long");
    assert_eq!(
        (&said["path"], &said["limit"]),
        (&"note".into(), &16_384.into())
    );
}

#[tokio::test]
async fn what_is_not_json_is_refused_by_its_kind() {
    let stage = Stage::calm().await;
    let with = async |kind: &str, body: &str| {
        let headers = [("content-type", kind)];
        stage
            .ask(
                stage.api,
                Method::POST,
                "/v1/assert",
                &headers,
                body.to_owned(),
            )
            .await
    };
    with("text/plain", "x")
        .await
        .refused(415, "unsupported_media_type");
    with("application/x-ndjson", "x")
        .await
        .refused(415, "unsupported_media_type");
    with("application/json", "{")
        .await
        .refused(400, "malformed_json");
    let reply = with("application/json; charset=utf-8", &claim(1.0, "u")).await;
    assert_eq!(reply.status, 201);
    let gzip = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    let reply = stage
        .ask(stage.api, Method::POST, "/v1/assert", &gzip, "x")
        .await;
    reply.refused(415, "unsupported_encoding");
    let said = stage
        .post("/v1/assert", r#"{"subject":"s","colour":"red"}"#)
        .await;
    assert_eq!(said.status, 422, "{}", said.text());
}

#[tokio::test]
async fn paths_that_are_not_there_are_named() {
    let stage = Stage::calm().await;
    stage.get("/v1/nothing").await.refused(404, "no_such_path");
    stage.get("/v1/assert").await.refused(405, "wrong_method");
    for path in ["members", "verify", "tasks"] {
        stage
            .get(&format!("/cluster/{path}"))
            .await
            .refused(404, "no_such_path");
        assert_eq!(
            stage.get_internal(&format!("/cluster/{path}")).await.status,
            200
        );
    }
    let said = stage
        .get("/v1/query?subject=s&color=red")
        .await
        .refused(400, "unknown_parameter");
    assert_eq!(said["path"], "color");
    stage.get("/v1/query").await.refused(422, "unbounded");
}

#[tokio::test]
async fn browsers_may_call_from_anywhere_until_somebody_says_from_where() {
    let preflight = [
        ("origin", "https://console.example.org"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-api-key"),
    ];
    let stage = Stage::calm().await;
    let reply = stage
        .ask(stage.api, Method::OPTIONS, "/v1/assert", &preflight, "")
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["access-control-allow-origin"], "*");
    assert!(
        reply.headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("x-api-key")
    );
    let stage = Stage::with(PATIENT, |config| {
        config.allowed_origins = vec!["https://console.example.org".into()];
    })
    .await;
    let ask = async |origin: &str| {
        let headers = [("origin", origin)];
        let reply = stage
            .ask(stage.api, Method::GET, "/v1/health", &headers, "")
            .await;
        reply.headers.get("access-control-allow-origin").cloned()
    };
    assert_eq!(
        ask("https://console.example.org").await.unwrap(),
        "https://console.example.org"
    );
    assert_eq!(ask("https://evil.example.org").await, None);
}

#[tokio::test]
async fn every_reply_names_its_trace() {
    let stage = Stage::calm().await;
    for path in [
        "/v1/health",
        "/v1/nothing",
        "/metrics",
        "/v1/query?subject=s",
    ] {
        let reply = stage.get(path).await;
        let id = reply.headers["x-trace-id"].to_str().unwrap();
        assert!(
            id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()),
            "{path}: {id}"
        );
    }
}

async fn metrics_of(text: &'static str) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/metrics", get(move || async move { text }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn metrics_of_the_node_are_one_text_and_a_dead_service_is_reported() {
    let store = metrics_of(
        "# HELP process_threads Threads.\n# TYPE process_threads gauge\nprocess_threads 9\n",
    )
    .await;
    let gateway = metrics_of(
        "# TYPE process_threads gauge\nprocess_threads 7\n# TYPE odd counter\nodd{a=\"b\"} 1\n",
    )
    .await;
    let stage = Stage::with(PATIENT, |config| {
        // Port 1: nobody is there.
        let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        config.scrapes = vec![
            ("gateway", gateway),
            ("store", store),
            ("membership", nobody),
        ];
    })
    .await;
    let lines = [
        "process_threads{service=\"gateway\"} 7",
        "process_threads{service=\"store\"} 9",
        "odd_total{service=\"gateway\",a=\"b\"} 1",
        "stemedb_gateway_service_up{service=\"store\"} 1",
        "stemedb_gateway_service_up{service=\"membership\"} 0",
    ];
    for address in [stage.api, stage.bind] {
        let mut text = String::new();
        // A service that a busy machine keeps from answering in time is left out of that scrape.
        stage
            .until("every line", async || {
                let reply = stage.ask(address, Method::GET, "/metrics", &[], "").await;
                assert_eq!(reply.status, 200);
                text = reply.text();
                let there = |line: &&str| text.lines().any(|found| found == *line);
                lines.iter().all(there)
            })
            .await;
        assert_eq!(text.matches("# TYPE process_threads").count(), 1);
    }
}

#[tokio::test]
async fn a_service_that_pauses_for_a_moment_stays_in_the_scrape() {
    let (asked, answers) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let paused = listener.local_addr().unwrap();
    let (told, goes_on) = (Arc::clone(&asked), Arc::clone(&answers));
    let app = Router::new().route(
        "/metrics",
        get(async move || {
            told.notify_one();
            goes_on.notified().await;
            "# TYPE process_threads gauge\nprocess_threads 9\n"
        }),
    );
    tokio::spawn(async move { axum::serve(listener, app).await });
    let stage = Stage::with(PATIENT, |config| config.scrapes = vec![("store", paused)]).await;
    let pause = async {
        asked.notified().await;
        let began = Instant::now();
        let long = async || began.elapsed() > Duration::from_millis(1_500);
        stage.until("it was silent for a moment", long).await;
        answers.notify_one();
    };
    let (reply, ()) = tokio::join!(stage.get("/metrics"), pause);
    let text = reply.text();
    for line in [
        "process_threads{service=\"store\"} 9",
        "stemedb_gateway_service_up{service=\"store\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn a_node_that_stops_says_so_and_ends_what_is_in_hand() {
    let stage = Stage::calm().await;
    assert_eq!(stage.get("/v1/health/live").await.status, 200);
    stage.stores[1].state().mood = crate::store::Mood::Busy(3);
    let posted = stage.ask(
        stage.api,
        Method::POST,
        "/v1/assert",
        &JSON,
        claim(1.0, "u"),
    );
    let stopped = async {
        let sent = async || {
            stage
                .stores
                .iter()
                .any(|store| !store.state().appends.is_empty())
        };
        stage.until("the write is on its way", sent).await;
        stage.shutdown.trigger();
    };
    let (reply, ()) = tokio::join!(posted, stopped);
    assert_eq!(reply.status, 201, "{}", reply.text());
    stage
        .until("nobody listens any more", async || {
            tokio::net::TcpStream::connect(stage.api).await.is_err()
        })
        .await;
}
