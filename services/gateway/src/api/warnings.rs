//! What is said beside a write that is stored and may have no effect: what it is about is not there, or does not count.
//!
//! It is found out while the write runs, from one store in one call, and within a moment or not at all. All of them are asked
//! for what names a record that may be anywhere. A claim that names neither an epoch nor a parent would pay for such a call and
//! is not looked at.

use std::collections::BTreeSet;
use std::time::Duration;

use assertion::{Assertion, Content, Epoch, Kind, Place, Record, RecordId, SourceRecord, Vote};
use bytes::Bytes;
use proto::v1;
use serde_json::{Value, json};

use crate::app::App;
use crate::caller::Caller;
use crate::read::marks::{Standings, epoch_of};
use crate::read::{Wanted, checked_bytes};
use crate::store::Store;

/// How long a write that is done waits for what there is to say about it.
const WAIT: Duration = Duration::from_secs(1);

/// How much of it may be spent on one record that may be anywhere. More than a node gets that does not answer (`look_up.rs`):
/// without it enough of the others can still know.
const ANYWHERE_WAIT: Duration = Duration::from_millis(550);

/// The same for what lenses think of a claim: what its epoch is may have to be asked for after it, and both fit into the whole.
const STANDING_WAIT: Duration = Duration::from_millis(400);

/// A warning, for programs and for people.
fn warning(code: &str, detail: String) -> Value {
    json!({ "code": code, "detail": detail })
}

/// What there is to say about a record that is being written.
pub async fn of(app: &App, caller: &Caller, record: &Record) -> Vec<Value> {
    let said = async {
        match record.content() {
            Content::Vote(vote) => of_vote(app, caller, vote).await,
            Content::Epoch(epoch) => of_epoch(app, caller, epoch).await,
            Content::Source(source) => of_source(app, caller, source).await,
            Content::Assertion(claim) => of_claim(app, caller, record, claim).await,
        }
    };
    let said = tokio::time::timeout(WAIT, said).await;
    said.ok().flatten().unwrap_or_default()
}

/// The records with these ids that a store holds. `None`: it does not answer, or may have lost what it had.
async fn look_up(store: &Store, caller: &Caller, ids: &[RecordId]) -> Option<Vec<Record>> {
    let get = v1::GetRequest {
        ids: ids
            .iter()
            .map(|id| Bytes::copy_from_slice(id.as_bytes()))
            .collect(),
        provenance_only: false,
    };
    let reply = store.get(get, caller, WAIT).await.ok()?;
    if reply.counts_as_absent {
        return None;
    }
    let held = reply.records.iter();
    held.map(|held| checked_bytes(&held.id, &held.canonical).ok())
        .collect()
}

/// What is known of an id within a moment.
enum Anywhere {
    /// A node holds this record.
    Held(Record),
    /// No node does: enough of them said so.
    Nowhere,
    /// Nobody who answered holds it, and too few did to know.
    Unknown,
}

/// The record with this id, wherever it is.
async fn anywhere(app: &App, caller: &Caller, id: RecordId) -> Anywhere {
    let found = app.reader.look_up(id, Wanted::Copy, caller);
    match tokio::time::timeout(ANYWHERE_WAIT, found).await {
        Ok(Ok(found)) => match found.record {
            Some(record) => Anywhere::Held(record),
            None if found.complete => Anywhere::Nowhere,
            None => Anywhere::Unknown,
        },
        Ok(Err(_)) | Err(_) => Anywhere::Unknown,
    }
}

async fn of_vote(app: &App, caller: &Caller, vote: &Vote) -> Option<Vec<Value>> {
    let id: RecordId = vote.assertion.parse().ok()?;
    let store = app.reader.nearest(Place::Subject(&vote.subject))?;
    let found = look_up(&store, caller, &[id]).await?;
    let found = match found.into_iter().next() {
        Some(record) => Some(record),
        // It lies with its own subject's owners, or repair has not brought it to this one yet.
        None => match anywhere(app, caller, id).await {
            Anywhere::Held(record) => Some(record),
            Anywhere::Nowhere => None,
            Anywhere::Unknown => return None,
        },
    };
    let found = found.as_ref().map(Record::content);
    Some(match found {
        Some(Content::Assertion(claim)) if claim.subject == vote.subject => Vec::new(),
        Some(Content::Assertion(claim)) => vec![warning(
            "other_subject",
            format!(
                "the assertion is about {:?}: under another subject the vote never counts; vote again with that one",
                claim.subject
            ),
        )],
        Some(_) => vec![warning(
            "no_assertion",
            format!("{id} is the id of a record that is no assertion: the vote never counts"),
        )],
        None => vec![warning(
            "no_such_assertion",
            format!(
                "no node holds an assertion with the id {id}: the vote counts when there is one about {:?}",
                vote.subject
            ),
        )],
    })
}

