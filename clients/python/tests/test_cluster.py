"""Against three real nodes: every call that docs/api.md describes, through both clients."""

from __future__ import annotations

import gzip
import itertools
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Cluster, until

from stemedb import Assertion, Problem, Reference, Unreachable, claim

TABLES = Path(__file__).parents[3] / "bench" / "data" / "chem-claims.ndjson.gz"
WATER_DIGEST = "39343aac273d76b3b7e97295c453b6f24525e8bb12ccab8f08509e3df6d823f7"


@pytest.fixture
def db(connect: Callable[..., Any], cluster: Cluster) -> Any:
    return connect(urls=cluster.urls)


@pytest.fixture
def subject() -> str:
    return f"test:{uuid.uuid4()}"


def source() -> dict[str, Any]:
    return {"source": "https://example.org/a b?ü", "source_class": "community"}


@pytest.mark.parametrize(
    "value",
    [
        373.15,
        -0.1,
        1e21,
        5e-324,
        1.7976931348623157e308,
        2.0**53,
        True,
        False,
        "",
        'é\n"\\ \U0001f4a7',
        Reference("cas:64-17-5"),
    ],
)
def test_values_come_back_as_they_were(db: Any, subject: str, value: Any) -> None:
    written = db.assert_claim(subject, "value", value, **source(), note="n", confidence=0.25, lifecycle="approved")
    assert (written.status, written.copies, written.acknowledged) == ("stored", 2, True)
    assert len(written.trace_id) == 32
    found = db.record(written.id)
    assert isinstance(found.record, Assertion)
    assert (found.record.value, type(found.record.value)) == (value, type(value))
    assert found.record.asserted_at == written.at_ms
    assert (found.record.note, found.record.confidence, found.record.lifecycle) == ("n", 0.25, "approved")
    assert found.record.source.uri == "https://example.org/a b?ü"


def test_the_same_claim_is_present(db: Any, subject: str) -> None:
    first = db.assert_claim(subject, "p", 1, **source(), asserted_at=1_000)
    again = db.assert_claim(subject, "p", 1, **source(), asserted_at=1_000)
    assert (first.status, again.status, again.id) == ("stored", "present", first.id)
    assert db.assert_claim(subject, "p", 1, **source(), asserted_at=2_000, durability="local").status == "stored"
    assert db.assert_claim(subject, "p", 1, **source(), asserted_at=3_000, durability="all").copies == 2


def test_replicas(db: Any, subject: str) -> None:
    written = db.assert_claim(subject, "p", 1, **source())
    until(lambda: db.replicas(written.id).copies == 2, "both copies are told of")
    replicas = db.replicas(written.id)
    assert replicas.shard == written.shard
    assert {replica.node for replica in replicas.replicas} >= set(written.holders)
    assert {replica.trace_id for replica in replicas.replicas if replica.arrival == "push"} == {written.trace_id}


def test_problems_name_field_limit_and_next_step(db: Any, subject: str) -> None:
    with pytest.raises(Problem) as raised:
        db.assert_claim("x" * 513, "p", 1, **source())
    assert (raised.value.status, raised.value.code, raised.value.path, raised.value.limit) == (
        422,
        "too_long",
        "subject",
        512,
    )
    assert raised.value.next_step
    with pytest.raises(Problem) as raised:
        db.assert_claim(subject, "p", 9_007_199_254_740_993, **source())
    assert (raised.value.code, raised.value.path) == ("number_not_exact", "object.value")
    with pytest.raises(Problem) as raised:
        db.record("0" * 64)
    assert (raised.value.status, raised.value.code) == (404, "no_such_record")
    with pytest.raises(Problem) as raised:
        db.query(subject, "p", lens="guess")
    assert (raised.value.code, raised.value.path) == ("unknown_lens", "lens")


def test_a_batch_is_all_or_nothing(db: Any, subject: str) -> None:
    good = [claim(subject, "p", number, source="u", source_class="expert") for number in range(3)]
    with pytest.raises(Problem) as raised:
        db.assert_many([*good, claim(subject, "", 1, source="u", source_class="expert")])
    assert raised.value.code == "invalid_records"
    assert [(fault["index"], fault["path"]) for fault in raised.value.members["errors"]] == [(3, "predicate")]
    assert list(db.records(subject)) == []
    written = db.assert_many(iter(good))
    assert [record.status for record in written] == ["stored"] * 3
    assert len({record.at_ms for record in written}) == 1
    assert db.assert_many([]) == []


