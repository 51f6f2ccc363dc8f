"""Keys and signatures: as the golden vectors have them, as the command makes them, as the cluster takes them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import Cluster

from stemedb import StemeDB, claim
from stemedb.signing import PREFIX, SigningKey, canonical, complete, signing_bytes

VECTORS = Path(__file__).parents[3] / "crates" / "assertion" / "vectors" / "signed.json"
SEED = bytes(range(32))


@pytest.mark.parametrize("vector", json.loads(VECTORS.read_text("utf-8"))["vectors"], ids=lambda vector: vector["name"])
def test_golden_vectors(vector: dict[str, Any]) -> None:
    record = json.loads(vector["signing_bytes"].removeprefix(PREFIX.decode()))
    assert signing_bytes(record).decode() == vector["signing_bytes"]
    for seed in vector["seeds"]:
        record = SigningKey(bytes.fromhex(seed)).sign(record)
    assert record["signatures"] == vector["signatures"]
    assert canonical(record).decode() == vector["canonical"]


def test_a_record_is_completed_before_it_is_signed() -> None:
    key = SigningKey(SEED)
    bare = claim("s", "p", 1, source="u", source_class="expert", asserted_at=5)
    signed = key.sign({**bare, "note": None, "id": "00"})
    assert {name: signed[name] for name in ("kind", "v", "lifecycle", "confidence", "asserted_at")} == {
        "kind": "assertion",
        "v": 1,
        "lifecycle": "proposed",
        "confidence": 1,
        "asserted_at": 5,
    }
    assert "note" not in signed
    assert "id" not in signed
    assert key.sign(signed) == signed, "again it is the same"
    assert key.sign({"kind": "vote", "subject": "s", "assertion": "00" * 32, "weight": 1})["voter"] == key.agent
    assert complete({"kind": "epoch", "name": "e", "supersedes": ["b", "a"], "started_at": 1})["supersedes"] == ["a", "b"]
    both = SigningKey(bytes(32)).sign(signed)
    assert [one["agent"] for one in both["signatures"]] == sorted([key.agent, SigningKey(bytes(32)).agent])


def test_what_cannot_be_signed_is_refused() -> None:
    key = SigningKey(SEED)
    with pytest.raises(ValueError, match="no IEEE double"):
        key.sign(claim("s", "p", 9007199254740993, source="u", source_class="expert"))
    with pytest.raises(ValueError, match="kind is 'opinion'"):
        key.sign({"kind": "opinion"})
    with pytest.raises(ValueError, match="32 bytes"):
        SigningKey(b"short")
    assert SEED.hex() not in repr(key)


def test_key_files(tmp_path: Path) -> None:
    path = tmp_path / "agent.key"
    key = SigningKey.generate()
    key.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.read(path).agent == key.agent
    with pytest.raises(FileExistsError):
        SigningKey.generate().save(path)
    path.chmod(0o640)
    with pytest.raises(PermissionError, match=r"mode 640.*chmod 600"):
        SigningKey.read(path)
    path.chmod(0o600)
    for text in ("", "hello\n", "0" * 63, "G" * 64, "é" * 64):
        path.write_text(text, "utf-8")
        with pytest.raises(ValueError, match="stemedb keygen"):
            SigningKey.read(path)


def test_the_command_and_the_client_sign_alike(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "stemedb.key"

    def command(*words: str) -> Any:
        line = [cluster.program, *words, "--json"]
        return json.loads(subprocess.run(line, check=True, capture_output=True, timeout=60).stdout)

    key_made = command("keygen", str(path))
    key = SigningKey.read(path)
    assert key.agent == key_made["agent"]
    said = [
        "signing:alike",
        "height_m",
        "1.5",
        "--source",
        "urn:signing",
        "--class",
        "expert",
        "--asserted-at",
        "1700000000000",
    ]
    theirs = command("assert", *said, "--key", str(path))
    with StemeDB(cluster.urls) as db:
        ours = db.assert_claim(
            "signing:alike",
            "height_m",
            1.5,
            source="urn:signing",
            source_class="expert",
            asserted_at=1_700_000_000_000,
            key=key,
        )
        assert (ours.id, ours.status) == (theirs["id"], "present")
        voted = db.vote("signing:alike", ours.id, key=key)
        assert [vote.voter for vote in db.votes("signing:alike")] == [key.agent]
        began = db.epoch("signing:epoch", key=key)
        described = db.source("urn:signing", "expert", title="a signed one", key=key)
        for written in (ours, voted, began, described):
            assert db.trace(written.id).signers == (key.agent,)
        many = db.assert_many([key.sign(claim("signing:alike", "width_m", 2, source="u", source_class="expert"))])
        assert db.trace(many[0].id).signers == (key.agent,)
