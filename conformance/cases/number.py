#!/usr/bin/env python3
"""Writes the case numbers under each clause of PROTOCOL.md, from the case files; with --check says whether they stand there."""

import collections
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
PROTOCOL = HERE.parent / "PROTOCOL.md"
CLAUSE = re.compile(r"^\*\*([A-Z]-[0-9]+)\*\* ")


def cases():
    by_clause = collections.defaultdict(list)
    for path in HERE.glob("*.json"):
        for case in json.loads(path.read_text("utf-8")).get("cases", []):
            by_clause[case["clause"]].append(case["id"])
    order = lambda name: [int(part) if part.isdigit() else part for part in re.split("[-.]", name)]
    return {clause: sorted(names, key=order) for clause, names in by_clause.items()}


def line_of(names):
    """`E-4.1` to `E-4.5` for many in a row: ids of one clause are numbered without gaps."""
    return f"*Cases: {names[0]}*" if len(names) == 1 else f"*Cases: {names[0]} – {names[-1]}*"


def numbered(text, by_clause):
    out, clause = [], None
    blocks = text.split("\n\n")
    for at, block in enumerate(blocks):
        if block.startswith("*Cases: "):
            continue
        match = CLAUSE.match(block)
        out.append(block)
        following = blocks[at + 1:at + 2]
        if match:
            clause = match[1]
        # The line stands under the clause's last block: a table may follow its first.
        ends = not following or CLAUSE.match(following[0]) or following[0].startswith(("## ", "*Cases: "))
        if clause and ends and clause in by_clause:
            out.append(line_of(by_clause[clause]))
        if ends:
            clause = None
    return "\n\n".join(out)


def main():
    text = PROTOCOL.read_text("utf-8")
    wanted = numbered(text, cases())
    if "--check" in sys.argv[1:]:
        sys.exit(0 if wanted == text else "PROTOCOL.md does not name the cases that there are: run conformance/cases/number.py")
    PROTOCOL.write_text(wanted, "utf-8")


if __name__ == "__main__":
    main()