def test_pages_hold_every_claim_once_and_newest_first(db: Any, subject: str) -> None:
    given = [claim(subject, f"p{n % 2}", n, source="u", source_class="expert", asserted_at=n) for n in range(25)]
    ids = [record.id for record in db.assert_many(given)]
    found = db.records(subject, page_size=10)
    assert [record.id for record in found] == ids[::-1]
    assert [record.value for record in db.records(subject, "p1", as_of="1970-01-01T00:00:00.008Z")] == [7.0, 5.0, 3.0, 1.0]
    page = db.page(subject, limit=2, include=ids[-1:])
    assert [record.value for record in page.records] == [24.0, 23.0]
    assert [record.value for record in db.page(subject, limit=2, cursor=page.cursor).records] == [22.0, 21.0]


def test_water(db: Any) -> None:
    with gzip.open(TABLES) as lines:
        boiling = [line for line in lines if b"7732-18-5" in line and b"boiling_point_k" in line]
    told, summary = db.lines(boiling)
    assert summary.refused == 0
    about = ("cas:7732-18-5", "boiling_point_k")
    ids = [line.id for line in told]
    # Other tests may have added kettles; the tables are all from before.
    asked = {"include": ids, "lifecycle": "approved"}
    for lens, value in (("authority", 373.17), ("recency", 373.1339), ("confidence", 373.17), ("consensus", 373.15)):
        answer = db.query(*about, lens=lens, **asked)
        assert (answer.value, answer.candidates, answer.group_count, answer.set_digest) == (value, 6, 5, WATER_DIGEST)
    assert db.query(*about, lens="consensus", tolerance=0.00005, **asked).value == 373.124295848
    answer = db.skeptic(*about, **asked)
    assert (answer.verdict, answer.conflict_score, answer.set_digest) == ("contested", 0.967036, WATER_DIGEST)
    assert [group.value for group in answer.groups] == [373.15, 373.17, 373.124295848, 373.124, 373.1339]
    assert db.skeptic(*about, tolerance=0.001, **asked).verdict == "unanimous"
    assert db.query(*about, lens="authority", source_class=["expert", "community"], **asked).value == 373.124

    def union() -> tuple[Any, bool, list[str]]:
        answer = db.query(*about, lens="authority", consistency="all", **asked)
        return answer.value, answer.meta.complete, sorted(answer.meta.answered)

    until(lambda: union() == (373.17, True, ["node1", "node2", "node3"]), "all nodes answer")
    both = db.query_many([{"subject": about[0], "lens": "recency", "predicate": "none"}, {"lens": "recency"}])
    assert both[0].winner is None
    assert both[1].code == "unbounded"


def test_what_is_there_is_listed(db: Any, subject: str) -> None:
    uri = f"{subject}/table"
    old = db.epoch(f"{subject} old")
    new = db.epoch(f"{subject} new", supersedes=[old.id])
    claims = [
        claim(subject, "p", 1, source=uri, source_class="expert"),
        claim(subject, "p", 2, source=f"{uri}/2", source_class="expert", epoch=old.id),
        claim(subject, "q", 3, source=f"{uri}/2", source_class="expert"),
    ]
    ids = [written.id for written in db.assert_many(claims)]
    assert db.vote(subject, ids[0], voter="v", weight=0.5).warnings == ()
    assert db.vote(subject, ids[1], voter="w").warnings == ()

    def warned() -> list[str]:
        return [said.code for said in db.vote(subject, "0" * 64, voter="v").warnings]

    # Warnings are what is found out within a moment.
    until(lambda: warned() == ["no_such_assertion"], "warned")
    with pytest.raises(ValueError, match="nothing is known"):
        db.retract(f"{uri}/slip")
    assert db.retract(uri).warnings == ()
    listed = {row.record.id: row.superseded_by for row in db.epochs(page_size=2)}
    assert (listed[old.id], listed[new.id]) == ((new.id,), ())
    assert [(row.uri, row.source_class) for row in db.sources(uri, retracted=True)] == [(uri, "expert")]
    assert [(row.predicate, row.claims) for row in db.predicates(subject, page_size=1)] == [("p", 2), ("q", 1)]
    votes = {(row.assertion, row.voter): row.weight for row in db.votes(subject, page_size=2)}
    assert votes == {(ids[0], "v"): 0.5, (ids[1], "w"): 1.0, ("0" * 64, "v"): 1.0}
    assert [row.voter for row in db.votes(subject, ids[1])] == ["w"]
    marks = db.page(subject).marks
    assert marks.keys() == {ids[0], ids[1]}
    assert (marks[ids[0]].retracted, marks[ids[1]].superseded_by) == (True, (new.id,))
    assert db.trace(ids[1]).superseded_by == (new.id,)
    assert "still_retracted" in [said.code for said in db.source(uri, "expert", title="A table").warnings]
    assert [(row.uri, row.title) for row in db.sources(uri, retracted=True)] == [(uri, "A table")]
    db.restore(uri)
    assert list(db.sources(uri, retracted=True)) == []
    assert db.page(subject).marks.keys() == {ids[1]}


