//! docs/contradictions.md, asked for over HTTP at every gateway.

use std::fs;

use e2e::cluster::Cluster;
use e2e::contradictions::{DEMO, OWN, PAGE, lines, path, questions, records, result};
use e2e::http::Http;
use e2e::{claims, command};

use crate::claims::complete;
use crate::stage;

#[tokio::test]
async fn every_gateway_answers_as_the_page_says() {
    let _turn = stage::empty().await;
    let page = fs::read_to_string(path(PAGE)).expect("the page is in the repository");
    let records = records(&page).expect("the page's records can be read");
    let cluster = Cluster::start(3, &[]).await;
    let http = Http::new();
    let real = cluster.directory().join("real.ndjson");
    claims::write(&real, &lines(&page));
    let real = real.to_str().expect("a path of ours");
    let urls = cluster.urls();
    for file in [&path(DEMO), &path(OWN), real] {
        let ended = command::run(&["import", file, "--url", &urls]).await;
        assert_eq!(ended.code, Some(0), "{file}: {} {}", ended.out, ended.err);
    }
    cluster.equal(&http).await;

    let questions = questions(&page);
    assert!(questions.len() >= 8 * 6, "eight lenses, six questions");
    for question in &questions {
        let expected = result(question, &records).expect("the lens answers");
        for node in &cluster.nodes {
            let url = node.api(&format!("/v1/query?{question}"));
            let reply = complete(&http, &url).await;
            assert_eq!(reply.result_text(), expected, "{question} at {}", node.name);
        }
    }
}
