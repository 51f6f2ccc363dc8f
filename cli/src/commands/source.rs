//! `stemedb source`: what is known of a source, and whether its claims still count.

use assertion::Kind;
use serde::Serialize;
use serde_json::Value;

use crate::client::{Client, encode};
use crate::commands::assert::{CLASSES, LIFECYCLES};
use crate::commands::cell::{cell, date, text};
use crate::commands::ids::Ids;
use crate::commands::list::{List, Paging};
use crate::commands::write::{self, Signing};
use crate::connection::Connection;
use crate::dates;
use crate::failure::Failure;
use crate::output;

/// Arguments of `source`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    change: Option<Change>,
    #[command(flatten)]
    describe: Describe,
}

#[derive(Debug, clap::Subcommand)]
enum Change {
    /// Leaves the claims of a source out of what lenses answer; they stay, and listings show them
    #[command(after_help = RETRACT)]
    Retract(Standing),
    /// Takes a retraction back
    #[command(after_help = RESTORE)]
    Restore(Standing),
    /// Lists sources, each by its latest record
    #[command(after_help = LIST)]
    List(Listing),
}

/// Arguments of `source list`.
#[derive(Debug, clap::Args)]
struct Listing {
    /// Sources that begin so [default: all]
    prefix: Option<String>,
    /// Retracted ones only
    #[arg(long)]
    retracted: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    ids: Ids,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `source URI`. The first two are there unless there is a subcommand.
#[derive(Debug, clap::Args)]
struct Describe {
    /// The source, as its claims name it
    #[arg(required = true)]
    uri: Option<String>,
    /// What kind of source it is
    #[arg(long, required = true, value_parser = CLASSES)]
    class: Option<String>,
    /// What it is called
    #[arg(long)]
    title: Option<String>,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `source retract` and `source restore`.
#[derive(Debug, clap::Args)]
struct Standing {
    /// The source, as its claims name it
    uri: String,
    /// What kind of source it is [default: as its latest record says]
    #[arg(long, value_parser = CLASSES)]
    class: Option<String>,
    /// What it is called [default: as its latest record says]
    #[arg(long)]
    title: Option<String>,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Of all records of a source the latest decides. A source that is retracted stays so when it is described anew, until `restore`. A
source record goes to every node; the reply names those that have not confirmed it yet.

Examples:
  stemedb source doi:10.1051/0004-6361/201833910 --class observational --title 'Planck 2018 results VI'
  stemedb source retract doi:10.1051/0004-6361/201833910
  stemedb source restore doi:10.1051/0004-6361/201833910
  stemedb source list --retracted";

const RETRACT: &str = "\
No claim is deleted: lenses leave the claims of the source out and count them as `retracted`; a question with an earlier
--as-of still sees them.

Examples:
  stemedb source retract doi:10.1073/pnas.15.3.168
  stemedb source retract https://example.org/kettle --class anecdotal --key stemedb.key";

const RESTORE: &str = "\
The claims of the source count again from now on.

Examples:
  stemedb source restore doi:10.1073/pnas.15.3.168";

const LIST: &str = "\
Sources that have a record; one that only claims name has none, and is not retracted.

Examples:
  stemedb source list
  stemedb source list doi:10.1051/ --json
  stemedb source list --retracted";

#[derive(Debug, Serialize)]
struct Source<'a> {
    uri: &'a str,
    class: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retracted: Option<bool>,
    recorded_at: i64,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.change {
        Some(Change::Retract(standing)) => change(standing, true).await,
        Some(Change::Restore(standing)) => change(standing, false).await,
        Some(Change::List(listing)) => listing.run().await,
        None => arguments.describe.run().await,
    }
}

impl Listing {
    async fn run(self) -> Result<(), Failure> {
        let list = List {
            path: "/v1/sources",
            name: "sources",
            parameters: vec![
                ("prefix", self.prefix),
                ("retracted", self.retracted.then(|| "true".to_owned())),
            ],
        };
        let ids = self.ids;
        list.show(&self.connection, &self.paging, |sources| {
            let mut table = output::table(["URI", "CLASS", "STANDING", "TITLE", "RECORDED", "ID"]);
            for source in sources {
                let standing = match source["retracted"].as_bool() {
                    Some(true) => "retracted",
                    _ => "",
                };
                table.add_row([
                    cell(text(source, "uri")),
                    text(source, "class").to_owned(),
                    standing.to_owned(),
                    cell(text(source, "title")),
                    date(source),
                    ids.show(text(source, "id")),
                ]);
            }
            output::print(&table);
        })
        .await
    }
}

impl Describe {
    async fn run(self) -> Result<(), Failure> {
        let (Some(uri), Some(class)) = (&self.uri, &self.class) else {
            return Err(Failure::Usage(
                "which source, of which class? stemedb source --help".to_owned(),
            ));
        };
        let key = self.signing.key()?;
        // This record will decide: without the retraction it would take it back.
        let latest = Latest::look_up(&self.connection.client()?, uri).await?;
        let known = Known::read(&Value::Null, &latest.record);
        let source = Source {
            uri,
            class,
            title: self.title.as_deref(),
            retracted: known.retracted.then_some(true),
            recorded_at: after(known.recorded_at, dates::now_ms()),
        };
        write::run(&self.connection, Kind::Source, &source, key.as_ref()).await?;
        for line in standing(uri, known.retracted, latest.complete) {
            output::note(line);
        }
        Ok(())
    }
}

/// What a description leaves as it was, and what may be wrong with that.
fn standing(uri: &str, retracted: bool, complete: bool) -> Vec<String> {
    let still = retracted
        .then(|| format!("still retracted; `stemedb source restore {uri}` takes that back"));
    let unsure = (!complete).then(|| {
        format!(
            "(NOT complete: nodes that did not answer may know of a later retraction or restoration, which this record overrules; \
             when they are back, look again: stemedb source list {uri})"
        )
    });
    still.into_iter().chain(unsure).collect()
}

async fn change(standing: Standing, retracted: bool) -> Result<(), Failure> {
    let key = standing.signing.key()?;
    let known = Known::look_up(&standing.connection.client()?, &standing.uri).await;
    // Who names the class does not depend on what is known.
    let known = match (&standing.class, known) {
        (_, Ok(known)) => known,
        (Some(_), Err(_)) => Known::default(),
        (None, Err(failure)) => return Err(failure),
    };
    let class = standing.class.or(known.class).ok_or_else(|| {
        Failure::Local(format!(
            "nothing is known of {}\n→ compare the URI with that of the claims, or give --class",
            standing.uri
        ))
    })?;
    let title = standing.title.or(known.title);
    let source = Source {
        uri: &standing.uri,
        class: &class,
        title: title.as_deref(),
        retracted: Some(retracted),
        recorded_at: after(known.recorded_at, dates::now_ms()),
    };
    write::run(&standing.connection, Kind::Source, &source, key.as_ref()).await
}

/// The latest record decides: a clock that is behind the last writer's must not make this one the older.
fn after(latest: Option<i64>, now_ms: i64) -> i64 {
    latest.map_or(now_ms, |latest| now_ms.max(latest.saturating_add(1)))
}

/// The record that decides about a source, null when there is none.
struct Latest {
    record: Value,
    /// Whether every node that may have a later one was considered.
    complete: bool,
}

impl Latest {
    async fn look_up(client: &Client, uri: &str) -> Result<Latest, Failure> {
        // Of all uris that begin so the shortest is first.
        let list = format!("/v1/sources?prefix={}&limit=1", encode(uri));
        let mut page = client.get_json(list).await?;
        let first = page.pointer_mut("/result/sources/0").map(Value::take);
        let first = first.unwrap_or_default();
        Ok(Latest {
            complete: page["meta"]["complete"] == true,
            record: match text(&first, "uri") == uri {
                true => first,
                false => Value::Null,
            },
        })
    }
}

/// What the cluster knows of a source.
#[derive(Debug, Default, PartialEq)]
struct Known {
    class: Option<String>,
    title: Option<String>,
    retracted: bool,
    recorded_at: Option<i64>,
}

impl Known {
    /// From the latest record of the source; from one of its claims when there is no record.
    async fn look_up(client: &Client, uri: &str) -> Result<Known, Failure> {
        let latest = Latest::look_up(client, uri).await?.record;
        if !latest.is_null() {
            return Ok(Known::read(&Value::Null, &latest));
        }
        let question = format!(
            "/v1/query?source={}&lifecycle={}&limit=1",
            encode(uri),
            LIFECYCLES.join(",")
        );
        let page = client.get_json(question).await?;
        Ok(Known::read(&page["result"]["records"][0], &Value::Null))
    }

