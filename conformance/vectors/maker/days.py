"""Working days and limits (protocol D-1, D-2), counted day by day."""

import datetime

SHANGHAI = datetime.timezone(datetime.timedelta(hours=8))
DAY = datetime.timedelta(days=1)


class Unpublished(Exception):
    pass


class Days:
    def __init__(self, years):
        self.years = {year["year"]: (set(year["off"]), set(year["work"])) for year in years}

    def works(self, day):
        if day.year not in self.years:
            raise Unpublished(day.year)
        off, work = self.years[day.year]
        text = day.isoformat()
        return text in work or (day.weekday() < 5 and text not in off)

    def after(self, day, count):
        """The `count`th working day behind `day`; for 0 the day itself or the next one."""
        if count == 0:
            while not self.works(day):
                day += DAY
        while count:
            day += DAY
            count -= self.works(day)
        return day

    def between(self, first, last):
        """Working days after `first`, up to `last`."""
        return sum(self.works(first + n * DAY) for n in range(1, (last - first).days + 1))

    def due(self, start, value, unit, pauses=()):
        end = self.ends(start, value, unit, 0)
        back = 0
        for begin, over in merged(start, pauses):
            if begin > end:
                break
            if unit == "hour":
                back += over - begin
            elif unit == "calendar_day":
                back += (day_of(over) - day_of(begin)).days
            else:
                back += self.between(day_of(begin), day_of(over))
            end = self.ends(start, value, unit, back)
        return end

    def ends(self, start, value, unit, back):
        if unit == "hour":
            return start + value * 3600 + back
        day = day_of(start)
        day = self.after(day, value + back) if unit == "working_day" else self.after(day + (value + back) * DAY, 0)
        return second_of(f"{day.isoformat()}T23:59:59")

    def colour(self, start, due, now):
        if now > due:
            return "red"
        began, today, last = day_of(start), day_of(max(now, start)), day_of(due)
        left = self.between(today, last)
        if left <= 1 or left * 5 <= left + self.between(began, today):
            return "yellow"
        return "green"


def merged(start, pauses):
    out = []
    for begin, over in sorted((max(begin, start), over) for begin, over in pauses if over is not None and over > start):
        if out and begin <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], over))
        else:
            out.append((begin, over))
    return out


def second_of(text):
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).timestamp())


def day_of(second):
    return datetime.datetime.fromtimestamp(second, SHANGHAI).date()


def text_of(second):
    return datetime.datetime.fromtimestamp(second, SHANGHAI).isoformat()


def document(years, deadlines):
    days = Days(years)
    limits = [(f"{start}T10:00:00", value, "working_day", []) for start, value, _ in deadlines] + [
        ("2026-09-30T16:59:59", 0, "working_day", []),
        ("2026-10-03T12:00:00", 0, "working_day", []),
        ("2026-02-14T23:59:59", 1, "working_day", []),
        ("2026-02-15T00:00:00", 1, "working_day", []),
        ("2026-12-24T09:00:00", 5, "working_day", []),
        ("2026-09-20T09:00:00", 10, "calendar_day", []),
        ("2026-09-24T09:00:00", 10, "calendar_day", []),
        ("2026-02-10T09:00:00", 5, "calendar_day", []),
        ("2026-09-30T17:30:00", 48, "hour", []),
        ("2026-12-31T23:00:00", 2, "hour", []),
        ("2026-09-18T10:00:00", 5, "working_day", [("2026-09-21T09:00:00", "2026-09-23T17:00:00")]),
        ("2026-09-18T10:00:00", 5, "working_day", [("2026-09-21T09:00:00", "2026-09-21T17:00:00")]),
        ("2026-09-18T10:00:00", 5, "working_day", [("2026-09-21T09:00:00", "2026-09-22T17:00:00"),
                                                   ("2026-09-22T09:00:00", "2026-09-23T17:00:00")]),
        ("2026-09-18T10:00:00", 5, "working_day", [("2026-09-30T09:00:00", "2026-10-12T17:00:00")]),
        ("2026-09-18T10:00:00", 5, "working_day", [("2026-09-21T09:00:00", None)]),
        ("2026-09-18T10:00:00", 10, "calendar_day", [("2026-09-21T09:00:00", "2026-09-23T17:00:00")]),
        ("2026-09-18T10:00:00", 24, "hour", [("2026-09-18T12:00:00", "2026-09-18T15:30:00")]),
        ("2026-12-30T10:00:00", 5, "working_day", []),
        ("2027-01-04T10:00:00", 1, "working_day", []),
        ("2026-12-31T10:00:00", 2, "calendar_day", []),
        ("2027-01-04T10:00:00", 2, "hour", []),
    ]
    rows = []
    for start, value, unit, pauses in limits:
        at = second_of(start)
        stops = [(second_of(a), b and second_of(b)) for a, b in pauses]
        row = {"start": at, "start_text": text_of(at), "value": value, "unit": unit}
        if stops:
            row["pauses"] = [[a, b] for a, b in stops]
        try:
            due = days.due(at, value, unit, stops)
            row |= {"due": due, "due_text": text_of(due)}
        except Unpublished as fault:
            row["unpublished"] = fault.args[0]
        rows.append(row)
    for (start, value, expected), row in zip(deadlines, rows):
        assert row["due_text"] == f"{expected}T23:59:59+08:00", (start, value)
    return {
        "about": "Seconds since 1970; days are those of Asia/Shanghai. A row with `unpublished` is an error that names the year.",
        "years": years,
        "working_days": [{"year": year["year"], "count": count(days, year["year"])} for year in years],
        "limits": rows,
        "colours": colours(days),
    }


def count(days, year):
    first = datetime.date(year, 1, 1)
    return days.between(first - DAY, datetime.date(year, 12, 31))


def colours(days):
    start = second_of("2026-09-01T10:00:00")
    rows = []
    for value, moments in [
        (5, ["2026-09-01T10:00:00", "2026-09-04T23:59:59", "2026-09-07T00:00:00", "2026-09-07T08:00:00",
             "2026-09-08T23:59:59", "2026-09-09T00:00:00"]),
        (20, ["2026-09-01T10:00:00", "2026-09-21T12:00:00", "2026-09-22T12:00:00", "2026-09-23T12:00:00",
              "2026-09-24T12:00:00", "2026-09-28T12:00:00", "2026-09-30T12:00:00"]),
        (1, ["2026-09-01T10:00:00", "2026-09-02T23:59:59", "2026-09-03T00:00:00"]),
    ]:
        due = days.due(start, value, "working_day")
        for moment in moments:
            now = second_of(moment)
            rows.append({"start": start, "due": due, "now": now, "now_text": text_of(now), "colour": days.colour(start, due, now)})
    return rows
