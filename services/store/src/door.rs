//! Whose calls are taken: those of the own cluster, and those that are meant for this node.

use std::sync::{Arc, PoisonError, RwLock};

use tonic::{Request, Status};

use crate::error::CallError;
use crate::grpc::status;

/// The node and the cluster that a store belongs to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Belonging {
    node: Arc<str>,
    cluster: Arc<RwLock<Option<Arc<str>>>>,
}

/// One of the two listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Callers must name the cluster.
    Peers,
    /// The node's own services may leave it out.
    Own,
}

impl Belonging {
    /// As the configuration and the database say.
    pub fn new(node: &str, cluster_id: Option<String>) -> Belonging {
        Belonging {
            node: node.into(),
            cluster: Arc::new(RwLock::new(cluster_id.map(Arc::from))),
        }
    }

    /// The adopted cluster.
    pub fn adopted(&self) -> Option<Arc<str>> {
        self.cluster
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Adopts a cluster, for all clones.
    pub fn adopt(&self, cluster_id: &str) {
        *self.cluster.write().unwrap_or_else(PoisonError::into_inner) = Some(cluster_id.into());
    }

    /// Lets a call in. Addresses move between nodes: a caller that says which node it means must have found it, or one disk
    /// would count as two copies.
    ///
    /// # Errors
    /// FAILED_PRECONDITION with both names.
    pub fn admit(&self, request: Request<()>, door: Door) -> Result<Request<()>, Status> {
        let said = |key| {
            let value = request.metadata().get(key);
            value.map(|value| value.to_str().unwrap_or("(not a text)").to_owned())
        };
        let named = said(proto::CLUSTER_ID_HEADER);
        let adopted = self.adopted();
        let same = match (&named, &adopted) {
            (None, _) => door == Door::Own,
            (Some(named), Some(adopted)) => **named == **adopted,
            (Some(_), None) => false,
        };
        if !same {
            let named = named.as_deref().unwrap_or("none");
            let adopted = adopted.as_deref().unwrap_or("none yet");
            return Err(status(CallError::WrongCluster(format!(
                "this store belongs to cluster {adopted}, the caller says {named}"
            ))));
        }
        match said(proto::NODE_HEADER) {
            Some(meant) if *meant != *self.node => Err(status(CallError::WrongNode {
                meant,
                node: self.node.to_string(),
            })),
            _ => Ok(request),
        }
    }
}
