//! Which nodes hold records, and since when: nothing may have moved when the cluster only went and came back.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use serde_json::Value;

use crate::client::Client;
use crate::history::{self, Line};
use crate::lab::Gateway;
use crate::run::{PATIENCE, Run, SCENARIO};

/// Records that are looked at: several of each of the workload's 64 subjects.
const LOOKED_AT: usize = 256;

/// Questions that are open at a time.
const OPEN: usize = 8;

/// Nodes that hold a record, and when it came to each of them.
type Copies = BTreeSet<(String, i64)>;

/// Where records lie.
#[derive(Debug)]
pub(super) struct Placed(BTreeMap<String, Copies>);

impl Placed {
    /// Looks where the first acknowledged records lie. The cluster has to be whole.
    pub(super) async fn now(run: &Run) -> Result<Placed, String> {
        let lines = history::read(run.written())?;
        let acknowledged = lines.into_iter().filter_map(|line| match line {
            Line::Write(write) if write.acknowledged() => Some(write.id),
            _ => None,
        });
        Placed::of(run, acknowledged.take(LOOKED_AT)).await
    }

    async fn of(run: &Run, ids: impl Iterator<Item = String>) -> Result<Placed, String> {
        let (client, gateway) = (Client::new(SCENARIO, PATIENCE), run.gateway(1));
        let looked_at = ids.map(|id| copies(&client, &gateway, id));
        let mut found = futures::stream::iter(looked_at).buffer_unordered(OPEN);
        let mut placed = BTreeMap::new();
        while let Some(found) = found.next().await {
            let (id, copies) = found?;
            placed.insert(id, copies);
        }
        Ok(Placed(placed))
    }

    /// Complains when one of these records lies elsewhere now, or was copied again.
    pub(super) async fn unmoved(&self, run: &mut Run) -> Result<(), String> {
        let now = Placed::of(run, self.0.keys().cloned()).await?;
        let moved: Vec<_> = self
            .0
            .iter()
            .filter(|(id, copies)| now.0.get(*id) != Some(copies))
            .collect();
        crate::say(&format!(
            "  {} of {} records have moved",
            moved.len(),
            self.0.len()
        ));
        if let Some((id, copies)) = moved.first() {
            let (some, all) = (moved.len(), self.0.len());
            let copies_now = now.0.get(*id);
            run.complaints.push(format!(
                "{some} of {all} records moved: {id} was at {copies:?}, is at {copies_now:?}"
            ));
        }
        if self.0.is_empty() {
            run.complaints.push("no record that could move".to_owned());
        }
        Ok(())
    }
}

async fn copies(
    client: &Client,
    gateway: &Gateway,
    id: String,
) -> Result<(String, Copies), String> {
    let said = client.replicas(std::slice::from_ref(gateway), &id).await?;
    let said = said.unwrap_or_default();
    let replicas = said["replicas"].as_array().into_iter().flatten();
    let copy = |replica: &Value| {
        let node = replica["node"].as_str()?.to_owned();
        Some((node, replica["received_at"].as_i64()?))
    };
    Ok((id, replicas.filter_map(copy).collect()))
}
