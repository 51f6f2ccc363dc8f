//! Bytes on their way to a port and what comes back, without a client that knows better; and what is no HTTP at all.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::Row;

/// Bytes for a port of a node.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    /// From the first of the node's ports.
    port: u16,
    bytes: Vec<u8>,
    way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Requests over TCP; the last one asks for the end of the connection.
    Requests,
    /// The same, whose answer takes its time.
    Slowly,
    /// Bytes over TCP, and an end.
    Bytes,
    /// HTTP/2, read frame by frame.
    Frames,
    /// Datagrams.
    Datagram,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    /// Of HTTP, or `closed`.
    pub(super) status: String,
    code: String,
    path: String,
}

impl Sent {
    /// A request to the public port.
    pub(super) fn request(bytes: impl Into<Vec<u8>>) -> Sent {
        Sent::to(0, Way::Requests, bytes.into())
    }

    /// The same, answered only when the node has waited.
    pub(super) fn slowly(bytes: impl Into<Vec<u8>>) -> Sent {
        Sent::to(0, Way::Slowly, bytes.into())
    }

    /// A POST with these header lines.
    pub(super) fn post(path: &str, headers: &str, body: impl AsRef<[u8]>) -> Sent {
        let body = body.as_ref();
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        Sent::request([head.as_bytes(), body].concat())
    }

    /// A POST of JSON.
    pub(super) fn json(path: &str, body: impl AsRef<[u8]>) -> Sent {
        Sent::post(path, "content-type: application/json\r\n", body)
    }

    /// A GET.
    pub(super) fn get(path: &str) -> Sent {
        Sent::request(format!(
            "GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n"
        ))
    }

    fn to(port: u16, way: Way, bytes: Vec<u8>) -> Sent {
        Sent { port, bytes, way }
    }

    /// Whether others should be sent meanwhile.
    pub(super) fn is_waited_for(&self) -> bool {
        self.way == Way::Slowly
    }

    /// Sends it to a node by its first port, and reads what comes back.
    pub(super) async fn exchange(self, base: u16, limit: Duration) -> Answer {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, base + self.port));
        match tokio::time::timeout(limit, self.over(address)).await {
            Ok(answer) => answer,
            Err(_) => Answer::bare("no end"),
        }
    }

    async fn over(self, address: SocketAddr) -> Answer {
        if self.way == Way::Datagram {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await;
            let socket = socket.expect("a port is free");
            // Where nobody listens the system refuses it, which is as good as silence.
            let _ = socket.send_to(&self.bytes, address).await;
            return Answer::bare("none");
        }
        let Ok(socket) = TcpStream::connect(address).await else {
            return Answer::bare("refused");
        };
        let (mut reads, mut writes) = socket.into_split();
        let Sent { bytes, way, .. } = self;
        let writing = tokio::spawn(async move {
            // The node may have heard enough before the end.
            let sent = writes.write_all(&bytes).await;
            if way == Way::Bytes {
                let _ = writes.shutdown().await;
            }
            (sent, writes)
        });
        let mut said = Vec::new();
        let mut part = vec![0; 64 * 1024];
        // A reset is an end like any other.
        while let Ok(read @ 1..) = reads.read(&mut part).await {
            said.extend_from_slice(&part[..read]);
            if way == Way::Frames && ended(&said) {
                break;
            }
        }
        writing.abort();
        match way {
            Way::Frames => Answer::bare(if answered(&said) { "200" } else { "closed" }),
            _ => Answer::read(&said),
        }
    }
}

impl Answer {
    fn bare(status: &str) -> Answer {
        Answer {
            status: status.to_owned(),
            code: "–".to_owned(),
            path: "–".to_owned(),
        }
    }

    /// The statuses of all replies, and what the last one says.
    fn read(said: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(said);
        let statuses: Vec<&str> = text
            .split("HTTP/1.")
            .skip(1)
            .filter_map(|reply| reply.get(2..5))
            .collect();
        if statuses.is_empty() {
            return Answer::bare("closed");
        }
        let mut answer = Answer::bare(&statuses.join(", "));
        let problem = text.lines().find_map(|line| {
            let start = line.find('{')?;
            let said: Value = serde_json::from_str(&line[start..=line.rfind('}')?]).ok()?;
            [
                &said,
                &said["error"],
                &said["results"][0]["error"],
                &said["errors"][0],
            ]
            .into_iter()
            .find(|part| part["code"].is_string())
            .cloned()
        });
        if let Some(problem) = problem {
            let shown = |member: &str| match &problem[member] {
                Value::String(text) if !text.is_empty() => format!("`{text}`"),
                _ => "–".to_owned(),
            };
            (answer.code, answer.path) = (shown("code"), shown("path"));
        }
        answer
    }

