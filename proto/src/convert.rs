//! Wire types to domain types and back. What comes from outside is checked here, once.

use std::fmt;

use assertion::RecordId;
use bytes::Bytes;
use lens::{Lens, Options, Parameters, Selection};
use merkle::{Below, BelowKind, Grain, Path, Salt, ShortId};
use shard::proof::{Proof, Report};

use crate::v1;

/// A message that means nothing: what is wrong with which field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct WireError {
    /// The field, as in the proto file.
    pub field: &'static str,
    /// What is wrong and what is accepted.
    pub problem: String,
}

impl WireError {
    /// A fault of a field.
    pub fn new(field: &'static str, problem: impl fmt::Display) -> WireError {
        WireError {
            field,
            problem: problem.to_string(),
        }
    }
}

impl From<WireError> for tonic::Status {
    fn from(error: WireError) -> tonic::Status {
        tonic::Status::invalid_argument(error.to_string())
    }
}

/// A 32-byte id.
pub fn record_id(bytes: &[u8]) -> Result<RecordId, WireError> {
    fixed("id", bytes).map(RecordId::from_bytes)
}

/// The salt of a session.
pub fn salt(bytes: &[u8]) -> Result<Salt, WireError> {
    fixed("salt", bytes)
}

/// Short ids, concatenated.
pub fn short_ids(bytes: &[u8]) -> Result<&[ShortId], WireError> {
    match bytes.as_chunks() {
        (ids, []) => Ok(ids),
        _ => Err(WireError::new("short_ids", "are not a multiple of 8 bytes")),
    }
}

/// So many bytes as an array.
pub fn fixed<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], WireError> {
    <[u8; N]>::try_from(bytes)
        .map_err(|_| WireError::new(field, format_args!("has {} bytes, not {N}", bytes.len())))
}

/// Ascending shards as runs.
pub fn shard_ranges<'a>(shards: impl IntoIterator<Item = &'a u32>) -> Vec<v1::ShardRange> {
    shard::compress(shards.into_iter().copied())
        .into_iter()
        .map(|run| v1::ShardRange {
            first: run.first,
            last: run.last,
        })
        .collect()
}

/// Runs as ascending shards. The global shard, number `num_shards`, is the last there is.
pub fn shards(ranges: &[v1::ShardRange], num_shards: u32) -> Result<Vec<u32>, WireError> {
    let runs = ranges.iter().map(|range| shard::ShardRange {
        first: range.first,
        last: range.last,
    });
    shard::expand(runs, num_shards).ok_or_else(|| {
        let problem = format!("are not ascending runs of shards up to {num_shards}");
        WireError::new("shards", problem)
    })
}

/// Shards as the bits of a `CompareRequest`.
pub fn shard_bits<'a>(shards: impl IntoIterator<Item = &'a u32>) -> Bytes {
    let mut bits = Vec::new();
    for shard in shards {
        let byte = (shard / 8) as usize;
        if bits.len() <= byte {
            bits.resize(byte + 1, 0);
        }
        bits[byte] |= 1 << (shard % 8);
    }
    Bytes::from(bits)
}

/// The shards of a `CompareRequest`, ascending. The global shard, number `num_shards`, is the last there is.
pub fn shards_of_bits(bits: &[u8], num_shards: u32) -> Result<Vec<u32>, WireError> {
    let is_set = |shard: &u32| {
        let byte = bits.get((shard / 8) as usize);
        byte.is_some_and(|byte| byte & (1 << (shard % 8)) != 0)
    };
    let shards: Vec<u32> = (0..=num_shards).filter(is_set).collect();
    if shard_bits(&shards) == bits {
        return Ok(shards);
    }
    let problem = format!("are not bits of shards up to {num_shards}");
    Err(WireError::new("shards", problem))
}

/// The filters of a question, for a store.
pub fn selection_to_wire(selection: &Selection) -> v1::Selection {
    let names = |names: Vec<&'static str>| names.into_iter().map(str::to_owned).collect();
    v1::Selection {
        subject: selection.subject.clone(),
        subject_prefix: selection.subject_prefix.clone(),
        predicate: selection.predicate.clone(),
        source: selection.source.clone(),
        classes: names(selection.classes.iter().map(|class| class.name()).collect()),
        lifecycles: names(
            selection
                .lifecycles
                .iter()
                .map(|state| state.name())
                .collect(),
        ),
        min_confidence: selection.min_confidence,
        as_of_ms: selection.as_of,
        epoch: selection.epoch.clone(),
    }
}

/// The filters of a question, from a gateway.
pub fn selection(selection: v1::Selection) -> Result<Selection, WireError> {
    Ok(Selection {
        subject: selection.subject,
        subject_prefix: selection.subject_prefix,
        predicate: selection.predicate,
        source: selection.source,
        classes: parsed("classes", &selection.classes)?,
        lifecycles: parsed("lifecycles", &selection.lifecycles)?,
        min_confidence: selection.min_confidence,
        as_of: selection.as_of_ms,
        epoch: selection.epoch,
    })
}

