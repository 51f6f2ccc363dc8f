//! A gateway among fakes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use assertion::Record;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use proto::v1;
use serde_json::Value;
use sidecar::Shutdown;
use sidecar::tasks::Tasks;
use stemedb_gateway::config::Patience;
use stemedb_gateway::{Config, Listeners, assemble};

use crate::neighbours::{FakeAntientropy, FakeMembership};
use crate::store::{FakeStore, NUM_SHARDS, shard_of};

/// Long enough for a busy machine, short enough to end a test that hangs.
pub(crate) const EVENTUALLY: Duration = Duration::from_secs(60);

/// Nothing is silent for so long in a test that does not want it.
pub(crate) const PATIENT: Patience = Patience {
    hedge: Duration::from_secs(30),
    write: Duration::from_secs(60),
    maybe_stored: Duration::from_secs(60),
    union: Duration::from_secs(60),
};

/// For tests of silence and deadlines.
pub(crate) const HASTY: Patience = Patience {
    hedge: Duration::from_millis(150),
    write: Duration::from_millis(2_000),
    maybe_stored: Duration::from_millis(3_000),
    union: Duration::from_millis(1_000),
};

/// For tests of silence that a write is not to end in, even when the machine stands still meanwhile.
pub(crate) const HEDGED: Patience = Patience {
    write: Duration::from_secs(20),
    maybe_stored: Duration::from_secs(30),
    ..HASTY
};

/// A gateway of node1, three stores, and its neighbours.
pub(crate) struct Stage {
    /// node1 to node3.
    pub(crate) stores: Vec<FakeStore>,
    /// What it follows.
    pub(crate) membership: FakeMembership,
    /// What it nudges.
    pub(crate) antientropy: FakeAntientropy,
    /// The public listener.
    pub(crate) api: SocketAddr,
    /// The internal listener.
    pub(crate) bind: SocketAddr,
    /// Begins its end.
    pub(crate) shutdown: Shutdown,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A reply, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: u16,
    /// Headers.
    pub(crate) headers: HeaderMap,
    /// Body.
    pub(crate) body: Bytes,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The lines of an NDJSON body.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = self.text();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Fails unless it is a problem with this status and code that says what to do.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        let said = self.json();
        assert_eq!(said["code"], code, "{said}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(said["status"], status);
        for member in ["type", "title", "detail", "next_step"] {
            assert!(
                said[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member} in {said}"
            );
        }
        assert!(self.headers.contains_key("x-trace-id"));
        said
    }
}

/// A reply that goes on.
pub(crate) struct Going {
    /// HTTP status.
    pub(crate) status: u16,
    /// Headers.
    pub(crate) headers: HeaderMap,
    /// What has come so far.
    pub(crate) text: String,
    body: Incoming,
}

impl Going {
    /// Reads until what has come pleases, or the reply ends. Whether it goes on.
    pub(crate) async fn until(&mut self, mut enough: impl FnMut(&str) -> bool) -> bool {
        let read = async {
            while !enough(&self.text) {
                let Some(frame) = self.body.frame().await else {
                    return false;
                };
                if let Ok(data) = frame.unwrap().into_data() {
                    self.text.push_str(std::str::from_utf8(&data).unwrap());
                }
            }
            true
        };
        let waited = tokio::time::timeout(EVENTUALLY, read).await;
        waited.unwrap_or_else(|_| panic!("never came: {}", self.text))
    }
}

impl Stage {
    /// A cluster of three that has formed, with nobody in a hurry.
    pub(crate) async fn calm() -> Stage {
        Stage::with(PATIENT, |_| {}).await
    }

    /// A cluster of three that has formed; `adjust` changes the gateway's configuration.
    pub(crate) async fn with(patience: Patience, adjust: impl FnOnce(&mut Config)) -> Stage {
        let stage = Stage::raw(patience, adjust).await;
        stage
            .until("the gateway is ready", async || {
                stage.get("/v1/health").await.status == 200
            })
            .await;
        stage
    }

