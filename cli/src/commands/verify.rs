//! `stemedb verify`: do all nodes hold what they shall hold?

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// Between two looks with `--wait`.
const POLL: Duration = Duration::from_millis(500);

/// Between two lines of progress.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Look again for so many seconds, until all are equal
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Compares what was stored before the call: every record on all its owners, every owner with the same set. Ends 0 only if so.
FOREIGN are records in shards that others own: a node gives them up once it has not owned the shard for replication.hold_s
(600 s) and all owners have confirmed theirs.

Examples:
  stemedb verify
  stemedb verify --wait 60            after a node came back";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    let began = Instant::now();
    let patience = Duration::from_secs(arguments.wait);
    let mut told = None::<Instant>;
    let said = loop {
        let said = client.get_json("/cluster/verify").await;
        let settled = said.as_ref().is_ok_and(|said| said["equal"] == true);
        if settled || began.elapsed() >= patience {
            break said?;
        }
        if told.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            told = Some(Instant::now());
            let stands = match &said {
                Ok(said) => progress(said),
                Err(failure) => failure.to_string(),
            };
            let waited = output::seconds(began.elapsed().as_secs_f64());
            output::note(format!("{stands}, {waited}"));
        }
        tokio::time::sleep(POLL).await;
    };
    if arguments.connection.json {
        output::json(&said);
    } else {
        show(&said);
    }
    if said["equal"] == true {
        return Ok(());
    }
    Err(Failure::Outcome(format!(
        "not equal: {}\n→ repair runs by itself: stemedb status; look again: stemedb verify --wait 60",
        reason(&said)
    )))
}

fn reason(said: &Value) -> &str {
    said["reason"].as_str().unwrap_or("no reason given")
}

/// How it stands while somebody waits.
fn progress(said: &Value) -> String {
    let missing = said["missing_at_owners"].as_u64().unwrap_or(0);
    match missing {
        0 => format!("not equal yet: {}", reason(said)),
        missing => format!(
            "not equal yet: {missing} of {} missing at an owner",
            output::count(said["distinct_records"].as_u64().unwrap_or(0), "record")
        ),
    }
}

fn show(said: &Value) {
    let mut table = output::table(["NODE", "RECORDS", "SHARDS", "FOREIGN"]);
    for node in said["nodes"].as_array().into_iter().flatten() {
        table.add_row([
            node["id"].as_str().unwrap_or_default().to_owned(),
            node["records"].to_string(),
            node["shards"].to_string(),
            // Gateways of an earlier version do not say.
            node["foreign"]
                .as_u64()
                .map_or("?".to_owned(), |count| count.to_string()),
        ]);
    }
    output::print(&table);
    for node in said["unreachable"].as_array().into_iter().flatten() {
        output::line(format!(
            "{} does not answer: {}",
            node["id"].as_str().unwrap_or_default(),
            node["reason"].as_str().unwrap_or_default()
        ));
    }
    for line in verdict(said) {
        output::line(line);
    }
}

/// What it comes to, and what the numbers mean where they are not 0.
fn verdict(said: &Value) -> Vec<String> {
    let equal = match said["equal"] == true {
        true => "equal",
        false => "NOT equal",
    };
    let count = |key: &str| said[key].as_u64().unwrap_or(0);
    let mut lines = vec![format!(
        "{equal}: {}",
        output::count(count("distinct_records"), "record")
    )];
    let few = count("under_replicated");
    if few > 0 {
        lines.push(format!(
            "{few} of them are on fewer nodes than they shall be (min(replication factor, known nodes)): one more failure may hide or lose \
             them; repair copies them as soon as their owners answer"
        ));
    }
    let foreign = count("foreign");
    if foreign > 0 {
        lines.push(format!(
            "{foreign} are held by nodes that do not own them, besides or in place of their owners: they are kept for \
             replication.hold_s (600 s unless set otherwise) after a node stopped owning them, and given up once all owners have confirmed \
             theirs (stemedb repair says what is waited for then)"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_that_are_not_zero_are_explained() {
        let calm =
            json!({ "equal": true, "distinct_records": 13, "under_replicated": 0, "foreign": 0 });
        assert_eq!(verdict(&calm), ["equal: 13 records"]);
        let hurt =
            json!({ "equal": false, "distinct_records": 13, "under_replicated": 4, "foreign": 2 });
        let lines = verdict(&hurt);
        assert_eq!(lines[0], "NOT equal: 13 records");
        assert!(lines[1].starts_with("4 of them are on fewer nodes than they shall be"));
        assert!(lines[2].starts_with("2 are held by nodes that do not own them"));
        assert!(lines[2].contains("kept for replication.hold_s (600 s"));
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn who_waits_hears_how_it_stands() {
        let missing =
            json!({ "missing_at_owners": 7, "distinct_records": 100, "reason": "7 records …" });
        assert_eq!(
            progress(&missing),
            "not equal yet: 7 of 100 records missing at an owner"
        );
        let away = json!({ "missing_at_owners": 0, "reason": "node2 does not answer: gone" });
        assert_eq!(
            progress(&away),
            "not equal yet: node2 does not answer: gone"
        );
    }
}
