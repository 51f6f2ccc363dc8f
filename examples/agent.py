"""An agent that tells what it found, asks how contested it is, and sees its own claims come by.

    stemedb up
    python examples/agent.py [URL …]        (or STEMEDB_URL; without either the local cluster)

It reads what six published tables say about the temperature at which water boils, asserts it, asks the skeptic, and follows
the feed until every claim of its own has come by. Run it again: the same claims are the same records.
"""

import gzip
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stemedb import LOCAL_CLUSTER, StemeDB, StemeDBError, claim

TABLES = Path(__file__).parent.parent / "bench" / "data" / "chem-claims.ndjson.gz"
WATER = "cas:7732-18-5"
PREDICATE = "boiling_point_k"

# Seconds that a call may take, with everything that is sent again.
DEADLINE = 10.0

# Seconds without any event after which the agent stops waiting for its claims.
PATIENCE = 30.0


def findings() -> Iterator[dict[str, Any]]:
    """Read the published claims about water, each with its source."""
    with gzip.open(TABLES, "rt", encoding="utf-8") as lines:
        # They stand together; looking for the text first saves parsing the other 290,000.
        for line in lines:
            if WATER in line and PREDICATE in line:
                found = json.loads(line)
                yield claim(
                    found["subject"],
                    found["predicate"],
                    found["object"],
                    source=found["source"]["uri"],
                    source_class=found["source"]["class"],
                    confidence=found["confidence"],
                    lifecycle=found["lifecycle"],
                    asserted_at=found["asserted_at"],
                )


def tell(db: StemeDB) -> set[str]:
    """Assert what was found and return the ids."""
    written = db.assert_many(findings())
    for record in written:
        print(f"{record.status:8}  {record.copies} copies  {record.id[:12]}")
    return {record.id for record in written}


def doubt(db: StemeDB, ids: set[str]) -> None:
    """Ask how contested the value is, knowing of all that was just told."""
    for tolerance in (None, 0.001):
        answer = db.skeptic(WATER, PREDICATE, tolerance=tolerance, include=sorted(ids))
        worth = "complete" if answer.meta.complete else "NOT complete"
        print(f"\n{answer.verdict}: {answer.candidates} claims, conflict {answer.conflict_score} ({worth})")
        for group in answer.groups:
            sources = "1 source" if group.sources_total == 1 else f"{group.sources_total} sources"
            print(f"  {group.share:6.1%}  {group.value}  from {sources}")


def follow(db: StemeDB, ids: set[str]) -> set[str]:
    """Follow the feed until every claim has come by; return those that did not."""
    missing = set(ids)
    for event in db.feed(since="start", kind="assertion", subject=WATER, predicate=PREDICATE, quiet=PATIENCE):
        # At least once: a claim may come by again.
        missing.discard(event.record.id)
        if not missing:
            break
    return missing


def main(urls: list[str]) -> int:
    """Tell, doubt, follow."""
    urls = urls or [url for url in os.environ.get("STEMEDB_URL", "").split(",") if url]
    with StemeDB(urls or LOCAL_CLUSTER, deadline=DEADLINE) as db:
        try:
            ids = tell(db)
            doubt(db, ids)
            missing = follow(db, ids)
        except StemeDBError as error:
            print(error, file=sys.stderr)
            return 1
    print(f"\nsaw {len(ids) - len(missing)} of {len(ids)} claims in the feed")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
