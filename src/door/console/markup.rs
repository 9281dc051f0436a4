//! HTML that cannot be broken by what it shows: every text and every attribute's value is
//! escaped where it goes in, and nothing else can.
//!
//! Promises: tags and attribute names are the program's own words; a value of anybody's,
//! whatever it holds, stays text. There is no way to put in markup made elsewhere.

use std::fmt::{Display, Write as _};

/// Finished markup. Made from an element ([`el`]), from text (escaped), or from several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markup(String);

impl Markup {
    pub fn into_string(self) -> String {
        self.0
    }

    #[must_use]
    pub fn and(mut self, more: impl Into<Self>) -> Self {
        self.0.push_str(&more.into().0);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Markup> for Markup {
    fn from_iter<I: IntoIterator<Item = Self>>(parts: I) -> Self {
        parts.into_iter().fold(Self::default(), Self::and)
    }
}

impl From<&str> for Markup {
    fn from(text: &str) -> Self {
        let mut escaped = String::with_capacity(text.len() + 8);
        escape(text, &mut escaped);
        Self(escaped)
    }
}

impl From<String> for Markup {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for Markup {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<u64> for Markup {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

impl<T: Into<Markup>> From<Option<T>> for Markup {
    fn from(maybe: Option<T>) -> Self {
        maybe.map(Into::into).unwrap_or_default()
    }
}

impl From<El> for Markup {
    fn from(element: El) -> Self {
        element.finish()
    }
}

/// Elements without content.
const VOID: [&str; 7] = ["meta", "link", "input", "br", "hr", "img", "col"];

/// One element under construction.
#[derive(Clone, Debug)]
pub struct El {
    tag: &'static str,
    /// `<tag attr="…"`, not yet closed.
    head: String,
    body: String,
}

/// Begins an element.
pub fn el(tag: &'static str) -> El {
    El { tag, head: format!("<{tag}"), body: String::new() }
}

impl El {
    /// Adds an attribute; its value is escaped.
    #[must_use]
    pub fn attr(mut self, name: &'static str, value: impl Display) -> Self {
        let _ = write!(self.head, " {name}=\"");
        escape(&value.to_string(), &mut self.head);
        self.head.push('"');
        self
    }

    /// An attribute that is there or not.
    #[must_use]
    pub fn flag(mut self, name: &'static str, there: bool) -> Self {
        if there {
            self.head.push(' ');
            self.head.push_str(name);
        }
        self
    }

    #[must_use]
    pub fn class(self, names: &'static str) -> Self {
        self.attr("class", names)
    }

    /// A link within this console: an absolute path of ours, or nowhere. Neither another
    /// host nor a scheme can come out of it.
    #[must_use]
    pub fn href(self, path: impl Display) -> Self {
        let path = path.to_string();
        self.attr("href", if is_own_path(&path) { path.as_str() } else { "#" })
    }

    /// Adds a child: an element, or text that is escaped.
    #[must_use]
    pub fn add(mut self, child: impl Into<Markup>) -> Self {
        self.body.push_str(&child.into().0);
        self
    }

    #[must_use]
    pub fn each<T: Into<Markup>>(mut self, children: impl IntoIterator<Item = T>) -> Self {
        for child in children {
            self.body.push_str(&child.into().0);
        }
        self
    }

    fn finish(mut self) -> Markup {
        self.head.push('>');
        if !VOID.contains(&self.tag) {
            self.head.push_str(&self.body);
            let _ = write!(self.head, "</{}>", self.tag);
        }
        Markup(self.head)
    }
}

/// Begins with one slash, and stays here.
pub fn is_own_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && !path.starts_with("/\\")
        && !path.chars().any(char::is_control)
}

/// A path's segment or a query's value, with everything but unreserved characters
/// percent-encoded (RFC 3986 §2.3).
pub fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Control characters and bidirectional overrides become U+FFFD: they show nothing, and can
/// make a page say something else than it holds.
fn escape(text: &str, into: &mut String) {
    for character in text.chars() {
        match character {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&#39;"),
            '`' => into.push_str("&#96;"),
            '\n' | '\t' => into.push(character),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => into.push('\u{fffd}'),
            c if c.is_control() => into.push('\u{fffd}'),
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_stays_text_wherever_it_stands() {
        let hostile = "\"'><script>alert(1)</script>&`\u{202e}\u{0}";
        let shown = Markup::from(el("p").attr("title", hostile).add(hostile)).into_string();
        let text = "&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#96;\u{fffd}\u{fffd}";
        assert_eq!(shown, format!("<p title=\"{text}\">{text}</p>"));
    }

    #[test]
    fn a_link_leads_nowhere_else() {
        let href = |path: &str| Markup::from(el("a").href(path)).into_string();
        assert_eq!(href("/cases/K1?x=1"), "<a href=\"/cases/K1?x=1\"></a>");
        for elsewhere in
            ["javascript:alert(1)", "//evil.example", "/\\evil.example", "https://x", "", "/\n/x"]
        {
            assert_eq!(href(elsewhere), "<a href=\"#\"></a>", "{elsewhere:?}");
        }
    }

    #[test]
    fn elements_nest_and_void_ones_have_no_end() {
        let list: Markup = el("ul").each(["a", "b"].map(|item| el("li").add(item))).into();
        assert_eq!(list.into_string(), "<ul><li>a</li><li>b</li></ul>");
        let input: Markup =
            el("input").attr("name", "q").flag("required", true).flag("disabled", false).into();
        assert_eq!(input.into_string(), "<input name=\"q\" required>");
    }

    #[test]
    fn a_segment_holds_no_delimiter() {
        assert_eq!(segment("a/b?c&d=é<"), "a%2Fb%3Fc%26d%3D%C3%A9%3C");
    }
}
