//! `GET /v1/feed`: records as they are stored, from all live stores, at least once each.
//!
//! Each reader asks every store for the page behind the place where it is, in that store's order of arrival, and sends it on
//! before it asks for the next one. Nothing is queued for it anywhere: a reader that is slow asks later. Its token says where
//! it is at each store, so any gateway goes on where another one stopped.

mod form;
mod run;
mod sources;
pub mod token;
mod window;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use assertion::Kind;
use assertion::limits::{PREDICATE_MAX, SUBJECT_MAX, URI_MAX};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, Uri};
use lens::Selection;
use proto::{convert, v1};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tracing::Instrument as _;

use crate::app::App;
use crate::caller::Caller;
use crate::description::questions::FeedParameters;
use crate::description::replies::FeedLine;
use crate::parameters::{Parameters, bad_value};
use crate::problem::Problem;
use crate::read::Asked;
use crate::read::question::{names, text};

use form::Form;
use run::{End, Feed};
use sources::{From, Sources};
use token::Token;

/// What browsers send when they connect again: the last place, which is later than that in the URL.
const LAST_EVENT_ID: &str = "last-event-id";

/// Parts of the reply that wait for the client beside the one that is made.
const PARTS_WAITING: usize = 1;

/// What is wanted of the feed.
#[derive(Debug)]
struct Wish {
    from: From,
    /// It ends when everything that is there at the start was sent.
    until_now: bool,
    /// Filters, as a store takes them.
    filter: v1::FollowRequest,
}

/// Begins a feed.
///
/// # Errors
/// 400 and 422, naming the parameter; 503 while no store answers, or when there are too many readers.
#[utoipa::path(
    get,
    path = "/v1/feed",
    tag = "read",
    operation_id = "feed",
    description = "Records of every kind from all live nodes, each at least once: server-sent events, or lines with `Accept: application/x-ndjson`. A token is good at every gateway.",
    params(FeedParameters),
    responses((status = 200, description = "goes on until you hang up", content(
        (FeedLine = "text/event-stream", example = json!({"record": {"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "kind": "assertion", "v": 1, "subject": "constant:hubble",
        "predicate": "h0_km_s_mpc", "object": {"type": "number", "value": 67.4}, "confidence": 0.95, "lifecycle": "proposed",
        "source": {"uri": "doi:10.1051/0004-6361/201833910", "class": "observational"}, "asserted_at": 1531785600000_i64}, "shard": 236})),
        (FeedLine = "application/x-ndjson", example = json!({"token": "AQ", "record": {"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "kind": "assertion", "v": 1, "subject": "constant:hubble",
        "predicate": "h0_km_s_mpc", "object": {"type": "number", "value": 67.4}, "confidence": 0.95, "lifecycle": "proposed",
        "source": {"uri": "doi:10.1051/0004-6361/201833910", "class": "observational"}, "asserted_at": 1531785600000_i64}, "shard": 236}))
    )))
)]
pub async fn feed(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wish = read(&Parameters::of_uri(&uri)?, &headers)?;
    let form = Form::of(&headers);
    let route = app.readiness.formed()?;
    let place = Arc::clone(&app.places.feeds)
        .try_acquire_owned()
        .map_err(|_| Problem::overloaded("too many readers of the feed"))?;
    let asked = Asked::now();
    let (sources, missing) = Sources::open(
        Arc::clone(&app.nodes),
        &route,
        caller,
        wish.from,
        wish.filter,
        wish.until_now,
    )
    .await?;
    let (parts, receiver) = mpsc::channel(PARTS_WAITING);
    let end = wish.until_now.then(|| End {
        heads: sources.heads(),
        complete: app.reader.are_few(&missing, &route, asked),
        missing,
    });
    let feed = Feed::new(app, sources, form, parts, end);
    let span = tracing::info_span!("feed");
    tokio::spawn(
        async move {
            feed.run().await;
            drop(place);
        }
        .instrument(span),
    );
    let headers = [
        (CONTENT_TYPE, form.content_type()),
        (CACHE_CONTROL, "no-store"),
    ];
    let parts = ReceiverStream::new(receiver).map(Ok::<Bytes, Infallible>);
    Ok((headers, Body::from_stream(parts)).into_response())
}

