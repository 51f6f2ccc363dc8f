"""Each call on paper, through both clients: what is sent, and how the reply is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from conftest import problem, reply

from stemedb import Answer, BadReply, Epoch, Layered, Page, Problem, Skeptic, Vote, Written

ID = "ab" * 32
META = {"complete": True, "proved_through": 17, "node": "node2", "trace_id": "cd" * 16}
CLAIM = {
    "id": ID,
    "kind": "assertion",
    "v": 1,
    "subject": "s",
    "predicate": "p",
    "object": {"type": "number", "value": 2},
    "source": {"uri": "u", "class": "expert"},
    "confidence": 0.5,
    "lifecycle": "proposed",
    "asserted_at": 3,
}
VOTE = {"id": ID, "kind": "vote", "v": 1, "subject": "s", "assertion": ID, "voter": "v", "weight": 0.5, "voted_at": 4}
SOURCE = {
    "id": ID,
    "kind": "source",
    "v": 1,
    "uri": "doi:1",
    "class": "clinical",
    "title": "A trial",
    "retracted": True,
    "recorded_at": 6,
}
EPOCH = {"id": ID, "kind": "epoch", "v": 1, "name": "n", "started_at": 5}
WINNER = {
    "lens": "votes",
    "parameters": {"subject": "s"},
    "winner": CLAIM,
    "value": {"type": "number", "value": 2},
    "confidence": 0.5,
    "candidates": 1,
    "conflict_score": 0,
    "groups": 1,
    "left_out": {"withdrawn": 0, "superseded": 0, "filtered": 0, "retracted": 2},
    "set_digest": "ef" * 32,
    "votes": 0.5,
}
GROUP = {
    "value": {"type": "number", "value": 2},
    "share": 1,
    "claims": 1,
    "sources": ["u"],
    "sources_total": 1,
    "ids": [ID],
    "ids_total": 1,
    "strongest": CLAIM,
}
STORED = {"id": ID, "status": "stored", "shard": 1, "copies": 2, "holders": ["node1", "node3"], "asserted_at": 3}


class Paper:
    """A gateway that notes what it is asked and always says the same."""

    def __init__(self, answer: Any, status: int = 200) -> None:
        self.answer, self.status = answer, status
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return reply(self.status, self.answer)

    @property
    def body(self) -> Any:
        return json.loads(self.requests[-1].content)

    @property
    def path(self) -> str:
        return self.requests[-1].url.raw_path.decode()


def test_a_claim(connect: Callable[..., Any]) -> None:
    paper = Paper(STORED, 201)
    db = connect(paper, api_key="steme_test_1")
    written = db.assert_claim("s", "p", 2, source="u", source_class="expert", asserted_at=3, durability="all")
    assert paper.path == "/v1/assert?durability=all"
    assert paper.body == {
        "kind": "assertion",
        "subject": "s",
        "predicate": "p",
        "object": {"type": "number", "value": 2},
        "source": {"uri": "u", "class": "expert"},
        "asserted_at": 3,
    }
    headers = paper.requests[0].headers
    assert (headers["x-api-key"], headers["content-type"]) == ("steme_test_1", "application/json")
    assert headers["user-agent"].startswith("stemedb-python/")
    assert written == Written(ID, "stored", 2, 1, ("node1", "node3"), 3, (), "ab" * 16)
    assert written.acknowledged


def test_a_resend_is_the_same_record(connect: Callable[..., Any]) -> None:
    bodies = []

    def handler(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        if len(bodies) < 6:
            raise httpx.ReadTimeout("silent")
        return reply(201, STORED)

    db = connect(handler)
    db.assert_claim("s", "p", "v", source="u", source_class="expert")
    assert len(bodies) == 6
    assert len(set(bodies)) == 1
    assert json.loads(bodies[0])["asserted_at"] > 1_500_000_000_000


def test_a_write_without_effect_says_so(connect: Callable[..., Any]) -> None:
    warning = {"code": "no_such_assertion", "detail": "node1 holds none"}
    written = connect(Paper({**STORED, "warnings": [warning]}, 201)).vote("s", ID, voter="v")
    assert [(said.code, said.detail) for said in written.warnings] == [("no_such_assertion", "node1 holds none")]
    assert written.acknowledged


def test_claims_that_lenses_leave_out_are_marked(connect: Callable[..., Any]) -> None:
    marks = {ID: {"retracted": True}, "cd" * 32: {"superseded_by": ["ef" * 32]}}
    page = connect(Paper({"result": {"records": [CLAIM], "marks": marks, "cursor": None}, "meta": META})).page("s")
    assert (page.marks[ID].retracted, page.marks[ID].superseded_by) == (True, ())
    assert (page.marks["cd" * 32].retracted, page.marks["cd" * 32].superseded_by) == (False, ("ef" * 32,))


def test_accepted_is_not_acknowledged(connect: Callable[..., Any]) -> None:
    db = connect(Paper({**STORED, "status": "accepted", "copies": 1}, 202))
    written = db.assert_claim("s", "p", "v", source="u", source_class="expert")
    assert (written.acknowledged, written.copies) == (False, 1)


def test_a_vote_an_epoch_and_a_source(connect: Callable[..., Any]) -> None:
    paper = Paper({**STORED, "pending": ["node3"], "asserted_at": None}, 201)
    db = connect(paper)
    db.vote("s", ID, voter="v", weight=0.5, voted_at=4)
    assert paper.path == "/v1/vote"
    assert paper.body == {"kind": "vote", "subject": "s", "assertion": ID, "voter": "v", "weight": 0.5, "voted_at": 4}
    written = db.epoch("n", supersedes=["c", "a", "c"], reason="r", started_at=5)
    assert paper.path == "/v1/epoch"
    assert paper.body == {"kind": "epoch", "name": "n", "supersedes": ["a", "c"], "reason": "r", "started_at": 5}
    assert written.pending == ("node3",)
    db.source("u", "expert", title="t", retracted=False, recorded_at=6)
    assert paper.path == "/v1/sources"
    assert paper.body == {
        "kind": "source",
        "uri": "u",
        "class": "expert",
        "title": "t",
        "retracted": False,
        "recorded_at": 6,
    }
    db.retract("u", "expert")
    assert paper.body["retracted"] is True
    assert paper.body["recorded_at"] > 1_500_000_000_000
    db.epoch("alone")
    assert set(paper.body) == {"kind", "name", "started_at"}
    with pytest.raises(ValueError, match="finite"):
        db.vote("s", ID, weight=float("nan"))


def test_every_parameter_of_a_question(connect: Callable[..., Any]) -> None:
    paper = Paper({"result": WINNER, "meta": META})
    answer = connect(paper).query(
        "s",
        "p",
        lens="epoch",
        subject_prefix="x",
        source="u",
        source_class="expert",
        lifecycle=["approved", "rejected"],
        epoch=ID,
        min_confidence=0.5,
        as_of=7,
        tolerance=0.1,
        decay=True,
        evaluated_at=8,
        inner="votes",
        consistency="all",
        include=[ID],
    )
    assert paper.path == "/v1/query"
    assert paper.body == {
        "subject": "s",
        "predicate": "p",
        "lens": "epoch",
        "subject_prefix": "x",
        "source": "u",
        "class": ["expert"],
        "lifecycle": ["approved", "rejected"],
        "epoch": ID,
        "min_confidence": 0.5,
        "as_of": 7,
        "tolerance": 0.1,
        "decay": True,
        "evaluated_at": 8,
        "inner": "votes",
        "consistency": "all",
        "include": [ID],
    }
    assert type(answer) is Answer
    assert (answer.value, answer.votes, answer.left_out["retracted"], answer.group_count) == (2.0, 0.5, 2, 1)
    assert (answer.meta.complete, answer.meta.proved_through, answer.meta.node) == (True, 17, "node2")


def test_no_match_is_an_answer(connect: Callable[..., Any]) -> None:
    union = {"answered": ["node1"], "missing": ["node2", "node3"]}
    meta = {**META, "complete": False, "proved_through": None, "union": union}
    nothing = {**WINNER, "winner": None, "value": None, "confidence": None, "candidates": 0, "groups": 0}
    answer = connect(Paper({"result": nothing, "meta": meta})).query("s", "p", lens="recency", include=[])
    assert (answer.winner, answer.value, answer.confidence) == (None, None, None)
    assert (answer.meta.complete, answer.meta.missing) == (False, ("node2", "node3"))


def test_the_skeptic(connect: Callable[..., Any]) -> None:
    only = {name: WINNER[name] for name in ("parameters", "value", "candidates", "conflict_score", "left_out", "set_digest")}
    result = {**only, "lens": "skeptic", "verdict": "unanimous", "groups": [GROUP], "groups_total": 1}
    paper = Paper({"result": result, "meta": META})
    db = connect(paper)
    answer = db.skeptic("s", "p", tolerance=0.1)
    assert paper.body == {"subject": "s", "predicate": "p", "lens": "skeptic", "tolerance": 0.1}
    assert isinstance(answer, Skeptic)
    assert (answer.verdict, answer.group_count, answer.groups[0].strongest.id, answer.winner) == ("unanimous", 1, ID, None)
    # The lens epoch may look through the skeptic.
    assert isinstance(db.query("s", "p", lens="epoch", inner="skeptic"), Skeptic)
    with pytest.raises(BadReply, match="asked for Layered"):
        db.layered("s", "p")


def test_layers(connect: Callable[..., Any]) -> None:
    layer = {"tier": 3, "class": "expert", "winner": CLAIM, "value": CLAIM["object"], "candidates": 4}
    paper = Paper({"result": {**WINNER, "lens": "layered", "layers": [layer]}, "meta": META})
    answer = connect(paper).layered("s", "p", decay=True)
    assert paper.body == {"subject": "s", "predicate": "p", "lens": "layered", "decay": True}
    assert isinstance(answer, Layered)
    assert (answer.layers[0].source_class, answer.layers[0].value, answer.layers[0].candidates) == ("expert", 2.0, 4)


def test_several_questions(connect: Callable[..., Any]) -> None:
    page = {"records": [CLAIM], "cursor": None}
    error = {"status": 422, "code": "subject_required", "path": "subject"}
    paper = Paper({"results": [{"result": WINNER, "meta": META}, {"result": page, "meta": META}, {"error": error}]})
    answers = connect(paper).query_many([{"subject": "s", "lens": "votes"}, {"subject": "s"}, {}])
    assert paper.body == {"queries": [{"subject": "s", "lens": "votes"}, {"subject": "s"}, {}]}
    assert [type(answer) for answer in answers] == [Answer, Page, Problem]
    assert answers[2].code == "subject_required"


def test_all_pages_of_claims(connect: Callable[..., Any]) -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        cursor = {None: "second", "second": "third", "third": None}[asked[-1].get("cursor")]
        records = [] if cursor == "third" else [CLAIM, {**CLAIM, "id": "cd" * 32}]
        return reply(200, {"result": {"records": records, "cursor": cursor}, "meta": META})

    found = connect(handler).records("s", source_class=["expert"], page_size=2)
    assert [record.id for record in found] == [ID, "cd" * 32] * 2
    first = {"subject": "s", "class": ["expert"], "limit": 2}
    assert asked == [first, {**first, "cursor": "second"}, {**first, "cursor": "third"}]


def test_all_pages_of_subjects(connect: Callable[..., Any]) -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        last = "cursor=" in asked[-1]
        row = {"subject": "cas:2" if last else "cas:1", "records": 3}
        return reply(200, {"result": {"subjects": [row], "cursor": None if last else "a b"}, "meta": META})

    found = connect(handler).subjects("cas:", page_size=1)
    assert [(row.subject, row.records) for row in found] == [("cas:1", 3), ("cas:2", 3)]
    assert asked == ["/v1/subjects?prefix=cas%3A&limit=1", "/v1/subjects?prefix=cas%3A&limit=1&cursor=a%20b"]


def listed(asked: list[str], name: str, rows: list[Any]) -> Callable[[httpx.Request], httpx.Response]:
    """A gateway that shows a row on each page, and an empty page before the last one."""

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        shown = [rows[:1], [], rows[1:]][len(asked) - 1]
        return reply(200, {"result": {name: shown, "cursor": None if len(asked) == 3 else f"c{len(asked)}"}, "meta": META})

    return handler


def test_all_pages_of_epochs(connect: Callable[..., Any]) -> None:
    asked: list[str] = []
    rows = [{"record": EPOCH, "superseded_by": ["cd" * 32]}, {"record": {**EPOCH, "name": "m"}, "superseded_by": []}]
    found = list(connect(listed(asked, "epochs", rows)).epochs(page_size=1))
    assert [(row.record.name, row.superseded_by) for row in found] == [("n", ("cd" * 32,)), ("m", ())]
    assert asked == ["/v1/epochs?limit=1", "/v1/epochs?limit=1&cursor=c1", "/v1/epochs?limit=1&cursor=c2"]


def test_all_pages_of_sources_votes_and_predicates(connect: Callable[..., Any]) -> None:
    asked: list[str] = []
    found = list(connect(listed(asked, "sources", [SOURCE, {**SOURCE, "uri": "doi:2"}])).sources("doi:", retracted=True))
    assert [(row.uri, row.retracted) for row in found] == [("doi:1", True), ("doi:2", True)]
    assert asked[0] == "/v1/sources?prefix=doi%3A&retracted=true"
    asked.clear()
    found = list(connect(listed(asked, "votes", [VOTE, {**VOTE, "voter": "w"}])).votes("s", ID))
    assert [(row.voter, row.weight, row.voted_at) for row in found] == [("v", 0.5, 4), ("w", 0.5, 4)]
    assert asked[0] == f"/v1/votes?subject=s&assertion={ID}"
    asked.clear()
    rows = [{"predicate": "p", "claims": 2}, {"predicate": "q", "claims": 1}]
    found = list(connect(listed(asked, "predicates", rows)).predicates("s"))
    assert [(row.predicate, row.claims) for row in found] == [("p", 2), ("q", 1)]
    assert asked[2] == "/v1/predicates?subject=s&cursor=c2"
    with pytest.raises(BadReply, match="listed as Vote"):
        list(connect(listed([], "votes", [SOURCE])).votes("s"))


def test_a_retraction_knows_what_it_retracts(connect: Callable[..., Any]) -> None:
    bodies = []
    known: list[Any] = []
    claims: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        if path == "/v1/sources?prefix=doi%3A1&limit=1":
            return reply(200, {"result": {"sources": known, "cursor": None}, "meta": META})
        body = json.loads(request.content)
        if path == "/v1/query":
            assert (body["source"], len(body["lifecycle"])) == ("doi:1", 5)
            return reply(200, {"result": {"records": claims, "cursor": None}, "meta": META})
        bodies.append(body)
        return reply(201, {**STORED, "warnings": [{"code": "no_claim", "detail": "no claim names it"}]})

    db = connect(handler)
    with pytest.raises(ValueError, match="nothing is known of doi:1"):
        db.retract("doi:1")
    known.append({**SOURCE, "uri": "doi:11"})
    claims.append(CLAIM)
    assert db.retract("doi:1").warnings[0].code == "no_claim"
    assert (bodies[-1]["class"], bodies[-1]["retracted"]) == ("expert", True)
    known[0] = {**SOURCE, "recorded_at": 4_000_000_000_000}
    db.restore("doi:1")
    expected = {"kind": "source", "uri": "doi:1", "class": "clinical", "title": "A trial", "retracted": False}
    assert bodies[-1] == {**expected, "recorded_at": 4_000_000_000_001}
    db.restore("doi:1", "expert", title="Another", recorded_at=3)
    assert bodies[-1] == {**expected, "class": "expert", "title": "Another", "recorded_at": 3}


def test_a_description_takes_no_retraction_back(connect: Callable[..., Any]) -> None:
    bodies = []
    known = {**SOURCE, "recorded_at": 4_000_000_000_000}
    meta = dict(META)

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            assert request.url.raw_path == b"/v1/sources?prefix=doi%3A1&limit=1"
            return reply(200, {"result": {"sources": [known], "cursor": None}, "meta": meta})
        bodies.append(json.loads(request.content))
        return reply(201, STORED)

    def described(**given: Any) -> tuple[Any, Any, list[str]]:
        written = db.source("doi:1", "expert", title="T", **given)
        assert (bodies[-1]["class"], bodies[-1]["title"]) == ("expert", "T")
        codes = [warning.code for warning in written.warnings]
        return bodies[-1].get("retracted"), bodies[-1]["recorded_at"], codes

    db = connect(handler)
    assert described() == (True, 4_000_000_000_001, ["still_retracted"])
    assert described(recorded_at=3) == (None, 3, [])
    assert described(retracted=False, recorded_at=3) == (False, 3, [])
    signed = [{"agent": "a", "signature": "b"}]
    assert described(signatures=signed, recorded_at=5_000_000_000_000) == (None, 5_000_000_000_000, [])
    meta["complete"] = False
    assert described()[2] == ["still_retracted", "incomplete"]
    known["uri"] = "doi:11"
    retracted, recorded_at, codes = described()
    assert (retracted, codes) == (None, ["incomplete"])
    assert recorded_at < 4_000_000_000_000
    known |= {"uri": "doi:1", "retracted": False}
    meta["complete"] = True
    assert described() == (None, 4_000_000_000_001, [])


def test_one_record_and_its_trace(connect: Callable[..., Any]) -> None:
    paper = Paper({"result": VOTE, "meta": META})
    db = connect(paper)
    assert isinstance(db.record(ID).record, Vote)
    assert paper.path == f"/v1/records/{ID}"
    paper.answer = {
        "result": {
            "id": ID,
            "record": CLAIM,
            "parents": [CLAIM],
            "epoch": EPOCH,
            "superseded_by": ["cd" * 32],
            "source": None,
            "votes": {"count": 2, "weight": 1.5},
            "signatures": ["agent"],
            "replicas": ["node1"],
        },
        "meta": META,
    }
    trace = db.trace(ID)
    assert paper.path == f"/v1/trace/{ID}"
    assert isinstance(trace.epoch, Epoch)
    assert trace.superseded_by == ("cd" * 32,)
    assert (trace.vote_count, trace.vote_weight, trace.signers, len(trace.parents)) == (2, 1.5, ("agent",), 1)
    paper.answer["result"]["votes"] = None
    trace = db.trace(ID)
    assert (trace.vote_count, trace.vote_weight) == (None, None)
    with pytest.raises(ValueError, match="empty"):
        db.record("")
    db.answer = None
    with pytest.raises(BadReply):
        db.record("../x y")
    assert paper.path == "/v1/records/..%2Fx%20y"


def test_a_refused_batch_names_its_faults(connect: Callable[..., Any]) -> None:
    fault = {"status": 422, "code": "empty", "path": "subject", "index": 0}
    body = {"status": 422, "code": "invalid_records", "invalid": 1, "errors": [fault]}
    with pytest.raises(Problem, match="invalid_records") as raised:
        connect(Paper(body, 422)).assert_many([{"subject": ""}])
    assert raised.value.members["errors"] == [fault]
    assert raised.value.results == ()


def test_a_batch_that_is_not_confirmed_tells_of_each(connect: Callable[..., Any]) -> None:
    error = {"status": 503, "code": "maybe_stored", "id": "cd" * 32}
    paper = Paper({"results": [STORED, {"id": "cd" * 32, "error": error}], "summary": {"lines": 2}}, 503)
    with pytest.raises(Problem, match="maybe_stored") as raised:
        connect(paper, deadline=0.5).assert_many([{"subject": "a"}, {"kind": "vote"}])
    assert len({request.content for request in paper.requests}) == 1, "sent again, and dated once"
    assert len(paper.requests) > 3
    assert set(paper.body[0]) == {"subject", "asserted_at"}
    assert set(paper.body[1]) == {"kind", "voted_at"}
    stored, failed = raised.value.results
    assert isinstance(stored, Written)
    assert (stored.id, failed.members["id"]) == (ID, "cd" * 32)


def test_health_asks_everybody_and_raises_nothing(connect: Callable[..., Any]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "node2":
            raise httpx.ConnectError("connection refused")
        if request.url.host == "node3":
            return reply(503, {"status": "not_ready", "node": "node3", "reasons": ["no store"], "services": {"store": "no"}})
        return reply(200, {"status": "ready", "node": "node1", "reasons": [], "services": {"store": "ok"}})

    first, second, third = connect(handler).health()
    assert (first.ready, first.node, first.reasons, first.services) == (True, "node1", (), {"store": "ok"})
    assert (second.ready, second.node, second.reasons) == (False, None, ("connection refused",))
    assert (third.ready, third.reasons) == (False, ("no store",))


def test_problems_come_through(connect: Callable[..., Any]) -> None:
    db = connect(lambda request: problem(422, "out_of_range", path="confidence", limit=1))
    with pytest.raises(Problem) as raised:
        db.assert_claim("s", "p", 1, source="u", source_class="expert", confidence=2)
    assert (raised.value.code, raised.value.path, raised.value.limit) == ("out_of_range", "confidence", 1)
    assert (raised.value.next_step, raised.value.trace_id) == ("do better", "ab" * 16)
    with pytest.raises(Problem):
        db.feed()
    with pytest.raises(Problem):
        db.records("s")


def test_a_stranger_that_answers_is_named(connect: Callable[..., Any]) -> None:
    db = connect(lambda request: httpx.Response(200, content=b"<html>"))
    with pytest.raises(BadReply, match="does not speak JSON"):
        db.members()
