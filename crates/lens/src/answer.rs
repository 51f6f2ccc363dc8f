//! What a lens says, and its one JSON form.

use std::collections::BTreeMap;

use assertion::{Record, RecordId, SourceClass, write_number, write_string};

use crate::conflict::{Conflict, Share, Tally};
use crate::mixes::Mixes;
use crate::parameters::{Lens, Parameters};
use crate::strength::Ranked;

/// Ids and sources of a group, and epochs in cycles, that an answer lists; `ids_total`, `sources_total` and
/// `epoch_cycles_total` say how many there are.
pub const GROUP_LISTED: usize = 100;

/// Groups that an answer lists, heaviest first; `groups_total` says how many there are.
pub const GROUPS_LISTED: usize = 100;

/// No further group is listed once the answer is this long. One group adds at most 1.8 MiB (claim and value of 256 KiB each,
/// [`GROUP_LISTED`] uris of 12 KiB when every byte is escaped), so an answer fits into a gRPC message of 4 MiB.
const LISTED_BYTES: usize = 1024 * 1024;

/// Groups below this conflict score agree (protocol, section 5).
const AGREED_BELOW: f64 = 0.5;

/// The answer of a lens. Equal sets and parameters give equal bytes of [`Answer::to_json`].
#[derive(Debug, Clone)]
pub struct Answer {
    pub(crate) parameters: Parameters,
    /// The lens that picked.
    pub(crate) judge: Lens,
    pub(crate) winner: Option<Ranked>,
    pub(crate) candidates: usize,
    pub(crate) conflict: Conflict,
    /// Of the votes lens.
    pub(crate) tally: Option<Tally>,
    /// Of the layered lens: by class, which is by tier.
    pub(crate) layers: BTreeMap<SourceClass, Layer>,
    /// When the question does not name one subject and one predicate.
    pub(crate) mixes: Option<Mixes>,
    pub(crate) left_out: LeftOut,
    /// Of the epoch lens, ascending.
    pub(crate) epoch_cycles: Option<Vec<RecordId>>,
    pub(crate) set_digest: [u8; 32],
}

/// The claims of one tier.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) strongest: Ranked,
    pub(crate) candidates: usize,
}

/// Claims that were not considered, each by the first reason that applies.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LeftOut {
    /// By a filter of the question.
    pub(crate) filtered: u64,
    /// Rejected or deprecated, and not asked for.
    pub(crate) withdrawn: u64,
    /// Of a source that was retracted.
    pub(crate) retracted: u64,
    /// Of an epoch that another one superseded.
    pub(crate) superseded: u64,
}

/// How much the claims disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// One value.
    Unanimous,
    /// Several values, one of which outweighs the others (conflict score below 0.5).
    Agreed,
    /// No value outweighs the others.
    Contested,
}

impl Verdict {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Unanimous => "unanimous",
            Verdict::Agreed => "agreed",
            Verdict::Contested => "contested",
        }
    }
}

impl Answer {
    /// The claim that was picked; `None` when nothing matched, and for the skeptic.
    pub fn winner(&self) -> Option<Record> {
        // It was a record when it was weighed.
        self.picked()
            .and_then(|ranked| Record::from_stored(&ranked.canonical).ok())
    }

    fn picked(&self) -> Option<&Ranked> {
        match self.judge {
            Lens::Skeptic => None,
            _ => self.winner.as_ref(),
        }
    }

    /// Claims considered.
    pub fn candidates(&self) -> usize {
        self.candidates
    }

    /// Groups of values.
    pub fn groups(&self) -> usize {
        self.conflict.shares.len()
    }

    /// 0 (one value) to 1 (all weigh the same), 6 places.
    pub fn conflict_score(&self) -> f64 {
        six_places(self.conflict.score)
    }

    /// How much the claims disagree; `None` without claims.
    pub fn verdict(&self) -> Option<Verdict> {
        match self.conflict.shares.len() {
            0 => None,
            1 => Some(Verdict::Unanimous),
            _ if self.conflict_score() < AGREED_BELOW => Some(Verdict::Agreed),
            _ => Some(Verdict::Contested),
        }
    }

    /// BLAKE3 of the sorted ids of everything considered.
    pub fn set_digest(&self) -> [u8; 32] {
        self.set_digest
    }

    /// The `result` object.
    pub fn to_json(&self) -> Vec<u8> {
        // Room for the answer to a plain question with a short claim.
        let mut out = Vec::with_capacity(2048);
        out.extend_from_slice(b"{\"lens\":");
        write_string(&mut out, self.parameters.lens.name());
        out.extend_from_slice(b",\"parameters\":");
        self.parameters.write(&mut out);
        match self.judge {
            Lens::Skeptic => self.write_disagreement(&mut out),
            _ => self.write_winner(&mut out),
        }
        if let Some(mixes) = &self.mixes {
            mixes.write(&mut out);
        }
        self.left_out.write(&mut out);
        if let Some(cycles) = &self.epoch_cycles {
            write_epoch_cycles(&mut out, cycles);
        }
        out.extend_from_slice(b",\"set_digest\":\"");
        hex(&mut out, &self.set_digest);
        out.extend_from_slice(b"\"}");
        out
    }

