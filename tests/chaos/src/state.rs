//! What the cluster holds when everything has been healed, as clients can see it: the other half of what the checker judges.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use e2e::http::Http;
use futures::StreamExt as _;
use serde_json::Value;

use crate::client::{Client, Question, ids};
use crate::history::Line;
use crate::lab::{Gateway, poll};
use crate::records;
use crate::workload::LENSES;

/// How long an owner may take to answer for itself, and all nodes to be compared: what a busy machine kept from answering in time is
/// asked again, what is wrong stays wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// Questions that are open at a time.
const OPEN: usize = 8;

/// Subjects that every lens is asked about at every owner: the answers of thousands are those of the first few.
const LENS_SUBJECTS: usize = 24;

/// Between two questions to a node that has not answered yet.
const LOOK: Duration = Duration::from_millis(20);

/// What was found.
#[derive(Debug, Default)]
pub struct State {
    /// What `/cluster/verify` said.
    pub equal: bool,
    /// The same as text.
    pub verified: String,
    /// Claims of each subject, as each of its owners lists them.
    pub listed: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    /// Votes and source records: which nodes should hold and which do hold them.
    pub replicas: BTreeMap<String, Replicas>,
    /// Every id that the feed of everything has.
    pub everywhere: BTreeSet<String>,
    /// What lenses made of the same question at each owner: the bytes of `result`.
    pub answers: BTreeMap<Question, BTreeMap<String, String>>,
    /// Records whose bytes have another hash than their id.
    pub altered: Vec<String>,
    /// What could not be found out; nothing of it may be taken for good.
    pub unknown: Vec<String>,
}

/// Who holds a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Nodes that should.
    pub owners: BTreeSet<String>,
    /// Nodes that do.
    pub holders: BTreeSet<String>,
}

/// Who is asked, and what about.
#[derive(Debug)]
struct Look<'a> {
    gateways: &'a [Gateway],
    client: Client,
}

/// Looks at everything that the history says was written.
pub async fn look(gateways: &[Gateway], history: &[Line]) -> State {
    let look = Look {
        gateways,
        client: Client::new("checker", PATIENCE),
    };
    let mut state = State::default();
    // One acknowledged claim of each subject tells its owners.
    let mut subjects: BTreeMap<&str, &str> = BTreeMap::new();
    let mut others: Vec<&str> = Vec::new();
    for line in history {
        let Line::Write(write) = line else { continue };
        if !write.acknowledged() {
            continue;
        }
        match write.record.as_str() {
            "assertion" => drop(subjects.insert(&write.subject, &write.id)),
            _ => others.push(&write.id),
        }
    }
    look.verify(&mut state).await;
    look.feed(&mut state).await;
    look.replicas(&others, &mut state).await;
    look.lists(&subjects, &mut state).await;
    look.lenses(&mut state).await;
    state
}