    /// The same without waiting for readiness.
    pub(crate) async fn raw(patience: Patience, adjust: impl FnOnce(&mut Config)) -> Stage {
        let mut stores = Vec::new();
        for node in ["node1", "node2", "node3"] {
            stores.push(FakeStore::start(node).await);
        }
        let membership = FakeMembership::start(view(&stores)).await;
        let antientropy = FakeAntientropy::start().await;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config {
            node: "node1".into(),
            api: nowhere,
            bind: nowhere,
            grpc: nowhere,
            metrics: nowhere,
            store: stores[0].address,
            membership: membership.address,
            antientropy: antientropy.address,
            scrapes: Vec::new(),
            allowed_origins: Vec::new(),
            patience,
        };
        adjust(&mut config);
        let listeners = Listeners::bind(&config).await.unwrap();
        let (api, bind) = (
            listeners.api.local_addr().unwrap(),
            listeners.bind.local_addr().unwrap(),
        );
        let (shutdown, quit) = (Shutdown::new(), Shutdown::new());
        let mut tasks = Tasks::new(quit.clone());
        assemble(&config, listeners, &mut tasks, shutdown.clone(), quit)
            .await
            .unwrap();
        tokio::spawn(tasks.join(Duration::from_secs(5)));
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Stage {
            stores,
            membership,
            antientropy,
            api,
            bind,
            shutdown,
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// GET on the public listener.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(self.api, Method::GET, path, &[], Bytes::new())
            .await
    }

    /// GET on the internal listener.
    pub(crate) async fn get_internal(&self, path: &str) -> Reply {
        self.ask(self.bind, Method::GET, path, &[], Bytes::new())
            .await
    }

    /// GET whose reply is read while it goes on.
    pub(crate) async fn open(&self, path: &str, headers: &[(&str, &str)]) -> Going {
        let mut request = Request::get(format!("http://{}{path}", self.api));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::default()).unwrap();
        let reply = tokio::time::timeout(EVENTUALLY, self.client.request(request)).await;
        let (parts, body) = reply.unwrap().unwrap().into_parts();
        Going {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
            text: String::new(),
        }
    }

    /// POST of JSON on the public listener.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        let json = [("content-type", "application/json")];
        self.ask(self.api, Method::POST, path, &json, body).await
    }

    /// POST of lines.
    pub(crate) async fn post_lines(&self, body: impl Into<Bytes>) -> Reply {
        let ndjson = [("content-type", "application/x-ndjson")];
        self.ask(self.api, Method::POST, "/v1/assert/batch", &ndjson, body)
            .await
    }

    /// Any request.
    pub(crate) async fn ask(
        &self,
        address: SocketAddr,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{address}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let exchange = async {
            let (parts, body) = self.client.request(request).await.unwrap().into_parts();
            Reply {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body: body.collect().await.unwrap().to_bytes(),
            }
        };
        tokio::time::timeout(EVENTUALLY, exchange)
            .await
            .unwrap_or_else(|_| panic!("{path} is not answered"))
    }

    /// Waits for a condition.
    pub(crate) async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + EVENTUALLY;
        while !condition().await {
            assert!(Instant::now() < deadline, "never: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await; // between polls
        }
    }

    /// The owners of a record and the third node.
    pub(crate) fn places(&self, record: &Record) -> (&FakeStore, &FakeStore, &FakeStore) {
        let names = self.stores.iter().map(|store| store.node.clone());
        let placement = shard::Placement::new(names, NUM_SHARDS, 2);
        let owners = placement.owners(shard_of(record));
        let store = |name: &str| self.stores.iter().find(|store| store.node == name).unwrap();
        let third = self
            .stores
            .iter()
            .find(|store| owners.iter().all(|owner| **owner != *store.node));
        (store(&owners[0]), store(&owners[1]), third.unwrap())
    }

    /// Changes the view.
    pub(crate) fn change_view(&self, change: impl FnOnce(&mut v1::View)) {
        self.membership.view.send_modify(|view| {
            view.version += 1;
            change(view);
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

fn view(stores: &[FakeStore]) -> v1::View {
    let members = stores.iter().map(|store| v1::Member {
        name: store.node.clone(),
        status: v1::Status::Up.into(),
        phase: v1::Phase::Serving.into(),
        rpc_addr: store.address.to_string(),
        incarnation: 1,
        version: "0.1.0".into(),
        ..v1::Member::default()
    });
    v1::View {
        version: 1,
        node: "node1".into(),
        cluster_id: "c1".into(),
        num_shards: NUM_SHARDS,
        replication_factor: 2,
        least_replication_factor: 2,
        counted_replication_factor: 2,
        members: members.collect(),
        placement: stores.iter().map(|store| store.node.clone()).collect(),
        ..v1::View::default()
    }
}

/// Water boils, as this source has it.
pub(crate) fn claim(value: f64, source: &str) -> String {
    format!(
        r#"{{"subject":"cas:7732-18-5","predicate":"boiling_point_k","object":{{"type":"number","value":{value}}},"source":{{"uri":"{source}","class":"expert"}},"asserted_at":1388534400000}}"#
    )
}

/// The claim as a record.
pub(crate) fn record(json: &str) -> Record {
    Record::from_client_json(json.as_bytes(), 4_000_000_000_000).unwrap()
}
