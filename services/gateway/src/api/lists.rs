//! `GET /v1/epochs`, `/v1/sources`, `/v1/votes` and `/v1/predicates`: what is there.

use std::sync::Arc;
use std::time::Instant;

use assertion::RecordId;
use assertion::limits::{SUBJECT_MAX, URI_MAX};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use proto::v1::{ListKind, ListRequest};

use super::query::asked;
use crate::app::App;
use crate::caller::Caller;
use crate::description::lists::{
    EpochsAnswer, EpochsParameters, PredicatesAnswer, PredicatesParameters, SourcesAnswer,
    SourcesParameters, VotesAnswer, VotesParameters,
};
use crate::parameters::{Parameters, bad_value};
use crate::problem::{Problem, json_reply};
use crate::read::list::List;
use crate::read::question::{limit, text};

/// Epochs, newest first.
///
/// # Errors
/// 400 and 422, naming the parameter; 503 while no store answers.
#[utoipa::path(
    get,
    path = "/v1/epochs",
    tag = "read",
    operation_id = "epochs",
    description = "Newest first, each with the epochs that supersede it.",
    params(EpochsParameters),
    responses(
        (status = 200, description = "found", body = EpochsAnswer, example = json!({"result": {"epochs": [
            {"record": {"id": "4b6bd6cf65e2a1cd4e4ea6bbb1ee7b3ca80d2bc8e1b2a95cf4dc8eae53a60d6f", "kind": "epoch", "v": 1, "name": "ITS-90", "started_at": 631152000000_i64,
                "supersedes": ["c8b864b20e677f313cf9654dd230130de5f75bc3d51242ddfaa28e57aba48ef2"]}, "superseded_by": []},
            {"record": {"id": "c8b864b20e677f313cf9654dd230130de5f75bc3d51242ddfaa28e57aba48ef2", "kind": "epoch", "v": 1, "name": "IPTS-68", "started_at": -63158400000_i64},
                "superseded_by": ["4b6bd6cf65e2a1cd4e4ea6bbb1ee7b3ca80d2bc8e1b2a95cf4dc8eae53a60d6f"]}], "cursor": null},
        "meta": {"complete": true, "proved_through": 1795639420996_i64, "node": "node1",
        "trace_id": "a9f555afba21cd7553847cc19b262e16"}}))
    )
)]
pub async fn epochs(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    answer(&app, &caller, "epochs", of_epochs(&uri)?).await
}

/// The latest record of each source.
///
/// # Errors
/// As [`epochs`].
#[utoipa::path(
    get,
    path = "/v1/sources",
    tag = "read",
    operation_id = "sources",
    description = "In ascending order of their uris, each by its latest record, which decides. Sources that only claims name are not listed. With `retracted` a page may be short, or empty, and have a cursor all the same.",
    params(SourcesParameters),
    responses(
        (status = 200, description = "found", body = SourcesAnswer, example = json!({"result": {"sources": [
            {"id": "5ad6c2f1b0b9a4a3f8d0e8e3b8f0a7d9c6b5a4938271605f4e3d2c1b0a9f89f0", "kind": "source", "v": 1, "uri": "doi:10.1073/pnas.15.3.168", "class": "anecdotal",
                "retracted": true, "recorded_at": 1795639420996_i64}], "cursor": null},
        "meta": {"complete": true, "proved_through": 1795639420996_i64, "node": "node1",
        "trace_id": "a9f555afba21cd7553847cc19b262e16"}}))
    )
)]
pub async fn sources(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    answer(&app, &caller, "sources", of_sources(&uri)?).await
}

/// The votes on a subject's claims.
///
/// # Errors
/// As [`epochs`].
#[utoipa::path(
    get,
    path = "/v1/votes",
    tag = "read",
    operation_id = "votes",
    description = "Of each voter the latest vote on each claim, in ascending order of the claims' ids and the voters. 422 `too_much`: a claim has more than 100,000 votes.",
    params(VotesParameters),
    responses(
        (status = 200, description = "found", body = VotesAnswer, example = json!({"result": {"votes": [
            {"id": "70a9c0d62a0c6d8bd5f6b4d9a7c0b2e1f3a4958677869504132231405f6e7d8c", "kind": "vote", "v": 1, "subject": "constant:hubble",
                "assertion": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "voter": "ann", "weight": 0.5, "voted_at": 1795639420996_i64}], "cursor": null},
        "meta": {"complete": true, "proved_through": 1795639420996_i64, "node": "node1",
        "trace_id": "a9f555afba21cd7553847cc19b262e16"}}))
    )
)]
pub async fn votes(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    answer(&app, &caller, "votes", of_votes(&uri)?).await
}

