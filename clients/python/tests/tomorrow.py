"""A gateway with the calls that the cluster's may not have yet: it passes on what they know and plays the rest.

It plays them over the claims that were asserted through it, just well enough for the examples; it speaks real HTTP, the feed
included.
"""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

META = {"complete": True, "proved_through": 1, "node": "node1", "trace_id": "ab" * 16}
PLAYED_LENSES: tuple[str, ...] = ("authority", "votes", "layered", "epoch")


class Tomorrow:
    """The server, and what it remembers."""

    def __init__(self, behind: str) -> None:
        self.behind = httpx.Client(base_url=behind, timeout=30)
        self.records: list[dict[str, Any]] = []
        gateway = self

        class Handler(_Handler):
            tomorrow = gateway

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Tomorrow:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.behind.close()

    def remember(self, record: dict[str, Any], record_id: str) -> None:
        """Keep a record as the feed shows it."""
        full = {"kind": "assertion", "v": 1, "confidence": 1, "lifecycle": "proposed", **record, "id": record_id}
        if all(known["id"] != record_id for known in self.records):
            self.records.append(full)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """All remembered records of a kind."""
        return [record for record in self.records if record["kind"] == kind]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    tomorrow: Tomorrow

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/v1/feed":
            self._feed(asked)
        elif parts.path == "/v1/subjects":
            self._answer(200, {"result": {"subjects": self._subjects(asked), "cursor": None}, "meta": META})
        elif parts.path.startswith("/v1/trace/"):
            self._trace(parts.path.rsplit("/", 1)[1])
        else:
            self._pass_on("GET", b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path in ("/v1/vote", "/v1/epoch", "/v1/sources"):
            self._keep(json.loads(body))
        elif self.path == "/v1/query" and json.loads(body).get("lens") in PLAYED_LENSES:
            self._lens(json.loads(body))
        else:
            reply = self._pass_on("POST", body)
            if reply.is_success and self.path.startswith("/v1/assert"):
                self._remember(body, reply)

    def _remember(self, body: bytes, reply: httpx.Response) -> None:
        if self.path == "/v1/assert":
            self.tomorrow.remember(json.loads(body), reply.json()["id"])
        elif self.headers["content-type"] == "application/json":
            for record, result in zip(json.loads(body), reply.json()["results"], strict=True):
                self.tomorrow.remember(record, result["id"])

    def _pass_on(self, method: str, body: bytes) -> httpx.Response:
        headers = {name: self.headers[name] for name in ("content-type", "accept") if name in self.headers}
        reply = self.tomorrow.behind.request(method, self.path, content=body, headers=headers)
        self._send(reply.status_code, reply.content, reply.headers.get("content-type", "application/json"))
        return reply

    def _keep(self, record: dict[str, Any]) -> None:
        record_id = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
        self.tomorrow.remember(record, record_id)
        self._answer(201, {"id": record_id, "status": "stored", "shard": 1, "copies": 2, "holders": ["node1", "node2"]})

    def _lens(self, asked: dict[str, Any]) -> None:
        question = {name: asked[name] for name in ("subject", "predicate")}
        result = self.tomorrow.behind.post("/v1/query", json={**question, "lens": "authority"}).json()["result"]
        left_out = {**result["left_out"], "retracted": len(self.tomorrow.of_kind("source"))}
        winner = result["winner"]
        layer = {"tier": 0, "class": winner["source"]["class"], "winner": winner, "value": result["value"], "candidates": 1}
        more: dict[str, dict[str, Any]] = {
            "authority": {},
            "votes": {"votes": 0.8},
            "layered": {"layers": [layer]},
            "epoch": {"epoch_cycles": []},
        }
        self._answer(
            200, {"result": {**result, **more[asked["lens"]], "lens": asked["lens"], "left_out": left_out}, "meta": META}
        )

    def _subjects(self, asked: dict[str, str]) -> list[dict[str, Any]]:
        named = sorted({record["subject"] for record in self.tomorrow.of_kind("assertion")})
        return [{"subject": name, "records": 1} for name in named if name.startswith(asked.get("prefix", ""))]

    def _trace(self, record_id: str) -> None:
        record = next(record for record in self.tomorrow.records if record["id"] == record_id)
        votes = self.tomorrow.of_kind("vote")
        result: dict[str, Any] = {
            "id": record_id,
            "record": record,
            "parents": [],
            "epoch": None,
            "source": None,
            "votes": {"count": len(votes), "weight": sum(vote["weight"] for vote in votes)},
            "signatures": [],
            "replicas": [],
        }
        self._answer(200, {"result": result, "meta": META})

    def _feed(self, asked: dict[str, str]) -> None:
        begin = {"start": 0, "now": len(self.tomorrow.records)}
        since = asked.get("from", "now")
        first = begin[since] if since in begin else int(since)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(b": here\n\n")
        for place, record in enumerate(self.tomorrow.records[first:], first + 1):
            if all(record.get(name) == asked[name] for name in ("kind", "subject", "predicate") if name in asked):
                event = json.dumps({"record": record, "shard": 1})
                self.wfile.write(f"id: {place}\ndata: {event}\n\n".encode())
        self.close_connection = True

    def _answer(self, status: int, body: Any) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
