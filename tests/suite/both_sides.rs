//! To an auditor: the console shows the partner's half of an exchange, proven by what the partner's
//! ledger key signed, and says so where it cannot be proven or is otherwise.

use serde_json::Value;

use crate::reconciling::{Comparing, TO_THE_HOUR};
use crate::support::*;

/// An auditor of 玉环, who asked, and of 咸安, who answered.
async fn auditors(pair: &Comparing) -> [Browser; 2] {
    let world = &pair.world;
    let member = Member::pinned(YUHUAN, tongban::clock::Now::from_secs(world.now()));
    let mut browsers = Vec::new();
    for gateway in [&world.yuhuan, &world.xianan] {
        open_account(gateway, "li-auditor", "audit", Some(&member)).await;
        browsers.push(Browser::signed_in(gateway, &member).await);
    }
    browsers.try_into().unwrap_or_else(|_| panic!("two"))
}

async fn sealed(pair: &Comparing) {
    for gateway in [&pair.world.yuhuan, &pair.world.xianan] {
        assert!(gateway.running().house.ledger.flush().await);
    }
}

/// The page after the partner was asked.
async fn asked(browser: &mut Browser, exchange: &str) -> String {
    let path = format!("/exchanges/{exchange}");
    let told = browser.submit(&path, &[]).await;
    assert_eq!((told.status, told.header("location")), (303, Some(format!("{path}#timeline").as_str())));
    browser.page(&path).await
}

