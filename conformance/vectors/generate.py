#!/usr/bin/env python3
"""Writes the vectors beside this file, or with --check says whether they are what it would write.

Needs PyPI `cryptography` (46 or later) and nothing of the gateway: keys are made from their names, ES256 signatures by
RFC 6979, PS256 salts from the message, so that every run gives the same bytes.
"""

import datetime
import json
import pathlib
import sys

from maker import days, evidence, identifiers, ledger, messages
from maker.keys import Keys, b64url, sha256

HERE = pathlib.Path(__file__).resolve().parent
CASES = HERE.parent / "cases"
ROOT = HERE.parent.parent
TODAY = datetime.date(2026, 11, 22)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def regions(*names):
    return {line.split("\t")[0] for name in names for line in (ROOT / "schemas/regions" / name).read_text("utf-8").splitlines()}


def identifier_rows(published):
    """The published verdicts, each found again here."""
    ever, now = regions("current.tsv", "historic.tsv"), regions("current.tsv")
    judges = {
        "id": lambda text: identifiers.resident_id(text, TODAY, ever),
        "uscc": identifiers.uscc,
        "license_id": identifiers.license_id,
        "item_code": identifiers.item_code,
        "case_no": lambda text: identifiers.case_number(text, now),
    }
    out = {"about": "text and verdict; `today` is the day of the verdicts on resident ids.", "today": TODAY.isoformat(),
           "exceptions": identifiers.EXCEPTIONS}
    for table, judge in judges.items():
        for text, verdict in published[table]:
            assert judge(text) == verdict, (table, text, verdict, judge(text))
        out[table] = published[table]
    more = [("K3310834212022026101200000001N", "check"), ("K3310834212022026023000000001A", "date"), ("K99", "format")]
    out["case_no"] = out["case_no"] + [[text, verdict] for text, verdict in more if judges["case_no"](text) == verdict]
    out["holder_digests"] = [
        {"jti": jti, "type": kind, "number": number, "digest": b64url(sha256(f"{jti}\0{kind}\0{number}".encode()))}
        for jti, kind, number in [("A" * 22, "111", "42120219000101001X"), ("A" * 22, "112", "42120219000101001X"),
                                  ("B" * 22, "111", "42120219000101001X"), ("A" * 22, "001", "91320922MATECT015U")]
    ]
    out["mod37_36"] = [{"text": text, "check": identifiers.mod37_36(text)} for text in ("A12425GABC1234002", "K331083421202202610120000000")]
    return out


def documents():
    keys = Keys()
    scene = messages.Scene(read(CASES / "scene.json"), keys)
    cases = [case for path in sorted(CASES.glob("*.json")) if path.name != "scene.json" for case in read(path)["cases"]]
    published = read(ROOT / "tests/vectors/domain.json")
    years = [{"year": year["year"], "off": year["off"], "work": year["work"]}
             for year in (read(ROOT / f"schemas/calendar/{n}.json") for n in (2024, 2025, 2026))]
    about = "Whole messages to the answering gateway; `from` is the TLS member. Ids are those of the cases; `good.*` are true messages."
    return {
        "keys.json": keys.document(),
        "trust.json": messages.trust(scene),
        "requests.json": {"about": about, "requests": messages.requests(scene, cases)},
        "responses.json": {"about": "Answers to what `asked` holds, as the asking gateway judges them.", **messages.responses(scene, cases)},
        "identifiers.json": identifier_rows(published),
        "jcs.json": messages.canonical_forms(),
        "ledger.json": ledger.document(keys),
        "evidence.json": evidence.document(keys),
        "calendar.json": days.document(years, published["deadline"]),
    }


def text_of(document):
    """One row a line, so that a difference is a line; no character that an editor would turn."""
    return pretty(document, 0) + "\n"


def pretty(value, indent):
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or (indent >= 2 and not any(isinstance(v, list) and len(str(v)) > 400 for v in
                                                                      (value.values() if isinstance(value, dict) else []))):
        return visible(line)
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        inner = [pad + visible(json.dumps(name, ensure_ascii=False)) + ": " + pretty(item, indent + 1) for name, item in value.items()]
        return "{\n" + ",\n".join(inner) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(pad + pretty(item, indent + 1) for item in value) + "\n" + " " * indent + "]"


def visible(text):
    return "".join(c if c.isprintable() and ord(c) < 0xE000 else escaped(c) for c in text)


def escaped(character):
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def main():
    check, different = "--check" in sys.argv[1:], 0
    for name, document in documents().items():
        text, path = text_of(document), HERE / name
        if not check:
            path.write_text(text, encoding="utf-8")
            print(f"{name}: {len(text.encode()):,} bytes")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            print(f"{name} is not what generate.py makes", file=sys.stderr)
            different += 1
    if check and not different:
        print("the vectors are what generate.py makes")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
