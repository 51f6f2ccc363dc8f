//! A client: one call, and one more at another gateway when it fails.

use std::time::Duration;

use e2e::http::{Http, Reply};
use serde_json::Value;

use crate::history::{Read, Write, now_ms};
use crate::lab::{Gateway, poll};
use crate::records::Outgoing;

/// Calls at most: the second at another gateway.
const TRIES: usize = 2;

/// How long all nodes may take to tell of a record.
const TOLD: Duration = Duration::from_secs(60);

/// The most claims that a page has.
const PAGE_MAX: u64 = 1000;

/// A client with connections of its own.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its name in the history.
    pub name: String,
    http: Http,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// About what.
    pub subject: String,
    /// Empty: every predicate.
    pub predicate: String,
    /// Empty: the claims themselves.
    pub lens: String,
}

impl Question {
    /// Path and query.
    pub fn path(&self) -> String {
        let mut path = format!("/v1/query?subject={}", self.subject);
        if !self.predicate.is_empty() {
            path.push_str(&format!("&predicate={}", self.predicate));
        }
        if self.lens.is_empty() {
            path.push_str(&format!("&limit={PAGE_MAX}"));
        } else {
            path.push_str(&format!("&lens={}", self.lens));
        }
        path
    }
}

impl Client {
    /// A client that waits so long for an answer.
    pub fn new(name: &str, patience: Duration) -> Client {
        Client {
            name: name.to_owned(),
            http: Http::patient(patience),
        }
    }

    /// Sends a record to the first gateway, or else to the second.
    pub async fn write(&self, gateways: &[Gateway], record: &Outgoing) -> Write {
        let mut write = Write {
            client: self.name.clone(),
            at: now_ms(),
            record: record.kind.to_owned(),
            subject: record.subject.clone(),
            predicate: record.predicate.clone(),
            note: record.note.clone(),
            id: record.id.clone(),
            ..Write::default()
        };
        for gateway in gateways.iter().take(TRIES) {
            write.gateways.push(gateway.node.clone());
            let url = format!("{}{}", gateway.api, record.path);
            let reply = self.http.post(&url, record.body.clone()).await;
            match reply {
                Ok(reply) => {
                    let said = reply.json();
                    write.status = reply.status;
                    write.answered_id = said["id"].as_str().map(str::to_owned);
                    write.copies = said["copies"].as_u64().unwrap_or_default();
                    if reply.status < 300 {
                        break;
                    }
                    write.errors.push(refusal(&reply));
                    if reply.status < 500 {
                        break;
                    }
                }
                Err(why) => {
                    write.status = 0;
                    write.errors.push(why);
                }
            }
        }
        write.end = now_ms();
        write
    }

    /// Sends many claims in one call, which is not tried again.
    pub async fn write_many(&self, gateway: &Gateway, records: &[Outgoing]) -> Vec<Write> {
        let at = now_ms();
        let bodies: Vec<&str> = records.iter().map(|record| record.body.as_str()).collect();
        let url = format!("{}/v1/assert/batch", gateway.api);
        let body = format!("[{}]", bodies.join(","));
        let reply = self.http.post(&url, body).await;
        let said = reply.as_ref().map(Reply::json).unwrap_or_default();
        let end = now_ms();
        let write = |(index, record): (usize, &Outgoing)| {
            let result = &said["results"][index];
            let status = match result["status"].as_str() {
                Some("stored") => 201,
                Some("present") => 200,
                Some("accepted") => 202,
                _ => 0,
            };
            let error = match &reply {
                _ if status > 0 => None,
                Ok(reply) => Some(refusal(reply)),
                Err(why) => Some(why.clone()),
            };
            Write {
                client: self.name.clone(),
                at,
                end,
                gateways: vec![gateway.node.clone()],
                record: record.kind.to_owned(),
                subject: record.subject.clone(),
                predicate: record.predicate.clone(),
                note: record.note.clone(),
                id: record.id.clone(),
                status,
                answered_id: result["id"].as_str().map(str::to_owned),
                copies: result["copies"].as_u64().unwrap_or_default(),
                errors: error.into_iter().collect(),
            }
        };
        records.iter().enumerate().map(write).collect()
    }

    /// Asks the first gateway, or else the second.
    pub async fn read(&self, gateways: &[Gateway], question: &Question) -> Read {
        let mut read = Read {
            client: self.name.clone(),
            at: now_ms(),
            subject: question.subject.clone(),
            predicate: question.predicate.clone(),
            lens: question.lens.clone(),
            ..Read::default()
        };
        for gateway in gateways.iter().take(TRIES) {
            read.gateways.push(gateway.node.clone());
            let url = format!("{}{}", gateway.api, question.path());
            match self.http.get(&url).await {
                Ok(reply) => {
                    read.status = reply.status;
                    if reply.status == 200 {
                        take_answer(&mut read, &reply.json());
                        break;
                    }
                    read.errors.push(refusal(&reply));
                    if reply.status < 500 {
                        break;
                    }
                }
                Err(why) => {
                    read.status = 0;
                    read.errors.push(why);
                }
            }
        }
        read.end = now_ms();
        read
    }

    /// Who should hold a record and who does, as `/replicas` says once every node has told: one that is late looks like one that
    /// does not hold it. None: nobody holds it.
    ///
    /// # Errors
    /// When not all nodes tell in time, with what was heard last.
    pub async fn replicas(&self, gateways: &[Gateway], id: &str) -> Result<Option<Value>, String> {
        poll("not all nodes have told", TOLD, || async {
            let mut last = "there is no gateway".to_owned();
            for gateway in gateways {
                let url = format!("{}/v1/records/{id}/replicas", gateway.api);
                match self.http.get(&url).await {
                    // It is only said when enough nodes have told.
                    Ok(reply) if reply.status == 404 => return Ok(None),
                    Ok(reply) => {
                        let said = reply.json();
                        if reply.status == 200 && said["meta"]["complete"] == true {
                            return Ok(Some(said["result"].clone()));
                        }
                        last = reply.text();
                    }
                    Err(why) => last = why,
                }
            }
            Err(last)
        })
        .await
        .map_err(|why| format!("replicas of {id}: {why}"))
    }

    /// One call without a second try.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn get(&self, url: &str) -> Result<Reply, String> {
        self.http.get(url).await
    }
}

fn refusal(reply: &Reply) -> String {
    let said = reply.json();
    let code = said["code"].as_str().unwrap_or("no code");
    let detail = said["detail"].as_str().unwrap_or_default();
    format!("{} {code}: {detail}", reply.status)
}

fn take_answer(read: &mut Read, said: &Value) {
    let (result, meta) = (&said["result"], &said["meta"]);
    read.complete = meta["complete"] == true;
    read.proved_through = meta["proved_through"].as_u64().unwrap_or_default();
    read.node = meta["node"].as_str().unwrap_or_default().to_owned();
    read.more = !result["cursor"].is_null();
    read.ids = ids(result);
    let left_out = result["left_out"].as_object();
    let left_out = left_out
        .into_iter()
        .flatten()
        .filter_map(|(_, count)| count.as_u64());
    read.considered = result["candidates"].as_u64().unwrap_or_default() + left_out.sum::<u64>();
}

/// Ids of the records of a page.
pub fn ids(result: &Value) -> Vec<String> {
    let records = result["records"].as_array().into_iter().flatten();
    records
        .filter_map(|record| record["id"].as_str().map(str::to_owned))
        .collect()
}