/// Changes the stored leaf of a running gateway, as whoever owns the disk can.
fn alter(gateway: &Gateway, kind: &str, exchange: &str, change: impl Fn(&mut Value)) {
    let month = rusqlite::Connection::open(gateway.ledger_file()).unwrap();
    let sql = "SELECT CAST(leaf AS TEXT) FROM leaf WHERE exchange=? AND kind=?";
    let old: String = month.query_row(sql, [exchange, kind], |row| row.get(0)).unwrap();
    let mut leaf: Value = serde_json::from_str(&old).unwrap();
    change(&mut leaf);
    let text = String::from_utf8(tongban::json::jcs(&leaf)).unwrap();
    let sql = "UPDATE leaf SET leaf=? WHERE exchange=? AND kind=?";
    assert_eq!(month.execute(sql, rusqlite::params![text, exchange, kind]).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answering_sides_entry_is_fetched_proven_and_shown_beside_ours() {
    let pair = Comparing::start().await;
    let [exchange, ..] = pair.exchange().await;
    sealed(&pair).await;
    let [mut browser, _] = auditors(&pair).await;
    let path = format!("/exchanges/{exchange}");
    let page = browser.page(&path).await;
    assert!(page.contains("尚未向对方核对") && page.contains("未核验") && !page.contains("包含证明成立"));
    let leaves = pair.world.xianan.leaves().await;
    let theirs = leaves.iter().find(|leaf| leaf["x"] == exchange.as_str()).unwrap();
    let before = leaves.len();
    let page = asked(&mut browser, &exchange).await;
    assert!(page.contains("包含证明成立") && page.contains("已核验"), "{page}");
    assert!(page.contains("答复") && page.contains("该检查点尚未经本方联署"), "{page}");
    // It is the entry itself: its members stand on the page, its clock's time among them.
    for member in ["rq", "rd", "ts"] {
        let value = theirs[member].as_str().map_or_else(|| theirs[member].to_string(), str::to_owned);
        assert!(page.contains(&value), "{member}");
    }
    assert_eq!(pair.world.xianan.leaves().await.len(), before, "looking leaves nothing behind");
    // Once found it stands there for the next look too.
    assert!(browser.page(&path).await.contains("包含证明成立"));
    // A checkpoint that we cosigned says so.
    pair.world.xianan.running().ask_witnesses().await;
    let page = asked(&mut browser, &exchange).await;
    assert!(page.contains("该检查点经本方联署于"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_auditors_own_form_asks_the_partner() {
    let pair = Comparing::start().await;
    let [exchange, ..] = pair.exchange().await;
    let [mut browser, _] = auditors(&pair).await;
    let path = format!("/exchanges/{exchange}");
    assert_eq!(browser.post(&path, &[]).await.status, 403, "without the session's token");
    assert_eq!(browser.submit("/exchanges/nothing-of-that-name", &[]).await.status, 404);
    let member = Member::pinned(YUHUAN, tongban::clock::Now::from_secs(pair.world.now()));
    open_account(&pair.world.yuhuan, "zhao-system", "system", Some(&member)).await;
    let mut system = Browser::signed_in(&pair.world.yuhuan, &member).await;
    assert_eq!(system.submit(&path, &[]).await.status, 403, "another role");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_that_cannot_be_reached_is_no_accusation() {
    let mut pair = Comparing::start().await;
    let [exchange, ..] = pair.exchange().await;
    let [mut browser, _] = auditors(&pair).await;
    pair.world.xianan.stop().await;
    let page = asked(&mut browser, &exchange).await;
    assert!(page.contains("未核验") && page.contains("暂时无法连通对方"), "{page}");
    // What its signed answer promised is told all the same.
    assert!(page.contains("其签名应答") && !page.contains("告警"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promise_that_is_broken_and_an_entry_that_says_otherwise_are_alarms() {
    let pair = Comparing::start().await;
    let [first, second, _] = pair.exchange().await;
    sealed(&pair).await;
    let [mut browser, _] = auditors(&pair).await;
    // 咸安 takes the first out of its ledger, and 玉环 has the second otherwise than it was answered.
    let month = rusqlite::Connection::open(pair.world.xianan.ledger_file()).unwrap();
    assert_eq!(month.execute("DELETE FROM leaf WHERE exchange=?", [&first]).unwrap(), 1);
    alter(&pair.world.yuhuan, "out.done", &second, |leaf| leaf["rd"] = b64([7; 32]).into());
    let early = asked(&mut browser, &first).await;
    assert!(early.contains("尚未覆盖该记录") && !early.contains("告警"), "{early}");
    pair.wait(60);
    let broken = asked(&mut browser, &first).await;
    assert!(broken.contains("告警:对方已签署承诺,却拿不出这条记录"), "{broken}");
    let otherwise = asked(&mut browser, &second).await;
    assert!(otherwise.contains("告警:对方记录与本方不一致:rd"), "{otherwise}");
    assert!(!otherwise.contains("包含证明成立"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_we_answered_the_window_that_the_partner_signed_is_its_word() {
    let pair = Comparing::start().await;
    let [exchange, lost, _] = pair.exchange().await;
    sealed(&pair).await;
    let [_, mut browser] = auditors(&pair).await;
    let page = asked(&mut browser, &exchange).await;
    assert!(page.contains("签名已验") && page.contains("所在对账窗口尚未完成对账"), "{page}");
    pair.wait(TO_THE_HOUR);
    pair.yuhuan().await;
    let mut browser = {
        // A quarter of an hour of silence ended the session.
        let [_, browser] = auditors(&pair).await;
        browser
    };
    let page = asked(&mut browser, &exchange).await;
    assert!(page.contains("对方账本密钥签署了") && page.contains("共 3 次交换"), "{page}");
    // What was agreed and is no longer what our own leaves say proves nothing.
    alter(&pair.world.xianan, "in", &lost, |leaf| leaf["rd"] = b64([7; 32]).into());
    let page = asked(&mut browser, &exchange).await;
    assert!(page.contains("本方无法复算已签署的窗口"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_difference_that_reconciliation_found_stands_beside_the_exchange() {
    let pair = Comparing::start().await;
    let [exchange, sound, _] = pair.exchange().await;
    sealed(&pair).await;
    alter(&pair.world.yuhuan, "out.done", &exchange, |leaf| leaf["rd"] = b64([7; 32]).into());
    pair.wait(TO_THE_HOUR);
    pair.yuhuan().await;
    // Nothing is looked into at once.
    pair.wait(61);
    pair.xianan().await;
    let [_, mut browser] = auditors(&pair).await;
    let page = asked(&mut browser, &exchange).await;
    assert!(page.contains("告警:对账发现差异:hash-mismatch"), "{page}");
    let page = asked(&mut browser, &sound).await;
    assert!(page.contains("该窗口另有差异") && !page.contains("告警"), "{page}");
}
