//! Who may register a newborn in another province (跨省新生儿入户, police notice of 2024): six
//! conditions, each a rule of its own.
//!
//! The facts of [`REQUIRED_OF_PARENTS`] are declared together or not at all: a form that
//! names no parent leaves them to the materials and the deciding office.

use jiff::civil::Date;
use serde_json::Value;

use super::super::rules::{day, text};
use super::super::telling::Faults;
use super::unmet;
use crate::clock::Now;
use crate::domain::{ResidentId, Sex, is_id_number};

/// What must stand on the form as soon as it names a parent: member, rule, words.
const REQUIRED_OF_PARENTS: [(&str, &str, &str, &str); 7] = [
    ("/father", "in-wedlock", "both parents must be named", "须填写父母双方"),
    ("/mother", "in-wedlock", "both parents must be named", "须填写父母双方"),
    ("/birth_country", "born-in-country", "the country of birth is missing", "缺少出生国家（地区）"),
    (
        "/birth_certificate_no",
        "born-in-country",
        "a medical certificate of birth is needed",
        "须有《出生医学证明》",
    ),
    ("/marriage", "in-wedlock", "the parents' marriage is missing", "缺少父母婚姻登记信息"),
    ("/household", "family-household", "the household settled in is missing", "缺少拟落户的家庭户信息"),
    (
        "/residence",
        "residence-permit",
        "a parent's residence permit or temporary proof is needed",
        "父母一方须持有居住地的居住证或暂住凭证",
    ),
];

/// GB/T 2659; Hong Kong, Macau and Taiwan have codes of their own.
const MAINLAND: &str = "CHN";
/// Years; 周岁 is completed with the day of the birthday.
const OLDEST: i16 = 6;
/// Relations of a child to a head of household (GB/T 4761): 子 女 孙 兄弟姐妹 其他.
const OF_A_CHILD: [&str; 5] = ["20", "30", "40", "70", "99"];

pub(super) fn check(form: &Value, today: Date, faults: &mut Faults) {
    if form.get("father").is_some() || form.get("mother").is_some() {
        for (pointer, rule, en, zh) in REQUIRED_OF_PARENTS {
            if form.pointer(pointer).is_none() {
                unmet(faults, pointer, rule, en, zh);
            }
        }
    }
    let born = text(form, "born_at").and_then(shanghai_day);
    born_in_country(form, faults);
    in_wedlock_and_under_six(form, born, today, faults);
    surname_of_a_parent(form, faults);
    parents_of_the_country_and_one_ethnicity(form, faults);
    family_household(form, faults);
    relation_fits(form, faults);
}

/// ① Born in the mainland, with a 出生医学证明.
fn born_in_country(form: &Value, faults: &mut Faults) {
    if text(form, "birth_country").is_some_and(|country| country != MAINLAND) {
        let (en, zh) = ("was not born in the mainland", "须在境内出生");
        unmet(faults, "/birth_country", "born-in-country", en, zh);
    }
}

/// ② Born in wedlock and not yet six.
fn in_wedlock_and_under_six(form: &Value, born: Option<Date>, today: Date, faults: &mut Faults) {
    let Some(born) = born else { return };
    if born > today {
        unmet(faults, "/born_at", "born", "lies in the future", "出生时间晚于今天");
    }
    let sixth_birthday = born.checked_add(jiff::Span::new().years(OLDEST));
    if sixth_birthday.is_ok_and(|birthday| today > birthday) {
        unmet(faults, "/born_at", "under-six", "is six years old or older", "须未满6周岁");
    }
    if form.get("marriage").and_then(|marriage| day(marriage, "registered_on")).is_some_and(|on| on > born) {
        let (en, zh) =
            ("is later than the birth: not born in wedlock", "登记日期晚于出生日期，不属于婚内生育");
        unmet(faults, "/marriage/registered_on", "in-wedlock", en, zh);
    }
}

/// ③ The surname is the father's or the mother's.
fn surname_of_a_parent(form: &Value, faults: &mut Faults) {
    let Some(newborn) = text(form, "newborn_name") else { return };
    let parents: Vec<_> = ["father", "mother"].iter().filter_map(|p| surname(form.get(*p)?)).collect();
    // Peoples whose names hold no surname follow their own custom (民法典 1015): not judged here.
    if parents.len() < 2 || newborn.contains('·') {
        return;
    }
    let follows = |of: &str| match text(form, "newborn_surname") {
        Some(own) => own == of && newborn.starts_with(own),
        None => newborn.starts_with(of),
    };
    if !parents.into_iter().any(follows) {
        let (en, zh) = ("has neither the father's nor the mother's surname", "须随父姓或随母姓");
        unmet(faults, "/newborn_name", "surname", en, zh);
    }
}

