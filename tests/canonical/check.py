"""Reproduces every id, signature and set digest of the golden vectors, from the vectors and the page alone."""

import json
import sys
from pathlib import Path

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

import record
import strict

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "crates/assertion/vectors"
LENSES = ROOT / "crates/lens"

faults = []
counts = {}


def same(what, found, expected):
    counts[what] = counts.get(what, 0) + 1
    if found != expected:
        faults.append(f"{what}: found {found!r:.300}, expected {expected!r:.300}")


def filled(vector, name):
    fill = vector.get("fill")
    return vector[name].replace("<fill>", fill["unit"] * fill["times"]) if fill else vector[name]


def check_accepted():
    file = json.loads((RECORDS / "accepted.json").read_text())
    for vector in file["vectors"]:
        fields = record.read(filled(vector, "input"))
        taken = record.canonical(record.complete(fields, vector.get("as", "assertion"), file["now_ms"]))
        same("canonical bytes", taken.decode(), filled(vector, "canonical"))
        same("ids", record.identity(taken), vector["id"])


def check_signed():
    for vector in json.loads((RECORDS / "signed.json").read_text())["vectors"]:
        content = record.read(vector["signing_bytes"].removeprefix(record.PREFIX.decode()))
        message = record.signing_bytes(content)
        same("signing bytes", message.decode(), vector["signing_bytes"])
        signatures = []
        for seed in vector["seeds"]:
            key = SigningKey(bytes.fromhex(seed))
            agent, signature = key.verify_key.encode(), key.sign(message).signature
            signatures.append({"agent": agent.hex(), "signature": signature.hex()})
            same("signatures that PyNaCl takes", takes(agent, message, signature), True)
            same("signatures that the strict rules take", strict.verify(agent, message, signature), True)
        signatures.sort(key=lambda one: one["agent"])
        same("signatures", signatures, vector["signatures"])
        whole = record.canonical({**content, "signatures": signatures})
        same("canonical bytes", whole.decode(), vector["canonical"])
        same("ids", record.identity(whole), vector["id"])


def takes(agent, message, signature):
    try:
        return VerifyKey(agent).verify(message, signature) == message
    except BadSignatureError:
        return False


def check_bad_signatures():
    """In what is refused for a signature, exactly the named one is bad, and those before it are good."""
    for vector in json.loads((RECORDS / "refused.json").read_text())["vectors"]:
        if vector["code"] != "bad_signature":
            continue
        fields = record.read(vector["input"])
        message = record.signing_bytes(fields)
        verdicts = [
            strict.verify(bytes.fromhex(one["agent"]), message, bytes.fromhex(one["signature"]))
            for one in fields["signatures"]
        ]
        same("bad signatures", f"signatures[{verdicts.index(False)}].signature", vector["path"])


def check_lenses():
    claims = (LENSES / "tests/water.ndjson").read_text().splitlines()
    water = [record.identity(record.canonical(record.complete(record.read(line), "assertion", 0))) for line in claims]
    for path in sorted((LENSES / "vectors").glob("*.json")):
        file = json.loads(path.read_text())
        ids = {}
        for one in file.get("records", []):
            same("ids", record.identity(record.canonical(record.read(one["canonical"]))), one["id"])
            ids[one["name"]] = one["id"]
        for case in file["results"]:
            considered = [ids[name] for name in case["considered"]] if "considered" in case else water
            same("set digests", record.set_digest(considered), json.loads(case["result"])["set_digest"])


for check in (check_accepted, check_signed, check_bad_signatures, check_lenses):
    check()
for fault in faults:
    print(fault, file=sys.stderr)
print(", ".join(f"{count} {what}" for what, count in counts.items()), "reproduced" if not faults else "looked at")
sys.exit(1 if faults else 0)
