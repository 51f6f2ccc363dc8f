//! Lenses over one large subject: rows 12i and 12j.

use std::sync::Arc;
use std::time::{Duration, Instant};

use assertion::Object;
use bytes::Bytes;
use e2e::cluster::Cluster;
use serde_json::json;

use crate::claims::{Claims, parse};
use crate::connection::{Call, Connection};
use crate::figures::{digits, median, ms};
use crate::lab::{self, Lab, gateways};
use crate::rows::Finding;
use crate::rows::lenses::LENSES;
use crate::stores::Stores;
use crate::{cpu, opinions, say};

/// What the claims are about.
const PREDICATE: &str = "boiling_point_k";

/// Distinct values, taken from real claims, and sources of each: what a lens keeps in memory. The other claims repeat them with
/// other dates, as a sensor or a crawler would.
const VALUES: usize = 500;
const SOURCES: usize = 100;

/// Claims of the subject that are voted on.
const VOTED: usize = 1_000;

/// Of a larger subject these are asked about first: each value from each source once. Memory is compared with what they take.
const FEW: usize = VALUES * SOURCES;

/// The first claim was said then, and one more each second: `as_of` cuts any number of them off.
const BEGAN_MS: i64 = 1_500_000_000_000;
const STEP_MS: i64 = 1_000;

/// Claims in hand while they are written.
const BATCH: usize = 100_000;

/// Between two looks at memory.
const LOOK: Duration = Duration::from_millis(10);

/// Share of itself by which a store may grow at most.
const GROWTH_MAX: f64 = 0.25;

/// Row 12i: beside the real claims, one of 10,000.
pub(super) async fn ten_thousand(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.judged().await?;
    subject(lab, &cluster, 10_000, 10_000, 9).await
}

/// Row 12j: one of 1,000,000 in an empty cluster. Asked about the first 50,000 before, for what those take in memory; what takes a
/// lens longer than a store gives it is asked again about the first 100,000.
pub(super) async fn million(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.fresh().await;
    let found = subject(lab, &cluster, 1_000_000, 100_000, 3).await;
    // Nothing else is measured beside it.
    lab.clear();
    found
}

/// Claims about one subject, from the first on.
fn claims(real: &[f64], subject: &str, first: usize, count: usize) -> Vec<Bytes> {
    let classes = [
        "regulatory",
        "clinical",
        "observational",
        "expert",
        "community",
    ];
    let claim = |number: usize| {
        let source = (number / VALUES) % SOURCES;
        let claim = json!({
            "subject": subject,
            "predicate": PREDICATE,
            "object": { "type": "number", "value": real[number % VALUES] },
            "source": { "uri": format!("bench:table/{source}"), "class": classes[source % classes.len()] },
            "confidence": 0.7 + 0.05 * (source % classes.len()) as f64,
            "lifecycle": "approved",
            "asserted_at": at(number),
        });
        Bytes::from(claim.to_string())
    };
    (first..first + count).map(claim).collect()
}

fn at(number: usize) -> i64 {
    BEGAN_MS + STEP_MS * i64::try_from(number).unwrap_or(0)
}

/// Different values of real claims, in the order of the file.
fn values(claims: &Claims) -> Result<Vec<f64>, String> {
    let mut values: Vec<f64> = Vec::new();
    for number in 0..claims.lines().len() {
        let record = claims.scattered(number)?;
        if let Some(claim) = record.assertion()
            && let Object::Number(value) = claim.object
            && claim.predicate == PREDICATE
            && !values.contains(&value)
        {
            values.push(value);
            if values.len() == VALUES {
                return Ok(values);
            }
        }
    }
    Err(format!("fewer than {VALUES} values"))
}

/// Writes a subject of so many claims and asks each lens about it, one call at a time.
async fn subject(
    lab: &Lab,
    cluster: &Arc<Cluster>,
    count: usize,
    fewer: usize,
    calls: usize,
) -> Result<Finding, String> {
    let asking = write(lab, cluster, count, calls).await?;
    let mut before = asking.resident();
    if count > FEW {
        // Readers have kept the pages that they may keep, too.
        for lens in LENSES {
            let seen = asking.ask(lens, Some(at(FEW - 1))).await;
            before = before.max(seen.most_mib);
        }
    }
    let (mut of_all, mut of_fewer, mut most, mut answered) = (Vec::new(), Vec::new(), before, true);
    for lens in LENSES {
        let seen = asking.ask(lens, None).await;
        most = most.max(seen.most_mib);
        of_all.push(seen.words(lens));
        say(&format!("  {}", seen.words(lens)));
        if seen.refused.is_none() {
            continue;
        }
        answered = false;
        if fewer < count {
            let seen = asking.ask(lens, Some(at(fewer - 1))).await;
            most = most.max(seen.most_mib);
            of_fewer.push(seen.words(lens));
        }
    }
    let mut measured = format!("ms: {}", of_all.join(", "));
    if !of_fewer.is_empty() {
        let fewer = digits(fewer as f64);
        measured = format!("{measured}; of the first {fewer}: {}", of_fewer.join(", "));
    }
    let after = asking.resident();
    let with = match count > FEW {
        true => format!("with the first {}", digits(FEW as f64)),
        false => "before".to_owned(),
    };
    let flat = most <= before * (1.0 + GROWTH_MAX);
    Ok(Finding {
        measured,
        runs: format!("median of {calls} answers, one at a time"),
        beside: format!(
            "store {before:.0} MiB {with}, {most:.0} at most, {after:.0} after; {VALUES} values, {} sources",
            (count / VALUES).min(SOURCES)
        ),
        ratio: None,
        holds: Some(answered && flat),
        notes: Vec::new(),
    })
}

