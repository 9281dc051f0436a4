"""Every page: it is there, the browser has verified the log, axe finds nothing, no error is told,
in both languages and both colour schemes. Leaves a picture of each."""

import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import expect

from visitor import Visitor

# Synthetic, of the demonstration.
CITIZEN = "42120219000101001X"
LARGEST_PICTURE = 300_000
WARRANT = {"purpose": "投诉核查", "order": "咸审〔2026〕1号"}


def picture(visitor: Visitor, pictures: Path, name: str) -> None:
    visitor.page.screenshot(path=str(pictures / f"{name}.png"), full_page=True)


def each(visitor: Visitor, pages: dict[str, str], pictures: Path) -> None:
    for name, path in pages.items():
        for language, word in (("zh", "中文"), ("en", "English")):
            visitor.open(path)
            visitor.speak(word)
            visitor.verified()
            assert visitor.page.locator("html").get_attribute("lang").startswith(language)
            visitor.accessible(f"{path} in {language}")
            if language == "zh":
                picture(visitor, pictures, name)
        visitor.open(path)
        visitor.speak("中文")
        visitor.well()


def auditor(visitor: Visitor, pictures: Path) -> str:
    """The auditor's own pages. Returns the id of an exchange."""
    page = visitor.open(f"/cases/{visitor.stage.case}")
    visitor.verified()
    exchange = lookup(visitor)
    pages = {
        "overview": "/",
        "partners": "/partners",
        "partner": "/partners/331083",
        "cases": "/cases",
        "case": f"/cases/{visitor.stage.case}",
        "search": "/search",
        "subject": "/subject",
        "authorization": "/authorization",
        "requests": "/evidence",
        "exchange": exchange,
        "leaf": "/leaves/" + shard(visitor) + "/0",
        "integrity": "/integrity",
    }
    expect(page.locator("#integrity")).to_contain_text("见证1/1,策略要求 1")
    each(visitor, pages, pictures)
    assert visitor.page is page
    return exchange.rsplit("/", 1)[1]


def lookup(visitor: Visitor) -> str:
    """The page of the first lookup: the entry after the log's own and the pings."""
    return exchange_with(visitor, "license.query", range(2, 12))


def exchange_with(visitor: Visitor, word: str, indices) -> str:
    """The page of the first exchange one of whose entries says `word`."""
    for index in indices:
        page = visitor.open(f"/leaves/{shard(visitor)}/{index}")
        if word in page.locator("main").text_content():
            return page.get_by_role("link", name="查看整个交换").get_attribute("href")
    raise AssertionError(f"the demonstration made no {word}")


def quorum(visitor: Visitor, words: str, met: bool, pictures: Path, name: str) -> None:
    """The strip names who cosigned and what the policy asks for: amber below it."""
    page, until = visitor.open("/integrity"), time.monotonic() + 40
    while words not in page.locator("#integrity .quorum").all_text_contents():
        assert time.monotonic() < until, f"never told: {words}: {page.locator('#integrity').inner_text()}"
        time.sleep(0.5)
        visitor.open("/integrity")
    amber = "badge warn" in page.locator("#integrity .quorum").get_attribute("class")
    assert amber != met, words
    expect(page.locator("main .notice.warn")).to_have_count(0 if met else 1)
    visitor.verified()
    visitor.accessible(f"the strip with {words}")
    picture(visitor, pictures, name)
    visitor.well()


