"""The guide's table of common mistakes, made on purpose against a live gateway: what it says must be what the table says."""

import json
import re
import secrets
import ssl
import time

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from . import faults, misbehaving
from .keys import b64url
from .misbehaving import un_b64url

REQUEST = "application/tongban-request+jwt"


class Beginner:
    """玉环's first attempts."""

    def __init__(self, county, ours):
        self.county, self.ours = county, ours
        self.key = load_pem_private_key((ours.home / "sign.pem").read_bytes(), None)
        self.http = httpx.Client(verify=to_loopback(ours), base_url=f"https://127.0.0.1:{county.partner}", trust_env=False, timeout=30)
        self.query = json.loads((ours.desk(ours.home / "beginner", county.card) / "read.json").read_text())

    def claims(self, **changed):
        now = int(time.time())
        plain = {"ver": 1, "iss": "urn:tongban:gw:331083", "aud": "urn:tongban:gw:421202", "iat": now, "exp": now + 60,
                 "jti": secrets.token_urlsafe(16), "op": "ping", "body": {}}
        return plain | changed

    def lookup(self, **changed):
        return self.claims(op="license.query", **(self.query | changed))

    def token(self, **changed):
        given = {"--client": "331083", "--jkt": self.ours.jwk["kid"], "--fields": "cert_no,registered_on"} | changed
        # A thumbprint may begin with "-".
        flat = [f"{name}={value}" for name, value in given.items()]
        return self.county.run("authorize", "issue", "--issuer", self.county.authority, "--me", "421202", "--holder-number", "42120219000101001X",
                               "--type", "111000000000131433001", "--item", "11421202TECT0001914000709001000", *flat).strip()

    def sign(self, claims, header=None, form="raw"):
        header = {"alg": "ES256", "typ": "tongban-request+jwt", "kid": self.ours.jwk["kid"]} | (header or {})
        text = f"{b64url(json.dumps(header).encode())}.{b64url(json.dumps(claims, ensure_ascii=False).encode())}"
        der = self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        raw = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(der))
        return f"{text}.{b64url(raw if form == 'raw' else der)}"

    def send(self, message, kind=REQUEST):
        """Code, reason, signed."""
        told = self.http.post("/v1/exchange", content=message, headers={"content-type": kind})
        signed = told.headers["content-type"] == misbehaving.ANSWER
        problem = json.loads(un_b64url(told.text.split(".")[1]))["problem"] if signed else told.json()
        return problem["code"], problem.get("reason"), signed

    def attempts(self):
        """One for each row of the table, in its order."""
        yield self.send(self.sign(self.claims(), form="der"))
        yield self.send(self.serialised_again())
        yield self.send(self.sign(self.claims(), {"kid": misbehaving.kid(ec.generate_private_key(ec.SECP256R1()))}))
        yield self.send(self.sign(self.claims(), {"alg": "EdDSA"}))
        yield self.send(self.sign(self.claims()) + "\n")
        yield self.send(self.sign(self.claims()) + "==")
        header, payload, signature = self.sign(self.claims()).split(".")
        yield self.send(json.dumps({"protected": header, "payload": payload, "signature": signature}))
        yield self.send(self.sign(self.claims(), {"cty": "json"}))
        yield self.send(self.sign(self.claims(), {"typ": "JWT"}))
        yield self.send(self.sign(self.claims(iat=time.time())))
        yield self.send(self.sign(self.claims()), "application/json")
        now = int(time.time())
        yield self.send(self.sign(self.claims(iat=now - 300, exp=now - 240)))
        yield self.send(self.sign(self.claims(iat=now * 1000, exp=now * 1000 + 60)))
        yield self.send(self.sign(self.claims(exp=now + 3600)))
        yield self.send(self.sign(self.claims(aud="urn:tongban:gw:320922")))
        yield self.send(self.sign(self.claims(aud=f"https://127.0.0.1:{self.county.partner}")))
        yield self.send(self.sign(self.claims(iss="urn:tongban:gw:330000")))
        once = self.sign(self.claims())
        self.http.post("/v1/exchange", content=once, headers={"content-type": REQUEST})
        yield self.send(once)
        yield self.send(self.sign(self.claims(jti=json.loads(un_b64url(once.split(".")[1]))["jti"], iat=now - 1)))
        yield self.send(self.sign(self.lookup(agreement="421202-331083-1999", authorization=self.token())))
        yield self.send(self.sign(self.lookup(item="11421202TECT0001914000709001001", color="red")))
        yield self.send(self.sign(self.lookup(authorization=self.token(**{"--client": "320922"}))))
        yield self.send(self.sign(self.lookup(authorization=self.token(**{"--jkt": faults.OTHER_DIGEST}))))
        yield self.send(self.sign(self.lookup(authorization=self.token(**{"--fields": "cert_no"}))))

    def serialised_again(self):
        header, payload, signature = self.sign(self.claims()).split(".")
        again = json.dumps(json.loads(un_b64url(payload)), separators=(",", ":"))
        return f"{header}.{b64url(again.encode())}.{signature}"


def to_loopback(ours):
    """The vendor's certificate towards a gateway on loopback that the play itself has started."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(ours.home / "tls.crt", ours.home / "tls.key")
    return context


def rows(guide):
    """Code, reason and signed of each row, as the guide has them."""
    found = []
    for line in guide.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[1].startswith("`"):
            code, *reason = re.findall(r"`([^`]+)`", cells[1])
            found.append((cells[0], (code, reason[0] if reason else None, cells[2] in ("yes", "是"))))
    return found


def provoke(county, ours, guides):
    """Whether every guide's table says what the gateway says."""
    said = list(Beginner(county, ours).attempts())
    fine = True
    for name, guide in guides.items():
        told = rows(guide)
        for (row, written), got in zip(told, said, strict=False):
            # A reason that the table leaves out may be anything.
            agrees = written[0] == got[0] and written[2] == got[2] and written[1] in (None, got[1])
            if not agrees:
                fine = False
                print(f"{name}: {row}: the table says {written}, the gateway {got}")
        if len(told) != len(said):
            fine = False
            print(f"{name}: {len(told)} rows, {len(said)} attempts")
    print(f"common mistakes: {len(said)} provoked" + ("" if fine else ", NOT as the table says"))
    return fine
