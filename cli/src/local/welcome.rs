//! What a fresh cluster is greeted with: a demo set of real measurements that contradict each other, and what to try.

use std::path::Path;
use std::time::Duration;

use super::cluster::Node;
use super::plan::NodePlan;
use crate::client::{Client, GatewayUrl};
use crate::connection::LOCAL_CLUSTER;
use crate::failure::Failure;
use crate::import;
use crate::output;

/// Published measurements of the Hubble constant and of the neutron's lifetime, chosen because they famously disagree.
const DEMO: &str = include_str!("../../demo/claims.ndjson");

/// A ready cluster takes a dozen claims in milliseconds.
const DEMO_PATIENCE: Duration = Duration::from_secs(30);

/// Loads the demo set through all gateways.
pub(crate) async fn load_demo(nodes: &[Node]) -> Result<(), Failure> {
    let client = client(nodes)?;
    // The claims carry their dates of publication: nothing is stamped.
    let loaded = import::load(client, DEMO, 0, DEMO_PATIENCE).await?;
    output::note(format!(
        "loaded {loaded} published measurements that disagree (stemedb up --no-demo leaves them out)"
    ));
    Ok(())
}

fn client(nodes: &[Node]) -> Result<Client, Failure> {
    let gateways: Vec<GatewayUrl> = nodes
        .iter()
        .map(|node| node.plan.api().parse().map_err(Failure::Usage))
        .collect::<Result<_, _>>()?;
    let key = std::env::var("STEMEDB_API_KEY").ok();
    Client::new(gateways, key.as_deref(), DEMO_PATIENCE)
}

/// Whether there is something to ask about: an earlier start may have left the demo set out.
pub(crate) async fn has_demo(nodes: &[Node]) -> bool {
    let Ok(client) = client(nodes) else {
        return false;
    };
    let said = client.get_json("/v1/query?subject=constant%3Ahubble&limit=1");
    said.await
        .is_ok_and(|said| said["result"]["records"][0].is_object())
}

/// Says that the cluster is ready, where it is and what to try.
pub(crate) fn print(nodes: &[Node], data_dir: &Path, took: Duration, has_demo: bool) {
    output::line(format!(
        "\nready: {}, {} processes, {}\n",
        output::count(nodes.len() as u64, "node"),
        nodes.len() * 4,
        output::seconds(took.as_secs_f64())
    ));
    let mut table = output::table(["NODE", "API", "CLUSTER AND ADMIN", "LOGS"]);
    for node in nodes {
        table.add_row([
            node.plan.name.clone(),
            format!("http://{}", node.plan.api()),
            format!("http://{}", node.plan.admin()),
            shown(&node.plan.directory().join("log")),
        ]);
    }
    output::print(&table);
    output::line("\ntry, in another terminal:");
    let plans: Vec<&NodePlan> = nodes.iter().map(|node| &node.plan).collect();
    for command in commands(&plans, data_dir, has_demo) {
        output::line(format!("  {command}"));
    }
    output::line("\nCtrl-C ends all of it; the data stays.");
}

/// What a command for the cluster in a directory has to say of it: nothing, where it would look by itself.
pub(crate) fn directory_flag(data_dir: &Path) -> String {
    match shown(data_dir) {
        known if known == super::DATA_DIR => String::new(),
        other => format!(" --data-dir {other}"),
    }
}

/// Paths below the current directory are shown as a person would type them.
pub(crate) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let relative = here
        .as_deref()
        .and_then(|here| path.strip_prefix(here).ok());
    relative.unwrap_or(path).display().to_string()
}

/// Commands that work as printed, wherever the cluster listens and however this program was started.
fn commands(nodes: &[&NodePlan], data_dir: &Path, has_demo: bool) -> Vec<String> {
    let program = std::env::current_exe().map_or("stemedb".to_owned(), |path| shown(&path));
    let directory = directory_flag(data_dir);
    let victim = nodes.last().map_or("node1", |node| node.name.as_str());
    let mut commands = Vec::new();
    commands.extend(elsewhere(nodes));
    let claim = format!(
        "{program} assert constant:hubble h0_km_s_mpc 70 --source https://example.org/my-telescope --class anecdotal"
    );
    let ask = format!("{program} query constant:hubble h0_km_s_mpc --lens");
    match has_demo {
        true => commands.extend([
            format!("{ask} authority"),
            format!("{ask} skeptic --tolerance 0.02"),
            claim,
        ]),
        // What is asked about has to be said first.
        false => commands.extend([claim, format!("{ask} authority")]),
    }
    commands.extend([
        format!("{program} local kill {victim}{directory}"),
        format!("{program} import bench/data/chem-claims.ndjson.gz"),
    ]);
    commands
}

/// Where the commands find the cluster, when it is not where they look by themselves.
fn elsewhere(nodes: &[&NodePlan]) -> Option<String> {
    let urls: Vec<String> = nodes
        .iter()
        .map(|node| format!("http://{}", node.admin()))
        .collect();
    let first: GatewayUrl = urls.first()?.parse().ok()?;
    let known = LOCAL_CLUSTER.contains(&first.to_string().as_str());
    (!known).then(|| format!("export STEMEDB_URL={}", urls.join(",")))
}

#[cfg(test)]
mod tests {
    use sidecar::settings::PORT_API;

    use super::*;
    use crate::local::DATA_DIR;

    #[test]
    fn commands_name_the_directory_where_it_is_not_the_usual_one() {
        let here = std::env::current_dir().unwrap();
        for usual in [Path::new(DATA_DIR), &here.join(DATA_DIR)] {
            assert_eq!(directory_flag(usual), "");
        }
        assert_eq!(directory_flag(&here.join("five")), " --data-dir five");
        assert_eq!(directory_flag(Path::new("/srv/x")), " --data-dir /srv/x");
    }

    #[test]
    fn the_demo_set_holds_records_that_disagree() {
        let now = crate::dates::now_ms();
        let mut values = std::collections::BTreeSet::new();
        let mut ids = std::collections::BTreeSet::new();
        for line in DEMO.lines() {
            let record = assertion::Record::from_client_json(line.as_bytes(), now)
                .unwrap_or_else(|fault| panic!("{line}: {fault}"));
            assert!(
                line.contains("\"asserted_at\"") && line.contains("\"note\""),
                "{line}"
            );
            assert!(ids.insert(record.id()), "twice: {line}");
            let claim = record.assertion().expect("a claim");
            values.insert(format!("{} {:?}", claim.subject, claim.object));
        }
        assert!(values.len() > 8, "{values:#?}");
    }

    #[test]
    fn commands_say_where_the_cluster_is_when_it_is_somewhere_else() {
        let node = NodePlan::new(1, 28_180, Path::new("five")).unwrap();
        let commands = commands(&[&node], Path::new("five"), true);
        assert_eq!(commands[0], "export STEMEDB_URL=http://127.0.0.1:28181");
        assert!(
            commands[4].ends_with("local kill node1 --data-dir five"),
            "{commands:?}"
        );
        let node = NodePlan::new(1, PORT_API, Path::new("")).unwrap();
        let at_home = Path::new(DATA_DIR);
        assert_eq!(super::commands(&[&node], at_home, true).len(), 5);
        let empty = super::commands(&[&node], at_home, false);
        assert!(empty[0].contains(" assert constant:hubble"), "{empty:?}");
        assert!(empty[1].contains(" query constant:hubble"), "{empty:?}");
    }
}