    /// Cells of the table.
    pub(super) fn cells(&self) -> String {
        format!("{} | {} | {}", self.status, self.code, self.path)
    }

    /// Whether the node made a mistake, or hangs.
    pub(super) fn is_fault(&self) -> bool {
        self.status.starts_with('5') || self.status == "no end"
    }
}

/// Frames of HTTP/2: type, flags and payload.
fn frames(said: &[u8]) -> Vec<(u8, u8, &[u8])> {
    let mut frames = Vec::new();
    let mut rest = said;
    while let [a, b, c, kind, flags, _, _, _, _, after @ ..] = rest {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let Some((payload, next)) = after.split_at_checked(length) else {
            break;
        };
        frames.push((*kind, *flags, payload));
        rest = next;
    }
    frames
}

/// Whether a stream has ended, or the connection is given up.
fn ended(said: &[u8]) -> bool {
    let frames = frames(said);
    let end = |(kind, flags, _): &(u8, u8, &[u8])| (*kind <= 1 && flags & 1 == 1) || *kind == 7;
    frames.iter().any(end)
}

/// Whether there is a reply of 200: the first of the headers, from the static table.
fn answered(said: &[u8]) -> bool {
    let frames = frames(said);
    frames
        .iter()
        .any(|(kind, _, payload)| *kind == 1 && payload.first() == Some(&0x88))
}

/// Bytes that look like nothing, the same every time.
fn rubbish(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// A GET of /v1/health/live in HTTP/2, without asking for it first.
fn prior_knowledge() -> Vec<u8> {
    let path = b"/v1/health/live";
    let mut headers = vec![0x82, 0x86, 0x04, 15];
    headers.extend_from_slice(path);
    headers.extend_from_slice(&[0x41, 4]);
    headers.extend_from_slice(b"node");
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let length = u8::try_from(headers.len()).expect("a short path");
    bytes.extend_from_slice(&[0, 0, length, 1, 5, 0, 0, 0, 1]);
    bytes.extend_from_slice(&headers);
    bytes
}

/// What is said below the API, or beside it.
pub(super) fn rows() -> Vec<Row> {
    let live = "GET /v1/health/live HTTP/1.1\r\nhost: node\r\n";
    let twice = format!("{live}\r\n{live}connection: close\r\n\r\n");
    let mut rows = vec![
        Row::new(
            "HTTP/1.0",
            "GET /v1/health/live",
            Sent::request("GET /v1/health/live HTTP/1.0\r\n\r\n"),
        ),
        Row::new(
            "HTTP/2 with prior knowledge",
            "GET /v1/health/live",
            Sent::to(0, Way::Frames, prior_knowledge()),
        ),
        Row::new(
            "two requests in one piece (pipelining)",
            "GET /v1/health/live",
            Sent::request(twice),
        ),
        Row::new(
            "HTTP/3.7",
            "GET /v1/health/live",
            Sent::request("GET /v1/health/live HTTP/3.7\r\n\r\n"),
        ),
        Row::new(
            "a head without an end, then an end of the connection",
            "GET /v1/health/live",
            Sent::to(0, Way::Bytes, live.into()),
        ),
    ];
    for (offset, port) in [18180, 18181, 18182, 18183].into_iter().enumerate() {
        let offset = u16::try_from(offset).expect("four ports");
        for (way, name) in [(Way::Bytes, "TCP"), (Way::Datagram, "UDP")] {
            let to = format!("port {port}, {name}");
            let length = if way == Way::Bytes { 64 * 1024 } else { 1_200 };
            rows.push(Row::new(
                format!("{length} bytes of rubbish"),
                &to,
                Sent::to(offset, way, rubbish(length)),
            ));
        }
    }
    rows.push(Row::new(
        "an empty datagram",
        "port 18183, UDP",
        Sent::to(3, Way::Datagram, Vec::new()),
    ));
    rows.push(Row::new(
        "the HTTP/2 preface, then rubbish",
        "port 18182, TCP",
        {
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
            Sent::to(2, Way::Bytes, [&preface[..], &rubbish(9_000)].concat())
        },
    ));
    rows
}
