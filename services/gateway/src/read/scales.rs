//! A lens run over the claims of all nodes. What bears on a claim is looked up before the claim is weighed, votes when all claims
//! were: what does not bear is not asked for.

use std::collections::BTreeSet;

use assertion::{Kind, Record, RecordId};
use bytes::Bytes;
use lens::{Match, Parameters, Resolver, TooMuch};
use proto::{CONTEXT_LIST_MAX, v1};

use super::context::Context;
use super::union::{Heard, checked};
use crate::problem::Problem;

/// Most claims that one union weighs. Their ids are kept, so that a copy counts once; a store alone takes more.
const CLAIMS_MAX: usize = 100_000;

/// Most subjects whose votes are looked up for one answer, with a call for each, or more, to all nodes.
const SUBJECTS_MAX: usize = 1_000;

/// A lens, and what it has seen.
#[derive(Debug)]
pub(super) struct Scales<'a> {
    parameters: Parameters,
    resolver: Resolver,
    context: Context<'a>,
    seen: BTreeSet<RecordId>,
    /// Hashes of the uris that were looked up: a uri may be long, and there may be many.
    sources: BTreeSet<RecordId>,
    subjects: BTreeSet<String>,
}

/// What a page brought that was not there before.
#[derive(Debug, Default)]
struct News {
    claims: Vec<Record>,
    sources: Vec<String>,
}

impl<'a> Scales<'a> {
    pub(super) fn new(parameters: &Parameters, context: Context<'a>) -> Scales<'a> {
        Scales {
            resolver: Resolver::new(parameters.clone()),
            parameters: parameters.clone(),
            context,
            seen: BTreeSet::new(),
            sources: BTreeSet::new(),
            subjects: BTreeSet::new(),
        }
    }

    /// Weighs the claims of a page that are not known yet.
    pub(super) async fn weigh(&mut self, page: &[v1::FoundRecord]) -> Result<(), Problem> {
        let news = self.news(page)?;
        for sources in news.sources.chunks(CONTEXT_LIST_MAX) {
            let request = v1::ContextRequest {
                sources: sources.to_vec(),
                ..self.request()
            };
            self.learn(request).await?;
        }
        for claim in news.claims.iter().filter_map(Record::claim) {
            self.resolver.expect(&claim).map_err(too_much)?;
        }
        self.look_up_epochs().await?;
        for claim in news.claims.iter().filter_map(Record::claim) {
            self.resolver.push(&claim).map_err(too_much)?;
        }
        Ok(())
    }

    /// Learns the epochs that bear on what is expected, from one that is superseded to those that supersede it, and so on.
    async fn look_up_epochs(&mut self) -> Result<(), Problem> {
        loop {
            let unasked = self.resolver.unasked_epochs();
            if unasked.is_empty() {
                return Ok(());
            }
            for ids in unasked.chunks(CONTEXT_LIST_MAX) {
                let request = v1::ContextRequest {
                    epochs: true,
                    epochs_of: ids.iter().map(wire).collect(),
                    ..self.request()
                };
                self.learn(request).await?;
            }
        }
    }

    /// The answer, once votes are counted. Nodes that did not say everything are taken out of `heard`.
    pub(super) async fn finish(self, heard: &mut Heard) -> Result<Bytes, Problem> {
        let request = self.request();
        let mut context = self.context;
        let mut ballot = self.resolver.ballot();
        let mut place = 0;
        while let Some((subject, claims)) = ballot.claims(place, CONTEXT_LIST_MAX) {
            place += claims.len();
            let request = v1::ContextRequest {
                votes_of: Some(subject.to_owned()),
                votes_on: claims.iter().map(wire).collect(),
                ..request.clone()
            };
            let take = |record: &Record| ballot.learn(record).map_err(too_much);
            context.ask(&request, take).await?;
        }
        context.correct(heard);
        Ok(ballot.finish().to_json().into())
    }

    fn request(&self) -> v1::ContextRequest {
        v1::ContextRequest {
            as_of_ms: self.parameters.selection().as_of,
            ..v1::ContextRequest::default()
        }
    }

    async fn learn(&mut self, request: v1::ContextRequest) -> Result<(), Problem> {
        let resolver = &mut self.resolver;
        let take = |record: &Record| resolver.learn(record).map_err(too_much);
        self.context.ask(&request, take).await
    }

    fn news(&mut self, page: &[v1::FoundRecord]) -> Result<News, Problem> {
        let mut news = News::default();
        for found in page {
            let record = checked(found)?;
            if !self.seen.insert(record.id()) {
                continue;
            }
            if self.seen.len() > CLAIMS_MAX {
                return Err(Problem::unprocessable(
                    "too_much",
                    format!("more than {CLAIMS_MAX} claims of several nodes"),
                    "narrow the question: add predicate= or as_of=, name one subject, or ask again when its owners are complete",
                )
                .limit(CLAIMS_MAX as u64));
            }
            self.note(&record, &mut news)?;
            news.claims.push(record);
        }
        Ok(news)
    }

    /// What has to be looked up for a claim. Nothing, when it is left out whatever else is known.
    fn note(&mut self, record: &Record, news: &mut News) -> Result<(), Problem> {
        let Some(claim) = record.claim() else {
            return Ok(());
        };
        if self.parameters.selection().matches(&claim) != Match::Yes {
            return Ok(());
        }
        if self.sources.insert(RecordId::of(claim.uri.as_bytes())) {
            news.sources.push(claim.uri.into_owned());
        }
        if self.parameters.considers(Kind::Vote)
            && self.subjects.insert(claim.subject.into_owned())
            && self.subjects.len() > SUBJECTS_MAX
        {
            return Err(Problem::unprocessable(
                "too_much",
                format!("votes about more than {SUBJECTS_MAX} subjects"),
                "narrow the question: give a longer subject_prefix, or name one subject",
            )
            .limit(SUBJECTS_MAX as u64));
        }
        Ok(())
    }
}

fn wire(id: &RecordId) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

fn too_much(error: TooMuch) -> Problem {
    let text = error.to_string();
    let (detail, next) = text
        .split_once("; ")
        .unwrap_or((&text, "narrow the question"));
    Problem::unprocessable("too_much", detail, next)
}