def both_sides(visitor: Visitor, lookup: str, pictures: Path) -> None:
    """The partner's half: fetched and proven where it promised an entry, told as unknown where not."""
    asked = exchange_with(visitor, "out.done", range(2, 200))
    page = visitor.open(asked)
    theirs = page.locator("#timeline .both > li.theirs")
    expect(theirs).to_contain_text("尚未向对方核对")
    expect(theirs.get_by_text("未核验", exact=True)).to_be_visible()
    visitor.accessible("an exchange before the partner was asked")
    page.get_by_role("button", name="向对方核对").click()
    expect(theirs).to_contain_text("包含证明成立")
    expect(theirs.get_by_text("已核验", exact=True)).to_be_visible()
    assert page.url.endswith("#timeline"), "the page comes back to what was asked"
    ours = page.locator("#timeline .both > li.ours")
    expect(ours).to_have_count(2)
    left, right = ours.first.bounding_box(), theirs.first.bounding_box()
    assert left["x"] + left["width"] < right["x"], "the sides stand beside each other"
    theirs.get_by_text("记录内容").click()
    expect(theirs.locator("dl.members")).to_contain_text("421202")
    theirs.get_by_text("记录内容").click()
    for word in ("English", "中文"):
        visitor.speak(word)
        visitor.verified()
        visitor.accessible(f"both sides, {word}")
    expect(page.get_by_text("对应答核查了什么")).to_be_visible()
    expect(page.locator(".ladder").first).to_contain_text("tongban/331083/w1", timeout=15_000)
    picture(visitor, pictures, "both-sides")
    page.set_viewport_size({"width": 390, "height": 844})
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"both sides are {wide} px too wide for a telephone"
    visitor.accessible("both sides on a small screen")
    picture(visitor, pictures, "small-both-sides")
    page.set_viewport_size({"width": 1280, "height": 900})
    visitor.well()
    # Where we answered, no message names a place in the partner's log: it says what is missing.
    page = visitor.open(f"/exchanges/{lookup}")
    expect(page.get_by_text("签名已验", exact=True)).to_be_visible()
    page.get_by_role("button", name="向对方核对").click()
    expect(page.locator("#timeline")).to_contain_text("所在对账窗口尚未完成对账")
    checks = page.locator(".checks li")
    expect(checks).to_have_count(19)
    assert checks.locator(".badge.good").count() >= 17 and checks.locator("small").first.inner_text() == "T-3"
    visitor.well()


def for_the_readme(visitor: Visitor, pictures: Path) -> None:
    """The two pictures that stand in the README, small enough for a page."""
    page = visitor.page
    asked = exchange_with(visitor, "out.done", range(2, 200))
    for name, path, height in (("console-overview", "/", 860), ("console-exchange", asked, 1240)):
        page.set_viewport_size({"width": 1200, "height": height})
        visitor.open(path)
        visitor.verified()
        expect(page.locator("#integrity .quorum")).to_have_text("1/1,策略要求 1")
        file = pictures / f"{name}.png"
        page.screenshot(path=str(file))
        assert file.stat().st_size < LARGEST_PICTURE, f"{name} has {file.stat().st_size} bytes"
    page.set_viewport_size({"width": 1280, "height": 900})
    visitor.well()


def shard(visitor: Visitor) -> str:
    return visitor.page.locator("#integrity").get_attribute("data-origin").rsplit("/", 1)[1]


def warrant(visitor: Visitor) -> None:
    for name, value in WARRANT.items():
        visitor.page.locator(f"input[name={name}]:visible").fill(value)


def search(visitor: Visitor, exchange: str, pictures: Path) -> None:
    """Exactly by id; by case with a reason, and recorded."""
    page = visitor.open("/search")
    page.get_by_label("交换编号、序号或哈希").fill(exchange)
    page.get_by_role("button", name="查找").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("一次交换")
    expect(page.get_by_text(exchange).first).to_be_visible()
    visitor.open("/search")
    page.get_by_label("查什么").select_option("case")
    page.get_by_label("号码", exact=True).fill(visitor.stage.case)
    page.get_by_role("button", name="检索并留痕").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("检索")
    assert page.url.endswith("/search"), "the number is in no address"
    assert not page.get_by_text("此次检索已记入账本").count(), "the browser itself asks for the reason"
    warrant(visitor)
    page.get_by_role("button", name="检索并留痕").click()
    expect(page.get_by_text("此次检索已记入账本")).to_be_visible()
    assert page.locator("table.list tbody tr").count() > 3, "the case's exchanges are found"
    visitor.verified()
    visitor.accessible("found")
    picture(visitor, pictures, "found")
    visitor.well()