fn parsed<T: std::str::FromStr<Err: fmt::Display>>(
    field: &'static str,
    names: &[String],
) -> Result<Vec<T>, WireError> {
    let parse = |name: &String| name.parse().map_err(|error| WireError::new(field, error));
    names.iter().map(parse).collect()
}

/// A lens and its parameters, for a store; the selection goes beside it.
pub fn lens_call(parameters: &Parameters) -> v1::LensCall {
    let options = parameters.options();
    v1::LensCall {
        name: parameters.lens().name().to_owned(),
        tolerance: options.tolerance,
        decay: options.decay,
        evaluated_at_ms: options.evaluated_at,
        inner: options.inner.map(|lens| lens.name().to_owned()),
    }
}

/// A lens with everything that decides its answer, from a gateway.
pub fn parameters(call: &v1::LensCall, of: v1::Selection) -> Result<Parameters, WireError> {
    let named = |name: &str| -> Result<Lens, WireError> {
        name.parse().map_err(|error| WireError::new("lens", error))
    };
    let options = Options {
        tolerance: call.tolerance,
        decay: call.decay,
        evaluated_at: call.evaluated_at_ms,
        inner: call.inner.as_deref().map(named).transpose()?,
    };
    Parameters::new(named(&call.name)?, options, selection(of)?)
        .map_err(|error| WireError::new("lens", error))
}

/// What repair tells the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Proofs, and whom they are judged against.
    pub report: Report,
    /// When the view behind it was shown last, in boot milliseconds.
    pub shown_at: u64,
    /// Incarnation and version of that view.
    pub view: (u64, u64),
    /// This node is leaving for good.
    pub leaving: bool,
}

/// What repair knows, from the own antientropy.
pub fn report(report: v1::ReportProofsRequest, num_shards: u32) -> Result<Told, WireError> {
    let owned = shards(&report.owned, num_shards)?;
    let proof = |proof: v1::PeerProof| {
        Ok(Proof {
            shards: shards(&proof.shards, num_shards)?,
            peer: proof.peer,
            proved_at: proof.proved_at_boot_ms,
            peer_absent: proof.peer_counts_as_absent,
        })
    };
    let shown_at = report.view_shown_at_boot_ms;
    let view = (report.view_incarnation, report.view_version);
    let leaving = report.leaving;
    let report = Report {
        node: report.node,
        known: report.known.into_iter().collect(),
        replication_factor: report.replication_factor,
        counted: report.counted_replication_factor,
        owned,
        proofs: report
            .proofs
            .into_iter()
            .map(proof)
            .collect::<Result<_, WireError>>()?,
    };
    Ok(Told {
        report,
        shown_at,
        view,
        leaving,
    })
}

/// Ids of a message: 32 bytes each, concatenated.
///
/// # Errors
/// When there are more than `most`, or a part of one.
pub fn ids(bytes: &[u8], most: usize) -> Result<Vec<merkle::Id>, WireError> {
    let (ids, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        let problem = format!("have {} bytes, not a multiple of 32", bytes.len());
        return Err(WireError::new("ids", problem));
    }
    if ids.len() > most {
        let problem = format!("are {}, send at most {most}", ids.len());
        return Err(WireError::new("ids", problem));
    }
    Ok(ids.to_vec())
}

/// A place in a shard's tree.
pub fn tree_node(shard: u32, path: &Path) -> v1::TreeNode {
    v1::TreeNode {
        shard,
        depth: u32::from(path.depth()),
        prefix: Bytes::copy_from_slice(path.packed()),
    }
}

/// How each of so many nodes is to show its leaves.
pub fn grains(bits: &[u8], nodes: usize) -> impl Iterator<Item = Grain> {
    (0..nodes).map(|node| {
        let byte = bits.get(node / 8).copied().unwrap_or(0);
        match byte >> (node % 8) & 1 {
            1 => Grain::Ids,
            _ => Grain::Digests,
        }
    })
}

/// The same as messages carry it.
pub fn grain_bits(grains: &[Grain]) -> Bytes {
    let mut bits = vec![0_u8; grains.len().div_ceil(8)];
    for (node, _) in (0..).zip(grains).filter(|(_, grain)| **grain == Grain::Ids) {
        let node: usize = node;
        bits[node / 8] |= 1 << (node % 8);
    }
    while bits.last() == Some(&0) {
        bits.pop();
    }
    Bytes::from(bits)
}

/// A place in a shard's tree, from outside. The shard is for the caller to check.
pub fn path(node: &v1::TreeNode) -> Result<Path, WireError> {
    Path::new(node.depth, &node.prefix).ok_or_else(|| {
        let problem = "depth is not 0 to 64 with a prefix of as many hex digits";
        WireError::new("node", problem)
    })
}

