//! The description of the API: complete, true, and the same as the file that is kept beside the code.

use std::collections::BTreeSet;
use std::path::Path;

use http::Method;
use serde_json::{Map, Value, json};

use crate::stage::{Reply, Stage, claim, record};

/// Schemas whose objects may have further members: what a client should know beside a problem, and what each lens adds.
const OPEN: [&str; 2] = ["Problem", "LensResult"];

async fn described(stage: &Stage) -> Value {
    let reply = stage.get_internal("/openapi.json").await;
    assert_eq!(reply.status, 200);
    reply.json()
}

fn operations(described: &Value) -> Vec<(String, String, &Map<String, Value>)> {
    let paths = described["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        let operations = item.as_object().unwrap().iter();
        operations.map(move |(method, operation)| {
            (method.clone(), path.clone(), operation.as_object().unwrap())
        })
    });
    all.collect()
}

/// Set UPDATE_DOCS=1 to write the file anew.
#[tokio::test]
async fn it_is_the_one_that_is_kept_and_each_port_describes_what_it_serves() {
    let stage = Stage::calm().await;
    let internal = described(&stage).await;
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let text = stage.get_internal("/openapi.json").await.text();
        std::fs::write(&kept, text + "\n").unwrap();
    }
    let file: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    assert!(
        file == internal,
        "openapi.json is not what the code says: run this test with UPDATE_DOCS=1 and look at the difference"
    );
    assert!(internal["openapi"].as_str().unwrap().starts_with("3.1"));
    let public = stage.get("/openapi.json").await.json();
    let paths = |described: &Value| -> BTreeSet<String> {
        described["paths"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    let outside: BTreeSet<String> = paths(&internal)
        .into_iter()
        .filter(|path| !path.starts_with("/cluster"))
        .collect();
    assert_eq!(paths(&public), outside);
    assert!(paths(&internal).len() == outside.len() + 12);
    let page = stage.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("swagger-ui"));
    let script = stage.get("/docs/swagger-initializer.js").await;
    assert!(script.text().contains("/openapi.json"), "{}", script.text());
}

#[tokio::test]
async fn every_operation_has_examples_and_says_how_it_may_end() {
    let stage = Stage::calm().await;
    let described = described(&stage).await;
    for (method, path, operation) in operations(&described) {
        let at = format!("{method} {path}");
        for member in ["summary", "description", "operationId"] {
            assert!(operation[member].is_string(), "{at} has no {member}");
        }
        let replies = operation["responses"].as_object().unwrap();
        for (status, reply) in replies {
            assert!(
                reply["headers"]["X-Trace-Id"].is_object(),
                "{at} {status} names no trace"
            );
            for (kind, content) in reply["content"].as_object().unwrap() {
                let refusal = kind == "application/problem+json";
                let lines = content["schema"] == json!({ "type": "string" });
                assert!(
                    refusal || lines || content.get("example").is_some(),
                    "{at} {status} {kind} has no example"
                );
                if let Some(example) = content.get("example")
                    && !lines
                {
                    check(&described, &content["schema"], example, &at);
                }
            }
        }
        let health = path.starts_with("/v1/health") || path == "/metrics";
        for status in ["400", "500", "503"] {
            assert!(
                replies.contains_key(status) || health,
                "{at} has no {status}"
            );
        }
        if let Some(body) = operation.get("requestBody") {
            let content = &body["content"]["application/json"];
            check(&described, &content["schema"], &content["example"], &at);
            for status in ["408", "413", "415", "422"] {
                assert!(replies.contains_key(status), "{at} has no {status}");
            }
        }
        let parameters = operation.get("parameters").and_then(Value::as_array);
        for parameter in parameters.into_iter().flatten() {
            let name = &parameter["name"];
            assert!(parameter["description"].is_string(), "{at}: {name}");
        }
    }
}

