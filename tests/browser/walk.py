"""Every page: it is there, the browser has verified the log, axe finds nothing, no error is told,
in both languages and both colour schemes. Leaves a picture of each."""

import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect

from visitor import Visitor

# Synthetic, of the demonstration.
CITIZEN = "42120219000101001X"
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
    each(visitor, pages, pictures)
    assert visitor.page is page
    return exchange.rsplit("/", 1)[1]


def lookup(visitor: Visitor) -> str:
    """The page of the first lookup: the entry after the log's own and the pings."""
    for index in range(2, 12):
        page = visitor.open(f"/leaves/{shard(visitor)}/{index}")
        if "license.query" in page.locator("main").text_content():
            return page.get_by_role("link", name="查看整个交换").get_attribute("href")
    raise AssertionError("the demonstration looked nothing up")


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