/// What a tree shows below the asked node with this index.
pub fn described(asked: u32, shard: u32, below: Below) -> v1::DescendedNode {
    let node = Some(tree_node(shard, &below.path));
    let bare = v1::DescendedNode {
        asked,
        node,
        ..v1::DescendedNode::default()
    };
    match below.kind {
        BelowKind::Inner { slots, digests } => v1::DescendedNode {
            child_digests: Bytes::from(digests.concat()),
            child_slots: u32::from(slots),
            ..bare
        },
        BelowKind::Leaf { short_ids } => v1::DescendedNode {
            short_ids: Bytes::from(short_ids.concat()),
            leaf: true,
            ..bare
        },
    }
}

/// The same from outside: index of the asked node, shard, and what is there.
pub fn below(node: v1::DescendedNode) -> Result<(u32, u32, Below), WireError> {
    let place = node
        .node
        .as_ref()
        .ok_or_else(|| WireError::new("node", "is missing"))?;
    let path = path(place)?;
    let kind = if node.leaf {
        BelowKind::Leaf {
            short_ids: short_ids(&node.short_ids)?.to_vec(),
        }
    } else {
        let slots = u16::try_from(node.child_slots)
            .map_err(|_| WireError::new("child_slots", "has more than 16 bits"))?;
        let (digests, rest) = node.child_digests.as_chunks();
        if !rest.is_empty() || digests.len() != slots.count_ones() as usize {
            return Err(WireError::new(
                "child_digests",
                "are not 8 bytes for each child slot",
            ));
        }
        BelowKind::Inner {
            slots,
            digests: digests.to_vec(),
        }
    };
    Ok((node.asked, place.shard, Below { path, kind }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grains_go_there_and_back_as_bits() {
        let ids = [0, 7, 8, 20];
        let grain = |node| match ids.contains(&node) {
            true => Grain::Ids,
            false => Grain::Digests,
        };
        let all: Vec<Grain> = (0..30).map(grain).collect();
        let bits = grain_bits(&all);
        assert_eq!(bits[..], [0b1000_0001, 1, 0b1_0000]);
        assert_eq!(grains(&bits, 30).collect::<Vec<_>>(), all);
        assert!(grain_bits(&[Grain::Digests; 9]).is_empty());
    }

    #[test]
    fn shards_go_there_and_back_as_runs() {
        let owned = [0, 1, 2, 7, 256];
        let runs = shard_ranges(&owned);
        assert_eq!(runs.len(), 3);
        assert_eq!(shards(&runs, 256).unwrap(), owned);
        assert!(shards(&runs, 255).is_err(), "a shard beyond the global one");
    }

    #[test]
    fn shards_go_there_and_back_as_bits() {
        let owned = [0, 1, 2, 7, 8, 255, 256];
        let bits = shard_bits(&owned);
        assert_eq!(bits.len(), 33);
        assert_eq!(shards_of_bits(&bits, 256).unwrap(), owned);
        assert!(shards_of_bits(&bits, 255).is_err(), "beyond the global one");
        assert!(
            shards_of_bits(&[1, 0], 256).is_err(),
            "a zero byte too many"
        );
        assert!(shards_of_bits(&[], 256).unwrap().is_empty());
    }

    #[test]
    fn questions_go_there_and_back() {
        let asked = Selection {
            subject: Some("cas:7732-18-5".into()),
            classes: vec!["expert".parse().unwrap()],
            lifecycles: vec!["approved".parse().unwrap()],
            min_confidence: Some(0.5),
            as_of: Some(-5),
            ..Selection::default()
        };
        let options = Options {
            tolerance: Some(0.001),
            decay: true,
            evaluated_at: Some(7),
            inner: Some(Lens::Skeptic),
        };
        let parameters = Parameters::new(Lens::Epoch, options, asked).unwrap();
        let call = lens_call(&parameters);
        let back = super::parameters(&call, selection_to_wire(parameters.selection())).unwrap();
        assert_eq!(back, parameters);
        for (name, inner) in [("oracle", None), ("epoch", Some("oracle"))] {
            let unknown = v1::LensCall {
                name: name.into(),
                inner: inner.map(str::to_owned),
                ..v1::LensCall::default()
            };
            assert!(super::parameters(&unknown, v1::Selection::default()).is_err());
        }
    }

    #[test]
    fn what_a_tree_shows_goes_there_and_back() {
        let tree: merkle::Tree = (0..2_000_u32)
            .map(|number| *RecordId::of(&number.to_be_bytes()).as_bytes())
            .collect();
        for below in tree.describe(&Path::ROOT, &[3; 16], Grain::Digests, usize::MAX) {
            let sent = described(4, 9, below.clone());
            assert_eq!(super::below(sent).unwrap(), (4, 9, below));
        }
        let broken = v1::DescendedNode {
            node: Some(tree_node(1, &Path::ROOT)),
            child_slots: 3,
            child_digests: Bytes::from_static(&[0; 8]),
            ..v1::DescendedNode::default()
        };
        assert!(super::below(broken).is_err());
    }
}
