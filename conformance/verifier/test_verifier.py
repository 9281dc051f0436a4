#!/usr/bin/env python3
"""Tests the independent verifier on what tests/suite/tamper.rs left behind: packages and logs as
they are, the matrix of tampered copies, seeded faults, and random edits.

    scripts/verifier-test
"""
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tongban_verify as verifier  # noqa: E402

# TONGBAN_RANDOM_EDITS=10000 makes so many of each, as the gate does (scripts/random-edits).
EDITS_OF_PACKAGE = int(os.environ.get("TONGBAN_RANDOM_EDITS", 2_000))
EDITS_OF_DIRECTORY = int(os.environ.get("TONGBAN_RANDOM_EDITS", 10_000))


class Tests:
    def __init__(self, root):
        self.root, self.passed, self.failed = root, 0, 0
        self.ground = self.json("tamper/ground.json")
        self.auditor_key = self.json("tamper/auditor.jwk")
        self.partner = self.json("tamper/partner.json")["keys"]

    def path(self, *names):
        return os.path.join(self.root, *names)

    def json(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return json.load(f)

    def policy(self, vkey=None):
        policy = verifier.Policy()
        policy.logs = [verifier.Vkey.parse(vkey or self.ground["vkey"])]
        return policy

    def auditor(self, partners=None):
        return verifier.Auditor(self.auditor_key, self.partner if partners is None else partners)

    def warrant(self):
        return verifier.Warrant(self.json("tamper/warrant.json"))

    def check(self, *names, **more):
        return verifier.check(self.path("tamper", *names), self.policy(), **more)

    def that(self, what, holds, told=""):
        if holds:
            self.passed += 1
            print(f"ok {what}")
        else:
            self.failed += 1
            print(f"FAILED {what}: {str(told)[:2000]}")

    def run(self):
        self.formats()
        self.sound()
        self.command_line()
        self.matrix()
        self.seeded()
        self.random_package()
        self.random_directory()
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0

    def formats(self):
        """Vectors from outside: the reference log of two independent programs, and RFC 6962."""
        log = "exchange-log.county-a.example/2026h2+a5194cd7+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
        witness = "gateway.county-b.example/w1+1705b48e+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU"
        note = (
            "exchange-log.county-a.example/2026h2\n3\nZSKXuVBARaYAlCvN+a5cJAC+QtUROcf7Y6s+5Dn/EQ0=\n\n"
            "\u2014 exchange-log.county-a.example/2026h2 pRlM19/84bzBaPZNAxawYDQZyy4W6KN6jpWTrf9FikRjDDyFBrvzJiXb4d1"
            "6VLsF1WeVYI/Om1ISX96pAswuPM/nlwE=\n"
            "\u2014 gateway.county-b.example/w1 FwW0jgAAAABpRziAZz90gn+eplQ+iBjXJdZSkWlA778JByvSlz3pDMOsxrY0forf57DCnZYw"
            "38SUuEAcpZp/iuoW+WOlpNvqNA5oBA==\n").encode()
        leaves = [verifier.leaf_hash(e) for e in (b"", b"a", b"b")]
        self.that("the reference log's root is the RFC's", verifier.root_of(leaves).hex() ==
                  "652297b9504045a600942bcdf9ae5c2400be42d51139c7fb63ab3ee439ff110d")
        policy = f"log {log}\nwitness b {witness}\ngroup all all b\nquorum all\n"
        self.that("a cosigned checkpoint meets its quorum", verifier.Policy.parse(policy).open(note).size == 3)
        unwitnessed = note.rsplit("\u2014".encode(), 1)[0]
        self.that("without the cosignature it does not", refuses(lambda: verifier.Policy.parse(policy).open(unwitnessed)))
        rng = random.Random(1)
        changed = 0
        for _ in range(500):
            edited = bytearray(note)
            edited[rng.randrange(len(note))] ^= 1 << rng.randrange(8)
            changed += refuses(lambda: verifier.Policy.parse(policy).open(bytes(edited)))
        self.that("no bit of it may differ", changed == 500, changed)

    def sound(self):
        for name in ("a", "b", "a-yesterday"):
            report = self.directory(name)
            self.that(f"the log {name} is sound", not report.findings, report.findings)
        report = self.directory("a", auditor=self.auditor())
        self.that("an auditor opens every piece of evidence in it",
                  not report.findings and len(report.opened) == report.counts["present"] == 309, report.findings)
        self.that("what was erased by order is told", report.counts["erased"] == 1 and report.counts["held"] == 1,
                  report.counts)
        stranger = verifier.check(self.path("tamper", "a"), None)
        self.that("without a key its own word is said", stranger.trust == "own word" and not stranger.findings)
        dropped = verifier.check(self.path("tamper-dropped"), None)
        self.that("evidence dropped after its floor is told", not dropped.findings and dropped.counts["dropped"] == 3,
                  (dropped.findings, dropped.counts))
        kept = verifier.read_file(self.path("tamper", "kept.checkpoint"))
        back = verifier.check(self.path("tamper", "a-yesterday"), self.policy(), kept=[kept])
        self.that("a whole directory of yesterday is shown by a checkpoint kept elsewhere", back.findings)
        for name in ("range.tar", "exchange.tar", "leaves.tar", "unpacked"):
            report = self.check("packages", name, auditor=self.auditor())
            self.that(f"{name} is accepted, opened and its signatures hold", not report.findings and report.opened,
                      report.findings)
        self.that("its erased leaf names the order", any(
            leaf.get("order") for leaf in self.check("packages", "range.tar").leaves))
        report = self.check("packages", "window.tar", auditor=self.auditor(), warrant=self.warrant())
        self.that("a period is complete", not report.findings and len(report.opened) == 55, report.findings)
        other = self.json("tamper/ground.json")["vkey"].replace("2026h2", "2026h1")
        wrong = verifier.check(self.path("tamper", "packages", "range.tar"),
                               self.policy(verifier.Vkey.parse(self.ground["vkey"]).under("x/y/z").__str__()))
        self.that("another log's key is not this one's", wrong.findings, other)
        unsigned = self.check("packages", "exchange.tar", auditor=self.auditor([{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]))
        self.that("a partner's signature by another key is told", unsigned.findings)

    def directory(self, name, **more):
        report = verifier.Report()
        policy = self.policy()
        if name == "b":
            policy.logs = [verifier.Vkey.parse(self.ground["vkey"]).under("tongban/331083/2026h2")]
        return verifier.check(self.path("tamper", name), policy, report, **more)

    def command_line(self):
        package, vkey = self.path("tamper", "packages", "range.tar"), self.ground["vkey"]
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            out, err = sys.stdout, sys.stderr
            sys.stdout = sys.stderr = nowhere
            try:
                codes = [
                    verifier.main([package, "--vkey", vkey, "--json"]),
                    verifier.main([package]),
                    verifier.main(["/nowhere"]),
                    verifier.main([self.path("tamper"), "--vkey", vkey]),
                    verifier.main([self.path("tamper", "matrix", "leaf-flip"), "--vkey", vkey]),
                    verifier.main([package, "--vkey", vkey, "--key", self.path("tamper", "auditor.jwk"),
                                   "--partner", self.path("tamper", "partner.json"), "--show", "--json"]),
                ]
            finally:
                sys.stdout, sys.stderr = out, err
        self.that("exit codes are 0, 1 and 2", codes == [0, 0, 1, 1, 2, 0], codes)

    def matrix(self):
        for name, expected in self.json("tamper/matrix.json").items():
            report = self.check("matrix", name)
            located = [f for f in report.findings if expected["file"] in f["file"]
                       and expected["index"] in (None, f["index"])]
            self.that(f"matrix {name} is found and located", located, report.findings)

    def seeded(self):
        for name, what in self.json("tamper/seeded.json").items():
            report = self.check("seeded", name)
            self.that(f"seeded {what} is found", report.findings)

    def random_package(self):
        rng, missed, start = random.Random(2026), [], time.time()
        small = verifier.read_file(self.path("tamper", "packages", "small.tar"))
        foreign = verifier.read_file(self.path("tamper", "packages", "other.tar"))
        policy = self.policy()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "p.tar")
            for number in range(EDITS_OF_PACKAGE):
                with open(path, "wb") as f:
                    f.write(edit(small, foreign, rng))
                if not found(path, policy):
                    missed.append(number)
        self.that(f"{EDITS_OF_PACKAGE} random edits of a package are found ({time.time() - start:.0f} s)", not missed, missed)

    def random_directory(self):
        rng, missed, start = random.Random(2027), [], time.time()
        clean, foreign = self.path("tamper-small", "a"), self.path("tamper-small", "b")
        report = verifier.check(clean, None)
        self.that("the small log is sound", not report.findings, report.findings)
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, "a")
            shutil.copytree(clean, copy)
            names = [os.path.relpath(os.path.join(at, n), copy) for at, _, ns in os.walk(copy) for n in ns]
            names = sorted(n for n in names if "tiles/" in n or re.search(r"\.(db|sealed)$", n) and "index" not in n)
            policy = verifier.Policy()
            policy.logs = [verifier.Vkey.parse(report.logs[0]["key"])]
            for number in range(EDITS_OF_DIRECTORY):
                name = names[number % len(names)]
                whole = verifier.read_file(os.path.join(clean, name))
                theirs = os.path.join(foreign, name.replace("421202", "331083"))
                with open(os.path.join(copy, name), "wb") as f:
                    f.write(edit_file(whole, verifier.read_file(theirs) if os.path.exists(theirs) else b"", rng))
                if not found(copy, policy):
                    missed.append((number, name))
                with open(os.path.join(copy, name), "wb") as f:
                    f.write(whole)
        self.that(f"{EDITS_OF_DIRECTORY} random edits of a directory are found ({time.time() - start:.0f} s)", not missed, missed)


