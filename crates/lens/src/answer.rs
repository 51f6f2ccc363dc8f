//! What a lens says, and its one JSON form.

use assertion::{Record, RecordId, write_number, write_object, write_string};

use crate::claim::Claim;
use crate::group::Group;
use crate::parameters::{Lens, Parameters};

/// Ids and sources of a group that an answer lists; `ids_total` and `sources_total` say how many there are.
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
    pub(crate) winner: Option<Winner>,
    pub(crate) candidates: usize,
    pub(crate) conflict: Conflict,
    pub(crate) left_out: LeftOut,
    pub(crate) set_digest: [u8; 32],
}

/// The claim that a lens picked.
#[derive(Debug, Clone)]
pub(crate) struct Winner(pub(crate) Claim);

/// Claims that were not considered, by reason.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LeftOut {
    /// Rejected or deprecated, and not asked for.
    pub(crate) withdrawn: u64,
    /// By a filter of the question.
    pub(crate) filtered: u64,
}

/// The groups with their weights, heaviest first.
#[derive(Debug, Clone)]
pub(crate) struct Conflict {
    pub(crate) shares: Vec<Share>,
    pub(crate) score: f64,
}

/// A group and its part of the whole weight.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub(crate) group: Group,
    pub(crate) weight: f64,
    pub(crate) share: f64,
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
    pub fn winner(&self) -> Option<&Record> {
        self.claim().map(Claim::record)
    }

    fn claim(&self) -> Option<&Claim> {
        match self.parameters.lens {
            Lens::Skeptic => None,
            _ => self.winner.as_ref().map(|Winner(claim)| claim),
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

    /// BLAKE3 of the sorted ids of every claim considered.
    pub fn set_digest(&self) -> [u8; 32] {
        self.set_digest
    }

    /// The `result` object.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(b"{\"lens\":");
        write_string(&mut out, self.parameters.lens.name());
        out.extend_from_slice(b",\"parameters\":");
        self.parameters.write(&mut out);
        match self.parameters.lens {
            Lens::Skeptic => self.write_disagreement(&mut out),
            _ => self.write_winner(&mut out),
        }
        out.extend_from_slice(b",\"left_out\":{\"withdrawn\":");
        count(&mut out, self.left_out.withdrawn);
        out.extend_from_slice(b",\"superseded\":0,\"filtered\":");
        count(&mut out, self.left_out.filtered);
        out.extend_from_slice(b"},\"set_digest\":\"");
        out.extend_from_slice(RecordId::from_bytes(self.set_digest).to_string().as_bytes());
        out.extend_from_slice(b"\"}");
        out
    }

    fn write_winner(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"winner\":");
        match self.claim() {
            Some(record) => {
                out.extend_from_slice(&record.public_json());
                out.extend_from_slice(b",\"value\":");
                write_object(out, &record.said().object);
                out.extend_from_slice(b",\"confidence\":");
                write_number(out, record.said().confidence);
            }
            None => out.extend_from_slice(b"null,\"value\":null,\"confidence\":null"),
        }
        self.write_counts(out);
        out.extend_from_slice(b",\"groups\":");
        count(out, self.groups() as u64);
    }

    fn write_disagreement(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"verdict\":");
        match self.verdict() {
            Some(verdict) => write_string(out, verdict.name()),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"value\":");
        match self.conflict.shares.first() {
            Some(heaviest) => write_object(out, &heaviest.group.strongest.said().object),
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
        write_object(out, &group.strongest.said().object);
        out.extend_from_slice(b",\"share\":");
        write_number(out, six_places(self.share));
        out.extend_from_slice(b",\"claims\":");
        count(out, group.ids.len() as u64);
        out.extend_from_slice(b",\"sources\":");
        write_list(out, group.voices.keys().map(String::as_str));
        out.extend_from_slice(b",\"sources_total\":");
        count(out, group.voices.len() as u64);
        let mut ids = group.ids.clone();
        ids.sort_unstable();
        let shown: Vec<String> = ids
            .iter()
            .take(GROUP_LISTED)
            .map(RecordId::to_string)
            .collect();
        out.extend_from_slice(b",\"ids\":");
        write_list(out, shown.iter().map(String::as_str));
        out.extend_from_slice(b",\"ids_total\":");
        count(out, ids.len() as u64);
        out.extend_from_slice(b",\"strongest\":");
        out.extend_from_slice(&group.strongest.public_json());
        out.push(b'}');
    }
}

fn count(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(number.to_string().as_bytes());
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
