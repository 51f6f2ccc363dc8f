"""Sign records with an Ed25519 key, as ``stemedb keygen`` makes one. Needs the extra: ``pip install 'stemedb[signing]'``.

A signature binds every field, so that a record is completed here, by the rules of ``docs/canonical-form.md``, before it is
signed, and sent as it was signed.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

try:
    import rfc8785
    from nacl.signing import SigningKey as _Ed25519
except ImportError as missing:  # pragma: no cover
    raise ImportError(f"{missing.name} is missing: pip install 'stemedb[signing]'") from missing

from .records import TIMES

__all__ = ["SigningKey", "canonical", "complete", "signing_bytes"]

# What is signed begins with this: no other protocol's message is a record.
PREFIX = b"stemedb.sign.v1\n"

SEED_BYTES = 32
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class SigningKey:
    """A private key. ``agent`` is its public half in hex: the name under which everything signed with it appears.

    Give it to ``assert_claim``, ``vote``, ``epoch`` and ``source`` as ``key=``, or ``sign`` a record yourself.
    """

    __slots__ = ("_key", "agent")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        self._key = _Ed25519(seed)
        self.agent: str = bytes(self._key.verify_key).hex()

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a new key."""
        return cls(os.urandom(SEED_BYTES))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> SigningKey:
        """Read a key file: a line with the seed in hex, for its owner's eyes alone."""
        with Path(path).open(encoding="ascii", errors="replace") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & OTHERS:
                raise PermissionError(
                    f"{path} may be read by others (mode {mode:03o}): whoever has it can sign for you; chmod 600 {path}"
                )
            digits = file.read(4 * SEED_BYTES).rstrip()
        if len(digits) != 2 * SEED_BYTES or set(digits) - set("0123456789abcdef"):
            raise ValueError(
                f"{path} is no key: it holds {2 * SEED_BYTES} lowercase hex digits, as `stemedb keygen` writes them"
            )
        return cls(bytes.fromhex(digits))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a key file, as ``read`` and ``stemedb --key`` take it. One that exists is never overwritten."""
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(f"{bytes(self._key).hex()}\n")
            file.flush()
            os.fsync(file.fileno())

    def sign(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Complete a record of any kind, dated now if it has no date, and sign it, beside signatures that it has already.

        A vote without ``voter`` is this key's.
        """
        signed = complete(record)
        if signed["kind"] == "vote":
            signed.setdefault("voter", self.agent)
        others = [one for one in signed.get("signatures", []) if one["agent"] != self.agent]
        own = {"agent": self.agent, "signature": self._key.sign(signing_bytes(signed)).signature.hex()}
        signed["signatures"] = sorted([*others, own], key=lambda one: str(one["agent"]))
        return signed

    def __repr__(self) -> str:
        return f"SigningKey(of agent {self.agent})"


def complete(record: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what a client may leave out, and put what is a set in order."""
    full = {name: value for name, value in record.items() if name != "id" and value is not None and value != []}
    kind = full.setdefault("kind", "assertion")
    if kind not in TIMES:
        raise ValueError(f"kind is {kind!r}: give one of {', '.join(TIMES)}")
    full.setdefault("v", 1)
    full.setdefault(TIMES[kind], time.time_ns() // 1_000_000)
    if kind == "assertion":
        full.setdefault("confidence", 1)
        full.setdefault("lifecycle", "proposed")
    if "supersedes" in full:
        full["supersedes"] = sorted(full["supersedes"])
    return full


def canonical(record: Mapping[str, Any]) -> bytes:
    """Write a complete record as it is kept: RFC 8785."""
    return rfc8785.dumps(_doubles(dict(record)))


def signing_bytes(record: Mapping[str, Any]) -> bytes:
    """Return what a signature of a complete record signs."""
    return PREFIX + canonical({name: value for name, value in record.items() if name != "signatures"})


def _doubles(value: Any) -> Any:
    """Turn every number into the double that it is on the wire; one that is none would be another number there."""
    if isinstance(value, Mapping):
        return {name: _doubles(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_doubles(item) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        double = float(value)
        if double != value:
            raise ValueError(f"{value!r} is no IEEE double: round it, or give it as text")
        # -0 is 0.
        return double + 0.0
    return value