fn read(given: &Parameters, headers: &HeaderMap) -> Result<Wish, Problem> {
    given.only(&[
        "from",
        "until",
        "kind",
        "subject",
        "subject_prefix",
        "predicate",
        "source",
    ])?;
    let last = headers.get(LAST_EVENT_ID);
    let last = last
        .and_then(|last| last.to_str().ok())
        .filter(|last| !last.is_empty());
    let from = match last.or(given.one("from")?) {
        None | Some("now") => From::Now,
        Some("start") => From::Token(Token::default()),
        Some(text) => From::Token(Token::read(text)?),
    };
    let until_now = match given.one("until")? {
        None => false,
        Some("now") => true,
        Some(other) => return Err(bad_value("until", other, "now, or leave it out")),
    };
    let kinds: BTreeSet<Kind> = names::<Kind>(given, "kind")?.into_iter().collect();
    let selection = Selection {
        subject: text(given, "subject", SUBJECT_MAX)?,
        subject_prefix: text(given, "subject_prefix", SUBJECT_MAX)?,
        predicate: text(given, "predicate", PREDICATE_MAX)?,
        source: text(given, "source", URI_MAX)?,
        ..Selection::default()
    };
    if selection.subject.is_some() && selection.subject_prefix.is_some() {
        return Err(Problem::unprocessable(
            "unused_parameter",
            "subject_prefix is not used with subject",
            "leave one of them out",
        )
        .at("subject_prefix"));
    }
    let filtered = selection != Selection::default();
    let filter = v1::FollowRequest {
        kinds: kinds
            .into_iter()
            .map(|kind| kind.name().to_owned())
            .collect(),
        selection: filtered.then(|| convert::selection_to_wire(&selection)),
        ..v1::FollowRequest::default()
    };
    Ok(Wish {
        from,
        until_now,
        filter,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(query: &str, last: Option<&str>) -> Result<Wish, Problem> {
        let uri = format!("/v1/feed?{query}").parse().unwrap();
        let mut headers = HeaderMap::new();
        if let Some(last) = last {
            headers.insert(LAST_EVENT_ID, last.parse().unwrap());
        }
        read(&Parameters::of_uri(&uri)?, &headers)
    }

    #[test]
    fn a_feed_begins_now_at_the_start_or_behind_a_token() {
        let mut token = Token::default();
        token.advance([3; 16], 7);
        let text = token.write();
        assert_eq!(wish("", None).unwrap().from, From::Now);
        assert_eq!(wish("from=now", None).unwrap().from, From::Now);
        let start = From::Token(Token::default());
        assert_eq!(wish("from=start", None).unwrap().from, start);
        let there = From::Token(token);
        assert_eq!(wish(&format!("from={text}"), None).unwrap().from, there);
        assert_eq!(
            wish("from=start", Some(&text)).unwrap().from,
            there,
            "a browser that connects again"
        );
        let refused = |query: &str| wish(query, None).unwrap_err().code.clone();
        assert_eq!(refused("from=yesterday"), "bad_token");
        assert_eq!(refused("until=then"), "bad_value");
        assert_eq!(refused("since=now"), "unknown_parameter");
        assert_eq!(refused("subject=s&subject_prefix=s"), "unused_parameter");
        assert_eq!(refused("kind=rumour"), "bad_value");
    }

    #[test]
    fn filters_go_to_the_stores() {
        let filter = wish("kind=vote,assertion&subject_prefix=cas:&until=now", None).unwrap();
        assert!(filter.until_now);
        assert_eq!(filter.filter.kinds, ["assertion", "vote"]);
        let selection = filter.filter.selection.unwrap();
        assert_eq!(selection.subject_prefix.as_deref(), Some("cas:"));
        assert!(
            selection.lifecycles.is_empty(),
            "what is rejected is news, too"
        );
        assert_eq!(wish("kind=vote", None).unwrap().filter.selection, None);
    }
}
