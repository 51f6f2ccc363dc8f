//! What is not meant as it is said: refused by name, and never taken for something else.

use http::Method;
use serde_json::json;

use crate::stage::{HASTY, Stage, claim};
use crate::store::Mood;

/// Unix milliseconds beyond the life of any clock here.
const FUTURE: i64 = 200_000_000_000_000;

#[tokio::test]
async fn texts_in_other_encodings_are_refused() {
    let stage = Stage::calm().await;
    for path in ["/v1/assert", "/v1/assert/batch", "/v1/query"] {
        for kind in [
            "application/json; charset=utf-16",
            "application/json;charset=\"latin1\"",
        ] {
            let headers = [("content-type", kind)];
            let reply = stage
                .ask(stage.api, Method::POST, path, &headers, claim(1.0, "u"))
                .await;
            let said = reply.refused(415, "unsupported_media_type");
            assert_eq!(said["path"], "Content-Type");
        }
    }
    let lines = [("content-type", "application/x-ndjson; charset=utf-16le")];
    let path = "/v1/assert/batch";
    let reply = stage.ask(stage.api, Method::POST, path, &lines, "{}").await;
    reply.refused(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_question_of_other_types_is_refused_by_name() {
    let stage = Stage::calm().await;
    for (question, path) in [
        (json!({ "subject": 5 }), "subject"),
        (json!({ "subject": ["a", "b"] }), "subject"),
        (
            json!({ "subject": "s", "lens": "skeptic", "tolerance": "0.1" }),
            "tolerance",
        ),
        (json!({ "subject": "s", "limit": "7" }), "limit"),
        (
            json!({ "subject": "s", "class": ["expert", 5] }),
            "class[1]",
        ),
        (
            json!({ "subject": "s", "lens": "recency", "decay": "true" }),
            "decay",
        ),
    ] {
        let said = stage
            .post("/v1/query", question.to_string())
            .await
            .refused(422, "wrong_type");
        assert_eq!(said["path"], path);
        let several = json!({ "queries": [question] }).to_string();
        let said = stage.post("/v1/query", several).await.json();
        assert_eq!(said["results"][0]["error"]["code"], "wrong_type");
    }
    let said = stage
        .post("/v1/query", r#"{"subject":"s","colour":[{}]}"#)
        .await
        .refused(400, "unknown_parameter");
    assert_eq!(said["path"], "colour");
}

#[tokio::test]
async fn an_empty_cursor_does_not_start_again() {
    let stage = Stage::calm().await;
    for path in ["/v1/query?subject=s&cursor=", "/v1/subjects?cursor="] {
        let said = stage.get(path).await.refused(400, "empty_cursor");
        assert_eq!(said["path"], "cursor");
    }
    stage
        .post("/v1/query", r#"{"subject":"s","cursor":""}"#)
        .await
        .refused(400, "empty_cursor");
}

#[tokio::test]
async fn a_date_in_the_future_is_refused_under_its_own_name() {
    let stage = Stage::calm().await;
    let id = "0".repeat(64);
    for (path, body, field) in [
        (
            "/v1/vote",
            json!({ "subject": "s", "assertion": id, "voter": "ann", "weight": 1 }),
            "voted_at",
        ),
        ("/v1/epoch", json!({ "name": "e" }), "started_at"),
        (
            "/v1/sources",
            json!({ "uri": "u", "class": "expert" }),
            "recorded_at",
        ),
    ] {
        let mut body = body;
        body[field] = FUTURE.into();
        let said = stage
            .post(path, body.to_string())
            .await
            .refused(422, "dated_in_the_future");
        assert_eq!(said["path"], field);
        assert_eq!(said["limit"], 300_000);
    }
    let late = claim(1.0, "u").replace("1388534400000", &FUTURE.to_string());
    let said = stage
        .post("/v1/assert", late)
        .await
        .refused(422, "asserted_in_the_future");
    assert_eq!(said["path"], "asserted_at");
}

#[tokio::test]
async fn a_question_that_the_nodes_have_no_time_for_is_worth_another_try() {
    let stage = Stage::with(HASTY, |_| {}).await;
    for store in &stage.stores {
        store.state().complete = false;
    }
    let path = "/v1/query?subject=s&lens=skeptic&consistency=all";
    let answered = async || {
        let reply = stage.get(path).await;
        // A machine that stands still may take the time, too.
        assert!(matches!(reply.status, 200 | 503), "{}", reply.text());
        reply.status == 200
    };
    stage.until("an answer", answered).await;
    for store in &stage.stores {
        store.state().mood = Mood::Frozen;
    }
    let reply = stage.get(path).await;
    reply.refused(503, "too_slow");
    assert_eq!(reply.headers["retry-after"], "5");
    for store in &stage.stores {
        store.state().mood = Mood::Well;
    }
    stage.until("an answer again", answered).await;
}

#[tokio::test]
async fn the_public_description_says_where_the_rest_is() {
    let stage = Stage::calm().await;
    let said = stage.get("/openapi.json").await.json();
    let text = said["info"]["description"].as_str().unwrap();
    assert!(
        text.contains("/cluster") && text.contains("18181"),
        "{text}"
    );
}
