"""What every client has to do, against the real gateway and against one that does not tell the truth."""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from . import faults, misbehaving, tools, vendor
from .keys import signing_key

PATIENCE = 120  # seconds for one command; a JVM on a busy machine starts slowly


class Failed(Exception):
    """A client did something else than it has to."""


class Player:
    """One client with its directories; keeps what became of each step."""

    def __init__(self, name, folder, county, ours, serial):
        self.name, self.folder, self.county, self.ours = name, folder / name, county, ours
        self.case, self.deceived_case = vendor.case_number(2 * serial), vendor.case_number(2 * serial + 1)
        self.done = {}
        self.desk = ours.desk(self.folder / "desk", county.card, self.case)

    def client(self, command, *files, desk=None, commands=tools.COMMANDS):
        desk = desk or self.desk
        given = [str(desk / name) for name in files]
        return subprocess.run([*commands[self.name], str(desk), command, *given], capture_output=True, text=True, timeout=PATIENCE, check=False)

    def step(self, title, act):
        """Does one step and remembers how it ended; later steps go on."""
        began = time.monotonic()
        try:
            act()
            self.done[title] = (None, time.monotonic() - began)
        except (Failed, AssertionError, subprocess.TimeoutExpired, KeyError, ValueError) as fault:
            self.done[title] = (str(fault) or type(fault).__name__, time.monotonic() - began)

    def expect(self, ran, code, *words):
        """How it ended, and words on standard error."""
        if ran.returncode != code or any(word not in ran.stderr for word in words):
            raise Failed(f"ended with {ran.returncode}, not {code} {words}\n{ran.stdout}{ran.stderr}")
        return json.loads(ran.stdout) if ran.stdout else None

    def proves(self, desk=None, index=None):
        told = self.expect(self.client("proof", desk=desk), 0)
        if index is not None and told["proved"] != index:
            raise Failed(f"proved {told['proved']}, not {index}")
        return told

    # --- against the real gateway ---------------------------------------------------------------

    def honest(self):
        self.step("ping, as published", self.ping)
        self.step("lookup: read under the authorization", lambda: self.read("token.jws"))
        self.step("lookup: verify without being shown", self.verify)
        self.step("refused: no authorization", lambda: self.refused("read", None, "403 authorization-missing"))
        self.step("refused: a field nobody granted", lambda: self.refused("toomuch", "token.jws", "403 authorization-insufficient"))
        self.step("refused: schema, with the place", lambda: self.refused("faulty", "token.jws", "422 schema-violation", "/body/fields"))
        self.step("submit an application", self.submit)
        self.step("submit it again: the same receipt", self.submit)
        self.step("status of the case", self.status)
        self.step("unsigned refusal: a key that is on no card", self.wrong_key)
        self.step("nothing sent to a door without the pinned key", self.wrong_pin)
        self.step("usage", lambda: self.expect(self.client("dance"), 64, "submit APPLICATION.json"))

    def ping(self):
        told = self.expect(self.client("ping", commands=tools.AS_PUBLISHED), 0)
        assert told["status"] == 200 and told["result"]["version"]
        self.proves(index=told["log"]["index"])

    def read(self, token):
        told = self.expect(self.client("lookup", "read.json", token), 0)
        assert told["result"]["licenses"][0]["data"] == {"cert_no": "J331083-2026-000001", "registered_on": "2026-01-05"}, told
        self.proves(index=told["log"]["index"])

    def verify(self):
        told = self.expect(self.client("lookup", "verify.json", "token.jws"), 0)
        found = told["result"]["licenses"][0]
        assert found["match"] == {"cert_no": True, "registered_on": False} and "data" not in found, told
        self.proves(index=told["log"]["index"])

    def refused(self, ask, token, *words):
        ran = self.client("lookup", f"{ask}.json", *([token] if token else []))
        told = self.expect(ran, 2, "refused, signed: ", *words, "retry: no", "recorded: tongban/421202/")
        self.proves(index=told["log"]["index"])

    def submit(self):
        told = self.expect(self.client("submit", "application.json"), 0)
        assert told["status"] == 202 and told["result"]["case"] == self.case and told["result"]["state"] == "RECEIVED", told
        assert self.__dict__.setdefault("receipt", told["result"]) == told["result"], "another receipt"
        self.proves(index=told["log"]["index"])

    def status(self):
        told = self.expect(self.client("status", "application.json"), 0)
        assert told["result"]["state"] == "RECEIVED" and told["result"]["events"][0]["digest"] == self.receipt["digest"], told
        self.proves(index=told["log"]["index"])

    def wrong_key(self):
        desk = self.ours.desk(self.folder / "wrong-key", self.county.card)
        signing_key(desk / "sign.pem")
        self.expect(self.client("ping", desk=desk), 3, "not signed, a hint only: HTTP 401 signature-invalid kid-not-yours")

    def wrong_pin(self):
        """The liar's door under the county's card: its pin is another's."""
        desk = self.ours.desk(self.folder / "wrong-pin", self.county.card | {"endpoint": self.liar.endpoint})
        before = self.liar.seen
        self.expect(self.client("ping", desk=desk), 1, "not believed: tls: ", "is not pinned on the partner's card")
        assert self.liar.seen == before, "something was sent"

    # --- against the misbehaving partner ----------------------------------------------------------

    def deceived(self):
        """Every fault is found, by the check that has to find it, and nothing else is."""
        desk = self.ours.desk(self.folder / "deceived", self.liar.card, self.deceived_case)
        (desk / "token.jws").write_bytes((self.desk / "token.jws").read_bytes())
        commands = {"ping": ["ping"], "lookup": ["lookup", "read.json", "token.jws"], "refused": ["lookup", "read.json"],
                    "submit": ["submit", "application.json"]}

        def under(fault, command):
            self.liar.fault = fault
            ran = self.client(*commands.get(command, [command]), desk=desk)
            self.liar.fault = None
            return ran

        def found(ran, check):
            # The word stands in a check's own place: "not believed: shape: …".
            told = self.expect(ran, *((3, "not signed, a hint only: ") if check == "hint" else (1, f"not believed: {check}: ")))
            assert told is None, "an unbelieved answer was printed"

        self.step("the same, told the truth", lambda: [self.expect(under(faults.keep_log, "ping"), 0),
                                                       self.expect(under(faults.keep_note, "proof"), 0)])
        for command, wrong, check, fault in faults.ANSWERS:
            self.step(f"{check}: {wrong}", lambda c=command, k=check, f=fault: found(under(f, c), k))
        for wrong, check, fault in faults.PROMISES:
            self.step(f"proof, {check}: {wrong}", lambda k=check, f=fault: (self.expect(under(f, "ping"), 0), found(under(None, "proof"), k)))
        self.step("once more, told the truth", lambda: self.expect(under(None, "ping"), 0))
        for wrong, check, fault in faults.PROOFS:
            self.step(f"proof, {check}: {wrong}", lambda k=check, f=fault: found(under(f, "proof"), k))
        self.step("proof: the true one at the end", lambda: self.proves(desk))

    def play(self):
        self.liar = misbehaving.Misbehaving(self.folder / "liar", self.county, self.ours)
        self.honest()
        self.deceived()
        tools.say(f"{self.name}: {sum(fault is None for fault, _ in self.done.values())} of {len(self.done)}")


