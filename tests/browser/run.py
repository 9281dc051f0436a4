"""The console in a real browser. Usage: run.py PROGRAM PICTURES"""

import shutil
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

import hostile
import walk
from stage import Stage
from visitor import Visitor

SECURITY_ONLY = ["/registers", "/approvals", "/accounts"]
AUDIT_ONLY = ["/search", "/subject", "/authorization", "/exchanges/x", "/leaves/2026h2/0", "/evidence"]


def main(program: str, pictures: Path) -> None:
    began = time.monotonic()

    def told(what: str) -> None:
        print(f"  ✓ {what}  [{time.monotonic() - began:.1f} s]", flush=True)

    pictures.mkdir(parents=True, exist_ok=True)
    stage = Stage(program, pictures)
    try:
        stage.account("li-auditor", "audit", "李审计")
        stage.account("zhao-system", "system", "赵系统")
        stage.account("wang-security", "security", "王安全")
        stage.restart_with_policy(need=2, strangers=2)
        told("two gateways with traffic, three accounts, a witness policy")
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium")
            # Run as root in a container: without the sandbox, and with little shared memory.
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
            below = Visitor(browser, stage, "li-auditor").sign_in()
            walk.quorum(below, "1/3,策略要求 2", False, pictures, "below-quorum")
            below.close()
            stage.restart_with_policy(need=1, strangers=0)
            stranger = Visitor(browser, stage)
            stranger.open("/", 401)
            stranger.accessible("sign-in")
            walk.picture(stranger, pictures, "sign-in")
            auditor = Visitor(browser, stage, "li-auditor").sign_in()
            told("signed in with a client certificate")
            walk.quorum(auditor, "1/1,策略要求 1", True, pictures, "quorum")
            told("the strip names the quorum, amber below the policy")
            exchange = walk.auditor(auditor, pictures)
            told("every page of the auditor's: verified by the browser, no axe violation, zh and en, light and dark")
            walk.both_sides(auditor, exchange, pictures)
            told("the partner's half: proven by its own entry, or unknown and said so")
            walk.for_the_readme(auditor, pictures)
            walk.search(auditor, exchange, pictures)
            walk.subject(auditor, pictures)
            walk.download(auditor, exchange, pictures)
            walk.full_check(auditor, pictures)
            told("searched with a reason, printed a report, downloaded a package that the verifier accepts, verified everything")
            hostile.tampered_log(auditor)
            hostile.rolled_back_log(auditor)
            told("a changed checkpoint, proof or history turns the strip red")
            hostile.names(auditor)
            hostile.messages(auditor)
            told("thirty payloads in every field of a partner's stay text")
            hostile.other_roles(auditor, SECURITY_ONLY)
            hostile.forged_forms(auditor, stranger)
            told("other pages' forms and other people's cookies are refused")
            security = Visitor(browser, stage, "wang-security").sign_in()
            walk.security(security, pictures)
            walk.open_evidence(auditor, security, exchange, pictures)
            hostile.other_roles(security, AUDIT_ONLY + ["/partners", "/cases"])
            security.close()
            system = Visitor(browser, stage, "zhao-system").sign_in()
            walk.small_screen(system, pictures)
            hostile.other_roles(system, AUDIT_ONLY + SECURITY_ONLY)
            system.close()
            told("each role its own pages, on a telephone too")
            plain = Visitor(browser, stage, "li-auditor", java_script_enabled=False).sign_in()
            hostile.no_script(plain, walk.exchange_with(plain, "out.done", range(2, 200)))
            plain.close()
            told("works without JavaScript, and says what it then cannot")
            by_link(browser, stage)
            told("a one-time link signs in once")
            hostile.altered_register(auditor)
            auditor.close()
            told("an altered register is found and located")
            browser.close()
    finally:
        stage.close()
    print(f"the console holds what it promises, {time.monotonic() - began:.0f} s; pictures in {pictures}")


def by_link(browser, stage) -> None:
    link = stage.link("wang-security")
    guest = Visitor(browser, stage)
    guest.page.goto(link)
    guest.accessible("link")
    guest.page.get_by_role("button", name="登录").click()
    guest.page.wait_for_url(stage.console + "/")
    guest.verified()
    guest.close()
    late = Visitor(browser, stage)
    late.page.goto(link)
    late.page.get_by_role("button", name="登录").click()
    assert late.page.get_by_role("alert").count() == 1
    late.context.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