def found(path, policy):
    try:
        return bool(verifier.check(path, policy).findings)
    except verifier.Unreadable:
        return True


def refuses(act):
    try:
        act()
        return False
    except verifier.Bad:
        return True


def edit_file(data, foreign, rng):
    """One edit of a file. What ends in many zeros is edited where it does not, half of the time."""
    used = len(data.rstrip(b"\0"))
    if 2 * used > len(data) or rng.randrange(2):
        return edit(data, foreign, rng)
    return bytes(edit(data[:used], foreign, rng)) + data[used:]


def edit(data, foreign, rng):
    """One edit that changes the bytes."""
    while True:
        edited = bytearray(data)
        at = rng.randrange(len(data))
        length = min(rng.randint(1, 40), len(data) - at)
        way = rng.randrange(6)
        if way == 0:
            edited[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            del edited[at:at + length]
        elif way == 2:
            edited[at:at] = rng.randbytes(length)
        elif way == 3:
            other = rng.randrange(len(data) - length + 1)
            edited[at:at + length], edited[other:other + length] = data[other:other + length], data[at:at + length]
        elif way == 4:
            del edited[at:]
        else:
            start = rng.randrange(max(1, len(foreign) - length))
            edited[at:at + length] = foreign[start:start + length]
        if bytes(edited) != data:
            return bytes(edited)


if __name__ == "__main__":
    sys.exit(Tests(sys.argv[1]).run())
