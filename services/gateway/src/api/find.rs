//! `GET /v1/records`: records by the beginning of their ids, as tables and people shorten them.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use proto::listing;
use proto::v1::{ListKind, ListRequest};

use super::query::asked;
use crate::app::App;
use crate::caller::Caller;
use crate::description::lists::{RecordsAnswer, RecordsParameters};
use crate::parameters::{Parameters, bad_value};
use crate::problem::{Problem, json_reply};
use crate::read::list::List;

/// Records of one page. Who finds more than one needs more digits, not more records.
const MATCHES_MAX: u32 = 10;

/// Records whose ids begin so.
///
/// # Errors
/// 400 and 422, naming the parameter; 503 while no store answers.
#[utoipa::path(
    get,
    path = "/v1/records",
    tag = "read",
    operation_id = "records",
    description = "Records of any kind whose ids begin with these digits, in ascending order of their ids, 10 on a page. All live nodes are asked.",
    params(RecordsParameters),
    responses(
        (status = 200, description = "found", body = RecordsAnswer, example = json!({"result": {"records": [{"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "kind": "assertion", "v": 1,
        "subject": "constant:hubble", "predicate": "h0_km_s_mpc", "object": {"type": "number", "value": 67.4}, "confidence": 0.95, "lifecycle": "proposed",
        "source": {"uri": "doi:10.1051/0004-6361/201833910", "class": "observational"}, "asserted_at": 1531785600000_i64}], "cursor": null},
        "meta": {"complete": true, "proved_through": 1795639420996_i64, "node": "node1",
        "trace_id": "a9f555afba21cd7553847cc19b262e16"}}))
    )
)]
pub async fn find(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let list = read(&uri)?;
    let began = Instant::now();
    let answer = app.reader.list(&list, &caller).await;
    asked("find", began);
    Ok(json_reply(StatusCode::OK, answer?.to_body(&caller)))
}

fn read(uri: &Uri) -> Result<List, Problem> {
    let given = Parameters::of_uri(uri)?;
    given.only(&["id_prefix", "cursor"])?;
    let digits = given.one("id_prefix")?.ok_or_else(|| {
        Problem::unprocessable(
            "id_prefix_required",
            "the call names no beginning of ids",
            "add id_prefix=; GET /v1/query lists claims, GET /v1/feed all records",
        )
        .at("id_prefix")
    })?;
    if listing::ids_from(digits).is_err() {
        let wanted = format!(
            "the first {} to 64 digits of an id, lowercase hex",
            listing::ID_PREFIX_MIN
        );
        return Err(bad_value("id_prefix", digits, &wanted));
    }
    let request = ListRequest {
        kind: ListKind::Records.into(),
        prefix: digits.to_owned(),
        limit: MATCHES_MAX,
        ..ListRequest::default()
    };
    List::new(request, given.cursor()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_digits_are_refused() {
        let refused = |query: &str| {
            let uri = format!("/v1/records?{query}").parse().unwrap();
            let problem = read(&uri).unwrap_err();
            (
                problem.code.clone(),
                problem.path.clone().unwrap_or_default(),
            )
        };
        let at = |code: &str, path: &str| (code.to_owned(), path.to_owned());
        assert_eq!(refused(""), at("id_prefix_required", "id_prefix"));
        for digits in ["0a1b2c3", "", "0A1B2C3D", "0a1b2c3g"] {
            let asked = format!("id_prefix={digits}");
            assert_eq!(refused(&asked), at("bad_value", "id_prefix"), "{digits}");
        }
        assert_eq!(
            refused("id_prefix=0a1b2c3d&limit=5"),
            at("unknown_parameter", "limit")
        );
        assert_eq!(
            refused("id_prefix=0a1b2c3d&cursor=ff"),
            at("bad_cursor", "cursor")
        );
    }
}