    fn write_winner(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"winner\":");
        match self.picked() {
            Some(ranked) => {
                out.extend_from_slice(&ranked.public_json());
                out.extend_from_slice(b",\"value\":");
                ranked.write_value(out);
                out.extend_from_slice(b",\"confidence\":");
                write_number(out, self.shown(ranked.strength.confidence));
            }
            None => out.extend_from_slice(b"null,\"value\":null,\"confidence\":null"),
        }
        self.write_counts(out);
        out.extend_from_slice(b",\"groups\":");
        count(out, self.groups() as u64);
        if let Some(tally) = &self.tally {
            out.extend_from_slice(b",\"votes\":");
            count(out, tally.votes as u64);
            out.extend_from_slice(b",\"vote_share\":");
            match tally.share {
                Some(share) => write_number(out, six_places(share)),
                None => out.extend_from_slice(b"null"),
            }
        }
        if self.judge == Lens::Layered {
            self.write_layers(out);
        }
    }

    /// As it was stated; what decay left of it, to 6 places.
    fn shown(&self, confidence: f64) -> f64 {
        match self.parameters.options.decay {
            true => six_places(confidence),
            false => confidence,
        }
    }

    fn write_layers(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"layers\":[");
        for (position, (class, layer)) in self.layers.iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"tier\":");
            count(out, class.tier().into());
            out.extend_from_slice(b",\"class\":");
            write_string(out, class.name());
            out.extend_from_slice(b",\"winner\":");
            out.extend_from_slice(&layer.strongest.public_json());
            out.extend_from_slice(b",\"value\":");
            layer.strongest.write_value(out);
            out.extend_from_slice(b",\"candidates\":");
            count(out, layer.candidates as u64);
            out.push(b'}');
        }
        out.push(b']');
    }

    fn write_disagreement(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"verdict\":");
        match self.verdict() {
            Some(verdict) => write_string(out, verdict.name()),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"value\":");
        match self.conflict.shares.first() {
            Some(heaviest) => heaviest.group.strongest.write_value(out),
            None => out.extend_from_slice(b"null"),
        }
        self.write_counts(out);
        out.extend_from_slice(b",\"groups\":[");
        for (position, share) in self.conflict.shares.iter().take(GROUPS_LISTED).enumerate() {
            if out.len() > LISTED_BYTES {
                break;
            }
            if position > 0 {
                out.push(b',');
            }
            share.write(out);
        }
        out.extend_from_slice(b"],\"groups_total\":");
        count(out, self.groups() as u64);
    }

    fn write_counts(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"candidates\":");
        count(out, self.candidates as u64);
        out.extend_from_slice(b",\"conflict_score\":");
        write_number(out, self.conflict_score());
    }
}

impl Share {
    fn write(&self, out: &mut Vec<u8>) {
        let group = &self.group;
        out.extend_from_slice(b"{\"value\":");
        group.strongest.write_value(out);
        out.extend_from_slice(b",\"share\":");
        write_number(out, six_places(self.share));
        out.extend_from_slice(b",\"claims\":");
        count(out, group.claims as u64);
        out.extend_from_slice(b",\"sources\":");
        write_list(out, group.voices.keys().map(String::as_str));
        out.extend_from_slice(b",\"sources_total\":");
        count(out, group.voices.len() as u64);
        out.extend_from_slice(b",\"ids\":");
        write_ids(out, &group.ids);
        out.extend_from_slice(b",\"ids_total\":");
        count(out, group.claims as u64);
        out.extend_from_slice(b",\"strongest\":");
        out.extend_from_slice(&group.strongest.public_json());
        out.push(b'}');
    }
}

impl Mixes {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"mixes\":{\"predicates\":");
        count(out, self.predicates() as u64);
        out.extend_from_slice(b",\"subjects\":");
        count(out, self.subjects() as u64);
        out.push(b'}');
    }
}

impl LeftOut {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"left_out\":{\"withdrawn\":");
        count(out, self.withdrawn);
        out.extend_from_slice(b",\"superseded\":");
        count(out, self.superseded);
        out.extend_from_slice(b",\"retracted\":");
        count(out, self.retracted);
        out.extend_from_slice(b",\"filtered\":");
        count(out, self.filtered);
        out.push(b'}');
    }
}

fn write_epoch_cycles(out: &mut Vec<u8>, cycles: &[RecordId]) {
    out.extend_from_slice(b",\"epoch_cycles\":");
    write_ids(out, cycles);
    out.extend_from_slice(b",\"epoch_cycles_total\":");
    count(out, cycles.len() as u64);
}

/// The first [`GROUP_LISTED`] of them, which ascend.
fn write_ids(out: &mut Vec<u8>, ids: &[RecordId]) {
    out.push(b'[');
    for (position, id) in ids.iter().take(GROUP_LISTED).enumerate() {
        out.extend_from_slice(if position > 0 { b",\"" } else { b"\"" });
        hex(out, id.as_bytes());
        out.push(b'"');
    }
    out.push(b']');
}

fn hex(out: &mut Vec<u8>, hash: &[u8; 32]) {
    out.extend_from_slice(blake3::Hash::from_bytes(*hash).to_hex().as_bytes());
}

/// Decimal digits, without a string of their own: an answer has many numbers.
fn count(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len() - 1;
    while number > 9 {
        digits[first] += (number % 10) as u8;
        number /= 10;
        first -= 1;
    }
    digits[first] += number as u8;
    out.extend_from_slice(&digits[first..]);
}

/// The first [`GROUP_LISTED`] of them.
fn write_list<'a>(out: &mut Vec<u8>, texts: impl Iterator<Item = &'a str>) {
    out.push(b'[');
    for (position, text) in texts.take(GROUP_LISTED).enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_string(out, text);
    }
    out.push(b']');
}

fn six_places(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_as_they_are() {
        for number in [0, 9, 10, 100, 65_535, 1_000_000, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            count(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
