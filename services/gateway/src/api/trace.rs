//! `GET /v1/trace/{id}`: where a record comes from, and what others say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use assertion::{Assertion, Content, Kind, Record, RecordId, Vote, public_json};
use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::{StatusCode, Uri};
use lens::MAX_VOTES;
use proto::v1;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::query::asked;
use super::records::{record_id, replica};
use crate::app::App;
use crate::caller::Caller;
use crate::description::replies::{Problem as Refusal, TraceAnswer};
use crate::problem::{Problem, json_reply, segment};
use crate::read::marks::{Standings, epoch_of, listed};
use crate::read::{Asked, Context, Found, Wanted};
use crate::route::Route;

/// Claims that a claim follows, one after the other: each takes a call to all nodes.
const PARENTS_MAX: usize = 32;

/// The reply.
#[derive(Serialize)]
struct Reply<'a> {
    result: Provenance,
    meta: Meta<'a>,
}

#[derive(Serialize)]
struct Meta<'a> {
    complete: bool,
    missing: BTreeSet<String>,
    node: &'a str,
    trace_id: &'a str,
}

/// What is known about a record.
#[derive(Serialize)]
struct Provenance {
    id: String,
    record: Box<RawValue>,
    parents: Vec<Box<RawValue>>,
    epoch: Option<Box<RawValue>>,
    superseded_by: Value,
    source: Option<Box<RawValue>>,
    votes: Option<Tally>,
    signatures: Vec<String>,
    replicas: Vec<Value>,
}

/// Votes that count: the latest of each voter.
#[derive(Serialize)]
struct Tally {
    count: usize,
    weight: f64,
}

/// Shows where a record comes from.
///
/// # Errors
/// 404 when no node has it, 503 when a node that may have it does not answer.
#[utoipa::path(
    get,
    path = "/v1/trace/{id}",
    tag = "read",
    operation_id = "trace",
    description = "The claims that it follows, its epoch and source, the votes on it, who signed it and who holds it. `votes` is null when nodes that may hold some do not answer.",
    params(("id" = String, Path, description = "the id of the record", example = "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221")),
    responses(
        (status = 200, description = "found", body = TraceAnswer, example = json!({"result": {"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221",
        "record": {"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "kind": "assertion", "v": 1, "subject": "constant:hubble",
        "predicate": "h0_km_s_mpc", "object": {"type": "number", "value": 67.4}, "confidence": 0.95, "lifecycle": "proposed",
        "source": {"uri": "doi:10.1051/0004-6361/201833910", "class": "observational"}, "asserted_at": 1531785600000_i64}, "parents": [], "epoch": null, "superseded_by": [], "source": null,
        "votes": {"count": 1, "weight": 0.5}, "signatures": [], "replicas": [{"node": "node2", "owner": true, "received_at": 1795639419155_i64, "arrival": "push",
        "origin": null, "sequence": 5, "trace_id": "58a9e785cc640f1c734202476925ba87"}]}, "meta": {"complete": true, "missing": [], "node": "node1", "trace_id": "a9f555afba21cd7553847cc19b262e16"}})),
        (status = 404, description = "nobody has it", body = Refusal, content_type = "application/problem+json")
    )
)]
pub async fn trace(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = record_id(&uri, &segment(path)?)?;
    let began = Instant::now();
    let traced = follow(&app, &caller, id).await;
    asked("trace", began);
    Ok(json_reply(StatusCode::OK, traced?))
}

async fn follow(app: &App, caller: &Caller, id: RecordId) -> Result<Vec<u8>, Problem> {
    let route = app.readiness.formed()?;
    let begun = Asked::now();
    let found = app
        .reader
        .look_up(id, Wanted::CopyAndHolders, caller)
        .await?;
    let Some(record) = &found.record else {
        return Err(found.absence(id));
    };
    let replicas = replicas(&found, &route);
    let mut walk = Walk {
        app,
        caller,
        missing: found.missing,
        begun,
    };
    let claim = record.assertion();
    let parents = match claim {
        Some(claim) => walk.parents(claim).await?,
        None => Vec::new(),
    };
    let epoch = match claim.and_then(|claim| claim.epoch.as_deref()) {
        Some(epoch) => walk.record(epoch).await?,
        None => None,
    };
    let (known, votes) = walk.said_of(record, &route).await?;
    let superseded_by = member_of(record).map(|epoch| known.superseders(epoch));
    let reply = Reply {
        result: Provenance {
            id: id.to_string(),
            record: public(record)?,
            parents: parents.iter().map(public).collect::<Result<_, _>>()?,
            epoch: epoch.as_ref().map(public).transpose()?,
            superseded_by: listed(&superseded_by.unwrap_or_default()),
            source: uri_of(record)
                .and_then(|uri| known.source(uri))
                .map(public)
                .transpose()?,
            votes: votes.as_ref().map(tally),
            signatures: record
                .signatures()
                .iter()
                .map(|signature| signature.agent.clone())
                .collect(),
            replicas,
        },
        meta: Meta {
            complete: app.reader.are_few(&walk.missing, &route, begun),
            missing: walk.missing,
            node: app.nodes.own(),
            trace_id: &caller.trace_id,
        },
    };
    serde_json::to_vec(&reply).map_err(|error| Problem::internal(&error.to_string()))
}

fn public(record: &Record) -> Result<Box<RawValue>, Problem> {
    let json = String::from_utf8_lossy(&public_json(&record.id(), record.canonical())).into_owned();
    RawValue::from_string(json).map_err(|error| Problem::internal(&error.to_string()))
}

