#!/usr/bin/env python3
"""Writes <year>.json, the working-day calendars compiled into the gateway.

    pip install chinesecalendar==1.11.0
    python3 generate.py                                # writes 2024.json … 2026.json beside this file
    npm pack chinese-days@1.5.7                        # then unpack, for a second opinion:
    python3 generate.py --compare package/dist/chinese-days.json

A year's file names the days on which the week is not what it seems: `off` are holidays and days off in
exchange, `work` are the Saturdays and Sundays on which offices work. The dates come from the package, the
notice numbers from the notices themselves (README.md); a year without a notice below is not written.
"""
import argparse
import datetime
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent

# 国务院办公厅关于…年部分节假日安排的通知: number and day of the notice.
NOTICES = {
    2024: ("国办发明电〔2023〕7号", "2023-10-25"),
    2025: ("国办发明电〔2024〕12号", "2024-11-12"),
    2026: ("国办发明电〔2025〕7号", "2025-11-04"),
}


def table(year: int) -> dict:
    from chinese_calendar import constants

    def days(of):
        return [str(day) for day in sorted(of) if day.year == year]

    notice, published = NOTICES[year]
    return {
        "year": year,
        "title": f"Working days of {year}",
        "title_zh": f"国务院办公厅关于{year}年部分节假日安排的通知",
        "notice": notice,
        "published": published,
        "off": days(constants.holidays),
        "work": days(constants.workdays),
    }


def working_days(off, work, year: int) -> set[str]:
    day, found = datetime.date(year, 1, 1), set()
    while day.year == year:
        text = str(day)
        if text in work or (day.weekday() < 5 and text not in off):
            found.add(text)
        day += datetime.timedelta(days=1)
    return found


def compare(path: Path) -> int:
    """Tells every day on which the other source disagrees with the written files."""
    other, wrong = json.loads(path.read_text()), 0
    for year in NOTICES:
        ours = json.loads((HERE / f"{year}.json").read_text())
        mine = working_days(ours["off"], ours["work"], year)
        theirs = working_days(other["holidays"], other["workdays"], year)
        for day in sorted(mine ^ theirs):
            wrong += 1
            print(f"{day}: working day {'here' if day in mine else 'there'} only", file=sys.stderr)
        print(f"{year}: {len(mine)} working days")
    return 1 if wrong else 0


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--compare", type=Path, metavar="FILE", help="chinese-days.json")
    other = arguments.parse_args().compare
    if other:
        return compare(other)
    for year in NOTICES:
        text = json.dumps(table(year), ensure_ascii=False, indent=2)
        (HERE / f"{year}.json").write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