#[tokio::test]
async fn every_schema_that_is_named_is_there() {
    let stage = Stage::calm().await;
    for described in [
        stage.get("/openapi.json").await,
        stage.get_internal("/openapi.json").await,
    ] {
        let schemas = &described.json()["components"]["schemas"];
        let text = described.text();
        let mut named = text.split("\"#/components/schemas/").skip(1).peekable();
        assert!(named.peek().is_some());
        for rest in named {
            let (name, _) = rest.split_once('"').unwrap();
            assert!(schemas[name].is_object(), "{name}");
        }
    }
}

/// Whether a value is of a schema, in every member. A small part of JSON Schema: what the description uses.
fn faults(described: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        let schema = &described["components"]["schemas"][name];
        assert!(schema.is_object(), "{name} is described nowhere");
        let mut faults = faults(described, schema, value, at);
        if OPEN.contains(&name) {
            faults.retain(|fault| !fault.ends_with("is not described"));
        }
        return faults;
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(schemas) = schema[choice].as_array() {
            let all: Vec<Vec<String>> = schemas
                .iter()
                .map(|schema| faults(described, schema, value, at))
                .collect();
            return all.into_iter().min_by_key(Vec::len).unwrap();
        }
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(only) => vec![only.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return Vec::new(),
    };
    let is = |name: &&str| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    };
    if !types.iter().any(is) {
        return vec![format!("{at} is {value}, not {types:?}")];
    }
    if let Some(accepted) = schema["enum"].as_array()
        && !accepted.contains(value)
    {
        return vec![format!("{at} is {value}, not of {accepted:?}")];
    }
    let mut found = Vec::new();
    for (place, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(faults(
            described,
            &schema["items"],
            item,
            &format!("{at}[{place}]"),
        ));
    }
    if let Some(object) = value.as_object() {
        found.extend(members(described, schema, object, at));
    }
    found
}

fn members(
    described: &Value,
    schema: &Value,
    object: &Map<String, Value>,
    at: &str,
) -> Vec<String> {
    let mut found = Vec::new();
    for name in schema["required"].as_array().into_iter().flatten() {
        if !object.contains_key(name.as_str().unwrap()) {
            found.push(format!("{at} has no {name}"));
        }
    }
    for (name, member) in object {
        let at = format!("{at}.{name}");
        match (
            schema["properties"].get(name),
            schema.get("additionalProperties"),
        ) {
            (Some(schema), _) | (None, Some(schema)) => {
                found.extend(faults(described, schema, member, &at));
            }
            (None, None) => found.push(format!("{at} is not described")),
        }
    }
    found
}

#[track_caller]
fn check(described: &Value, schema: &Value, value: &Value, at: &str) {
    let faults = faults(described, schema, value, at);
    assert!(faults.is_empty(), "{faults:#?}\n{value:#}");
}

/// The reply is of the form that is described for this operation and status.
#[track_caller]
fn as_described(described: &Value, method: &str, path: &str, reply: &Reply) {
    let at = format!("{method} {path} {}", reply.status);
    let status = reply.status.to_string();
    let operation = &described["paths"][path][method];
    let content = &operation["responses"][&status]["content"];
    let kind = reply.headers["content-type"].to_str().unwrap();
    let schema = &content[kind]["schema"];
    assert!(schema.is_object(), "{at} {kind} is not described");
    check(described, schema, &reply.json(), &at);
}