fn replicas(found: &Found, route: &Route) -> Vec<Value> {
    let held = found.held.iter();
    held.map(|(node, held)| {
        let owners = route.owners(held.shard).iter();
        let owners: Vec<&str> = owners.map(|name| &**name).collect();
        replica(node, held, &owners)
    })
    .collect()
}

/// Goes from record to record, and notes who was missing on the way.
struct Walk<'a> {
    app: &'a App,
    caller: &'a Caller,
    missing: BTreeSet<String>,
    begun: Asked,
}

impl Walk<'_> {
    /// A record by its id. `None`: nobody has it.
    async fn record(&mut self, id: &str) -> Result<Option<Record>, Problem> {
        let Ok(id) = id.parse() else {
            return Ok(None);
        };
        let found = self
            .app
            .reader
            .look_up(id, Wanted::Copy, self.caller)
            .await?;
        if found.record.is_none() {
            self.missing.extend(found.missing);
        }
        Ok(found.record)
    }

    /// The claim that this one follows, the one that that one follows, and so on.
    async fn parents(&mut self, claim: &Assertion) -> Result<Vec<Record>, Problem> {
        let mut parents = Vec::new();
        let mut next = claim.parent.clone();
        while let Some(id) = next
            && parents.len() < PARENTS_MAX
        {
            let Some(parent) = self.record(&id).await? else {
                break;
            };
            next = parent.assertion().and_then(|claim| claim.parent.clone());
            parents.push(parent);
        }
        Ok(parents)
    }

    /// What is known of the record's source and its epoch, and the votes on the record. No votes at all when some may be with
    /// nodes that are missing: a part of them looks like the whole.
    async fn said_of(
        &mut self,
        record: &Record,
        route: &Route,
    ) -> Result<(Standings, Option<Votes>), Problem> {
        let (mut known, mut votes) = (Standings::default(), Votes::new());
        if record.kind() == Kind::Vote {
            return Ok((known, Some(votes)));
        }
        let id = record.id().to_string();
        let epochs: BTreeSet<RecordId> = member_of(record).into_iter().collect();
        let uris = uri_of(record).map(str::to_owned).into_iter().collect();
        let request = v1::ContextRequest {
            votes_of: record.assertion().map(|claim| claim.subject.clone()),
            votes_on: vec![Bytes::copy_from_slice(record.id().as_bytes())],
            ..Standings::request(&uris, &epochs)
        };
        let mut context = Context::new(&self.app.reader, self.caller, route);
        let take = |record: &Record| match record.content() {
            Content::Vote(vote) if vote.assertion == id => count(&mut votes, vote, record.id()),
            _ => {
                known.learn(record, &epochs);
                Ok(())
            }
        };
        context.ask(&request, take).await?;
        let answered: BTreeSet<String> = context.whole().map(|node| node.to_string()).collect();
        let missing = self.app.reader.missing(&answered, route);
        let all =
            record.assertion().is_none() || self.app.reader.are_few(&missing, route, self.begun);
        self.missing.extend(missing);
        Ok((known, all.then_some(votes)))
    }
}

/// The epoch that a claim belongs to, or that the record is.
fn member_of(record: &Record) -> Option<RecordId> {
    match record.kind() {
        Kind::Epoch => Some(record.id()),
        _ => epoch_of(record),
    }
}

/// The source that a claim names, or that the record is about.
fn uri_of(record: &Record) -> Option<&str> {
    match record.content() {
        Content::Assertion(claim) => Some(&claim.source.uri),
        Content::Source(source) => Some(&source.uri),
        Content::Vote(_) | Content::Epoch(_) => None,
    }
}

/// The latest vote of each voter: its time and id, and its weight.
type Votes = BTreeMap<String, ((i64, RecordId), f64)>;

fn count(votes: &mut Votes, vote: &Vote, id: RecordId) -> Result<(), Problem> {
    let time = (vote.voted_at, id);
    let earlier = votes
        .get(&vote.voter)
        .is_none_or(|(known, _)| *known < time);
    if earlier {
        votes.insert(vote.voter.clone(), (time, vote.weight));
    }
    if votes.len() > MAX_VOTES {
        return Err(Problem::unprocessable(
            "too_much",
            format!("more than {MAX_VOTES} voters on this claim"),
            "see its record and replicas by GET /v1/records/{id}",
        )
        .limit(MAX_VOTES as u64));
    }
    Ok(())
}

/// Adds up in the order of ids, as lenses do.
fn tally(votes: &Votes) -> Tally {
    let by_id: BTreeMap<RecordId, f64> = votes
        .values()
        .map(|((_, id), weight)| (*id, *weight))
        .collect();
    Tally {
        count: by_id.len(),
        weight: by_id.values().fold(0.0, |sum, weight| sum + weight),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_vote_of_each_voter_counts_and_the_greater_id_of_a_moment() {
        let vote = |voter: &str, weight: f64, voted_at: i64| Vote {
            subject: "s".into(),
            assertion: "a".into(),
            voter: voter.into(),
            weight,
            voted_at,
        };
        let id = |byte: u8| RecordId::from_bytes([byte; 32]);
        let mut votes = Votes::new();
        for (vote, id) in [
            (vote("ann", 0.5, 7), id(9)),
            (vote("ann", 0.25, 8), id(1)),
            (vote("ann", 1.0, 3), id(3)),
            (vote("bob", 0.5, 7), id(4)),
            (vote("bob", 0.125, 7), id(5)),
            (vote("bob", 0.125, 7), id(5)),
        ] {
            count(&mut votes, &vote, id).unwrap();
        }
        let tally = tally(&votes);
        assert_eq!((tally.count, tally.weight), (2, 0.375));
        let empty = super::tally(&Votes::new());
        assert_eq!((empty.count, empty.weight.to_bits()), (0, 0_f64.to_bits()));
    }
}
