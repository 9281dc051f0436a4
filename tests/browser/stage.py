"""Two real gateways with traffic, a case, and console accounts: what `tongban demo --keep` leaves
running, plus accounts made with the command line. Everything goes when the stage does."""

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.request
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PATIENCE = 60


def running(pid: int) -> bool:
    """A process that has ended and that nobody has asked about does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def stranger_key(name: str, n: int) -> str:
    """The verifier key (c2sp.org/tlog-cosignature) of a witness that nobody has."""
    public = Ed25519PrivateKey.from_private_bytes(bytes([n + 1] * 32)).public_key().public_bytes_raw()
    typed = b"\x04" + public
    key_id = hashlib.sha256(name.encode() + b"\n" + typed).hexdigest()[:8]
    return f"{name}+{key_id}+{base64.b64encode(typed).decode()}"


class Stage:
    def __init__(self, program: str, work: Path):
        self.program = os.path.abspath(program)
        self.work = work
        said = subprocess.run([self.program, "demo", "--keep"], capture_output=True, text=True, timeout=180)
        if said.returncode != 0:
            raise SystemExit(f"the demonstration failed:\n{said.stdout[-2000:]}\n{said.stderr[-2000:]}")
        stop = re.search(r"Stop them[^:]*: kill ([\d ]+?) +and .*rm -r (\S+)", said.stdout)
        self.pids = [int(pid) for pid in stop.group(1).split()]
        self.dir = Path(stop.group(2))
        self.case = re.search(r"case show (\S+)", said.stdout).group(1)
        self.xianan, self.yuhuan = self.dir / "xianan", self.dir / "yuhuan"
        self.console = "https://" + self.setting(self.xianan, "console_listener", "listen")
        self.accounts = {}
        self.begun = None

    def setting(self, home: Path, section: str, name: str) -> str:
        text = (home / "gateway.toml").read_text()
        part = re.search(rf"^\[{section}\](.*?)(?=^\[)", text, re.S | re.M).group(1)
        return re.search(rf'^{name} *= *"([^"]+)"', part, re.M).group(1)

    def command(self, home: Path, *arguments: str) -> dict:
        line = [self.program, *arguments, "--config", str(home / "gateway.toml"), "--json"]
        said = subprocess.run(line, capture_output=True, text=True, timeout=60)
        if said.returncode != 0:
            raise AssertionError(f"{' '.join(arguments)}: {said.stderr}")
        return json.loads(said.stdout) if said.stdout.strip() else {}

    def account(self, name: str, role: str, title: str, certificate: bool = True) -> None:
        """An account, and the certificate its browser imports."""
        p12 = self.dir / f"{name}.p12"
        out = ["--out", str(p12)] if certificate else []
        made = self.command(self.xianan, "console", "account", name, "--role", role, "--title", title, *out)
        self.accounts[name] = (str(p12), made.get("password"))
        self.reload()

    def restart_with_policy(self, need: int, strangers: int) -> None:
        """咸安 begins anew with a witness policy: 玉环 and so many who never cosign, `need` of them."""
        key = self.command(self.yuhuan, "audit", "witness", "key")
        lines, names = [f"witness yuhuan {key['vkey']}"], ["yuhuan"]
        for n in range(strangers):
            names.append(f"absent{n + 1}")
            lines.append(f"witness {names[-1]} {stranger_key(f'tongban/33010{n + 2}/w1', n)}")
        lines += [f"group partners {need} {' '.join(names)}", "quorum partners"]
        (self.xianan / "trust/policy").write_text("\n".join(lines) + "\n")
        config = self.xianan / "gateway.toml"
        config.write_text(re.sub(r"^# policy = ", "policy = ", config.read_text(), flags=re.M))
        self.end(self.pids[0])
        if self.begun:
            self.begun.wait(PATIENCE)
        with open(self.xianan / "serve.log", "a") as log:
            line = [self.program, "serve", "--config", str(config)]
            self.begun = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        self.pids[0] = self.begun.pid
        host, port = self.console.removeprefix("https://").rsplit(":", 1)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=5).close()
                return
            except OSError:
                assert time.monotonic() < until and self.begun.poll() is None, "咸安 did not begin again"
                time.sleep(0.05)

    def end(self, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + PATIENCE
        while running(pid):
            assert time.monotonic() < until, f"process {pid} does not end"
            time.sleep(0.05)

    def registers(self, sql: str) -> None:
        """What whoever owns the disk can do to the registers of the running 咸安."""
        with sqlite3.connect(self.xianan / "data/audit.db", timeout=10) as file:
            assert file.execute(sql).rowcount == 1, sql

    def link(self, name: str) -> str:
        said = self.command(self.xianan, "console", "link", name)
        link = said["link"]
        return link if link.startswith("https://") else self.console + link

    def reload(self) -> None:
        """Both gateways read their files again; who needs the change looks until it is there."""
        for pid in self.pids:
            os.kill(pid, signal.SIGHUP)

    def local(self, home: Path, path: str, body: dict | None = None, key: str | None = None) -> dict:
        """One call of a region's own door."""
        door = self.setting(home, "local_listener", "listen")
        token = (home / "keys/local.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{door}{path}", data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            return json.load(refused)

    def edit(self, path: Path, change) -> None:
        """Changes a trusted file as a careful operator does: whole, then in its place."""
        document = json.loads(path.read_text())
        change(document)
        beside = path.with_name("." + path.name)
        beside.write_text(json.dumps(document, ensure_ascii=False))
        beside.rename(path)
        self.reload()

    def close(self) -> None:
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        ended = time.monotonic() + PATIENCE
        while time.monotonic() < ended and any(running(pid) for pid in self.pids):
            time.sleep(0.05)
        if self.begun:
            self.begun.wait(PATIENCE)
        shutil.rmtree(self.dir, ignore_errors=True)
