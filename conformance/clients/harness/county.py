"""The county of the play: 咸安 (421202), a real gateway of this project, and its development authority."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import ExitStack

from . import tools
from .keys import signing_key

REGION = "421202"
ITEM = "11421202TECT0001914000709001000"
MARRIAGE = "111000000000131433001"
CITIZEN = "42120219000101001X"
PATIENCE = 60  # seconds until a gateway is ready, on a busy machine


def free_ports(count):
    """Ports that nobody listens on; all are held until the last is found, so they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class County:
    def __init__(self, folder, program):
        self.program, self.home, self.authority = program, folder / "xianan", folder / "authority"
        self.partner, self.local, console = free_ports(3)
        self.run("init", "--region", REGION, "--name", "咸宁市咸安区", "--listen", f"127.0.0.1:{self.partner}",
                 "--local", f"127.0.0.1:{self.local}", "--console", f"127.0.0.1:{console}", self.home)
        self.config = self.home / "gateway.toml"
        self.card = json.loads(self.run("card", "--config", self.config, "--json"))
        self.run("authorize", "init", self.authority)
        shutil.copy(self.authority / "authority.json", self.home / "trust" / "authorities")
        agreement = tools.ROOT / "conformance" / "examples" / "agreement-421202-331083.json"
        self.run("agreement", "check", agreement)
        shutil.copy(agreement, self.home / "trust" / "agreements")
        self.run("license", "import", tools.ROOT / "tests" / "vectors" / "licenses.jsonl", "--config", self.config)
        self.auditor(folder)
        self.process = None

    def auditor(self, folder):
        """Evidence is kept, sealed to an auditor whose key is made here."""
        jwk = signing_key(folder / "auditor.pem") | {"use": "enc", "alg": "ECDH-ES+A256KW"}
        (self.home / "trust" / "auditors" / "auditor.jwk").write_text(json.dumps(jwk))

    def run(self, *arguments):
        return tools.quiet(self.program, *arguments)

    def start(self):
        self.run("check", "--config", self.config)
        log = (self.home / "serve.log").open("ab")
        self.process = subprocess.Popen([self.program, "serve", "--config", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        began = time.monotonic()
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() - began > PATIENCE:
                raise SystemExit(f"the gateway is not ready\n{(self.home / 'serve.log').read_text()[-4000:]}")
            time.sleep(0.1)

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.local}/readyz", timeout=5) as told:
                return told.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=PATIENCE)
            self.process = None

    def signing_jwk(self):
        """For the misbehaving partner: it holds the true key, and tells untruths with it."""
        return json.loads((self.home / "keys" / "sign.jwk").read_text())

    def authorize(self, card, uses, fields="cert_no,registered_on"):
        """The citizen says yes to this vendor."""
        return self.run("authorize", "issue", "--issuer", self.authority, "--me", REGION, "--client", "331083", "--jkt", f"@{card}",
                        "--holder-number", CITIZEN, "--type", MARRIAGE, "--fields", fields, "--item", ITEM, "--max-uses", uses)
