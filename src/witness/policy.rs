//! Whose word is enough: the trust file of c2sp.org/tlog-policy.
//!
//! ```text
//! log     tongban/421202/2026h2+…
//! witness yuhuan tongban/331083/w1+… https://…/v1/log
//! witness binhai tongban/320922/w1+… https://…/v1/log
//! group   partners 1 yuhuan binhai
//! quorum  partners
//! ```
//!
//! Promises: all faults are told at once, by line; a policy that was read means something
//! (names are defined before use, each stands in one group at most, so nobody counts twice).
//! A log of ours has one key and a new name each half-year, while the format allows a key
//! once: a `log` line of `tongban/<region>/…` stands for every half-year of that region.

use std::collections::{HashMap, HashSet};

use super::cosigner::CosignerVkey;
use crate::ledger::Vkey;
use crate::ledger::note::{Note, NoteFault};

/// Bytes of a policy file: ten times the 32 logs, witnesses and groups that the format asks
/// every reader to bear.
pub const LARGEST_POLICY: usize = 256 << 10;

/// What a line gets wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {rule} 第{line}行：{rule_zh}")]
pub struct PolicyFault {
    /// From 1; 0 for the file.
    pub line: usize,
    pub rule: &'static str,
    pub rule_zh: &'static str,
}

/// A policy that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Vkey>,
    witnesses: Vec<PolicyWitness>,
    rules: Vec<Rule>,
    /// Where in `rules`; `None` when no cosignature is needed.
    quorum: Option<usize>,
}

/// A witness and what it is called here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWitness {
    pub name: String,
    pub vkey: CosignerVkey,
    pub url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Witness(usize),
    Group { need: usize, members: Vec<usize> },
}

/// What a policy says of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub quorum: bool,
    /// Names of the witnesses that cosigned, with their times (seconds since 1970).
    pub by: Vec<(String, i64)>,
}

