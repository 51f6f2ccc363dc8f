//! `GET /v1/subjects`: what there are claims about.

use std::sync::Arc;
use std::time::Instant;

use assertion::limits::SUBJECT_MAX;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use proto::v1;

use super::query::asked;
use crate::app::App;
use crate::caller::Caller;
use crate::description::questions::SubjectsParameters;
use crate::description::replies::Subjects;
use crate::parameters::Parameters;
use crate::problem::{Problem, json_reply};
use crate::read::question::{limit, text};

/// A page of subjects in ascending order.
///
/// # Errors
/// 400 and 422, naming the parameter; 503 while no store answers.
#[utoipa::path(
    get,
    path = "/v1/subjects",
    tag = "read",
    operation_id = "subjects",
    description = "Subjects of claims, in ascending order of their bytes.",
    params(SubjectsParameters),
    responses(
        (status = 200, description = "found", body = Subjects, example = json!({"result": {"subjects": [{"subject": "cas:64-17-5", "records": 9}], "cursor": "cas:64-17-5"},
        "meta": {"complete": true, "proved_through": 1795639420996_i64, "node": "node1",
        "trace_id": "a9f555afba21cd7553847cc19b262e16"}}))
    )
)]
pub async fn subjects(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let request = read(&Parameters::of_uri(&uri)?)?;
    let began = Instant::now();
    let answer = app.reader.subjects(&request, &caller).await;
    asked("subjects", began);
    Ok(json_reply(StatusCode::OK, answer?.to_body(&caller)))
}

fn read(given: &Parameters) -> Result<v1::ListSubjectsRequest, Problem> {
    given.only(&["prefix", "limit", "cursor"])?;
    let prefix = text(given, "prefix", SUBJECT_MAX)?.unwrap_or_default();
    given.cursor()?;
    let after = text(given, "cursor", SUBJECT_MAX)?.unwrap_or_default();
    if !after.starts_with(&prefix) && !after.is_empty() {
        return Err(Problem::unprocessable(
            "bad_cursor",
            "the cursor belongs to another prefix",
            "send the cursor with the prefix it came with, or start without one",
        )
        .at("cursor"));
    }
    Ok(v1::ListSubjectsRequest {
        prefix,
        after,
        limit: limit(given)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<v1::ListSubjectsRequest, Problem> {
        let uri = format!("/v1/subjects?{query}").parse().unwrap();
        read(&Parameters::of_uri(&uri)?)
    }

    #[test]
    fn a_cursor_is_a_subject_of_the_prefix() {
        let page = asked("prefix=cas%3A&cursor=cas:7732-18-5&limit=7").unwrap();
        let parts = (page.prefix.as_str(), page.after.as_str(), page.limit);
        assert_eq!(parts, ("cas:", "cas:7732-18-5", 7));
        assert_eq!(asked("").unwrap().limit, 100);
        let refused = |query: &str| asked(query).unwrap_err().code.clone();
        assert_eq!(refused("prefix=cas:&cursor=doi:1"), "bad_cursor");
        assert_eq!(refused("cursor="), "empty_cursor");
        assert_eq!(refused("limit=1001"), "bad_value");
        assert_eq!(refused("subject=s"), "unknown_parameter");
    }
}
