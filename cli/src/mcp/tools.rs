//! The tools: what a model can do, described for a model, each one call of the HTTP API.

use std::sync::Arc;

use assertion::{Kind, SigningKey};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock, Implementation, ServerCapabilities, ServerConfig};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde_json::Value;

use super::inputs::{AssertInput, Id, Moment, QueryInput, SkepticInput, TraceInput, name};
use super::reading::Told;
use crate::client::Client;
use crate::commands::assert::{Claim, Object, Source};
use crate::commands::ids;
use crate::commands::query::written;
use crate::commands::write;
use crate::dates;
use crate::failure::Failure;

/// What a model reads before the tools.
const INSTRUCTIONS: &str = "\
StemeDB keeps claims with their sources, contradictions included, and never overwrites one. A claim is (subject, predicate, \
value) said by a source. Ask `skeptic` first: it shows every value that is claimed and whether the sources agree. Ask `query` \
with a lens for one answer, and say which lens and which source it came from. Use `assert` for what you found, with the source \
where you found it, never with a guess; record a value that contradicts others just the same. `trace` shows where a record comes \
from. An answer whose meta.complete is false may lack claims. Errors say what to do next.";

/// The tools of one cluster.
#[derive(Clone)]
pub(super) struct Tools {
    client: Client,
    key: Option<Arc<SigningKey>>,
}

impl Tools {
    /// Tools that ask through this client, and sign what is asserted if there is a key.
    pub(super) fn new(client: Client, key: Option<SigningKey>) -> Tools {
        Tools {
            client,
            key: key.map(Arc::new),
        }
    }
}

#[tool_router]
impl Tools {
    #[tool(
        name = "assert",
        description = "Stores one claim: what a source says about a subject. Nothing is overwritten: a claim that contradicts others \
            is kept beside them. Returns the claim's id, and how many nodes have it on disk. Give asserted_at when the source is \
            dated; the same claim with the same time is stored once.",
        annotations(
            title = "Store a claim",
            read_only_hint = false,
            destructive_hint = false,
            open_world_hint = false
        )
    )]
    async fn assert(&self, Parameters(input): Parameters<Told<AssertInput>>) -> CallToolResult {
        told(match input.sound() {
            Ok(input) => self.store(&input).await,
            Err(failure) => Err(failure),
        })
    }

    #[tool(
        name = "query",
        description = "Lists claims, or answers through a lens. Without `lens`: the matching claims, newest first, in pages. With \
            one: the winning claim, its value and confidence, how many claims and values there are, and the conflict score \
            (0 all agree, 1 all weigh the same). Needs a subject, or subject_prefix, source or predicate.",
        annotations(title = "Ask", read_only_hint = true, open_world_hint = false)
    )]
    async fn query(&self, Parameters(input): Parameters<Told<QueryInput>>) -> CallToolResult {
        told(match input.sound() {
            Ok(input) => self.ask(&input).await,
            Err(failure) => Err(failure),
        })
    }

    #[tool(
        name = "skeptic",
        description = "Shows the disagreement about one property: every value that is claimed with its share of the weight, its \
            sources and its strongest claim, and the verdict: unanimous, agreed (one value outweighs the others) or contested. Ask \
            this before you rely on a value; give tolerance when values are measurements.",
        annotations(
            title = "How contested is it?",
            read_only_hint = true,
            open_world_hint = false
        )
    )]
    async fn skeptic(&self, Parameters(input): Parameters<Told<SkepticInput>>) -> CallToolResult {
        told(match input.sound() {
            Ok(input) => self.client.get_json(written(&input.parameters())).await,
            Err(failure) => Err(failure),
        })
    }

    #[tool(
        name = "trace",
        description = "Shows where a record comes from, by its id: the record, the claims that it was derived from, its epoch, what \
            is known of its source (and whether it was retracted), the votes on it, who signed it, and which nodes hold it.",
        annotations(
            title = "Provenance: where does it come from?",
            read_only_hint = true,
            open_world_hint = false
        )
    )]
    async fn trace(&self, Parameters(input): Parameters<Told<TraceInput>>) -> CallToolResult {
        told(match input.sound() {
            Ok(TraceInput { id }) => self.provenance(&id).await,
            Err(failure) => Err(failure),
        })
    }
}

#[tool_handler]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(
                Implementation::new("stemedb", env!("CARGO_PKG_VERSION")).with_title("StemeDB"),
            )
            .with_instructions(INSTRUCTIONS)
    }
}

impl Tools {
    async fn ask(&self, input: &QueryInput) -> Result<Value, Failure> {
        let epoch = self.whole(input.epoch.as_ref()).await?;
        self.client
            .get_json(written(&input.parameters(epoch)))
            .await
    }

    async fn provenance(&self, Id(id): &Id) -> Result<Value, Failure> {
        let id = ids::whole(&self.client, id).await?;
        self.client.get_json(format!("/v1/trace/{id}")).await
    }

    async fn whole(&self, id: Option<&Id>) -> Result<Option<String>, Failure> {
        let mut id = id.map(|Id(id)| id.clone());
        ids::complete(&self.client, &mut id).await?;
        Ok(id)
    }

    async fn store(&self, input: &AssertInput) -> Result<Value, Failure> {
        let (value, kind) = (input.value.text(), input.kind());
        let epoch = self.whole(input.epoch.as_ref()).await?;
        let parent = self.whole(input.parent.as_ref()).await?;
        let (class, lifecycle) = (name(input.class), input.lifecycle.map(name));
        let claim = Claim {
            subject: &input.subject,
            predicate: &input.predicate,
            object: Object::read(&value, kind.as_deref())?,
            source: Source {
                uri: &input.source,
                class: &class,
                hash: None,
            },
            asserted_at: input
                .asserted_at
                .map_or_else(dates::now_ms, |Moment(at)| at),
            confidence: input.confidence,
            lifecycle: lifecycle.as_deref(),
            epoch: epoch.as_deref(),
            parent: parent.as_deref(),
            note: input.note.as_deref(),
        };
        let key = self.key.as_deref();
        write::post(&self.client, Kind::Assertion, &claim, key)
            .await?
            .json()
    }
}

/// The answer as it came, or the failure as a tool's error: what is wrong and what to do next.
fn told(outcome: Result<Value, Failure>) -> CallToolResult {
    match outcome {
        Ok(answer) => CallToolResult::structured(answer),
        Err(failure) => {
            let mut result = CallToolResult::error(vec![ContentBlock::text(failure.to_string())]);
            result.structured_content = Some(failure.to_json());
            result
        }
    }
}