impl Policy {
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<PolicyFault>> {
        let fault = |rule, rule_zh| vec![PolicyFault { line: 0, rule, rule_zh }];
        if bytes.len() > LARGEST_POLICY {
            return Err(fault("the file is larger than 256 KiB", "文件超过256 KiB"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| fault("the file is not UTF-8", "不是UTF-8文本"))?;
        let mut reader = Reader::default();
        for (line, text) in text.split('\n').enumerate() {
            reader.line(line + 1, text);
        }
        reader.end()
    }

    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// Must anybody cosign at all?
    pub fn needs_witnesses(&self) -> bool {
        self.quorum.is_some()
    }

    /// The fewest cosignatures that can be enough; 0 when none is needed.
    pub fn least(&self) -> usize {
        self.quorum.map_or(0, |rule| self.least_of(rule))
    }

    fn least_of(&self, rule: usize) -> usize {
        match self.rules.get(rule) {
            Some(Rule::Group { need, members }) => {
                let mut least: Vec<usize> = members.iter().map(|member| self.least_of(*member)).collect();
                least.sort_unstable();
                least.iter().take(*need).sum()
            }
            _ => 1,
        }
    }

    /// Names of the witnesses whose word can count towards the quorum.
    pub fn counted(&self) -> Vec<&str> {
        let mut rules: Vec<usize> = self.quorum.into_iter().collect();
        let mut names = Vec::new();
        // Members were defined before: this ends.
        while let Some(rule) = rules.pop() {
            match self.rules.get(rule) {
                Some(Rule::Witness(at)) => names.extend(self.witnesses.get(*at).map(|w| w.name.as_str())),
                Some(Rule::Group { members, .. }) => rules.extend(members),
                None => {}
            }
        }
        names.sort_unstable();
        names
    }

    /// Are these witnesses together enough?
    pub fn is_met_by(&self, names: &[&str]) -> bool {
        let said: Vec<bool> = self.witnesses.iter().map(|w| names.contains(&w.name.as_str())).collect();
        self.quorum.is_none_or(|rule| self.holds(rule, &said))
    }

    /// The key of the log of that name, if the policy knows it.
    pub fn log(&self, origin: &str) -> Option<Vkey> {
        let region = |name: &str| {
            name.rsplit_once('/')
                .filter(|(log, _)| log.starts_with("tongban/"))
                .map(|(log, _)| log.to_owned())
        };
        let known = self.logs.iter().find(|log| log.name() == origin).or_else(|| {
            let asked = region(origin)?;
            self.logs.iter().find(|log| region(log.name()) == Some(asked.clone()))
        })?;
        Vkey::new(origin, *known.public())
    }

    /// Who cosigned the note, and whether that is enough. Believes nothing else of it: that
    /// the log signed is the caller's to check.
    pub fn judge(&self, note: &Note) -> Result<Judged, NoteFault> {
        let mut by = Vec::new();
        let mut said = vec![false; self.witnesses.len()];
        for (witness, said) in self.witnesses.iter().zip(&mut said) {
            if let Some(time) = witness.vkey.cosigned_at(note)? {
                by.push((witness.name.clone(), time));
                *said = true;
            }
        }
        let quorum = self.quorum.is_none_or(|rule| self.holds(rule, &said));
        Ok(Judged { quorum, by })
    }

    fn holds(&self, rule: usize, said: &[bool]) -> bool {
        match self.rules.get(rule) {
            Some(Rule::Witness(witness)) => said.get(*witness).copied().unwrap_or(false),
            // Members were defined before: this ends.
            Some(Rule::Group { need, members }) => {
                members.iter().filter(|member| self.holds(**member, said)).count() >= *need
            }
            None => false,
        }
    }
}

#[derive(Default)]
struct Reader {
    faults: Vec<PolicyFault>,
    logs: Vec<Vkey>,
    witnesses: Vec<PolicyWitness>,
    rules: Vec<Rule>,
    names: HashMap<String, usize>,
    grouped: HashSet<usize>,
    quorum: Option<Option<usize>>,
}

impl Reader {
    fn line(&mut self, line: usize, text: &str) {
        if text.chars().any(|c| c.is_ascii_control() && c != '\t') {
            let (rule, rule_zh) = ("has a control character", "含有控制字符");
            return self.faults.push(PolicyFault { line, rule, rule_zh });
        }
        let words: Vec<&str> = text.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        let read = match words.as_slice() {
            [] => return,
            [first, ..] if first.starts_with('#') => return,
            ["log", vkey] | ["log", vkey, _] => self.log(vkey),
            ["witness", name, vkey] => self.witness(name, vkey, None),
            ["witness", name, vkey, url] => self.witness(name, vkey, Some(url)),
            ["group", name, need, members @ ..] => self.group(name, need, members),
            ["quorum", name] => self.quorum(name),
            _ => Err(("is none of log, witness, group, quorum", "应为 log、witness、group 或 quorum 行")),
        };
        if let Err((rule, rule_zh)) = read {
            self.faults.push(PolicyFault { line, rule, rule_zh });
        }
    }

    fn log(&mut self, vkey: &str) -> Result<(), Words> {
        let vkey = Vkey::parse(vkey).map_err(|_| ("is not a log's verifier key", "不是账本验证公钥"))?;
        if self.logs.iter().any(|known| known.public() == vkey.public()) {
            return Err(("names a log's key a second time", "账本公钥重复"));
        }
        self.logs.push(vkey);
        Ok(())
    }

    fn witness(&mut self, name: &str, vkey: &str, url: Option<&str>) -> Result<(), Words> {
        let vkey = CosignerVkey::parse(vkey)
            .map_err(|_| ("is not a witness's verifier key (type 0x04)", "不是见证人验证公钥（类型0x04）"))?;
        if self.witnesses.iter().any(|known| known.vkey.public() == vkey.public()) {
            return Err(("names a witness's key a second time", "见证人公钥重复"));
        }
        self.name(name)?;
        self.rules.push(Rule::Witness(self.witnesses.len()));
        self.witnesses.push(PolicyWitness { name: name.to_owned(), vkey, url: url.map(str::to_owned) });
        Ok(())
    }

    fn group(&mut self, name: &str, need: &str, members: &[&str]) -> Result<(), Words> {
        let mut found = Vec::new();
        for member in members {
            let known =
                self.names.get(*member).ok_or(("names a member not defined above", "成员未在前文定义"))?;
            if !self.grouped.insert(*known) {
                return Err(("names a member that stands in a group already", "成员已属于某一分组"));
            }
            found.push(*known);
        }
        let counts =
            (!need.starts_with('0') && need.bytes().all(|b| b.is_ascii_digit())).then(|| need.parse());
        let need = match (need, counts) {
            ("any", _) => 1,
            ("all", _) => found.len(),
            (_, Some(Ok(k))) => k,
            _ => return Err(("wants any, all or a number", "应为 any、all 或数字")),
        };
        if need == 0 || need > found.len() {
            return Err(("wants more members than it has, or none", "所需数目与成员不符"));
        }
        self.name(name)?;
        self.rules.push(Rule::Group { need, members: found });
        Ok(())
    }

    fn quorum(&mut self, name: &str) -> Result<(), Words> {
        if self.quorum.is_some() {
            return Err(("is a second quorum", "quorum 重复"));
        }
        let known = self.names.get(name).copied();
        self.quorum = Some(known);
        match (name, known) {
            ("none", _) | (_, Some(_)) => Ok(()),
            _ => Err(("names nobody defined above", "名称未在前文定义")),
        }
    }

    /// The next rule has this name.
    fn name(&mut self, name: &str) -> Result<(), Words> {
        if name == "none" || self.names.contains_key(name) {
            return Err(("has a name that is taken", "名称已被占用"));
        }
        self.names.insert(name.to_owned(), self.rules.len());
        Ok(())
    }

    fn end(mut self) -> Result<Policy, Vec<PolicyFault>> {
        let Some(quorum) = self.quorum else {
            let (rule, rule_zh) = ("there is no quorum line", "缺少 quorum 行");
            self.faults.push(PolicyFault { line: 0, rule, rule_zh });
            return Err(self.faults);
        };
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        Ok(Policy { logs: self.logs, witnesses: self.witnesses, rules: self.rules, quorum })
    }
}

type Words = (&'static str, &'static str);

#[cfg(test)]
mod tests {
    use super::super::cosigner::CosignerKey;
    use super::*;
    use crate::clock::Now;
    use crate::ledger::LedgerKey;
    use crate::ledger::note::note_of;

    const TEXT: &str = "tongban/421202/2026h2\n3\nZSKXuVBARaYAlCvN+a5cJAC+QtUROcf7Y6s+5Dn/EQ0=\n";

    fn witness(n: u8) -> CosignerKey {
        CosignerKey::from_seed(&[n; 32], &format!("w{n}"))
    }

    fn log_vkey() -> Vkey {
        LedgerKey::from_seed(&[9; 32]).unwrap().vkey("tongban/421202/2026h2").unwrap()
    }

    /// Six witnesses; those whose numbers are given cosign.
    fn judged(rules: &str, by: &[u8]) -> Judged {
        let mut text = format!("# trust\n\n log\t{} https://x.example/\n", log_vkey());
        for n in 1..=6 {
            text.push_str(&format!("witness W{n} {}\n", witness(n).vkey()));
        }
        text.push_str(rules);
        let policy = Policy::parse(text.as_bytes()).unwrap();
        let lines: Vec<_> =
            by.iter().map(|n| witness(*n).cosign(TEXT, Now::from_secs((*n).into()))).collect();
        let log = LedgerKey::from_seed(&[9; 32]).unwrap().sign_note(TEXT, log_vkey().name()).unwrap();
        let log = Note::parse(&log).unwrap();
        policy.judge(&Note::parse(&note_of(TEXT, log.signatures().iter().chain(&lines))).unwrap()).unwrap()
    }

    #[test]
    fn two_of_partners_and_any_of_two_hubs() {
        let rules = "group X 2 W1 W2 W3\ngroup Y any W4 W5\ngroup both all X Y\nquorum both\n";
        for (by, enough) in [
            (&[][..], false),
            (&[1, 2], false),
            (&[4, 5], false),
            (&[1, 4], false),
            (&[1, 3, 5], true),
            (&[1, 2, 3, 4, 5], true),
            (&[1, 1, 4], false),
            (&[6, 1, 4], false),
        ] {
            assert_eq!(judged(rules, by).quorum, enough, "{by:?}");
        }
        assert_eq!(judged(rules, &[5]).by, [("W5".to_owned(), 5)]);
    }

    #[test]
    fn one_witness_and_nobody_are_quorums_too() {
        assert!(judged("quorum W1\n", &[1]).quorum && !judged("quorum W1\n", &[2]).quorum);
        assert!(judged("quorum none\n", &[]).quorum);
        let none = Policy::parse(b"quorum none").unwrap();
        assert!(!none.needs_witnesses());
    }

    #[test]
    fn how_many_are_asked_for_and_who_can_count() {
        let of = |rules: &str| {
            let mut text = String::new();
            for n in 1..=6 {
                text.push_str(&format!("witness W{n} {}\n", witness(n).vkey()));
            }
            Policy::parse((text + rules).as_bytes()).unwrap()
        };
        let nested = of("group X 2 W1 W2 W3\ngroup Y any W4 W5\ngroup both all X Y\nquorum both\n");
        assert_eq!((nested.least(), nested.counted()), (3, vec!["W1", "W2", "W3", "W4", "W5"]));
        assert!(nested.is_met_by(&["W1", "W3", "W5"]) && !nested.is_met_by(&["W1", "W2", "W3", "W6"]));
        let cheapest = of("group X all W1 W2 W3\ngroup any-of any X W6\nquorum any-of\n");
        assert_eq!((cheapest.least(), cheapest.counted().len()), (1, 4));
        let none = of("quorum none\n");
        assert_eq!((none.least(), none.counted().len(), none.is_met_by(&[])), (0, 0, true));
    }

    #[test]
    fn a_known_witness_whose_line_fails_rejects_the_note() {
        let policy = Policy::parse(format!("witness a {}\nquorum none\n", witness(1).vkey()).as_bytes());
        let wrong = witness(1).cosign("another\n", Now::from_secs(1));
        let note = Note::parse(&note_of(TEXT, [&wrong])).unwrap();
        assert_eq!(policy.unwrap().judge(&note), Err(NoteFault::BadSignature));
    }

    #[test]
    fn all_faults_are_told_with_their_lines() {
        let (w1, w2) = (witness(1), witness(2));
        let text = format!(
            "witness a {}\nwitness b {}\nwitness a {}\nwitness none {}\ngroup g 3 a\ngroup h any z\n\
             group i x b\nlog nonsense\nwitness c {}\nwat\nquorum zz\n",
            w1.vkey(),
            w1.vkey(),
            w2.vkey(),
            w2.vkey(),
            log_vkey(),
        );
        let faults = Policy::parse(text.as_bytes()).unwrap_err();
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "{faults:?}");
        assert!(Policy::parse(b"quorum none\nquorum none\n").is_err());
        assert!(Policy::parse(b"quorum none\r\n\x07").is_err());
        for group in
            ["group g 0 a\n", "group g any\n", "group g 01 a\n", "group g all a a\n", "group g +1 a\n"]
        {
            let text = format!("witness a {}\n{group}quorum none\n", w1.vkey());
            assert!(Policy::parse(text.as_bytes()).is_err(), "{group}");
        }
        let twice = format!("witness a {}\ngroup g any a\ngroup h any a\nquorum g\n", w1.vkey());
        assert!(Policy::parse(twice.as_bytes()).is_err(), "nobody counts twice");
    }

    #[test]
    fn a_regions_log_line_stands_for_its_half_years() {
        let policy = Policy::parse(format!("log {}\nquorum none\n", log_vkey()).as_bytes()).unwrap();
        let next = policy.log("tongban/421202/2027h1").unwrap();
        assert_eq!((next.name(), next.public()), ("tongban/421202/2027h1", log_vkey().public()));
        assert!(policy.log("tongban/331083/2026h2").is_none() && policy.log("elsewhere").is_none());
    }
}