def test_an_import_of_real_claims(db: Any) -> None:
    with gzip.open(TABLES) as lines:
        given = list(itertools.islice(lines, 5_000))
    began = time.monotonic()
    told, summary = db.lines(iter([*given, b"{broken", b'{"subject":"x"}']))
    print(f"{len(given) / (time.monotonic() - began):.0f} lines/s")
    assert [line.line for line in told] == list(range(1, 5_003))
    assert summary.stored + summary.present == 5_000
    assert [(line.line, line.problem.code) for line in told if line.problem] == [
        (5_001, "malformed_json"),
        (5_002, "missing_field"),
    ]
    _, again = db.lines(given)
    assert again.present == 5_000


def test_an_import_of_nothing_but_faults_does_not_stand_still(db: Any) -> None:
    """Answers that are longer than their lines must find room while nobody reads them."""
    told, summary = db.lines(["{"] * 5_000 + ["[" + "1," * 2_000] * 500)
    assert (summary.refused, len(told)) == (5_500, 5_500)
    assert {line.problem.code for line in told} == {"malformed_json"}


def test_an_import_of_mappings_that_are_not_dated(db: Any, subject: str) -> None:
    given = (claim(subject, "p", n, source="u", source_class="expert") for n in range(2_500))
    told, summary = db.lines(given)
    assert summary.stored + summary.present == 2_500
    assert {record.id for record in db.records(subject, page_size=1_000)} == {line.id for line in told}


def test_the_cluster(db: Any, cluster: Cluster) -> None:
    members = db.members()
    assert [member.id for member in members.members] == ["node1", "node2", "node3"]
    assert (members.replication_factor, members.num_shards) == (2, 256)
    until(lambda: {member.status for member in db.members().members} == {"UP"}, "all members up")
    assert [health.url for health in db.health()] == cluster.urls
    until(lambda: all(health.ready for health in db.health()), "all ready")
    until(lambda: db.verify().unreachable == (), "all reachable")
    until(lambda: db.verify().nodes.keys() == {"node1", "node2", "node3"}, "all compared")


def test_the_public_port_serves_no_cluster_calls(connect: Callable[..., Any], db: Any) -> None:
    public = connect(urls=[f"http://{member.api_addr}" for member in db.members().members])
    assert public.query("nobody", "nothing", lens="recency").candidates == 0
    with pytest.raises(Problem, match="no_such_path"):
        public.members()


def test_nobody_at_home(connect: Callable[..., Any]) -> None:
    lonely = connect(urls=["http://127.0.0.1:1"], deadline=0.3)
    with pytest.raises(Unreachable):
        lonely.record("0" * 64)
    assert not lonely.health()[0].ready


def test_a_record_is_found_by_the_beginning_of_its_id(db: Any, cluster: Cluster, subject: str) -> None:
    written = db.assert_claim(subject, "p", 1, **source())
    assert [record.id for record in db.find(written.id[:12])] == [written.id]
    assert [record.id for record in db.find(written.id.upper())] == [written.id]
    assert list(db.find("0" * 64)) == []
    with pytest.raises(Problem, match="id_prefix"):
        list(db.find("00"))


def test_many_at_once_keep_their_answers_apart(cluster: Cluster, subject: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from stemedb import StemeDB

    with StemeDB(cluster.urls) as db, ThreadPoolExecutor(16) as pool:

        def write(n: int) -> tuple[int, str]:
            return n, db.assert_claim(subject, "p", n, source="u", source_class="expert").id

        for n, record_id in pool.map(write, range(200)):
            record = db.record(record_id).record
            assert isinstance(record, Assertion)
            assert record.value == n


def test_the_cluster_is_equal_in_the_end(db: Any) -> None:
    until(lambda: bool(db.verify().equal), "equal")


def test_replies_are_closed(cluster: Cluster, subject: str) -> None:
    """A stream that is left early gives its connection back or closes it: a pool of one is not used up."""
    from stemedb import StemeDB

    with StemeDB(cluster.urls[0]) as db:
        db._http = httpx.Client(headers=db._core.headers, limits=httpx.Limits(max_connections=1))
        for _ in range(3):
            job = db.import_lines(claim(subject, "p", n, source="u", source_class="expert") for n in range(1_500))
            for _line in job:
                break
            iter(job).close()
        assert db.query(subject, "p", lens="recency").candidates > 0
        db._http.close()
