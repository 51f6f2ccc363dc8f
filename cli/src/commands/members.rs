//! `stemedb members`: who belongs to the cluster, as one gateway sees it.

use serde_json::Value;

use crate::connection::Connection;
use crate::dates;
use crate::failure::Failure;
use crate::output;

/// Arguments of `members`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
UP answers; SUSPECT answers others, not us; DOWN went without goodbye and still counts; LEFT is gone for good.

Examples:
  stemedb members
  stemedb members --url http://node2:18181 --json";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    let said = client.get_json("/cluster/members").await?;
    if arguments.connection.json {
        output::json(&said);
        return Ok(());
    }
    let mut table = output::table([
        "NODE", "STATUS", "SINCE", "PHASE", "API", "SHARDS", "SERVICES", "VERSION",
    ]);
    for member in said["members"].as_array().into_iter().flatten() {
        table.add_row([
            text(member, "id"),
            text(member, "status"),
            member["since_ms"]
                .as_i64()
                .map(dates::show)
                .unwrap_or_default(),
            phase(member),
            text(member, "api_addr"),
            member["owned_shards"].to_string(),
            services(&member["services"]),
            text(member, "version"),
        ]);
    }
    output::print(&table);
    for refused in said["refused"].as_array().into_iter().flatten() {
        output::line(format!("refused: {}", refused.as_str().unwrap_or_default()));
    }
    for line in storeless(&said) {
        output::line(line);
    }
    if let Some(line) = copies(&said) {
        output::line(line);
    }
    let waiting = text(&said, "waiting_for");
    if !waiting.is_empty() {
        let node = text(&said, "node");
        let why = match said["cluster_id"].as_str() {
            Some(_) => format!("{node} joins: it waits for {waiting}"),
            None => format!("no cluster yet: {node} waits for {waiting}"),
        };
        output::line(why);
    }
    Ok(())
}

/// Its phase. Members say `stopping` of themselves whenever their store does not serve, and `joining` after a start without it; with a
/// gateway that is well nothing stops or joins.
fn phase(member: &Value) -> String {
    match is_storeless(member) {
        true => "no store".to_owned(),
        false => text(member, "phase"),
    }
}

fn is_storeless(member: &Value) -> bool {
    let services = &member["services"];
    let phase = member["phase"].as_str().unwrap_or_default();
    matches!(phase, "stopping" | "joining")
        && services["gateway"] == "ok"
        && services["store"].as_str().is_some_and(|how| how != "ok")
}

/// What to do about members whose stores do not serve.
fn storeless(said: &Value) -> Vec<String> {
    let members = said["members"].as_array().into_iter().flatten();
    let storeless = members.filter(|member| is_storeless(member));
    storeless
        .map(|member| {
            format!(
                "{} runs without its store, whose log says why: when its database cannot be read, move store.* in its data directory away \
                 and start the store again; it fills itself from the others",
                text(member, "id")
            )
        })
        .collect()
}

/// What members that were told other numbers of copies come to, and that a higher one does not count yet.
fn copies(said: &Value) -> Option<String> {
    let most = said["replication_factor"].as_u64()?;
    // While no store says anything yet, there is nothing to say.
    let counted = said["counted_replication_factor"]
        .as_u64()
        .filter(|counted| *counted > 0)?;
    let copies = match counted {
        1 => "1 copy".to_owned(),
        counted => format!("{counted} copies"),
    };
    let members = said["members"].as_array()?.iter();
    let others: Vec<String> = members
        .filter(|member| member["status"] != "LEFT")
        .filter_map(|member| {
            let factor = member["replication_factor"].as_u64()?;
            let other = factor != most && factor > 0;
            other.then(|| format!("{} has {factor}", text(member, "id")))
        })
        .collect();
    if !others.is_empty() {
        return Some(format!(
            "replication.factor differs: {}, records get {most}, answers count on {copies}; set one number on all nodes",
            others.join(", ")
        ));
    }
    (counted < most).then(|| {
        format!(
            "replication.factor is {most}; answers count on {copies} until older records have theirs, for which all nodes must be up"
        )
    })
}

fn text(member: &Value, key: &str) -> String {
    member[key].as_str().unwrap_or_default().to_owned()
}

/// `all ok`, or those that are not and why.
pub(crate) fn services(all: &Value) -> String {
    let Some(all) = all.as_object() else {
        return String::new();
    };
    let faults: Vec<String> = all
        .iter()
        .filter(|(_, how)| *how != "ok")
        .map(|(name, how)| format!("{name}: {}", how.as_str().unwrap_or("unknown")))
        .collect();
    match faults.len() {
        0 => "all ok".to_owned(),
        // Four times the same says no more than once.
        count if count == all.len() => "none answers".to_owned(),
        _ => faults.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn different_numbers_of_copies_are_named_and_so_are_those_that_do_not_count_yet() {
        let said = |most: u64, second: u64, counted: u64| {
            json!({ "replication_factor": most, "counted_replication_factor": counted, "members": [
                { "id": "node1", "status": "UP", "replication_factor": most },
                { "id": "node2", "status": "DOWN", "replication_factor": second },
                { "id": "node3", "status": "LEFT", "replication_factor": 1 },
                { "id": "node4", "status": "UP", "replication_factor": 0 },
            ] })
        };
        assert_eq!(copies(&said(2, 2, 2)), None);
        assert_eq!(
            copies(&said(3, 2, 2)).as_deref(),
            Some(
                "replication.factor differs: node2 has 2, records get 3, answers count on 2 copies; set one number on all nodes"
            )
        );
        // One that is not let in.
        assert_eq!(
            copies(&said(2, 5, 1)).as_deref(),
            Some(
                "replication.factor differs: node2 has 5, records get 2, answers count on 1 copy; set one number on all nodes"
            )
        );
        assert_eq!(
            copies(&said(3, 3, 2)).as_deref(),
            Some(
                "replication.factor is 3; answers count on 2 copies until older records have theirs, for which all nodes must be up"
            )
        );
        assert_eq!(
            copies(&said(3, 2, 0)),
            None,
            "a cluster that has just formed"
        );
    }

    #[test]
    fn a_member_without_its_store_does_not_stop() {
        let member = |gateway: &str, store: &str| json!({ "id": "node2", "phase": "stopping", "services": { "gateway": gateway, "store": store } });
        let without = member("ok", "does not answer");
        assert_eq!(phase(&without), "no store");
        let mut started = without.clone();
        started["phase"] = "joining".into();
        assert_eq!(phase(&started), "no store");
        let lines = storeless(&json!({ "members": [without] }));
        assert!(
            lines[0].starts_with("node2 runs without its store") && lines[0].contains("store.*"),
            "{lines:?}"
        );
        for other in [member("ok", "ok"), member("the node is away", "unknown")] {
            assert_eq!(phase(&other), "stopping");
            assert!(storeless(&json!({ "members": [other] })).is_empty());
        }
    }

    #[test]
    fn services_are_named_when_they_are_not_well() {
        let well = json!({ "gateway": "ok", "store": "ok" });
        assert_eq!(services(&well), "all ok");
        let one = json!({ "gateway": "ok", "store": "does not answer" });
        assert_eq!(services(&one), "store: does not answer");
        let none = json!({ "gateway": "the node is away", "store": "unknown" });
        assert_eq!(services(&none), "none answers");
        assert_eq!(services(&Value::Null), "");
    }
}
