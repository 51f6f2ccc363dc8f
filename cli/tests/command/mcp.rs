//! The tools as a language model's program uses them: the protocol's own client, on the command's standard input and output.

use std::process::Stdio;

use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::RunningService;
use rmcp::{RoleClient, ServiceExt};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::command;
use crate::gateway::{Gateway, Reply};

const ID: &str = "8f2110f3d44c1351b3442e4690ccfa935fc18391bbe17054916bcb434b9c90e9";

fn answers(path: &str, body: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(body);
    if path == "/v1/assert" && text.contains("1e400") {
        let problem = json!({
            "status": 422, "code": "number_not_exact", "detail": "object.value is no double",
            "path": "object.value", "next_step": "send it as text",
        });
        return (422, problem.to_string());
    }
    if path == "/v1/assert" {
        return (
            201,
            json!({ "id": ID, "status": "stored", "copies": 2 }).to_string(),
        );
    }
    (
        200,
        json!({ "result": { "asked": path }, "meta": { "complete": true } }).to_string(),
    )
}

struct Session {
    client: RunningService<RoleClient, ()>,
    gateway: Gateway,
    child: Child,
    _directory: TempDir,
}

impl Session {
    async fn start() -> Session {
        let directory = tempdir().unwrap();
        let gateway = Gateway::start(answers).await;
        let mut child = command(directory.path(), &["mcp", "--url", &gateway.url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let streams = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
        Session {
            client: ().serve(streams).await.unwrap(),
            gateway,
            child,
            _directory: directory,
        }
    }

    async fn call(&self, tool: &'static str, arguments: Value) -> CallToolResult {
        let arguments = arguments.as_object().cloned().unwrap();
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        self.client.call_tool(call).await.unwrap()
    }

    async fn asked(&self, tool: &'static str, arguments: Value) -> String {
        let result = self.call(tool, arguments).await;
        assert_eq!(result.is_error, Some(false), "{result:?}");
        let answer = result.structured_content.unwrap();
        answer["result"]["asked"].as_str().unwrap().to_owned()
    }

    async fn end(mut self) {
        self.client.cancel().await.unwrap();
        assert!(self.child.wait().await.unwrap().success());
    }
}

#[tokio::test]
async fn every_tool_is_described() {
    let session = Session::start().await;
    let server = session.client.peer_info().unwrap();
    assert!(server.instructions.as_ref().unwrap().contains("skeptic"));
    let mut tools = session.client.list_all_tools().await.unwrap();
    tools.sort_by(|one, other| one.name.cmp(&other.name));
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    assert_eq!(names, ["assert", "query", "skeptic", "trace"]);
    for tool in &tools {
        assert!(
            tool.description.as_ref().unwrap().len() > 100,
            "{}",
            tool.name
        );
        let schema = Value::Object(tool.input_schema.as_ref().clone());
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["additionalProperties"], false, "{}", tool.name);
        for (name, property) in schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{}.{name}", tool.name);
        }
    }
    let schema = Value::Object(tools[0].input_schema.as_ref().clone());
    assert_eq!(
        schema["required"],
        json!(["subject", "predicate", "value", "source", "class"])
    );
    session.end().await;
}

#[tokio::test]
async fn tools_ask_what_the_api_answers() {
    let session = Session::start().await;
    assert_eq!(
        session
            .asked(
                "query",
                json!({ "subject": "a b", "predicate": "c", "lens": "epoch", "inner": "votes", "class": ["expert", "clinical"],
                        "as_of": "1970-01-02", "decay": true })
            )
            .await,
        "/v1/query?subject=a%20b&predicate=c&lens=epoch&inner=votes&class=expert%2Cclinical&as_of=1970-01-02T00%3A00%3A00.000Z&decay=true"
    );
    assert_eq!(
        session
            .asked(
                "skeptic",
                json!({ "subject": "a", "predicate": "b", "tolerance": 0.001 })
            )
            .await,
        "/v1/query?subject=a&predicate=b&lens=skeptic&tolerance=0.001"
    );
    assert_eq!(
        session.asked("trace", json!({ "id": ID })).await,
        format!("/v1/trace/{ID}")
    );
    session.end().await;
}

#[tokio::test]
async fn what_is_asserted_arrives_and_a_refusal_says_what_to_do() {
    let session = Session::start().await;
    let claim = |value: Value, kind: Value| {
        let mut claim = json!({
            "subject": "water", "predicate": "boils_k", "value": value, "source": "doi:1", "class": "expert",
            "asserted_at": "2018-07-17",
        });
        if !kind.is_null() {
            claim["type"] = kind;
        }
        claim
    };
    for (value, kind, sent) in [
        (
            json!(373.15),
            Value::Null,
            r#"{"type":"number","value":373.15}"#,
        ),
        (json!("42"), Value::Null, r#"{"type":"text","value":"42"}"#),
        (
            json!("0.10000000000000000555"),
            json!("number"),
            r#"{"type":"number","value":0.10000000000000000555}"#,
        ),
        (
            json!(true),
            Value::Null,
            r#"{"type":"boolean","value":true}"#,
        ),
    ] {
        let result = session.call("assert", claim(value, kind)).await;
        assert_eq!(result.structured_content.unwrap()["id"], ID);
        let body = crate::text(&session.gateway.asked().pop().unwrap().body);
        assert!(body.contains(sent), "{body}");
        assert!(body.contains(r#""asserted_at":1531785600000"#), "{body}");
    }
    let refused = session
        .call("assert", claim(json!("1e400"), json!("number")))
        .await;
    assert_eq!(refused.is_error, Some(true));
    let said = refused.content[0].as_text().unwrap().text.clone();
    assert!(said.contains("send it as text"), "{said}");
    assert_eq!(
        refused.structured_content.unwrap()["code"],
        "number_not_exact"
    );
    let wrong = session.call("trace", json!({ "id": "8f21" })).await;
    assert_eq!(wrong.is_error, Some(true));
    session.end().await;
}

/// The headers and the body of one POST.
async fn post(address: &str, host: &str) -> String {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{"name":"test","version":"1.0"}}}"#;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {host}\r\naccept: application/json, text/event-stream\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    let mut part = [0; 4096];
    // The stream of a session may stay open: what matters is in its first event.
    while !String::from_utf8_lossy(&reply).contains("serverInfo") {
        match stream.read(&mut part).await.unwrap() {
            0 => break,
            count => reply.extend_from_slice(&part[..count]),
        }
    }
    String::from_utf8(reply).unwrap()
}

#[tokio::test]
async fn http_serves_the_same_to_this_machine_alone() {
    let directory = tempdir().unwrap();
    let mut child = command(directory.path(), &["mcp", "--http", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = lines.next_line().await.unwrap().unwrap();
    let address = said
        .strip_prefix("MCP on http://")
        .and_then(|rest| rest.strip_suffix("/mcp"))
        .unwrap();
    let reply = post(address, address).await;
    assert!(
        reply.starts_with("HTTP/1.1 200") && reply.contains("StemeDB"),
        "{reply}"
    );
    let rebound = post(address, "pages.example.org").await;
    assert!(rebound.starts_with("HTTP/1.1 403"), "{rebound}");
}
