//! Who may be a member: the door that keeps another cluster's nodes out, with both values in the answer.

use crate::book::valid_name;
use crate::metadata::{ClusterId, Metadata};
use crate::swim::Peer;

/// What a peer has to fulfil.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirements {
    /// Shards of the cluster.
    pub num_shards: u32,
    /// The cluster, once this node belongs to one: a node without takes anybody of its name and number of shards.
    pub cluster_id: Option<ClusterId>,
}

/// Checks one member's description.
///
/// # Errors
/// A sentence for people that names both values and what to do.
pub fn admit(
    requirements: &Requirements,
    name: &str,
    incarnation: u64,
    metadata: &Metadata,
) -> Result<(), String> {
    if metadata.num_shards != requirements.num_shards {
        return Err(format!(
            "{name} has num_shards {}, this cluster has {}: set STEMEDB_NUM_SHARDS={} there, with an empty data directory",
            metadata.num_shards, requirements.num_shards, requirements.num_shards
        ));
    }
    if let (Some(theirs), Some(ours)) = (metadata.cluster_id, requirements.cluster_id)
        && theirs != ours
    {
        return Err(format!(
            "{name} belongs to cluster {theirs}, this node to cluster {ours}: correct the seeds, or start one of the two \
             with an empty data directory"
        ));
    }
    if metadata.incarnation != incarnation || metadata.node_id != shard::node_id(name) {
        return Err(format!(
            "{name} describes itself under another name or incarnation"
        ));
    }
    Ok(())
}

/// Checks a peer as SWIM has it, and reads its description.
///
/// # Errors
/// As [`admit`]; and for names and descriptions that cannot be read.
pub fn admit_peer(requirements: &Requirements, peer: &Peer) -> Result<Metadata, String> {
    if !valid_name(&peer.name) {
        return Err(format!(
            "a member at {} has a name that is not one",
            peer.address
        ));
    }
    let metadata = Metadata::decode(&peer.metadata)
        .map_err(|fault| format!("{} at {}: {fault}", peer.name, peer.address))?;
    admit(requirements, &peer.name, peer.incarnation, &metadata)
        .map_err(|reason| format!("{reason} ({})", peer.address))?;
    if peer.kept_out {
        return Err(format!("{} at {} was kept out", peer.name, peer.address));
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{CLUSTER, OTHER_CLUSTER, metadata, peer};

    fn requirements() -> Requirements {
        Requirements {
            num_shards: 256,
            cluster_id: Some(CLUSTER),
        }
    }

    #[test]
    fn a_refusal_names_both_values() {
        let mut other_shards = metadata("node2", 5);
        other_shards.num_shards = 128;
        let reason = admit(&requirements(), "node2", 5, &other_shards).unwrap_err();
        assert!(reason.contains("128") && reason.contains("256"), "{reason}");

        let mut other_cluster = metadata("node2", 5);
        other_cluster.cluster_id = Some(OTHER_CLUSTER);
        let reason = admit(&requirements(), "node2", 5, &other_cluster).unwrap_err();
        assert!(
            reason.contains(&CLUSTER.to_string()) && reason.contains(&OTHER_CLUSTER.to_string()),
            "{reason}"
        );
    }

    #[test]
    fn a_member_without_a_cluster_is_taken_and_a_node_without_one_takes_any() {
        assert_eq!(
            admit(&requirements(), "node2", 5, &metadata("node2", 5)),
            Ok(())
        );
        let mut other = metadata("node2", 5);
        other.cluster_id = Some(OTHER_CLUSTER);
        let open = Requirements {
            cluster_id: None,
            ..requirements()
        };
        assert_eq!(admit(&open, "node2", 5, &other), Ok(()));
    }

    #[test]
    fn a_description_under_another_name_or_incarnation_is_refused() {
        assert!(admit(&requirements(), "node3", 5, &metadata("node2", 5)).is_err());
        assert!(admit(&requirements(), "node2", 6, &metadata("node2", 5)).is_err());
        let mut unreadable = peer("node2", 5, true);
        unreadable.metadata = vec![1, 2, 3];
        assert!(admit_peer(&requirements(), &unreadable).is_err());
        let mut unnamed = peer("node2", 5, true);
        unnamed.name = "no de".into();
        assert!(admit_peer(&requirements(), &unnamed).is_err());
    }
}