/// Writes a subject of so many claims, and who is to be asked about it.
async fn write(
    lab: &Lab,
    cluster: &Arc<Cluster>,
    count: usize,
    calls: usize,
) -> Result<Asking, String> {
    let subject = format!("bench:{count}");
    let real = values(&lab.claims)?;
    for first in (0..count).step_by(BATCH) {
        let lines = claims(&real, &subject, first, BATCH.min(count - first));
        lab::import(cluster, &lines).await?;
    }
    let mut votes = Vec::new();
    for (number, line) in claims(&real, &subject, 0, VOTED).iter().enumerate() {
        let vote = opinions::vote(&parse(line)?, 0, number)?;
        votes.push(Bytes::copy_from_slice(vote.canonical()));
    }
    lab::import(cluster, &votes).await?;
    lab.settle(cluster).await?;
    let stores: Vec<u32> = Stores::of(cluster)
        .await?
        .owners(&subject)
        .into_iter()
        .filter_map(|place| cluster.nodes[place].pid("store"))
        .collect();
    Ok(Asking {
        path: format!("/v1/query?subject={subject}&predicate={PREDICATE}"),
        gateways: gateways(cluster),
        stores,
        calls,
    })
}

struct Asking {
    path: String,
    gateways: Vec<String>,
    /// Processes of the stores that own the subject.
    stores: Vec<u32>,
    calls: usize,
}

/// What came of asking one lens.
struct Seen {
    ms: f64,
    most_mib: f64,
    refused: Option<String>,
}

impl Seen {
    fn words(&self, lens: &str) -> String {
        let answer = match &self.refused {
            None => digits(self.ms),
            Some(code) => format!("{code} after {}", digits(self.ms)),
        };
        format!("{lens} {answer}").trim().to_owned()
    }
}

impl Asking {
    /// Resident memory of the largest of the stores.
    fn resident(&self) -> f64 {
        let sizes = self.stores.iter().filter_map(|pid| cpu::resident_mib(*pid));
        sizes.fold(0.0, f64::max)
    }

    /// Asks through the gateways in turn until enough answers came, or one did not.
    async fn ask(&self, lens: &str, as_of: Option<i64>) -> Seen {
        let as_of = as_of.map_or_else(String::new, |at| format!("&as_of={at}"));
        let path = format!("{}&lens={lens}{as_of}", self.path);
        let (mut times, mut most_mib) = (Vec::new(), 0.0_f64);
        for number in 0..self.calls {
            let target = number % self.gateways.len();
            let began = Instant::now();
            let mut connection = Connection::new(&self.gateways[target]);
            let call = connection.call(Call::get(target, path.clone()));
            tokio::pin!(call);
            let reply = loop {
                tokio::select! {
                    reply = &mut call => break reply,
                    () = tokio::time::sleep(LOOK) => most_mib = most_mib.max(self.resident()),
                }
            };
            let took = ms(began.elapsed());
            if let Some(refused) = refusal(reply) {
                return Seen {
                    ms: took,
                    most_mib,
                    refused: Some(refused),
                };
            }
            times.push(took);
        }
        Seen {
            ms: median(times),
            most_mib,
            refused: None,
        }
    }
}

/// Why a reply is no answer: status and code.
fn refusal(reply: Result<(u16, Bytes), String>) -> Option<String> {
    match reply {
        Ok((200, _)) => None,
        Ok((status, body)) => {
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let code = problem["code"].as_str().unwrap_or("no problem");
            Some(format!("{status} {code}"))
        }
        Err(why) => Some(why),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_large_subject_has_many_values_from_many_sources_at_times_of_their_own() {
        let real = values(&Claims::read()).unwrap();
        let lines = claims(&real, "bench:large", 0, 2 * VALUES);
        let records: Vec<_> = lines.iter().map(|line| parse(line).unwrap()).collect();
        let ids: BTreeSet<_> = records.iter().map(assertion::Record::id).collect();
        assert_eq!(ids.len(), lines.len());
        let claims = || records.iter().filter_map(assertion::Record::assertion);
        let uris: BTreeSet<_> = claims().map(|claim| &claim.source.uri).collect();
        assert_eq!(uris.len(), 2);
        assert!(claims().is_sorted_by_key(|claim| claim.asserted_at));
        assert_eq!(
            opinions::vote(&records[0], 0, 0).unwrap().topic().1,
            "bench:large"
        );
    }

    #[test]
    fn a_refusal_says_its_status_and_code() {
        let body = |text: &'static str| Bytes::from_static(text.as_bytes());
        assert_eq!(refusal(Ok((200, body("{}")))), None);
        let slow = Ok((503, body(r#"{"code":"too_slow"}"#)));
        assert_eq!(refusal(slow).as_deref(), Some("503 too_slow"));
        assert_eq!(refusal(Err("no reply".into())).as_deref(), Some("no reply"));
    }
}
