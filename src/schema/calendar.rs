//! Working-day calendars from an operator's folder (`schemas/calendar-year.json`), so that a
//! new year needs no release.
//!
//! Promises: a calendar is loaded whole or not at all, all faults of all files at once. When
//! to load again is left to others.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::{Date, Weekday};
use serde_json::Value;

use super::telling::Faults;
use super::{Admissible, Catalog, Kind};
use crate::domain::{Calendar, CalendarYear};
use crate::fault::Fault;
use crate::folder::{FileFault, Folder};

impl Admissible for CalendarYear {
    const KIND: Kind = Kind::CalendarYear;
}

/// The shipped calendar with the years of `folder` (`*.json`, one a year): a year that is
/// shipped is replaced. An empty folder is the shipped calendar; a missing one is a fault.
pub fn load_calendar(folder: &Path) -> Result<Calendar, Vec<FileFault>> {
    let parse =
        |value: &Value| Catalog::embedded().admit::<CalendarYear>(value).map(super::Admitted::into_inner);
    let (files, mut faults) = Folder::new(folder, parse).load();
    let mut first: BTreeMap<i16, &Path> = BTreeMap::new();
    let mut names: Vec<_> = files.iter().collect();
    names.sort_by_key(|(name, _)| *name);
    for (name, year) in names {
        if first.insert(year.year, name).is_some() {
            let words = ("another file is of this year", "另有文件属同一年度");
            let fault = Fault::new("/year", "duplicate-year", words.0, words.1);
            faults.push(FileFault { file: name.clone(), faults: vec![fault] });
        }
    }
    if faults.is_empty() {
        Ok(Calendar::shipped().with(files.values().map(|year| CalendarYear::clone(year))))
    } else {
        Err(faults)
    }
}

/// Days are of the year, on one side only, and `work` names days that were free otherwise.
pub(super) fn check(value: &Value, faults: &mut Faults) {
    let Some(year) = value.get("year").and_then(Value::as_i64) else { return };
    let days = |name: &str| -> Vec<(usize, Date)> {
        let listed = value.get(name).and_then(Value::as_array).into_iter().flatten().enumerate();
        listed.filter_map(|(i, day)| Some((i, day.as_str()?.parse().ok()?))).collect()
    };
    let (off, work) = (days("off"), days("work"));
    for (name, listed) in [("off", &off), ("work", &work)] {
        for (i, _) in listed.iter().filter(|(_, day)| i64::from(day.year()) != year) {
            let words = ("is a day of another year", "不属于该年度");
            faults.push(Fault::new(format!("/{name}/{i}"), "other-year", words.0, words.1));
        }
    }
    for (i, day) in &work {
        if !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) {
            let words = ("is no Saturday or Sunday", "不是周六或周日");
            faults.push(Fault::new(format!("/work/{i}"), "no-weekend", words.0, words.1));
        }
        if off.iter().any(|(_, free)| free == day) {
            let words = ("is listed as a day off, too", "同时列为放假日");
            faults.push(Fault::new(format!("/work/{i}"), "worked-and-off", words.0, words.1));
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;

    /// A made-up year: the notice for 2027 is not known here.
    fn year_2027() -> Value {
        json!({"year": 2027, "notice": "测试", "published": "2026-11-05",
               "off": ["2027-01-01"], "work": ["2027-01-03"]})
    }

    fn put(dir: &Path, name: &str, value: &Value) {
        std::fs::write(dir.join(name), value.to_string()).unwrap();
    }

    #[test]
    fn the_shipped_calendars_meet_their_schema() {
        for text in [
            include_str!("../../schemas/calendar/2024.json"),
            include_str!("../../schemas/calendar/2025.json"),
            include_str!("../../schemas/calendar/2026.json"),
        ] {
            let value = crate::json::parse_config(text.as_bytes()).unwrap();
            assert_eq!(Catalog::embedded().check(Kind::CalendarYear, &value), Ok(()));
            assert!(value["title"].is_string() && value["title_zh"].is_string());
        }
    }

    #[test]
    fn a_year_from_the_folder_needs_no_release() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load_calendar(dir.path()).as_ref(), Ok(Calendar::shipped()));
        put(dir.path(), "2027.json", &year_2027());
        let calendar = load_calendar(dir.path()).unwrap();
        assert_eq!(calendar.add_working_days(date(2026, 12, 31), 1), Ok(date(2027, 1, 3)));
        assert_eq!(calendar.is_working_day(date(2026, 10, 1)), Ok(false));
    }

    #[test]
    fn all_faults_of_all_files_are_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "2027.json", &year_2027());
        put(dir.path(), "2027-again.json", &year_2027());
        let mut wrong = year_2027();
        wrong["year"] = json!(2028);
        wrong["off"] = json!(["2028-01-01", "2028-02-30", "2028-01-08"]);
        wrong["work"] = json!(["2027-01-03", "2028-01-04", "2028-01-08"]);
        put(dir.path(), "2028.json", &wrong);
        std::fs::write(dir.path().join("2029.json"), "{\"year\":").unwrap();
        let faults = load_calendar(dir.path()).unwrap_err();
        let mut told: Vec<_> = faults
            .iter()
            .flat_map(|of| {
                let name = of.file.file_name().unwrap().to_str().unwrap();
                of.faults.iter().map(move |f| format!("{name} {} {}", f.pointer, f.rule))
            })
            .collect();
        told.sort();
        assert_eq!(
            told,
            [
                "2027.json /year duplicate-year",
                "2028.json /off/1 date",
                "2028.json /work/0 other-year",
                "2028.json /work/1 no-weekend",
                "2028.json /work/2 worked-and-off",
                "2029.json  json",
            ]
        );
    }

    #[test]
    fn a_missing_folder_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let faults = load_calendar(&dir.path().join("calendar")).unwrap_err();
        assert_eq!(faults[0].faults[0].rule, "unreadable-folder");
    }
}
