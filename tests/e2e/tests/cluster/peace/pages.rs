//! Pages of records: whoever answers, every record once and in order.

use e2e::http::Http;
use serde_json::{Value, json};

use crate::claims::{claim, complete};
use crate::stage;

const RECORDS: u32 = 25;

const PAGE: usize = 10;

#[tokio::test]
async fn pages_from_different_gateways_show_every_record_once_newest_first() {
    let cluster = stage::peace().await;
    let http = Http::new();
    let records: Vec<Value> = (0..RECORDS)
        .map(|value| serde_json::from_str(&claim("pages", value)).expect("a claim is JSON"))
        .collect();
    let batch = cluster.node(1).api("/v1/assert/batch");
    let written = http.post(&batch, json!(records).to_string()).await;
    let written = written.expect("the gateway answers");
    assert_eq!(written.status, 201, "{}", written.text());

    let mut values = Vec::new();
    let mut cursor = String::new();
    let question = format!("/v1/query?subject=pages&limit={PAGE}");
    for node in cluster.nodes.iter().cycle().take(3) {
        let page = node.api(&format!("{question}{cursor}"));
        let said = complete(&http, &page).await.json();
        let page = said["result"]["records"].as_array().expect("a page");
        assert!(page.len() <= PAGE, "{said}");
        values.extend(page.iter().map(|record| record["object"]["value"].clone()));
        // A record that comes between two pages is newer than the first and belongs to none.
        let late = node.api("/v1/assert");
        let late = http.post(&late, claim("pages", RECORDS + 1)).await;
        assert!(late.expect("the gateway answers").status < 300);
        match said["result"]["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let wanted: Vec<Value> = (0..RECORDS).rev().map(Value::from).collect();
    assert_eq!(values, wanted);
}