#[tokio::test]
async fn replies_are_as_it_says() {
    let stage = Stage::calm().await;
    let described = described(&stage).await;
    let said = claim(373.17, "u");
    let id = record(&said).id();
    let vote = json!({ "subject": "cas:7732-18-5", "assertion": id.to_string(), "voter": "ann", "weight": 1 });
    let child = said.replacen('{', &format!("{{\"parent\":\"{id}\","), 1);
    for (path, body) in [
        ("/v1/assert", said.clone()),
        ("/v1/assert", said.clone()),
        ("/v1/assert", child.clone()),
        ("/v1/assert", "{".to_owned()),
        ("/v1/assert", "{}".to_owned()),
        ("/v1/vote", vote.to_string()),
        ("/v1/epoch", r#"{"name":"ITS-90"}"#.to_owned()),
        ("/v1/sources", r#"{"uri":"u","class":"expert"}"#.to_owned()),
        ("/v1/assert/batch", format!("[{said}]")),
        ("/v1/assert/batch", "[{}]".to_owned()),
        (
            "/v1/query",
            r#"{"queries":[{"subject":"s"},{"lens":"x"},{"subject":"s","lens":"votes"}]}"#
                .to_owned(),
        ),
        ("/v1/query", r#"{"subject":"cas:7732-18-5"}"#.to_owned()),
    ] {
        let reply = stage.post(path, body).await;
        as_described(&described, "post", path, &reply);
    }
    let trace = record(&child).id();
    for (path, question) in [
        ("/v1/query", "?subject=cas:7732-18-5".to_owned()),
        (
            "/v1/query",
            "?subject=cas:7732-18-5&lens=epoch&inner=votes&decay=true".to_owned(),
        ),
        ("/v1/query", "?subject=nothing&lens=recency".to_owned()),
        ("/v1/query", "?subject_prefix=cas:".to_owned()),
        ("/v1/query", String::new()),
        ("/v1/query", "?colour=red".to_owned()),
        ("/v1/skeptic", "?subject=cas:7732-18-5".to_owned()),
        (
            "/v1/layered",
            "?subject=cas:7732-18-5&consistency=all".to_owned(),
        ),
        ("/v1/subjects", String::new()),
        ("/v1/epochs", String::new()),
        ("/v1/sources", "?retracted=false&prefix=u".to_owned()),
        ("/v1/votes", "?subject=cas:7732-18-5".to_owned()),
        ("/v1/votes", String::new()),
        ("/v1/predicates", "?subject=cas:7732-18-5".to_owned()),
        ("/v1/health", String::new()),
        ("/v1/health/live", String::new()),
        ("/cluster/members", String::new()),
        ("/cluster/verify", String::new()),
        ("/cluster/tasks", String::new()),
    ] {
        let reply = stage.get_internal(&format!("{path}{question}")).await;
        as_described(&described, "get", path, &reply);
    }
    for (path, id) in [
        ("/v1/records/{id}", id.to_string()),
        ("/v1/records/{id}", "0".repeat(64)),
        ("/v1/records/{id}/replicas", id.to_string()),
        ("/v1/trace/{id}", trace.to_string()),
        ("/v1/trace/{id}", "x".to_owned()),
    ] {
        let reply = stage.get(&path.replace("{id}", &id)).await;
        as_described(&described, "get", path, &reply);
    }
    for (path, place) in [
        ("/cluster/sync", "/cluster/sync"),
        (
            "/cluster/members/{name}/forget",
            "/cluster/members/node3/forget",
        ),
        (
            "/cluster/members/{name}/forget",
            "/cluster/members/node2/forget",
        ),
        (
            "/cluster/members/{name}/forget",
            "/cluster/members/node9/forget",
        ),
    ] {
        let reply = stage.ask(stage.bind, Method::POST, place, &[], "").await;
        as_described(&described, "post", path, &reply);
    }
}

#[tokio::test]
async fn lines_of_the_feed_are_as_it_says() {
    let stage = Stage::calm().await;
    let described = described(&stage).await;
    for (path, body) in [
        ("/v1/assert", claim(373.17, "u")),
        ("/v1/epoch", r#"{"name":"ITS-90"}"#.to_owned()),
    ] {
        assert_eq!(stage.post(path, body).await.status, 201);
    }
    let lines = [("accept", "application/x-ndjson")];
    let feed = stage
        .ask(
            stage.api,
            Method::GET,
            "/v1/feed?from=start&until=now",
            &lines,
            "",
        )
        .await;
    let schema = &described["paths"]["/v1/feed"]["get"]["responses"]["200"]["content"]["application/x-ndjson"]
        ["schema"];
    let shown = feed.lines();
    assert_eq!(
        shown.len(),
        4,
        "a place, two records and the end: {shown:?}"
    );
    for line in shown {
        check(&described, schema, &line, "the feed");
    }
}
