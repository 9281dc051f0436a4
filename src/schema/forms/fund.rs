//! Housing fund forms: the proof of deposits for a loan elsewhere, and the loan itself.

use jiff::civil::Date;
use serde_json::Value;

use super::super::rules::text;
use super::super::telling::Faults;
use super::{apart, two_people, unmet};

/// A family that has borrowed so often gets no further fund loan (建金〔2016〕230号).
const MOST_LOANS: u64 = 2;
/// 已婚, 初婚, 再婚, 复婚 (GB/T 2261.2).
const MARRIED: [&str; 4] = ["20", "21", "22", "23"];

/// 异地贷款缴存使用证明 is issued to who has not borrowed, or has paid back the first loan.
pub(super) fn certificate(form: &Value, _: Date, faults: &mut Faults) {
    apart(form, "/deposit_region", "/loan_region", faults);
    let loans = form.get("loan_times").and_then(Value::as_u64).unwrap_or_default();
    if loans >= MOST_LOANS {
        let (en, zh) =
            ("has borrowed twice or more: no proof is issued", "已使用两次及以上公积金贷款，不予开具");
        unmet(faults, "/loan_times", "loan-times", en, zh);
    } else if loans > 0 && form.get("loan_cleared").and_then(Value::as_bool) != Some(true) {
        let (en, zh) = ("the first loan must be paid back", "首次公积金贷款须已结清");
        unmet(faults, "/loan_cleared", "loan-cleared", en, zh);
    }
}

/// 异地个人贷款: the sums fit the price, and a spouse is named exactly where there is one.
pub(super) fn loan(form: &Value, _: Date, faults: &mut Faults) {
    apart(form, "/deposit_region", "/house/region", faults);
    two_people(form, faults);
    if let Some(status) = text(form, "marital_status") {
        let married = MARRIED.contains(&status);
        let named = form.get("spouse").is_some();
        if married && !named {
            let (en, zh) = ("is missing: the applicant is married", "申请人已婚，须填写配偶");
            unmet(faults, "/spouse", "spouse", en, zh);
        } else if named && !married {
            let (en, zh) =
                ("is named, but the applicant is not married", "申请人婚姻状况非已婚，不应填写配偶");
            unmet(faults, "/spouse", "spouse", en, zh);
        }
    }
    let fen = |pointer: &str| form.pointer(pointer).and_then(Value::as_str).and_then(fen);
    let (asked, down, price) = (fen("/amount"), fen("/down_payment"), fen("/house/price"));
    if asked == Some(0) {
        unmet(faults, "/amount", "amount", "is nothing", "申请贷款金额须大于零");
    }
    if let (Some(asked), Some(down), Some(price)) = (asked, down, price)
        && asked.saturating_add(down) > price
    {
        let (en, zh) = ("exceeds the price less the down payment", "超过房屋总价减去首付款");
        unmet(faults, "/amount", "amount", en, zh);
    }
}

/// `"8000.00"` in hundredths; no float, so that no cent is lost.
fn fen(yuan: &str) -> Option<u64> {
    let (whole, hundredths) = yuan.split_once('.').filter(|(_, after)| after.len() == 2)?;
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(hundredths.parse().ok()?)
}