impl Look<'_> {
    async fn verify(&self, state: &mut State) {
        let said = poll("not equal", PATIENCE, || async {
            let gateway = self.gateways.first().ok_or("there is no gateway")?;
            let url = format!("{}/cluster/verify", gateway.admin);
            let reply = Http::new().get(&url).await?;
            let equal = reply.status == 200 && reply.json()["equal"] == true;
            equal.then(|| reply.text()).ok_or_else(|| reply.text())
        })
        .await;
        state.equal = said.is_ok();
        state.verified = said.unwrap_or_else(|why| why);
    }

    /// The feed of everything, from the start, until a whole one has come: a store that is late is missing in it.
    async fn feed(&self, state: &mut State) {
        let until = Instant::now() + PATIENCE;
        while let Err(why) = self.whole_feed(state).await {
            if Instant::now() > until {
                return state.unknown.push(format!("feed: {why}"));
            }
            tokio::time::sleep(LOOK).await; // between polls
        }
    }

    /// One feed of everything. What an earlier one had does not count; bytes that were wrong in one stay wrong.
    async fn whole_feed(&self, state: &mut State) -> Result<(), String> {
        state.everywhere.clear();
        let gateway = self.gateways.first().ok_or("there is no gateway")?;
        let url = format!("{}/v1/feed?from=start&until=now", gateway.api);
        let accept = [("accept", "application/x-ndjson")];
        let reply = Http::new()
            .send(http::Method::GET, &url, &accept, Vec::new())
            .await?;
        let text = reply.text();
        if reply.status != 200 {
            return Err(text);
        }
        let mut whole = false;
        for line in text.lines().filter(|line| !line.is_empty()) {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            if let Some(id) = line["record"]["id"].as_str() {
                state.everywhere.insert(id.to_owned());
                judge_bytes(&line["record"], state);
            } else if line["caught_up"] == true {
                whole = line["missing"].as_array().is_some_and(Vec::is_empty);
            }
        }
        let end = text.lines().next_back().unwrap_or_default();
        whole.then_some(()).ok_or_else(|| format!("it ends: {end}"))
    }

    async fn replicas(&self, ids: &[&str], state: &mut State) {
        let mut found =
            futures::stream::iter(ids.iter().map(|id| self.replicas_of(id))).buffer_unordered(OPEN);
        while let Some(found) = found.next().await {
            match found {
                Ok((id, replicas)) => drop(state.replicas.insert(id, replicas)),
                Err(why) => state.unknown.push(why),
            }
        }
    }

    async fn replicas_of(&self, id: &str) -> Result<(String, Replicas), String> {
        let said = self.client.replicas(self.gateways, id).await?;
        let names = |list: &Value, key: Option<&str>| -> BTreeSet<String> {
            let entries = list.as_array().into_iter().flatten();
            entries
                .map(|entry| key.map_or(entry, |key| &entry[key]))
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect()
        };
        // That nobody has it is an answer, too.
        let replicas = said.map_or_else(Replicas::default, |said| Replicas {
            owners: names(&said["owners"], None),
            holders: names(&said["replicas"], Some("node")),
        });
        Ok((id.to_owned(), replicas))
    }

    /// Claims of every subject at every owner.
    async fn lists(&self, subjects: &BTreeMap<&str, &str>, state: &mut State) {
        let lists = subjects.iter().map(|(subject, id)| async move {
            let owners = self.replicas_of(id).await?.1.owners;
            let question = Question {
                subject: (*subject).to_owned(),
                predicate: String::new(),
                lens: String::new(),
            };
            let answers = self.at_every_owner(&question, &owners).await?;
            Ok::<_, String>(((*subject).to_owned(), answers))
        });
        let mut lists = futures::stream::iter(lists).buffer_unordered(OPEN);
        while let Some(list) = lists.next().await {
            match list {
                Ok((subject, answers)) => {
                    let mut listed = BTreeMap::new();
                    for (node, answer) in answers {
                        let result = &answer.json()["result"];
                        for record in result["records"].as_array().into_iter().flatten() {
                            judge_bytes(record, state);
                        }
                        listed.insert(node, ids(result).into_iter().collect());
                    }
                    state.listed.insert(subject, listed);
                }
                Err(why) => state.unknown.push(why),
            }
        }
    }

    /// What every lens says about the first subjects at every owner.
    async fn lenses(&self, state: &mut State) {
        let subjects = state.listed.iter().take(LENS_SUBJECTS);
        let mut questions = Vec::new();
        for (subject, owners) in subjects {
            let owners: BTreeSet<String> = owners.keys().cloned().collect();
            for lens in LENSES {
                for predicate in [records::predicate(0), records::predicate(64)] {
                    let question = Question {
                        subject: subject.clone(),
                        predicate: predicate.to_owned(),
                        lens: lens.to_owned(),
                    };
                    questions.push((question, owners.clone()));
                }
            }
        }
        let answers = questions.into_iter().map(|(question, owners)| async move {
            let answers = self.at_every_owner(&question, &owners).await?;
            Ok::<_, String>((question, answers))
        });
        let mut answers = futures::stream::iter(answers).buffer_unordered(OPEN);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok((question, answers)) => {
                    let results = answers
                        .into_iter()
                        .map(|(node, reply)| (node, reply.result_text()));
                    state.answers.insert(question, results.collect());
                }
                Err(why) => state.unknown.push(why),
            }
        }
    }

    /// Asks until every owner has answered by itself and completely: gateways choose whom they ask.
    async fn at_every_owner(
        &self,
        question: &Question,
        owners: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, e2e::http::Reply>, String> {
        let until = Instant::now() + PATIENCE;
        let mut answers = BTreeMap::new();
        let mut last = String::new();
        for gateway in self.gateways.iter().cycle() {
            if !owners.is_empty() && owners.iter().all(|owner| answers.contains_key(owner)) {
                return Ok(answers);
            }
            if Instant::now() > until {
                break;
            }
            match self
                .client
                .get(&format!("{}{}", gateway.api, question.path()))
                .await
            {
                Ok(reply) if reply.status == 200 => {
                    let meta = &reply.json()["meta"];
                    let node = meta["node"].as_str().unwrap_or_default().to_owned();
                    if meta["union"].is_null() && meta["complete"] == true && owners.contains(&node)
                    {
                        answers.insert(node, reply);
                        continue;
                    }
                    last = meta.to_string();
                }
                Ok(reply) => last = reply.text(),
                Err(why) => last = why,
            }
            tokio::time::sleep(LOOK).await; // between polls
        }
        let answered: Vec<&String> = answers.keys().collect();
        Err(format!(
            "{}: of the owners {owners:?} only {answered:?} answered by themselves; last: {last}",
            question.path()
        ))
    }
}

/// Whether a record's bytes have the id it says.
fn judge_bytes(record: &Value, state: &mut State) {
    let said = record["id"].as_str().unwrap_or_default();
    match records::id(&record.to_string()) {
        Ok(id) if id == said => {}
        Ok(id) => state
            .altered
            .push(format!("{said}: its bytes are those of {id}")),
        Err(why) => state.altered.push(format!("{said}: {why}")),
    }
}
