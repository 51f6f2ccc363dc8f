//! Reads: rows 13 and 21, and the questions that row 12 asks too.

use std::sync::Arc;

use crate::claims::Claims;
use crate::connection::{Call, Work, clients};
use crate::figures::{Percentiles, digits, each, median};
use crate::lab::{Lab, gateways};
use crate::load;
use crate::rows::Finding;
use crate::rows::lenses::lens;
use crate::rows::repair::rpc_ports;
use crate::say;
use crate::stores::{Stores, Straight};
use crate::wire;

/// Clients that take turns.
pub(super) const TAKING_TURNS: usize = 64;

/// Queries a second of row 13: few, so that nothing queues and the difference is the way alone.
const CALM_RATE: u32 = 200;

/// Clients of row 21, calls a second of all of them, and of how many calls one is a write.
const CROWD: usize = 500;
const CROWD_RATE: u32 = 1_000;
const WRITE_EVERY: u64 = 5;

/// Writes whose bytes are counted in row 21.
const COUNTED: usize = 2_000;

/// Asks about one subject and predicate after the other, through the gateways in turn or through an owner's.
pub(super) struct Questions {
    /// Path, and the gateway it goes to; none: in turn.
    paths: Vec<(String, Option<usize>)>,
    gateways: usize,
    /// None: all in turn.
    lens: Option<&'static str>,
}

impl Questions {
    pub(super) fn new(
        questions: &[(String, String)],
        gateways: usize,
        stores: Option<&Stores>,
    ) -> Questions {
        let path = |(subject, predicate): &(String, String)| {
            let owner = stores.and_then(|stores| stores.owners(subject).first().copied());
            (
                format!("/v1/query?subject={subject}&predicate={predicate}&lens="),
                owner,
            )
        };
        Questions {
            paths: questions.iter().map(path).collect(),
            gateways,
            lens: None,
        }
    }

    /// The same through one lens.
    pub(super) fn through(self, lens: &'static str) -> Questions {
        Questions {
            lens: Some(lens),
            ..self
        }
    }
}

impl Work for Questions {
    fn call(&self, n: u64) -> Call {
        let place = usize::try_from(n).unwrap_or(0);
        let (path, owner) = &self.paths[place % self.paths.len()];
        Call::get(
            owner.unwrap_or(place % self.gateways),
            format!("{path}{}", self.lens.unwrap_or_else(|| lens(n))),
        )
    }

    fn good(&self, status: u16, body: &[u8]) -> bool {
        let complete = b"\"complete\":true";
        status == 200
            && body
                .windows(complete.len())
                .any(|window| window == complete)
    }
}

/// Questions whose text needs no escape in a URL: all of the real ones.
pub(super) fn plain(claims: &Claims) -> Result<Vec<(String, String)>, String> {
    let plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b":_-.".contains(&b))
    };
    let mut questions = claims.questions()?;
    questions.retain(|(subject, predicate)| plain(subject) && plain(predicate));
    Ok(questions)
}