/// ④ Both parents from the mainland and of one ethnicity; others take the manual way.
fn parents_of_the_country_and_one_ethnicity(form: &Value, faults: &mut Faults) {
    for (parent, sex) in [("father", Sex::Male), ("mother", Sex::Female)] {
        let Some(who) = form.get(parent) else { continue };
        if text(who, "nationality").is_some_and(|country| country != MAINLAND) {
            let (en, zh) = ("is no mainland resident", "父母双方须为境内人士");
            unmet(faults, &format!("/{parent}/nationality"), "mainland-parent", en, zh);
        }
        let Some(kind) = text(who, "id_type") else { continue };
        if !is_id_number(kind) {
            let (en, zh) = ("is no mainland ID document", "父母双方须为境内人士，证件须为公民身份号码");
            unmet(faults, &format!("/{parent}/id_type"), "mainland-parent", en, zh);
        } else if let Some(stated) = text(who, "id_number").and_then(sex_of)
            && stated != sex
        {
            let (en, zh) =
                ("states another sex than a parent so named has", "证件号码所载性别与父母身份不符");
            unmet(faults, &format!("/{parent}/id_number"), "id-number-part", en, zh);
        }
    }
    let ethnicity = |parent: &str| form.get(parent).and_then(|who| text(who, "ethnicity"));
    if let (Some(father), Some(mother)) = (ethnicity("father"), ethnicity("mother"))
        && father != mother
    {
        let (en, zh) = ("differs from the father's: the manual way is needed", "父母民族不同，须转人工办理");
        unmet(faults, "/mother/ethnicity", "same-ethnicity", en, zh);
    }
}

/// ⑤ Settles in the family household of the father or the mother, not in a collective one.
fn family_household(form: &Value, faults: &mut Faults) {
    if form
        .get("household")
        .and_then(|household| text(household, "type"))
        .is_some_and(|kind| kind != "家庭户")
    {
        unmet(faults, "/household/type", "family-household", "is no family household", "须落入家庭户");
    }
}

/// A son is male, a daughter female, and a newborn is nobody's parent.
fn relation_fits(form: &Value, faults: &mut Faults) {
    let Some(relation) = text(form, "relation") else { return };
    let sex = text(form, "sex");
    let other_sex = matches!((relation, sex), ("20", Some("2")) | ("30", Some("1")));
    if other_sex || !OF_A_CHILD.contains(&relation) {
        let (en, zh) = ("does not fit a newborn of this sex", "与户主关系与新生儿或其性别不符");
        unmet(faults, "/relation", "relation", en, zh);
    }
}

/// The surname as the form gives it, or as the name begins.
fn surname(person: &Value) -> Option<&str> {
    let name = text(person, "name")?;
    if let Some(given) = text(person, "surname") {
        return Some(given);
    }
    if name.contains('·') {
        return None;
    }
    let of_two = name.char_indices().nth(2).map_or("", |(end, _)| name.get(..end).unwrap_or_default());
    if COMPOUND.contains(&of_two) {
        return Some(of_two);
    }
    name.chars().next().and_then(|first| name.get(..first.len_utf8()))
}

fn sex_of(number: &str) -> Option<Sex> {
    ResidentId::parse(number, Date::MAX).ok()?.sex()
}

/// The day in Asia/Shanghai on which a moment falls.
fn shanghai_day(moment: &str) -> Option<Date> {
    moment.parse::<jiff::Timestamp>().ok().map(|at| Now::from_secs(at.as_second()).shanghai_day())
}

/// Surnames of two characters that are still borne; others are given in `surname`.
const COMPOUND: [&str; 32] = [
    "欧阳", "司马", "上官", "诸葛", "司徒", "东方", "独孤", "南宫", "夏侯", "皇甫", "尉迟", "公孙", "慕容",
    "长孙", "宇文", "令狐", "轩辕", "端木", "申屠", "太史", "澹台", "公羊", "淳于", "单于", "赫连", "钟离",
    "东郭", "西门", "百里", "呼延", "第五", "拓跋",
];
