//! The lenses once more, straight from the definitions in docs/lenses.md: slow, plain, and held against the real ones.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use assertion::{Assertion, Lifecycle, Object, Record, SourceClass};
use lens::{Lens, Parameters};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::made::{DAY, answer, digest, question, world};

/// What the model says of a question.
struct Model<'a> {
    parameters: &'a Parameters,
    records: Vec<&'a Record>,
    claims: Vec<&'a Record>,
    considered: Vec<&'a Record>,
    left_out: BTreeMap<&'static str, u64>,
}

fn said(record: &Record) -> &Assertion {
    record.assertion().unwrap()
}

impl<'a> Model<'a> {
    fn of(parameters: &'a Parameters, records: &'a [Record]) -> Model<'a> {
        let as_of = parameters.selection().as_of.unwrap_or(i64::MAX);
        let mut model = Model {
            parameters,
            records: records.iter().filter(|r| r.at_ms() <= as_of).collect(),
            claims: Vec::new(),
            considered: Vec::new(),
            left_out: ["withdrawn", "superseded", "retracted", "filtered"]
                .map(|reason| (reason, 0))
                .into(),
        };
        for record in model.records.clone() {
            let Some(claim) = record.assertion() else {
                continue;
            };
            if !model.covers(claim) {
                continue;
            }
            match model.reason(claim) {
                None => model.claims.push(record),
                Some(reason) => *model.left_out.get_mut(reason).unwrap() += 1,
            }
        }
        model.considered = model.set();
        model
    }

    fn reason(&self, claim: &Assertion) -> Option<&'static str> {
        self.reason_besides_epochs(claim).or_else(|| {
            let epoch = claim.epoch.as_ref()?;
            self.superseded().contains(epoch).then_some("superseded")
        })
    }

    /// Different predicates and subjects, of a question that does not name one of each.
    fn mixes(&self) -> Option<Value> {
        let selection = self.parameters.selection();
        if selection.subject.is_some() && selection.predicate.is_some() {
            return None;
        }
        let claims = || self.claims.iter().map(|record| said(record));
        let predicates: BTreeSet<&str> = claims().map(|claim| &*claim.predicate).collect();
        let subjects: BTreeSet<&str> = claims().map(|claim| &*claim.subject).collect();
        Some(json!({ "predicates": predicates.len(), "subjects": subjects.len() }))
    }

    fn reason_besides_epochs(&self, claim: &Assertion) -> Option<&'static str> {
        let selection = self.parameters.selection();
        let states = &selection.lifecycles;
        let gone = matches!(claim.lifecycle, Lifecycle::Rejected | Lifecycle::Deprecated);
        if selection
            .min_confidence
            .is_some_and(|least| claim.confidence < least)
            || selection
                .source
                .as_ref()
                .is_some_and(|uri| *uri != claim.source.uri)
            || !states.is_empty() && !states.contains(&claim.lifecycle)
        {
            return Some("filtered");
        }
        if states.is_empty() && gone {
            return Some("withdrawn");
        }
        let source = self.source(&claim.source.uri);
        let retracted =
            source.is_some_and(|source| source.source().unwrap().retracted == Some(true));
        retracted.then_some("retracted")
    }

    /// Whether the question is about this subject.
    fn covers(&self, claim: &Assertion) -> bool {
        let subject = &self.parameters.selection().subject;
        subject
            .as_ref()
            .is_none_or(|subject| *subject == claim.subject)
    }

    fn source(&self, uri: &str) -> Option<&'a Record> {
        let of_uri = |record: &&&Record| record.source().is_some_and(|source| source.uri == uri);
        let of_uri = self.records.iter().filter(of_uri).copied();
        of_uri.max_by_key(|record| (record.at_ms(), record.id()))
    }

    /// Those that claims name which nothing else leaves out, and all that lead to these by what they supersede.
    fn epochs(&self) -> Vec<&'a Record> {
        if self.parameters.lens() != Lens::Epoch {
            return Vec::new();
        }
        let claims = self.records.iter().filter_map(|record| record.assertion());
        let mut bearing: BTreeSet<String> = claims
            .filter(|claim| self.covers(claim) && self.reason_besides_epochs(claim).is_none())
            .filter_map(|claim| claim.epoch.clone())
            .collect();
        let records = self.records.iter().copied();
        let epochs: Vec<&Record> = records.filter(|r| r.epoch().is_some()).collect();
        loop {
            let known = bearing.len();
            for record in &epochs {
                let named = &record.epoch().unwrap().supersedes;
                if named.iter().any(|id| bearing.contains(id)) {
                    bearing.insert(record.id().to_string());
                }
            }
            if bearing.len() == known {
                break;
            }
        }
        let bears = |record: &&Record| bearing.contains(&record.id().to_string());
        epochs.into_iter().filter(bears).collect()
    }

    /// Ids are hashes, so made-up epochs have no cycles.
    fn superseded(&self) -> BTreeSet<String> {
        let epochs = self.epochs().into_iter();
        epochs
            .flat_map(|record| record.epoch().unwrap().supersedes.clone())
            .collect()
    }

    fn judge(&self) -> Lens {
        match self.parameters.lens() {
            Lens::Epoch => self.parameters.options().inner.unwrap_or(Lens::Recency),
            lens => lens,
        }
    }

    /// The counted votes on claims.
    fn votes(&self, on: &[&Record]) -> Vec<&'a Record> {
        let mut latest: BTreeMap<(String, String), &Record> = BTreeMap::new();
        for record in self.records.iter().filter(|_| self.judge() == Lens::Votes) {
            let Some(vote) = record.vote() else { continue };
            let is_on = |claim: &&Record| {
                claim.id().to_string() == vote.assertion && said(claim).subject == vote.subject
            };
            if !on.iter().any(is_on) {
                continue;
            }
            let place = (vote.assertion.clone(), vote.voter.clone());
            let known = latest.entry(place).or_insert(record);
            if (record.at_ms(), record.id()) > (known.at_ms(), known.id()) {
                *known = record;
            }
        }
        latest.into_values().collect()
    }

    fn set(&self) -> Vec<&'a Record> {
        let mut set = self.claims.clone();
        set.extend(self.votes(&self.claims));
        set.extend(self.epochs());
        let mut uris: BTreeSet<&str> = self.claims.iter().map(|c| &*said(c).source.uri).collect();
        if self.left_out["retracted"] > 0 {
            // Nothing but retraction leaves these out, so the retracted ones met a claim like that.
            uris.extend(self.retracted_uris());
        }
        set.extend(uris.into_iter().filter_map(|uri| self.source(uri)));
        set
    }

    fn retracted_uris(&self) -> Vec<&'a str> {
        let claims = self.records.iter().filter_map(|record| record.assertion());
        claims
            .filter(|claim| self.covers(claim) && self.reason(claim) == Some("retracted"))
            .map(|claim| &*claim.source.uri)
            .collect()
    }

    fn confidence(&self, claim: &Assertion) -> f64 {
        let days = match claim.source.class {
            SourceClass::Regulatory => return claim.confidence,
            SourceClass::Clinical => 730,
            SourceClass::Observational => 365,
            SourceClass::Expert => 180,
            SourceClass::Community => 90,
            SourceClass::Anecdotal => 30,
        };
        let Some(evaluated_at) = self.parameters.options().evaluated_at else {
            return claim.confidence;
        };
        let age = (evaluated_at - claim.asserted_at).max(0);
        claim.confidence * 0.5_f64.powf(age as f64 / (days * DAY) as f64)
    }

    /// `Less` is stronger.
    fn strength(&self, a: &Record, b: &Record) -> Ordering {
        let (one, other) = (said(a), said(b));
        let tiers = one.source.class.tier().cmp(&other.source.class.tier());
        tiers
            .then(
                self.confidence(other)
                    .partial_cmp(&self.confidence(one))
                    .unwrap(),
            )
            .then(other.asserted_at.cmp(&one.asserted_at))
            .then(a.id().to_string().cmp(&b.id().to_string()))
    }

    fn strongest(&self, records: impl IntoIterator<Item = &'a Record>) -> &'a Record {
        let records = records.into_iter();
        records.min_by(|a, b| self.strength(a, b)).unwrap()
    }

    fn groups(&self) -> Vec<Vec<&'a Record>> {
        let tolerance = self.parameters.options().tolerance.unwrap_or(0.0);
        let mut numbers: Vec<(f64, &Record)> = Vec::new();
        let mut others: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
        for record in &self.claims {
            match &said(record).object {
                Object::Number(value) => numbers.push((*value, record)),
                other => others.entry(format!("{other:?}")).or_default().push(record),
            }
        }
        numbers.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap());
        let mut groups: Vec<(f64, Vec<&Record>)> = Vec::new();
        for (value, record) in numbers {
            match groups.last_mut() {
                Some((first, members))
                    if value - *first <= tolerance * value.abs().max(first.abs()) =>
                {
                    members.push(record)
                }
                _ => groups.push((value, vec![record])),
            }
        }
        let numbers = groups.into_iter().map(|(_, members)| members);
        numbers.chain(others.into_values()).collect()
    }

    fn weight(&self, group: &[&'a Record]) -> f64 {
        let voices = sources(group).into_values();
        let strongest = voices.map(|claims| self.strongest(claims));
        strongest.map(|claim| self.confidence(said(claim))).sum()
    }

    fn score(&self, groups: &[Vec<&'a Record>]) -> f64 {
        if groups.len() < 2 {
            return 0.0;
        }
        let weights: Vec<f64> = groups.iter().map(|group| self.weight(group)).collect();
        let total: f64 = weights.iter().sum();
        let share = |weight: f64| match total > 0.0 {
            true => weight / total,
            false => 1.0 / weights.len() as f64,
        };
        let shares = weights.iter().map(|w| share(*w)).filter(|s| *s > 0.0);
        shares.map(|s| -s * s.ln()).sum::<f64>() / (groups.len() as f64).ln()
    }

    /// The groups that `measure` says most of; exact, or within the last bits.
    fn most(&self, measure: impl Fn(&[&'a Record]) -> f64) -> Vec<Vec<&'a Record>> {
        let groups = self.groups();
        let most = groups.iter().map(|g| measure(g)).fold(0.0, f64::max);
        groups
            .into_iter()
            .filter(|group| measure(group) >= most - 1e-9)
            .collect()
    }

    fn winner(&self) -> Option<&'a Record> {
        if self.claims.is_empty() {
            return None;
        }
        let by = |order: &dyn Fn(&Record, &Record) -> Ordering| {
            let claims = self.claims.iter().copied();
            claims.min_by(|a, b| order(a, b).then(self.strength(a, b)))
        };
        let of_groups = |groups: Vec<Vec<&'a Record>>| Some(self.strongest(groups.concat()));
        match self.judge() {
            Lens::Recency => by(&|a, b| said(b).asserted_at.cmp(&said(a).asserted_at)),
            Lens::Confidence => by(&|a, b| {
                let (one, other) = (self.confidence(said(a)), self.confidence(said(b)));
                other.partial_cmp(&one).unwrap()
            }),
            Lens::Authority | Lens::Layered => by(&|_, _| Ordering::Equal),
            Lens::Consensus => of_groups(self.most(|group| sources(group).len() as f64)),
            Lens::Votes => of_groups(self.most(|group| self.vote_weight(group))),
            Lens::Skeptic => of_groups(self.most(|group| self.weight(group))),
            Lens::Epoch => unreachable!("never inside itself"),
        }
    }

    fn vote_weight(&self, group: &[&Record]) -> f64 {
        let votes = self.votes(group).into_iter();
        votes.map(|vote| vote.vote().unwrap().weight).sum()
    }

    fn layers(&self) -> Value {
        let layer = |class: &SourceClass| {
            let of_class = |claim: &&Record| said(claim).source.class == *class;
            let claims: Vec<&Record> = self.claims.iter().copied().filter(of_class).collect();
            (!claims.is_empty()).then(|| {
                let tier = class.tier();
                let id = self.strongest(claims.iter().copied()).id().to_string();
                json!([tier, class.name(), id, claims.len()])
            })
        };
        SourceClass::ALL.iter().filter_map(layer).collect()
    }
}

fn sources<'a>(group: &[&'a Record]) -> BTreeMap<&'a str, Vec<&'a Record>> {
    let mut sources: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in group {
        let uri = &said(record).source.uri;
        sources.entry(uri).or_default().push(record);
    }
    sources
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_lenses_follow_their_definitions(records in world(), parameters in question()) {
        let model = Model::of(&parameters, &records);
        let said_by_lens = answer(parameters.clone(), &records);
        let groups = model.groups();
        let skeptic = model.judge() == Lens::Skeptic;
        let total = if skeptic { &said_by_lens["groups_total"] } else { &said_by_lens["groups"] };
        prop_assert_eq!(total, groups.len());
        prop_assert_eq!(&said_by_lens["candidates"], model.claims.len());
        prop_assert_eq!(&said_by_lens["left_out"], &json!(model.left_out));
        prop_assert_eq!(&said_by_lens["set_digest"], &json!(digest(model.considered.clone())));
        let mixes = model.mixes();
        prop_assert_eq!(said_by_lens.get("mixes"), mixes.as_ref());
        let score = said_by_lens["conflict_score"].as_f64().unwrap();
        prop_assert!((score - model.score(&groups)).abs() < 2e-6, "{score}");
        let won = model.winner();
        if skeptic {
            // Weights that are equal on paper may differ in the last bit, so ties are for the tests of ties.
            if model.most(|group| model.weight(group)).len() == 1 {
                let id = won.unwrap().id().to_string();
                prop_assert_eq!(&said_by_lens["groups"][0]["strongest"]["id"], &json!(id));
            }
        } else {
            let id = won.map(|won| json!(won.id().to_string()));
            prop_assert_eq!(said_by_lens["winner"].get("id"), id.as_ref());
            let confidence = won.map(|won| model.confidence(said(won)));
            let shown = said_by_lens["confidence"].as_f64();
            // Six places, of what may differ in the last bit.
            let close = shown.zip(confidence).map(|(a, b)| (a - b).abs() < 0.500001e-6);
            prop_assert_eq!(close, won.map(|_| true), "{:?} {:?}", shown, confidence);
        }
        if model.judge() == Lens::Votes {
            prop_assert_eq!(&said_by_lens["votes"], model.votes(&model.claims).len());
        }
        if model.judge() == Lens::Layered {
            let layers = said_by_lens["layers"].as_array().unwrap().iter();
            let layers: Value = layers
                .map(|l| json!([l["tier"], l["class"], l["winner"]["id"], l["candidates"]]))
                .collect();
            prop_assert_eq!(layers, model.layers());
        }
        let cycles = said_by_lens.get("epoch_cycles").map(|cycles| cycles == &json!([]));
        prop_assert_eq!(cycles, (parameters.lens() == Lens::Epoch).then_some(true));
    }
}
