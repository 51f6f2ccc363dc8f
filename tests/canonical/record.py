"""docs/canonical-form.md, read once more: from what a client sends to canonical bytes, signing bytes and ids."""

import json

import blake3
import rfc8785

TIME = {"assertion": "asserted_at", "vote": "voted_at", "epoch": "started_at", "source": "recorded_at"}
PREFIX = b"stemedb.sign.v1\n"


def read(text):
    """JSON with every number as the double that it is, and -0 as 0."""
    number = lambda digits: float(digits) + 0.0
    return json.loads(text, parse_int=number, parse_float=number)


def complete(fields, kind, now_ms):
    """Fills in what a client may leave out, and puts sets in order."""
    record = {name: value for name, value in fields.items() if name != "id" and value != []}
    record.setdefault("kind", kind)
    record.setdefault("v", 1)
    record.setdefault(TIME[record["kind"]], now_ms)
    if record["kind"] == "assertion":
        record.setdefault("confidence", 1)
        record.setdefault("lifecycle", "proposed")
    if "supersedes" in record:
        record["supersedes"] = sorted(record["supersedes"])
    if "signatures" in record:
        record["signatures"] = sorted(record["signatures"], key=lambda one: one["agent"])
    return record


def canonical(record):
    return rfc8785.dumps(record)


def identity(canonical_bytes):
    return blake3.blake3(canonical_bytes).hexdigest()


def signing_bytes(record):
    return PREFIX + canonical({name: value for name, value in record.items() if name != "signatures"})


def set_digest(ids):
    return identity(b"".join(bytes.fromhex(one) for one in sorted(set(ids))))
