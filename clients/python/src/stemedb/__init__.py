"""Client of StemeDB, the database of claims that may contradict each other.

``StemeDB`` is the client for threads, ``AsyncStemeDB`` the one for asyncio.
"""

from .answers import (
    Answer,
    Event,
    Found,
    Group,
    Health,
    Layer,
    Layered,
    Line,
    Member,
    Members,
    Meta,
    Page,
    Replica,
    Replicas,
    Skeptic,
    Subject,
    Summary,
    Trace,
    Verification,
    Written,
)
from .async_client import AsyncImport, AsyncStemeDB
from .client import Import, StemeDB
from .core import LOCAL_CLUSTER, VERSION
from .problems import BadReply, Problem, StemeDBError, Unreachable
from .records import (
    Assertion,
    Epoch,
    Kind,
    Lifecycle,
    Record,
    Reference,
    Signature,
    Source,
    SourceClass,
    SourceRecord,
    Value,
    Vote,
    claim,
)

__version__ = VERSION

__all__ = [
    "LOCAL_CLUSTER",
    "Answer",
    "Assertion",
    "AsyncImport",
    "AsyncStemeDB",
    "BadReply",
    "Epoch",
    "Event",
    "Found",
    "Group",
    "Health",
    "Import",
    "Kind",
    "Layer",
    "Layered",
    "Lifecycle",
    "Line",
    "Member",
    "Members",
    "Meta",
    "Page",
    "Problem",
    "Record",
    "Reference",
    "Replica",
    "Replicas",
    "Signature",
    "Skeptic",
    "Source",
    "SourceClass",
    "SourceRecord",
    "StemeDB",
    "StemeDBError",
    "Subject",
    "Summary",
    "Trace",
    "Unreachable",
    "Value",
    "Verification",
    "Vote",
    "Written",
    "claim",
]
