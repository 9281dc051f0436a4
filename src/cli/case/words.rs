//! The words of cases as people at a window read them: the code, and what it means.

use crate::case::State;

/// `RECEIVED 已接收`.
pub fn state(name: &str) -> String {
    State::from_name(name).map_or_else(|| name.to_owned(), |state| format!("{name} {}", state.zh()))
}

pub fn role(name: &str) -> String {
    both(name, &[("collecting", "收件地"), ("handling", "办理地")])
}

/// How a material is shown.
pub fn way(name: &str) -> String {
    both(
        name,
        &[
            ("shared_data", "数据共享"),
            ("timed_verification", "部门限时核验"),
            ("commitment", "告知承诺"),
            ("upload", "上传材料"),
        ],
    )
}

/// How far a message got.
pub fn transport(name: &str) -> String {
    both(
        name,
        &[
            ("waiting", "待投递"),
            ("delivered", "已送达"),
            ("refused", "被拒绝"),
            ("undeliverable", "无法投递"),
        ],
    )
}

pub fn colour(name: &str) -> String {
    both(name, &[("green", "绿"), ("yellow", "黄"), ("red", "红")])
}

pub fn verification(name: &str) -> String {
    both(name, &[("open", "待答复"), ("answered", "已答复"), ("lapsed", "逾期未答复")])
}

pub fn outcome(name: &str) -> String {
    both(name, &[("confirmed", "属实"), ("refuted", "不属实"), ("unable", "无法核验")])
}

fn both(name: &str, known: &[(&str, &str)]) -> String {
    let found = known.iter().find(|(word, _)| *word == name);
    found.map_or_else(|| name.to_owned(), |(word, zh)| format!("{zh} {word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_chinese_name_and_an_unknown_word_stays_as_it_is() {
        for known in State::ALL {
            assert_eq!(state(known.name()), format!("{} {}", known.name(), known.zh()));
        }
        assert_eq!(
            (state("NEW"), way("pigeon"), colour("red")),
            ("NEW".into(), "pigeon".into(), "红 red".into())
        );
    }
}