    fn read(claim: &Value, latest: &Value) -> Known {
        let class = latest["class"]
            .as_str()
            .or_else(|| claim["source"]["class"].as_str());
        Known {
            class: class.map(str::to_owned),
            title: latest["title"].as_str().map(str::to_owned),
            retracted: latest["retracted"] == true,
            recorded_at: latest["recorded_at"].as_i64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_latest_record_tells_more_than_a_claim() {
        let claim = json!({ "source": { "uri": "doi:1", "class": "expert" } });
        let latest = json!({ "uri": "doi:1", "class": "clinical", "title": "A trial", "retracted": true, "recorded_at": 5 });
        assert_eq!(
            Known::read(&claim, &latest),
            Known {
                class: Some("clinical".to_owned()),
                title: Some("A trial".to_owned()),
                retracted: true,
                recorded_at: Some(5),
            }
        );
        assert_eq!(
            Known::read(&claim, &Value::Null).class.as_deref(),
            Some("expert")
        );
    }

    #[test]
    fn a_description_tells_what_it_left_as_it_was() {
        assert!(standing("doi:1", false, true).is_empty());
        assert_eq!(
            standing("doi:1", true, true),
            ["still retracted; `stemedb source restore doi:1` takes that back"]
        );
        let unsure = standing("doi:1", true, false);
        assert_eq!(unsure.len(), 2);
        assert!(unsure[1].contains("NOT complete"), "{unsure:?}");
    }

    #[test]
    fn a_change_is_later_than_what_it_changes() {
        assert_eq!(after(None, 100), 100);
        assert_eq!(after(Some(50), 100), 100);
        assert_eq!(after(Some(100), 100), 101);
        assert_eq!(after(Some(700), 100), 701);
    }
}
