//! 社会保障卡补换: a card that is sent needs an address.

use jiff::civil::Date;
use serde_json::Value;

use super::super::rules::text;
use super::super::telling::Faults;
use super::unmet;

pub(super) fn check(form: &Value, _: Date, faults: &mut Faults) {
    let Some(delivery) = form.get("delivery") else { return };
    if text(delivery, "method") == Some("post") && delivery.get("address").is_none() {
        let (en, zh) = ("is missing: the card is to be sent", "邮寄领取须填写邮寄地址");
        unmet(faults, "/delivery/address", "required", en, zh);
    }
}
