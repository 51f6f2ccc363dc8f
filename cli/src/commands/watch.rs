//! `stemedb watch`: records as they come.

use std::time::Duration;

use serde_json::Value;

use crate::commands::cell::{date, text};
use crate::commands::ids::Ids;
use crate::commands::trace::summary;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::feed::{Event, Feed, Filters};
use crate::output;

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where to begin: now, start, or a token that --json showed
    #[arg(long, value_name = "now|start|TOKEN", default_value = "now")]
    from: String,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    ids: Ids,
    /// Give up when no gateway has said anything for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Shows every record that is stored, whichever node takes it, until Ctrl-C. When a gateway goes away the next one continues behind
the last record: none is missed, and none of the last 65,536 is shown twice.

Examples:
  stemedb watch
  stemedb watch --subject-prefix cas: --predicate boiling_point_k
  stemedb watch --kind source --kind epoch --from start
  stemedb watch --json | jq -r .record.subject          one object a line: {\"token\": …, \"record\": {…}}

What --json shows as token is a place to begin later: stemedb watch --from TOKEN";

/// Runs the command. It ends well only when nobody reads any more.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments {
        from,
        filters,
        ids,
        patience,
        connection,
    } = arguments;
    let mut feed = Feed::new(
        connection.client()?,
        filters,
        from.clone(),
        false,
        Duration::from_secs(patience),
    );
    loop {
        let event = feed.next().await.inspect_err(|_| {
            // Where it began is where it goes on, until something has come.
            if feed.position() != from {
                output::note(format!("→ go on with --from {}", feed.position()));
            }
        });
        let Event::Record { token, record } = event? else {
            continue;
        };
        let shown = if connection.json {
            // The record's own text: not a digit of it changes.
            format!(
                "{{\"token\":{},\"record\":{}}}",
                Value::String(token),
                record.get()
            )
        } else {
            let record = serde_json::from_str(record.get()).unwrap_or(Value::Null);
            row(&record, ids)
        };
        if !output::try_line(shown) {
            return Ok(());
        }
    }
}

/// Lines come one by one: columns cannot be as wide as the widest.
fn row(record: &Value, ids: Ids) -> String {
    format!(
        "{:<19}  {:<9}  {:<12}  {}",
        date(record),
        text(record, "kind"),
        ids.show(text(record, "id")),
        summary(record, ids),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_one_line() {
        let record = json!({
            "id": "0123456789abcdef", "kind": "assertion", "asserted_at": 1_531_785_600_000_i64,
            "subject": "constant:hubble", "predicate": "h0_km_s_mpc", "object": { "type": "number", "value": 67.4 },
        });
        assert_eq!(
            row(&record, Ids::default()),
            "2018-07-17           assertion  0123456789ab  constant:hubble h0_km_s_mpc = 67.4"
        );
    }
}
