"""A person at the console in a real browser: a certificate or a link, and nothing that goes wrong
unseen. Every console error and every page error of a visitor is a failure of the test."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

AXE = Axe()
VERIFIED = "#integrity[data-state=verified]"


class Visitor:
    def __init__(self, browser: Browser, stage, account: str | None = None, **options):
        if account:
            p12, password = stage.accounts[account]
            options["client_certificates"] = [{"origin": stage.console, "pfxPath": p12, "passphrase": password}]
        self.stage = stage
        self.context = browser.new_context(ignore_https_errors=True, viewport={"width": 1280, "height": 900}, **options)
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(f"page error: {error}"))
        self.page.on("console", lambda told: told.type == "error" and self.wrong.append(f"console: {told.text}"))

    def open(self, path: str, status: int = 200) -> Page:
        answer = self.page.goto(self.stage.console + path)
        assert answer.status == status, f"{path}: {answer.status} instead of {status}"
        if status != 200:
            # The browser itself notes a status of 400 and more: not the page's error.
            self.wrong = [told for told in self.wrong if "Failed to load resource" not in told]
        return self.page

    def sign_in(self) -> "Visitor":
        self.open("/", 401)
        self.page.get_by_role("button", name="用证书登录").click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text("总览")
        return self

    def verified(self) -> None:
        """The strip is green by this browser's own work."""
        self.page.wait_for_selector(VERIFIED, timeout=15_000)

    def speak(self, name: str) -> None:
        """Switches to the language of this button, if it is not spoken already."""
        button = self.page.get_by_role("button", name=name, exact=True)
        if button.count():
            button.click()
            self.page.wait_for_load_state()

    def accessible(self, where: str) -> None:
        """No axe violation, in either colour scheme."""
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            found = AXE.run(self.page).response["violations"]
            told = [f"{v['id']}: {v['nodes'][0]['html'][:160]} ({v['nodes'][0].get('failureSummary', '')[:200]})" for v in found]
            assert not told, f"{where} ({scheme}):\n" + "\n".join(told)
        self.page.emulate_media(color_scheme="light")

    def well(self) -> None:
        assert not self.wrong, "\n".join(self.wrong)

    def close(self) -> None:
        self.well()
        self.context.close()