/// Row 13: the same questions at 200/s, through a gateway whose own node owns the subject, and straight at the owners' stores
/// over gRPC, run by run.
pub(super) async fn gateway(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.loaded().await?;
    let stores = Stores::of(&cluster).await?;
    let questions = plain(&lab.claims)?;
    let straight = Straight {
        stores: stores.clone(),
        questions: Arc::new(questions.clone()),
    };
    let targets = gateways(&cluster);
    let (mut through, mut direct, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..lab.runs {
        let work = Questions::new(&questions, targets.len(), Some(&stores));
        let seen = load::paced(clients(TAKING_TURNS, &targets, work), CALM_RATE, lab.length).await;
        notes.extend(seen.complaint());
        through.push(seen.percentiles());
        let seen = load::paced(vec![straight.clone(); TAKING_TURNS], CALM_RATE, lab.length).await;
        notes.extend(seen.complaint());
        direct.push(seen.percentiles());
    }
    let costs: Vec<f64> = through
        .iter()
        .zip(&direct)
        .map(|(through, direct)| through.p99 - direct.p99)
        .collect();
    let cost = median(costs.iter().copied());
    Ok(Finding {
        measured: format!(
            "{} ms; through the gateway {}",
            digits(cost),
            Percentiles::median(&through)
        ),
        runs: each(costs),
        beside: format!("straight at the store: {}", Percentiles::median(&direct)),
        ratio: None,
        holds: Some(notes.is_empty() && cost <= 1.0),
        notes,
    })
}

struct Crowd {
    questions: Questions,
    claims: Arc<Claims>,
}

impl Work for Crowd {
    fn call(&self, n: u64) -> Call {
        if !n.is_multiple_of(WRITE_EVERY) {
            return self.questions.call(n);
        }
        let target = usize::try_from(n).unwrap_or(0) % self.questions.gateways;
        Call::post(target, "/v1/assert", self.claims.fresh())
    }

    fn good(&self, status: u16, body: &[u8]) -> bool {
        status == 201 || self.questions.good(status, body)
    }
}

/// Row 21: 500 clients with a call in hand at all times, one call in five a write; then the same clients at 1,000 calls a
/// second. Then 2,000 writes through a gateway that owns them, and what went over the ports between nodes meanwhile.
pub(super) async fn crowd(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.loaded().await?;
    let questions = plain(&lab.claims)?;
    let targets = gateways(&cluster);
    let work = || Crowd {
        questions: Questions::new(&questions, targets.len(), None),
        claims: Arc::clone(&lab.claims),
    };
    let (mut full, mut rates, mut paced, mut notes) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..lab.runs {
        let seen = load::closed(clients(CROWD, &targets, work()), lab.length).await;
        say(&format!(
            "  closed: {}/s; {}",
            digits(seen.rate()),
            seen.percentiles()
        ));
        notes.extend(seen.complaint());
        full.push(seen.percentiles());
        rates.push(seen.rate());
        let seen = load::paced(clients(CROWD, &targets, work()), CROWD_RATE, lab.length).await;
        say(&format!("  at {CROWD_RATE}/s: {}", seen.percentiles()));
        notes.extend(seen.complaint());
        paced.push(seen.percentiles());
    }
    let middle = Percentiles::median(&full);
    let bytes = bytes_per_write(lab).await;
    let (measured, fits) = match &bytes {
        Ok((share, query)) => (
            format!(
                "between nodes {share:.2} × canonical per write, {} B per query",
                digits(*query)
            ),
            Some(*share <= 1.3),
        ),
        Err(why) => (why.clone(), None),
    };
    Ok(Finding {
        measured: format!(
            "{middle} at {}/s (all the machine gives); {} at {CROWD_RATE}/s; {measured}",
            digits(median(rates.iter().copied())),
            Percentiles::median(&paced)
        ),
        runs: format!("p99 {}", each(full.iter().map(|run| run.p99))),
        beside: String::new(),
        ratio: None,
        holds: fits.map(|fits| fits && middle.p99 < 100.0 && notes.is_empty()),
        notes,
    })
}

/// Bytes between nodes: per write as a multiple of the record, and per query, both at a gateway whose node owns the subject.
async fn bytes_per_write(lab: &mut Lab) -> Result<(f64, f64), String> {
    let cluster = lab.loaded().await?;
    let stores = Stores::of(&cluster).await?;
    lab.settle(&cluster).await?;
    let ports = rpc_ports(&cluster);
    let targets = gateways(&cluster);
    let mut connections: Vec<_> = targets
        .iter()
        .map(|target| crate::connection::Connection::new(target))
        .collect();
    let before = wire::bytes(&ports)?;
    let mut canonical = 0;
    for _ in 0..COUNTED {
        let claim = lab.claims.fresh_claim()?;
        let owner = stores
            .owners(claim.record.topic().1)
            .first()
            .copied()
            .unwrap_or(0);
        canonical += claim.record.canonical().len();
        let reply = connections[owner]
            .call(Call::post(owner, "/v1/assert", claim.line))
            .await?;
        if reply.0 != 201 {
            return Err(format!("{} {}", reply.0, String::from_utf8_lossy(&reply.1)));
        }
    }
    let written = wire::bytes(&ports)?.saturating_sub(before);
    let questions = Questions::new(&plain(&lab.claims)?, targets.len(), Some(&stores));
    let before = wire::bytes(&ports)?;
    for n in 0..COUNTED as u64 {
        let call = questions.call(n);
        let target = call.target;
        connections[target].call(call).await?;
    }
    let asked = wire::bytes(&ports)?.saturating_sub(before);
    Ok((
        written as f64 / canonical.max(1) as f64,
        asked as f64 / COUNTED as f64,
    ))
}
