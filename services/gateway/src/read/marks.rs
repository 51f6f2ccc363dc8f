//! What is known of the claims on a page besides what they say: that their source was retracted, or their epoch superseded.

use std::collections::{BTreeMap, BTreeSet};

use assertion::{Content, Record, RecordId};
use bytes::Bytes;
use proto::{SUPERSEDERS_MAX, convert, v1};
use serde_json::{Map, Value};

use super::context::Context;
use super::union::{Heard, checked};
use super::{Question, Reader};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::Route;

/// Claims by their ids, only those that something is known of.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<RecordId, Mark>);

#[derive(Debug)]
struct Mark {
    retracted: bool,
    superseded_by: BTreeSet<RecordId>,
}

impl Marks {
    /// As a store sent them.
    pub(super) fn read(sent: &[v1::Mark]) -> Result<Marks, Problem> {
        let strange =
            |error: convert::WireError| Problem::internal(&format!("a store marked {error}"));
        let read = |mark: &v1::Mark| {
            let by = mark.superseded_by.iter();
            let by = by
                .map(|id| convert::record_id(id))
                .collect::<Result<_, _>>();
            let read = Mark {
                retracted: mark.retracted,
                superseded_by: by.map_err(strange)?,
            };
            Ok((convert::record_id(&mark.id).map_err(strange)?, read))
        };
        sent.iter().map(read).collect::<Result<_, _>>().map(Marks)
    }

    /// `{id: {retracted?, superseded_by?}}`
    pub(super) fn to_json(&self) -> Value {
        let marks = self.0.iter().map(|(id, mark)| {
            let mut said = Map::new();
            if mark.retracted {
                said.insert("retracted".into(), true.into());
            }
            if !mark.superseded_by.is_empty() {
                said.insert("superseded_by".into(), listed(&mark.superseded_by));
            }
            (id.to_string(), Value::Object(said))
        });
        Value::Object(marks.collect())
    }
}

/// Ids as a JSON list.
pub(crate) fn listed(ids: &BTreeSet<RecordId>) -> Value {
    ids.iter().map(RecordId::to_string).collect()
}

/// What is known of sources and epochs: of each uri its latest record, of each epoch those that supersede it.
#[derive(Debug, Default)]
pub(crate) struct Standings {
    sources: BTreeMap<String, Record>,
    superseders: BTreeMap<RecordId, BTreeSet<RecordId>>,
}

impl Standings {
    /// Asks for what concerns these uris and epochs. At most as many of each as a page has claims.
    pub(crate) fn request(
        uris: &BTreeSet<String>,
        epochs: &BTreeSet<RecordId>,
    ) -> v1::ContextRequest {
        v1::ContextRequest {
            sources: uris.iter().cloned().collect(),
            epochs: !epochs.is_empty(),
            epochs_of: epochs
                .iter()
                .map(|id| Bytes::copy_from_slice(id.as_bytes()))
                .collect(),
            ..v1::ContextRequest::default()
        }
    }

    /// Takes a record; of a source the later one decides, whoever holds it.
    pub(crate) fn learn(&mut self, record: &Record, epochs: &BTreeSet<RecordId>) {
        match record.content() {
            Content::Source(source) => {
                let time = |record: &Record| (record.at_ms(), record.id());
                let latest = self.sources.get(&source.uri);
                if latest.is_none_or(|latest| time(latest) < time(record)) {
                    self.sources.insert(source.uri.clone(), record.clone());
                }
            }
            Content::Epoch(epoch) => {
                let named = epoch.supersedes.iter();
                for named in named.filter_map(|named| named.parse().ok()) {
                    if epochs.contains(&named) {
                        let by = self.superseders.entry(named).or_default();
                        by.insert(record.id());
                        if by.len() > SUPERSEDERS_MAX {
                            by.pop_last();
                        }
                    }
                }
            }
            Content::Assertion(_) | Content::Vote(_) => {}
        }
    }

    /// The record that decides about a source.
    pub(crate) fn source(&self, uri: &str) -> Option<&Record> {
        self.sources.get(uri)
    }

    /// Whether the claims of a source are left out.
    pub(crate) fn is_retracted(&self, uri: &str) -> bool {
        let source = self.source(uri).and_then(Record::source);
        source.is_some_and(|source| source.retracted == Some(true))
    }

    /// Epochs that supersede one.
    pub(crate) fn superseders(&self, epoch: RecordId) -> BTreeSet<RecordId> {
        self.superseders.get(&epoch).cloned().unwrap_or_default()
    }
}

/// The epoch that a claim belongs to.
pub(crate) fn epoch_of(record: &Record) -> Option<RecordId> {
    record.assertion()?.epoch.as_deref()?.parse().ok()
}

impl Reader {
    /// What all live nodes together know of the claims on a page. Nodes that did not say everything are taken out of `heard`.
    pub(super) async fn marks(
        &self,
        question: &Question,
        page: &[v1::FoundRecord],
        caller: &Caller,
        route: &Route,
        heard: &mut Heard,
    ) -> Result<Marks, Problem> {
        let claims: Vec<Record> = page.iter().map(checked).collect::<Result<_, _>>()?;
        let uri = |record: &Record| Some(record.assertion()?.source.uri.clone());
        let uris: BTreeSet<String> = claims.iter().filter_map(uri).collect();
        if uris.is_empty() {
            return Ok(Marks::default());
        }
        let epochs: BTreeSet<RecordId> = claims.iter().filter_map(epoch_of).collect();
        let request = v1::ContextRequest {
            as_of_ms: question.selection.as_of,
            ..Standings::request(&uris, &epochs)
        };
        let mut known = Standings::default();
        let mut context = Context::new(self, caller, route);
        let take = |record: &Record| {
            known.learn(record, &epochs);
            Ok(())
        };
        context.ask(&request, take).await?;
        context.correct(heard);
        let marks = claims.iter().filter_map(|record| {
            let mark = Mark {
                retracted: known.is_retracted(&record.assertion()?.source.uri),
                superseded_by: epoch_of(record)
                    .map(|epoch| known.superseders(epoch))
                    .unwrap_or_default(),
            };
            let known = mark.retracted || !mark.superseded_by.is_empty();
            known.then_some((record.id(), mark))
        });
        Ok(Marks(marks.collect()))
    }
}