/// The predicates of a subject.
///
/// # Errors
/// As [`epochs`].
#[utoipa::path(
    get,
    path = "/v1/predicates",
    tag = "read",
    operation_id = "predicates",
    description = "In ascending order, each with the number of claims.",
    params(PredicatesParameters),
    responses(
        (status = 200, description = "found", body = PredicatesAnswer, example = json!({"result": {"predicates": [
            {"predicate": "boiling_point_k", "claims": 6}, {"predicate": "melting_point_k", "claims": 5}], "cursor": null},
        "meta": {"complete": true, "proved_through": 1795639420996_i64, "node": "node1",
        "trace_id": "a9f555afba21cd7553847cc19b262e16"}}))
    )
)]
pub async fn predicates(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    answer(&app, &caller, "predicates", of_predicates(&uri)?).await
}

async fn answer(
    app: &App,
    caller: &Caller,
    endpoint: &'static str,
    list: List,
) -> Result<Response, Problem> {
    let began = Instant::now();
    let answer = app.reader.list(&list, caller).await;
    asked(endpoint, began);
    Ok(json_reply(StatusCode::OK, answer?.to_body(caller)))
}

fn of_epochs(uri: &Uri) -> Result<List, Problem> {
    let given = Parameters::of_uri(uri)?;
    given.only(&["limit", "cursor"])?;
    page(&given, ListKind::Epochs, ListRequest::default())
}

fn of_sources(uri: &Uri) -> Result<List, Problem> {
    let given = Parameters::of_uri(uri)?;
    given.only(&["prefix", "retracted", "limit", "cursor"])?;
    let wanted = ListRequest {
        prefix: text(&given, "prefix", URI_MAX)?.unwrap_or_default(),
        retracted: given.parsed("retracted", "true or false")?,
        ..ListRequest::default()
    };
    page(&given, ListKind::Sources, wanted)
}

fn of_votes(uri: &Uri) -> Result<List, Problem> {
    let given = Parameters::of_uri(uri)?;
    given.only(&["subject", "assertion", "limit", "cursor"])?;
    let assertion = given.one("assertion")?.unwrap_or_default();
    if !assertion.is_empty() && assertion.parse::<RecordId>().is_err() {
        let wanted = "the id of a claim, 64 lowercase hex digits";
        return Err(bad_value("assertion", assertion, wanted));
    }
    let wanted = ListRequest {
        subject: subject(&given)?,
        assertion: assertion.to_owned(),
        ..ListRequest::default()
    };
    page(&given, ListKind::Votes, wanted)
}

fn of_predicates(uri: &Uri) -> Result<List, Problem> {
    let given = Parameters::of_uri(uri)?;
    given.only(&["subject", "limit", "cursor"])?;
    let wanted = ListRequest {
        subject: subject(&given)?,
        ..ListRequest::default()
    };
    page(&given, ListKind::Predicates, wanted)
}

fn subject(given: &Parameters) -> Result<String, Problem> {
    text(given, "subject", SUBJECT_MAX)?.ok_or_else(|| {
        Problem::unprocessable(
            "subject_required",
            "the list names no subject",
            "add subject=; GET /v1/subjects lists them",
        )
        .at("subject")
    })
}

fn page(given: &Parameters, kind: ListKind, wanted: ListRequest) -> Result<List, Problem> {
    let request = ListRequest {
        kind: kind.into(),
        limit: limit(given)?,
        ..wanted
    };
    List::new(request, given.cursor()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(read: fn(&Uri) -> Result<List, Problem>, query: &str) -> (String, String) {
        let uri = format!("/v1/list?{query}").parse().unwrap();
        let problem = read(&uri).unwrap_err();
        (
            problem.code.clone(),
            problem.path.clone().unwrap_or_default(),
        )
    }

    #[test]
    fn what_cannot_be_listed_is_named() {
        let at = |code: &str, path: &str| (code.to_owned(), path.to_owned());
        assert_eq!(
            refused(of_epochs, "prefix=a"),
            at("unknown_parameter", "prefix")
        );
        assert_eq!(refused(of_epochs, "cursor=ff"), at("bad_cursor", "cursor"));
        assert_eq!(refused(of_epochs, "cursor="), at("empty_cursor", "cursor"));
        assert_eq!(refused(of_epochs, "limit=0"), at("bad_value", "limit"));
        assert_eq!(
            refused(of_sources, "retracted=1"),
            at("bad_value", "retracted")
        );
        assert_eq!(refused(of_sources, "prefix="), at("bad_value", "prefix"));
        assert_eq!(refused(of_votes, ""), at("subject_required", "subject"));
        let no_id = "subject=s&assertion=1";
        assert_eq!(refused(of_votes, no_id), at("bad_value", "assertion"));
        assert_eq!(
            refused(of_predicates, "assertion=1"),
            at("unknown_parameter", "assertion")
        );
        assert_eq!(
            refused(of_predicates, ""),
            at("subject_required", "subject")
        );
    }
}
