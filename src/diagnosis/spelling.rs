//! The same JSON as other serialisers write it: which of them was it that was signed?

use std::fmt::Write as _;

use serde_json::Value;

use super::Said;

/// One way to write JSON.
#[derive(Clone, Copy)]
pub(super) struct Spelling {
    layout: Layout,
    sorted: bool,
    ascii: bool,
    slashes: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Compact,
    /// `", "` and `": "`, as Python's default is.
    Spaced,
    Indented(usize),
}

/// Every spelling that is tried: 32.
pub(super) fn all() -> impl Iterator<Item = Spelling> {
    let layouts = [Layout::Compact, Layout::Spaced, Layout::Indented(2), Layout::Indented(4)];
    layouts.into_iter().flat_map(|layout| {
        (0..8).map(move |bits| Spelling {
            layout,
            sorted: bits & 1 != 0,
            ascii: bits & 2 != 0,
            slashes: bits & 4 != 0,
        })
    })
}

impl Spelling {
    pub fn write(self, value: &Value) -> String {
        let mut out = String::new();
        self.value(value, 0, &mut out);
        out
    }

    /// What this spelling is, for people.
    pub fn said(self) -> Said {
        let (mut en, mut zh) = match (self.layout, self.sorted) {
            (Layout::Compact, true) if !self.ascii && !self.slashes => {
                return Said::new("the canonical form (JCS)", "规范形式(JCS)");
            }
            (Layout::Compact, _) => ("compact".to_owned(), "紧凑".to_owned()),
            (Layout::Spaced, _) => ("with blanks behind , and :".to_owned(), "逗号、冒号后有空格".to_owned()),
            (Layout::Indented(n), _) => (format!("indented by {n}"), format!("缩进 {n} 格")),
        };
        let further = [
            (self.sorted, ", members sorted", "、成员排序"),
            (self.ascii, ", non-ASCII escaped as \\u", "、非 ASCII 转义为 \\u"),
            (self.slashes, ", slashes escaped as \\/", "、斜杠转义为 \\/"),
        ];
        for (is, more, more_zh) in further {
            if is {
                en.push_str(more);
                zh.push_str(more_zh);
            }
        }
        Said { en, zh }
    }

    fn value(self, value: &Value, depth: usize, out: &mut String) {
        match value {
            Value::String(text) => self.text(text, out),
            Value::Array(items) => {
                let each = items.iter().map(|item| (None, item)).collect();
                self.list('[', each, ']', depth, out);
            }
            Value::Object(members) => {
                let mut each: Vec<(Option<&str>, &Value)> =
                    members.iter().map(|(name, member)| (Some(name.as_str()), member)).collect();
                if self.sorted {
                    each.sort_by(|a, b| a.0.cmp(&b.0));
                }
                self.list('{', each, '}', depth, out);
            }
            other => out.push_str(&other.to_string()),
        }
    }

    fn list(
        self,
        open: char,
        each: Vec<(Option<&str>, &Value)>,
        close: char,
        depth: usize,
        out: &mut String,
    ) {
        out.push(open);
        let last = each.len();
        for (at, (name, value)) in each.into_iter().enumerate() {
            self.line(depth + 1, out);
            if let Some(name) = name {
                self.text(name, out);
                out.push_str(if self.layout == Layout::Compact { ":" } else { ": " });
            }
            self.value(value, depth + 1, out);
            if at + 1 < last {
                out.push_str(if self.layout == Layout::Spaced { ", " } else { "," });
            }
        }
        if last > 0 {
            self.line(depth, out);
        }
        out.push(close);
    }

    fn line(self, depth: usize, out: &mut String) {
        if let Layout::Indented(by) = self.layout {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', by * depth));
        }
    }

    fn text(self, text: &str, out: &mut String) {
        // Quotation marks, backslashes and controls as everybody escapes them.
        let plain = Value::from(text).to_string();
        for character in plain.chars() {
            match character {
                '/' if self.slashes => out.push_str("\\/"),
                other if self.ascii && !other.is_ascii() => {
                    let mut units = [0; 2];
                    for unit in other.encode_utf16(&mut units) {
                        // Writing to a String does not fail.
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
                other => out.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_spelling_says_the_same_and_the_known_ones_are_among_them() {
        let value = json!({"b": "测/😀", "a": [1, {}], "c": []});
        let written: Vec<String> = all().map(|spelling| spelling.write(&value)).collect();
        assert_eq!(written.len(), 32);
        assert!(written.iter().all(|text| serde_json::from_str::<Value>(text).unwrap() == value));
        for known in [
            r#"{"a":[1,{}],"b":"测/😀","c":[]}"#,
            r#"{"b": "\u6d4b/\ud83d\ude00", "a": [1, {}], "c": []}"#,
            r#"{"b":"\u6d4b\/\ud83d\ude00","a":[1,{}],"c":[]}"#,
            "{\n  \"b\": \"测/😀\",\n  \"a\": [\n    1,\n    {}\n  ],\n  \"c\": []\n}",
        ] {
            assert!(written.iter().any(|text| text == known), "{known}");
        }
    }
}