def download(visitor: Visitor, exchange: str, to: Path) -> None:
    """A proof, and a package that the independent verifier in Python accepts."""
    page = visitor.open(f"/exchanges/{exchange}")
    with page.expect_download() as awaited:
        page.get_by_role("link", name="下载证明文件 .tlog-proof").first.click()
    proof = to / "exchange.tlog-proof"
    awaited.value.save_as(proof)
    assert proof.read_text().startswith("c2sp.org/tlog-proof@v1\n")
    vkey = page.locator("#integrity").get_attribute("data-vkey")
    page.get_by_label("导出举证包").check()
    warrant(visitor)
    with page.expect_download() as awaited:
        page.get_by_role("button", name="提交").click()
    package = to / "exchange.tar"
    awaited.value.save_as(package)
    verifier = Path(__file__).parents[2] / "conformance/verifier/tongban_verify.py"
    said = subprocess.run([sys.executable, str(verifier), str(package), "--vkey", vkey], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


def open_evidence(auditor: Visitor, security: Visitor, exchange: str, pictures: Path) -> None:
    """One asks, another one allows; nobody does both."""
    page = auditor.open(f"/exchanges/{exchange}")
    page.get_by_label("申请开启证据").check()
    warrant(auditor)
    page.get_by_role("button", name="提交").click()
    expect(page.get_by_role("status").filter(has_text="已提交申请")).to_be_visible()
    auditor.well()
    page = security.open("/approvals")
    expect(page.get_by_text(WARRANT["purpose"])).to_be_visible()
    security.accessible("approvals")
    picture(security, pictures, "approvals")
    page.get_by_role("button", name="批准").click()
    expect(page.get_by_text("没有待批事项")).to_be_visible()
    page = security.open("/registers?kind=open")
    expect(page.get_by_text(WARRANT["order"])).to_be_visible()
    security.well()
    # The auditor's browser opens it with the auditor's own key; the gateway has none.
    page = auditor.open("/evidence")
    page.get_by_role("link", name="开启", exact=True).first.click()
    page.locator("#auditor-key").set_input_files(str(auditor.stage.dir / "auditor.jwk"))
    expect(page.locator("#opening")).to_have_text("已开启 1 条", timeout=15_000)
    auditor.verified()
    auditor.accessible("opened evidence")
    picture(auditor, pictures, "evidence")
    auditor.well()


def subject(visitor: Visitor, pictures: Path) -> None:
    """Who looked at this citizen's data: on a page that can be printed and does not name them."""
    page = visitor.open("/subject")
    page.get_by_label("号码", exact=True).fill(CITIZEN)
    warrant(visitor)
    page.get_by_role("button", name="生成报告并留痕").click()
    expect(page.get_by_text("此次检索已记入账本")).to_be_visible()
    assert page.locator("table.list tbody tr").count() > 3, "the citizen's lookups are found"
    assert CITIZEN not in page.content() and CITIZEN not in page.url
    visitor.verified()
    visitor.accessible("subject report")
    picture(visitor, pictures, "subject-report")
    page.pdf(path=str(pictures / "subject-report.pdf"))
    visitor.well()


def full_check(visitor: Visitor, pictures: Path) -> None:
    page = visitor.open("/integrity")
    page.get_by_role("button", name="开始核验").click()
    expect(page.get_by_text("未发现任何改动")).to_be_visible(timeout=30_000)
    expect(page.locator("#registers-bound")).to_contain_text("登记簿与账本一致")
    visitor.verified()
    visitor.accessible("verified")
    picture(visitor, pictures, "verified")
    visitor.well()


def security(visitor: Visitor, pictures: Path) -> None:
    pages = {"registers": "/registers", "approvals": "/approvals", "accounts": "/accounts"}
    each(visitor, pages, pictures)
    page = visitor.open("/registers?kind=search")
    expect(page.get_by_text("li-auditor").first).to_be_visible()


def small_screen(visitor: Visitor, pictures: Path) -> None:
    """On a telephone nothing is wider than the screen."""
    visitor.page.set_viewport_size({"width": 390, "height": 844})
    for name, path in {"overview": "/", "cases": "/cases", "partners": "/partners"}.items():
        page = visitor.open(path)
        visitor.verified()
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is {wide} px too wide"
        visitor.accessible(f"{path} on a small screen")
        picture(visitor, pictures, f"small-{name}")
    visitor.page.set_viewport_size({"width": 1280, "height": 900})
