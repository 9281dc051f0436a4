"""What must not work: a log that was changed on the way, names that want to run, forms of other
pages, pages of other roles, cookies of other people."""

import time

from playwright.sync_api import expect

from payloads import PAYLOADS
from visitor import Visitor

PATIENCE = 15


def tampered_log(visitor: Visitor) -> None:
    """Each change between gateway and browser turns the strip red, and it says why."""
    page, context = visitor.page, visitor.context

    def altered(pattern: str, alter, says: str) -> None:
        def handle(route):
            answer = route.fetch()
            route.fulfill(response=answer, body=alter(answer.text()))

        context.route(pattern, handle)
        visitor.open("/")
        expect(page.locator("#integrity[data-state=failed]")).to_be_visible(timeout=15_000)
        expect(page.locator("#integrity .detail")).to_contain_text(says)
        context.unroute(pattern)

    def other_root(note: str) -> str:
        lines = note.split("\n")
        lines[2] = ("B" if lines[2][0] == "A" else "A") + lines[2][1:]
        return "\n".join(lines)

    def other_leaf(proof: str) -> str:
        head, rest = proof.split("extra ", 1)
        return head + "extra " + ("f" if rest[0] == "e" else "e") + rest[1:]

    def unsigned(note: str) -> str:
        return note.split("\n\n")[0] + "\n\n— somebody AAAA\n"

    altered("**/log/**/checkpoint", other_root, "签名不成立")
    altered("**/log/**/checkpoint", unsigned, "没有本账本的签名")
    altered("**/log/**/entry/*", other_leaf, "不在已签名的树中")
    visitor.open("/")
    visitor.verified()


def rolled_back_log(visitor: Visitor) -> None:
    """A signed checkpoint of yesterday is signed and still refused."""
    page = visitor.open("/")
    visitor.verified()
    origin = page.locator("#integrity").get_attribute("data-origin")
    page.evaluate("origin => { const k = `tongban.log.${origin}`; const s = JSON.parse(localStorage[k]);"
                  " s.size += 1000000; localStorage[k] = JSON.stringify(s); }", origin)
    visitor.open("/")
    expect(page.locator("#integrity[data-state=failed] .detail")).to_contain_text("更短", timeout=15_000)
    page.evaluate("localStorage.clear()")
    visitor.well()


def altered_register(visitor: Visitor) -> None:
    """Somebody with the disk puts another name to a search: the check names the entry and its leaf.
    The last thing that happens: the registers stay as they are then."""
    page, stage = visitor.page, visitor.stage
    stage.registers("UPDATE entry SET doc=replace(doc, 'li-auditor', 'zhao-system') WHERE n=1")
    visitor.open("/integrity")
    page.get_by_role("button", name="核验").click()
    expect(page.locator("#registers-bound")).to_contain_text("登记簿与账本不一致", timeout=30_000)
    expect(page.locator(".findings")).to_contain_text("第 1 号登记被改动")
    visitor.verified()
    visitor.accessible("an altered register")
    visitor.well()


def names(visitor: Visitor) -> None:
    """Thirty payloads, each in every field of a partner that a page shows."""
    stage, page = visitor.stage, visitor.page
    card = stage.xianan / "trust/partners/331083.json"
    agreement = next((stage.xianan / "trust/agreements").glob("*.json"))
    before = {path: path.read_text() for path in (card, agreement)}
    for payload in PAYLOADS:
        stage.edit(card, lambda document: document.update(name=payload, contact=payload))

        def renamed(document):
            document["name"] = payload
            for item in document["items"]:
                item["name"] = payload

        stage.edit(agreement, renamed)
        until = time.monotonic() + PATIENCE
        while True:
            visitor.open("/partners/331083")
            shown = page.get_by_role("heading", level=1).inner_text()
            agreed = page.locator("main").inner_text()
            if shown.startswith(payload.strip()) and agreed.count(payload.strip()) >= 4:
                break
            assert time.monotonic() < until, f"never shown as text: {payload!r}: {shown!r}"
        for path in ("/", "/partners"):
            visitor.open(path)
            assert payload in page.locator("main").inner_text(), f"{path}: {payload!r}"
        quiet(visitor, payload)
    for path, text in before.items():
        path.write_text(text)
    stage.reload()


