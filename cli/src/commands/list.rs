//! What the commands that list have in common: pages, and what they are worth.

use serde_json::Value;

use crate::client::{Client, encode};
use crate::commands::ids;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// Empty pages that are passed over for one that shows something: filters may leave out whole pages.
const EMPTY_PAGES_MAX: usize = 100;

/// Parameters that are ids.
const IDS: [&str; 1] = ["assertion"];

/// Which page.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Paging {
    /// Rows on a page
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: Option<u16>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

/// A list, as the API has it.
pub(crate) struct List<'a> {
    /// Its path.
    pub(crate) path: &'a str,
    /// The member of the result that holds the rows, and what they are called.
    pub(crate) name: &'a str,
    /// Parameters.
    pub(crate) parameters: Vec<(&'a str, Option<String>)>,
}

impl List<'_> {
    /// Asks for a page, and shows it as JSON, or as the table that `table` makes of its rows.
    pub(crate) async fn show(
        mut self,
        connection: &Connection,
        paging: &Paging,
        table: impl FnOnce(&[Value]),
    ) -> Result<(), Failure> {
        let client = connection.client()?;
        for (name, id) in &mut self.parameters {
            if IDS.contains(name) {
                ids::complete(&client, id).await?;
            }
        }
        let limit = paging.limit.map(|limit| limit.to_string());
        self.parameters.push(("limit", limit));
        let said = self.page(&client, paging.cursor.clone()).await?;
        if connection.json {
            output::json(&said);
            return Ok(());
        }
        let result = &said["result"];
        match result[self.name].as_array() {
            Some(rows) if !rows.is_empty() => table(rows),
            _ => output::line(format!("no {}", self.name)),
        }
        if let Some(cursor) = result["cursor"].as_str() {
            output::line(format!("more: --cursor {cursor}"));
        }
        if said["meta"]["complete"] == false {
            output::line(format!(
                "(NOT complete: there may be {} that were not found)",
                self.name
            ));
        }
        Ok(())
    }

    /// The first page with rows, or the last one.
    async fn page(&self, client: &Client, mut cursor: Option<String>) -> Result<Value, Failure> {
        let mut passed = 0;
        loop {
            let said = client.get_json(self.written(cursor.as_deref())).await?;
            let result = &said["result"];
            let empty = result[self.name].as_array().is_some_and(Vec::is_empty);
            match result["cursor"].as_str() {
                Some(next) if empty && passed < EMPTY_PAGES_MAX => cursor = Some(next.to_owned()),
                _ => return Ok(said),
            }
            passed += 1;
        }
    }

    fn written(&self, cursor: Option<&str>) -> String {
        let given = self
            .parameters
            .iter()
            .filter_map(|(key, value)| Some((*key, value.as_deref()?)));
        let pairs: Vec<String> = given
            .chain(cursor.map(|cursor| ("cursor", cursor)))
            .map(|(key, value)| format!("{key}={}", encode(value)))
            .collect();
        match pairs.as_slice() {
            [] => self.path.to_owned(),
            pairs => format!("{}?{}", self.path, pairs.join("&")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_not_asked() {
        let list = |parameters| List {
            path: "/v1/sources",
            name: "sources",
            parameters,
        };
        assert_eq!(list(vec![("prefix", None)]).written(None), "/v1/sources");
        let asked = list(vec![("prefix", Some("doi:1".to_owned())), ("limit", None)]);
        assert_eq!(
            asked.written(Some("ff")),
            "/v1/sources?prefix=doi%3A1&cursor=ff"
        );
    }
}