async fn of_epoch(app: &App, caller: &Caller, epoch: &Epoch) -> Option<Vec<Value>> {
    let ids: Vec<RecordId> = epoch
        .supersedes
        .iter()
        .filter_map(|id| id.parse().ok())
        .collect();
    if ids.is_empty() {
        return None;
    }
    let store = app.reader.nearest(Place::Global)?;
    let found = look_up(&store, caller, &ids).await?;
    let held = |id: &RecordId| found.iter().find(|record| record.id() == *id);
    let warnings = ids.iter().filter_map(|id| match held(id) {
        Some(record) if record.epoch().is_some() => None,
        Some(record) => Some(warning(
            "no_epoch",
            format!(
                "{id} is the id of a record of kind {}: superseding it has no effect",
                record.kind().name()
            ),
        )),
        None => Some(warning(
            "no_such_epoch",
            format!(
                "{} knows no epoch with the id {id}: superseding it has an effect on claims that name it",
                store.node()
            ),
        )),
    });
    Some(warnings.collect())
}

async fn of_source(app: &App, caller: &Caller, source: &SourceRecord) -> Option<Vec<Value>> {
    if source.retracted != Some(true) {
        return None;
    }
    let named = app.reader.is_named(&source.uri, caller, WAIT).await?;
    let nobody = || {
        let detail = "no claim names this source: compare the uri with that of the claims; one that names it later is left out";
        warning("no_claim", detail.to_owned())
    };
    Some((!named).then(nobody).into_iter().collect())
}

async fn of_claim(
    app: &App,
    caller: &Caller,
    record: &Record,
    claim: &Assertion,
) -> Option<Vec<Value>> {
    let parent = claim.parent.as_deref().and_then(|id| id.parse().ok());
    let (mut warnings, parent) = tokio::join!(
        of_named_epoch(app, caller, record, claim),
        of_kind(app, caller, parent, Kind::Assertion),
    );
    if let Some((id, kind)) = parent {
        let detail = of_other_kind(id, kind);
        warnings.push(warning(
            "no_assertion",
            format!("{detail}: the claim comes from no other one"),
        ));
    }
    Some(warnings)
}

/// What there is to say because a claim names an epoch. Where its standing is known its epoch is, too: both are of the global
/// shard. Only what is no epoch there is looked for elsewhere.
async fn of_named_epoch(
    app: &App,
    caller: &Caller,
    record: &Record,
    claim: &Assertion,
) -> Vec<Value> {
    let Some(epoch) = epoch_of(record) else {
        return Vec::new();
    };
    let standing = standing(app, caller, epoch, claim).await;
    let (mut warnings, known) = standing.unwrap_or_default();
    if !known && let Some((id, kind)) = of_kind(app, caller, Some(epoch), Kind::Epoch).await {
        let detail = of_other_kind(id, kind);
        warnings.push(warning(
            "no_epoch",
            format!("{detail}: the claim belongs to no epoch"),
        ));
    }
    warnings
}

fn of_other_kind(id: RecordId, kind: Kind) -> String {
    format!("{id} is the id of a record of kind {}", kind.name())
}

/// An id of which there is a record, but none of this kind.
async fn of_kind(
    app: &App,
    caller: &Caller,
    id: Option<RecordId>,
    wanted: Kind,
) -> Option<(RecordId, Kind)> {
    let id = id?;
    let Anywhere::Held(record) = anywhere(app, caller, id).await else {
        return None;
    };
    let kind = record.kind();
    (kind != wanted).then_some((id, kind))
}

/// What lenses think of a claim of an epoch, and whether there is such an epoch where that was asked.
async fn standing(
    app: &App,
    caller: &Caller,
    epoch: RecordId,
    claim: &Assertion,
) -> Option<(Vec<Value>, bool)> {
    let epochs = BTreeSet::from([epoch]);
    let uris = BTreeSet::from([claim.source.uri.clone()]);
    let store = app.reader.nearest(Place::Global)?;
    let request = Standings::request(&uris, &epochs);
    let reply = store.context(request, caller, STANDING_WAIT).await.ok()?;
    let mut known = Standings::default();
    let mut is_epoch = false;
    for found in &reply.records {
        let found = Record::from_stored(&found.canonical).ok()?;
        is_epoch |= found.id() == epoch && found.kind() == Kind::Epoch;
        known.learn(&found, &epochs);
    }
    let mut warnings = Vec::new();
    if known.is_retracted(&claim.source.uri) {
        warnings.push(warning(
            "retracted_source",
            "the source is retracted: lenses leave the claim out until it is restored".to_owned(),
        ));
    }
    if let Some(by) = known.superseders(epoch).first() {
        warnings.push(warning(
            "superseded_epoch",
            format!("its epoch is superseded by {by}: lens=epoch leaves the claim out"),
        ));
    }
    Some((warnings, is_epoch))
}
