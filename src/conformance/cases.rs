//! The cases as data: what stands in `conformance/cases/`, embedded, and which of them to play.

use serde_json::Value;

use super::ConformanceFault;

macro_rules! files {
    ($($area:literal),* $(,)?) => {
        /// Area and text of every case file.
        pub const FILES: &[(&str, &str)] =
            &[$(($area, include_str!(concat!("../../conformance/cases/", $area, ".json")))),*];
    };
}

files![
    "transport",
    "identity",
    "envelope",
    "agreement",
    "authorization",
    "lookup",
    "application",
    "ledger",
    "witness",
    "limits",
    "asking",
];

/// Which side of an exchange the target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Answering,
    Asking,
    /// No gateway is asked: the vectors' own checks play it (`scripts/vectors-test`).
    Vectors,
}

impl Role {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Answering => "answering",
            Self::Asking => "asking",
            Self::Vectors => "vectors",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Answering, Self::Asking, Self::Vectors].into_iter().find(|role| role.word() == word)
    }
}

/// One case: what to do, and what must come of it.
#[derive(Clone, Debug)]
pub struct Case {
    pub id: String,
    pub clause: String,
    pub area: String,
    pub role: Role,
    pub title: String,
    pub title_zh: String,
    /// What the target must have beside its scene (`register`, `operator`, `load`, …).
    pub needs: Vec<String>,
    /// One object a step: `send`, `call` or `ask`, each with its `expect`.
    pub steps: Vec<Value>,
}

impl Case {
    fn read(area: &str, value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        let title = |language: &str| Some(value.get("title")?.get(language)?.as_str()?.to_owned());
        let needs = value.get("needs").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let steps = match value.get("steps").and_then(Value::as_array) {
            Some(steps) => steps.clone(),
            None => vec![value.clone()],
        };
        Some(Self {
            id: text("id")?,
            clause: text("clause")?,
            area: area.to_owned(),
            role: Role::parse(&text("role")?)?,
            title: title("en")?,
            title_zh: title("zh").unwrap_or_default(),
            needs: needs.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            steps,
        })
    }
}

/// Every case of this version, in the files' order.
pub fn all() -> Result<Vec<Case>, ConformanceFault> {
    let mut cases = Vec::new();
    for (area, text) in FILES {
        let document: Value = serde_json::from_str(text).map_err(|_| ConformanceFault::Data(area))?;
        let listed = document.get("cases").and_then(Value::as_array).ok_or(ConformanceFault::Data(area))?;
        for value in listed {
            cases.push(Case::read(area, value).ok_or(ConformanceFault::Data(area))?);
        }
    }
    Ok(cases)
}

/// Which cases are meant: all where nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub role: Option<Role>,
    /// Ids, clauses or areas.
    pub only: Vec<String>,
}

impl Selection {
    pub fn takes(&self, case: &Case) -> bool {
        let named = |word: &String| *word == case.id || *word == case.clause || *word == case.area;
        self.role.is_none_or(|role| role == case.role)
            && (self.only.is_empty() || self.only.iter().any(named))
    }

    /// A word of `only` that names nothing.
    pub fn unknown<'a>(&'a self, cases: &[Case]) -> Option<&'a str> {
        let known = |word: &&String| {
            cases.iter().any(|case| **word == case.id || **word == case.clause || **word == case.area)
        };
        self.only.iter().find(|word| !known(word)).map(String::as_str)
    }
}
