#!/usr/bin/env python3
"""Reads the spans that rotel prints (`--debug-log traces --debug-log-verbosity detailed`).

spans.py write FILE TRACE CLIENT_SPAN   the trace of a write that node1 took and node2 and node3 own
spans.py repair FILE TRACE              the repair that carried a record of that write

Prints the trace as a tree. Ends with 1 and the reason while something is missing or is not what it shall be.
"""

import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

RESOURCE, ATTRIBUTES, LINKS = "Resource attributes:", "Attributes:", "Links:"
PAIR = re.compile(r"-> ([^:]+): (?:\w+\((.*)\)|(.*))$")


@dataclass
class Span:
    service: str
    resource_node: str
    trace: str = ""
    id: str = ""
    parent: str = ""
    name: str = ""
    kind: str = ""
    start: int = 0
    end: int = 0
    attributes: dict[str, str] = field(default_factory=dict)
    # Traces that it links to.
    links: list[str] = field(default_factory=list)

    @property
    def node(self) -> str:
        return self.attributes.get("stemedb.node", "")

    def __str__(self) -> str:
        """What it is and where, and to which node it goes."""
        path = self.attributes.get("url.path")
        name = f"{self.attributes.get('http.request.method')} {path}" if path else self.name
        to = self.attributes.get("node") or self.attributes.get("peer")
        return f"{name}{f' → {to}' if to else ''} ({self.kind}, {self.service} {self.node})"


class Refused(Exception):
    """What was read is not what it shall be."""


def read(path: Path) -> list[Span]:
    """All spans but one that is not printed to its end."""
    spans: list[Span] = []
    resource: dict[str, str] = {}
    part = ""
    for line in path.read_text(errors="replace").splitlines():
        text = line.strip()
        pair = PAIR.match(text)
        if text.startswith("ResourceSpans #"):
            resource = {}
        elif text in (RESOURCE, ATTRIBUTES, LINKS):
            part = text
        elif text.startswith("Span #"):
            part = ""
            spans.append(Span(resource.get("service.name", ""), resource.get("service.instance.id", "")))
        elif pair:
            key, value = pair[1], pair[2] if pair[2] is not None else pair[3]
            if part == RESOURCE:
                resource[key] = value
            elif part == ATTRIBUTES:
                spans[-1].attributes[key] = value
            elif part == LINKS and key == "Trace ID":
                spans[-1].links.append(value)
        elif spans and not part and ":" in text:
            key, value = (side.strip() for side in text.split(":", 1))
            fields = {"Trace ID": "trace", "ID": "id", "Parent ID": "parent", "Name": "name"}
            if key in fields:
                setattr(spans[-1], fields[key], value)
            elif key == "Kind":
                spans[-1].kind = value.removeprefix("SPAN_KIND_").lower()
            elif key in ("Start time", "End time"):
                setattr(spans[-1], key.split()[0].lower(), int(value))
    return [span for span in spans if span.node]


def of(spans: list[Span], trace: str) -> list[Span]:
    """One trace, its spans in the order in which they began."""
    return sorted((span for span in spans if span.trace == trace), key=lambda span: (span.start, -span.end))


def check_whole(spans: list[Span], above: str) -> Span:
    """Every span was sent once, with its parent, by the node that its process says; the root hangs on `above`."""
    ids = Counter(span.id for span in spans)
    for span in spans:
        if ids[span.id] > 1:
            raise Refused(f"span {span.id} came twice")
        if span.parent != above and span.parent not in ids:
            raise Refused(f"{span}: its parent {span.parent or '(none)'} is missing")
        if span.node != span.resource_node:
            raise Refused(f"{span}: its process says it is {span.resource_node}")
    roots = [span for span in spans if span.parent == above]
    if len(roots) != 1:
        raise Refused(f"{len(roots)} spans hang on {above or 'nothing'}")
    return roots[0]


def tree(spans: list[Span], root: Span) -> str:
    """Line by line: what it is, service and node, when it began after the root, how long it took."""
    lines = []

    def add(span: Span, indent: str, elbow: str) -> None:
        name, place = str(span).rstrip(")").split(" (")
        began, took = (span.start - root.start) / 1e6, (span.end - span.start) / 1e6
        lines.append(f"{indent + elbow + name:44} {place:38} {began:6.2f} {took:6.2f} ms")
        below = [child for child in spans if child.parent == span.id]
        indent += {"": "", "├─ ": "│  ", "└─ ": "   "}[elbow]
        for child in below:
            add(child, indent, "└─ " if child is below[-1] else "├─ ")

    add(root, "", "")
    return "\n".join(lines)


def write(spans: list[Span], trace: str, client: str) -> str:
    """Exactly these spans, each below the one it belongs to."""
    gateway = "stemedb-gateway node1"
    door = f"POST /v1/assert (server, {gateway})"
    wanted = Counter([(door,)])
    for owner in ("node2", "node3"):
        call = (
            door,
            f"append → {owner} (internal, {gateway})",
            f"stemedb.v1.Store/Append (client, {gateway})",
            f"stemedb.v1.Store/Append (server, stemedb-store {owner})",
        )
        wanted.update(call[:depth] for depth in range(2, len(call) + 1))
        # A store commits many writes at once; each sees its own part as a child of its own request.
        wanted[(door, f"store.append (internal, stemedb-store {owner})")] += 1

    spans = of(spans, trace)
    known = {span.id: span for span in spans}

    def path(span: Span) -> tuple[str, ...]:
        above = known.get(span.parent)
        return (*(path(above) if above else ()), str(span))

    seen = Counter(path(span) for span in spans)
    if seen != wanted:
        missing, superfluous = (sorted(some.elements()) for some in (wanted - seen, seen - wanted))
        raise Refused(f"missing: {missing}, superfluous: {superfluous}")
    return tree(spans, check_whole(spans, client))


def repair(spans: list[Span], trace: str) -> str:
    """A trace of its own, with both ends of every call, that links to the write and ends on node3's disk."""
    found = [span for span in spans if span.name == "repair" and trace in span.links]
    if not found:
        raise Refused(f"no repair links to trace {trace}")
    whole = of(spans, found[0].trace)
    root = check_whole(whole, "")
    if root is not found[0] or root.service != "stemedb-antientropy":
        raise Refused(f"{root} is not the repair")
    answered = {span.parent for span in whole if span.kind == "server"}
    for span in whole:
        if span.kind == "client" and span.id not in answered:
            raise Refused(f"{span}: the span of who answered is missing")
    stored = "stemedb.v1.Store/Append (server, stemedb-store node3)"
    if not any(str(span) == stored for span in whole):
        raise Refused("it brought node3 nothing")
    return f"{tree(whole, root)}\nlinked to {', '.join(root.links)}"


def main(command: str, path: str, *arguments: str) -> int:
    try:
        print({"write": write, "repair": repair}[command](read(Path(path)), *arguments))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