def play(names, folder, county, ours):
    players = [Player(name, folder, county, ours, serial) for serial, name in enumerate(names)]
    for player in players:
        (player.desk / "token.jws").write_text(county.authorize(ours.card_file, 20))
    # As many as there are clients: they wait for each other's processes, not for ours.
    with ThreadPoolExecutor(len(players)) as pool:
        for ended in [pool.submit(player.play) for player in players]:
            ended.result()
    return players


def table(players):
    """Step by step, client by client; True when nobody failed at anything."""
    titles = list(dict.fromkeys(title for player in players for title in player.done))
    width = max(len(title) for title in titles) + 2
    print(" " * width + "".join(f"{player.name:>9}" for player in players))
    for title in titles:
        marks = ["·" if title not in p.done else "✓" if p.done[title][0] is None else "✗" for p in players]
        print(f"{title:<{width}}" + "".join(f"{mark:>9}" for mark in marks))
    print(f"{'seconds':<{width}}" + "".join(f"{sum(s for _, s in p.done.values()):>9.1f}" for p in players))
    failed = [(p.name, title, fault) for p in players for title, (fault, _) in p.done.items() if fault is not None]
    for name, title, fault in failed:
        print(f"\n{name}, {title}:\n{fault}")
    unplayed = [title for title in titles if any(title not in p.done for p in players)]
    return not failed and not unplayed
