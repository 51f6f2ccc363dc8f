//! What a store in memory finds among its records.

use std::collections::BTreeMap;

use assertion::{Content, Record, RecordId};
use bytes::Bytes;
use lens::{Match, Selection};
use proto::cursor::Position;
use proto::{listing, v1};

use super::State;

pub(super) fn found(record: &Record) -> v1::FoundRecord {
    v1::FoundRecord {
        id: bytes_of(record.id()),
        canonical: Bytes::copy_from_slice(record.canonical()),
    }
}

/// Of each claim that its source is retracted, or its epoch superseded.
pub(super) fn marks(state: &State, page: &[&Record]) -> Vec<v1::Mark> {
    let all = || state.records.values().map(|(record, _)| record);
    let mark = |record: &&Record| {
        let claim = record.assertion().unwrap();
        let latest = all()
            .filter(|record| {
                record
                    .source()
                    .is_some_and(|source| source.uri == claim.source.uri)
            })
            .max_by_key(|record| (record.at_ms(), record.id()));
        let names = |other: &&Record| {
            let epoch = other.epoch();
            epoch.is_some_and(|epoch| claim.epoch.iter().any(|own| epoch.supersedes.contains(own)))
        };
        v1::Mark {
            id: bytes_of(record.id()),
            retracted: latest
                .is_some_and(|latest| latest.source().unwrap().retracted == Some(true)),
            superseded_by: all()
                .filter(names)
                .map(|other| bytes_of(other.id()))
                .collect(),
        }
    };
    let marks = page.iter().map(mark);
    marks
        .filter(|mark| mark.retracted || !mark.superseded_by.is_empty())
        .collect()
}

/// All rows of a list. The later record of a key takes its row.
pub(super) fn listed(state: &State, request: &v1::ListRequest) -> BTreeMap<Bytes, v1::ListedRow> {
    let mut rows = BTreeMap::<Bytes, v1::ListedRow>::new();
    let mut records: Vec<&Record> = state.records.values().map(|(record, _)| record).collect();
    records.sort_by_key(|record| (record.at_ms(), record.id()));
    for record in records {
        let key = match (request.kind(), record.content()) {
            (v1::ListKind::Records, _) if record.id().to_string().starts_with(&request.prefix) => {
                bytes_of(record.id())
            }
            (v1::ListKind::Epochs, Content::Epoch(_)) => listing::epoch_key(Position {
                at: record.at_ms(),
                id: record.id(),
            }),
            (v1::ListKind::Sources, Content::Source(source)) => source.uri.clone().into(),
            (v1::ListKind::Votes, Content::Vote(vote)) if vote.subject == request.subject => {
                listing::vote_key(&vote.assertion, &vote.voter)
            }
            (v1::ListKind::Predicates, Content::Assertion(claim))
                if claim.subject == request.subject =>
            {
                let key = Bytes::from(claim.predicate.clone());
                let row = rows.entry(key.clone()).or_default();
                row.key = key;
                row.claims += 1;
                continue;
            }
            _ => continue,
        };
        let names = |other: &&Record| {
            let epoch = other.epoch();
            epoch.is_some_and(|epoch| epoch.supersedes.contains(&record.id().to_string()))
        };
        let all = state.records.values().map(|(record, _)| record);
        let row = v1::ListedRow {
            key: key.clone(),
            record: Some(found(record)),
            superseded_by: all
                .filter(names)
                .map(|other| bytes_of(other.id()))
                .collect(),
            ..v1::ListedRow::default()
        };
        rows.insert(key, row);
    }
    rows.retain(|key, row| {
        let record = row.record.as_ref();
        let record = record.map(|found| Record::from_stored(&found.canonical).unwrap());
        let source = record.as_ref().and_then(Record::source);
        let says = source.is_some_and(|source| source.retracted == Some(true));
        let of_ids = request.kind() == v1::ListKind::Records;
        (of_ids || key.starts_with(request.prefix.as_bytes()))
            && key.starts_with(request.assertion.as_bytes())
            && request.retracted.is_none_or(|wanted| wanted == says)
    });
    rows
}

/// As the contract has it: a record without what a filter asks for does not pass.
pub(super) fn passes(record: &Record, request: &v1::FollowRequest, selection: &Selection) -> bool {
    let kind = record.kind().name();
    let kinds = &request.kinds;
    let of_kind = kinds.is_empty() || kinds.iter().any(|wanted| wanted == kind);
    let plain = selection.predicate.is_none() && selection.lifecycles.is_empty();
    let bare = plain && selection.source.is_none();
    of_kind
        && match record.content() {
            // Of any lifecycle, when none is asked for.
            Content::Assertion(_) => record.claim().is_some_and(|claim| {
                matches!(selection.matches(&claim), Match::Yes | Match::Withdrawn)
            }),
            Content::Vote(vote) => bare && selection.covers_subject(&vote.subject),
            Content::Epoch(epoch) => bare && selection.covers_subject(&epoch.name),
            Content::Source(source) => {
                let uri = &source.uri;
                plain && selection.covers_subject(uri) && selection.covers_source(uri)
            }
        }
}

pub(super) fn bytes_of(id: RecordId) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}