def messages(visitor: Visitor) -> None:
    """The same in what a partner's messages say: purpose, operator, a case's own number, the name
    of a material. Each is a signed message that the gateway took."""
    stage, page = visitor.stage, visitor.page
    known = stage.local(stage.yuhuan, f"/local/v1/applications/{stage.case}")
    cases = []
    for serial, payload in enumerate(PAYLOADS):
        envelope = {
            "to": "421202", "item": known["item"], "basis": "consent", "purpose": payload,
            "operator": payload[:64].strip(), "agreement": known["agreement"],
        }
        license = {"type": "111000000000131433001", "holder": {"type": "111", "number": "42120219000101001X"}}
        asked = {**envelope, "body": {"license": license, "mode": "read", "fields": ["cert_no"]}}
        answer = stage.local(stage.yuhuan, "/local/v1/licenses/query", asked)
        assert answer.get("code") == "authorization-missing", answer
        body = dict(known["submit"], native={"collecting": payload[:50].strip()}, authorizations=[])
        body["materials"] = [
            {"code": material["code"], "name": payload, "evidence": "upload", "sha256": f"{serial:064x}",
             "bytes": 3, "media_type": "application/pdf"} for material in known["submit"]["materials"]
        ]
        taken = stage.local(stage.yuhuan, "/local/v1/applications", {**envelope, "body": body}, key=f"browser-test-{serial:010}")
        assert "case" in taken, taken
        cases.append((payload, taken["case"]))
    for payload, case in cases:
        until = time.monotonic() + PATIENCE
        while visitor.page.goto(f"{stage.console}/cases/{case}").status != 200:
            assert time.monotonic() < until, f"{case} did not arrive"
        visitor.wrong = [told for told in visitor.wrong if "Failed to load resource" not in told]
        shown = page.locator("main").inner_text()
        assert payload[:50].strip() in shown and payload in shown, f"never shown as text: {payload!r}"
        quiet(visitor, payload)
    visitor.open("/cases")
    quiet(visitor, "cases")


def quiet(visitor: Visitor, what: str) -> None:
    assert visitor.page.evaluate("window.__xss === undefined"), f"it ran: {what!r}"
    strange = visitor.page.locator("main script, main iframe, main object, main [onerror], main [onload], main base")
    assert strange.count() == 0, f"markup of a partner's: {what!r}"
    visitor.well()


def other_roles(visitor: Visitor, refused: list[str]) -> None:
    for path in refused:
        visitor.open(path, 403)
    visitor.well()


def forged_forms(visitor: Visitor, stranger: Visitor) -> None:
    """Another page's form, and one of our own without its token."""
    page = visitor.open("/integrity")
    token = page.locator("input[name=csrf]").first.get_attribute("value")
    post = """async ([path, fields]) => (await fetch(path, {method: 'POST', redirect: 'manual', body:
        new URLSearchParams(fields)})).status"""
    assert page.evaluate(post, ["/integrity", {}]) == 403
    assert page.evaluate(post, ["/integrity", {"csrf": token[::-1]}]) == 403
    visitor.wrong.clear()
    # A page of another origin sends a form here: the browser says so, and the cookie stays away.
    elsewhere = visitor.context.new_page()
    elsewhere.route("https://elsewhere.example/**", lambda route: route.fulfill(
        content_type="text/html", body=f'<form method=post action="{visitor.stage.console}/integrity">'
        f'<input name=csrf value="{token}"><button>x</button></form>'))
    elsewhere.goto("https://elsewhere.example/")
    # The refusal has no body: the browser shows a page of its own.
    with elsewhere.expect_response("**/integrity") as awaited:
        elsewhere.get_by_role("button").click(no_wait_after=True)
    assert awaited.value.status == 403
    elsewhere.close()
    # The session's cookie in a browser without the certificate.
    stranger.context.add_cookies(visitor.context.cookies())
    stranger.open("/", 401)


def no_script(visitor: Visitor, exchange: str) -> None:
    """Without JavaScript everything works but the browser's own verification, which says so."""
    page = visitor.page
    expect(page.locator("#integrity .verdict")).to_have_text("本浏览器尚未核验")
    visitor.open("/integrity")
    page.get_by_role("button", name="核验").click()
    until = time.monotonic() + 30
    while not page.get_by_text("未发现任何改动").count():
        assert time.monotonic() < until, "the check did not end"
        visitor.open("/integrity")
    expect(page.locator("#registers-bound")).to_contain_text("登记簿与账本一致")
    visitor.open(exchange)
    page.get_by_role("button", name="向对方核对").click()
    expect(page.locator("#timeline")).to_contain_text("包含证明成立")
    visitor.open("/search")
    page.get_by_label("交换编号、序号或哈希").fill("0")
    page.get_by_role("button", name="查找").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("记录")
