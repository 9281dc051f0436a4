#!/usr/bin/env python3
"""A Tongban partner in one file of Python: joserfc for JWS, httpx for HTTP. Copy from it.

    client.py DIR ping
    client.py DIR lookup QUERY.json [AUTHORIZATION]     license.query, to read or to verify
    client.py DIR submit APPLICATION.json               application.submit
    client.py DIR status APPLICATION.json               application.status of the same case
    client.py DIR proof                                 prove the promise of the last answer

DIR holds sign.pem (our P-256 signing key), tls.crt and tls.key, card.json (our own card) and
partner.json (the partner's card). An answer is believed after every check of PROTOCOL.md S-5, in
its order, and not before. Standard output is one line of JSON; people read standard error.
Ends with 0 answered, 1 nothing that can be believed, 2 refused and signed, 3 an unsigned hint, 64 usage.
"""

import base64
import hashlib
import json
import re
import secrets
import socket
import ssl
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, import_key

SKEW = 30  # seconds two clocks may differ
LONGEST_LIFE = 120  # seconds an answer may live
LARGEST = 256 * 1024  # octets of a message
PATIENCE = 20  # seconds for one call
SOON = 12  # seconds until a promised leaf stands under a checkpoint (PROTOCOL.md B-9: 10)


class NotBelieved(Exception):
    """The first check that failed, and what was found."""

    def __init__(self, check, why):
        super().__init__(f"not believed: {check}: {why}")


class Hint(Exception):
    """An answer that nobody signed: good for deciding whether to try again, for nothing else."""


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def un_b64url(text):
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise NotBelieved("shape", "a part is empty or not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64url(data) != text:
        raise NotBelieved("shape", "a part has two spellings")
    return data


def sha256(data):
    return hashlib.sha256(data).digest()


def strict_json(data):
    """An object as the protocol allows it: no name twice, integers within 2^53 only."""

    def once(pairs):
        if len(pairs) != len(dict(pairs)):
            raise NotBelieved("shape", "a JSON member stands there twice")
        return dict(pairs)

    def integer(text):
        if text == "-0" or abs(int(text)) > 2**53:
            raise NotBelieved("shape", "a number is no integer within 2^53")
        return int(text)

    def refuse(_):
        raise NotBelieved("shape", "a number is no integer within 2^53")

    try:
        value = json.loads(data.decode(), object_pairs_hook=once, parse_int=integer, parse_float=refuse, parse_constant=refuse)
    except (ValueError, RecursionError) as fault:
        raise NotBelieved("shape", "a part is not JSON in UTF-8") from fault
    if not isinstance(value, dict):
        raise NotBelieved("shape", "a part is no JSON object")
    return value


def jcs(value):
    """RFC 8785. Our numbers are integers and our names ASCII, so sorting and this are all of it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Me:
    """This vendor's gateway, towards one partner."""

    def __init__(self, folder):
        self.dir = Path(folder)
        self.card = json.loads((self.dir / "card.json").read_text())
        self.partner = json.loads((self.dir / "partner.json").read_text())
        self.key = ECKey.import_key((self.dir / "sign.pem").read_text())
        self.http = None

    # --- asking -------------------------------------------------------------------------

    def ask(self, op, members):
        """Signs and sends one request; returns the claims of an answer that may be believed."""
        now = int(time.time())
        claims = {"ver": 1, "iss": self.card["id"], "aud": self.partner["id"], "iat": now, "exp": now + 60}
        claims |= {"jti": secrets.token_urlsafe(16), "op": op} | members
        header = {"alg": "ES256", "typ": "tongban-request+jwt", "kid": self.key.thumbprint()}
        # Serialised once. What is signed is what is sent; the digest is over these very bytes.
        request = jws.serialize_compact(header, json.dumps(claims, ensure_ascii=False).encode(), self.key, ["ES256"])
        (self.dir / "sent.jws").write_text(request)  # for the partner's `tongban explain`, should it be refused
        told = self.call("POST", "/v1/exchange", request.encode(), {"content-type": "application/tongban-request+jwt"})
        answer = self.believe(told, claims, request.encode())
        (self.dir / "last-request.jws").write_text(request)
        (self.dir / "last-answer.jws").write_bytes(told.content)
        return answer

    def call(self, method, path, body=None, headers=None):
        self.http = self.http or self.connect()
        try:
            return self.http.request(method, self.partner["endpoint"].rstrip("/") + path, content=body, headers=headers)
        except httpx.HTTPError as fault:
            raise NotBelieved("tls", f"no answer came ({fault}); does the partner have our card?") from fault

    def connect(self):
        """TLS 1.3 both ways. Who holds a key that is pinned on the card is the partner; host names prove nothing.

        OpenSSL cannot be given a pin, so: look at the certificate, compare its key with the card's pins,
        and let the connection that carries data trust exactly that certificate."""
        at = urlsplit(self.partner["endpoint"])

        def context():
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            made.minimum_version = ssl.TLSVersion.TLSv1_3
            made.check_hostname = False
            made.load_cert_chain(self.dir / "tls.crt", self.dir / "tls.key")
            return made

        look = context()
        look.verify_mode = ssl.CERT_NONE
        try:
            with socket.create_connection((at.hostname, at.port or 443), PATIENCE) as line, look.wrap_socket(line) as line:
                der = line.getpeercert(binary_form=True)
        except OSError as fault:
            raise NotBelieved("tls", f"no connection ({fault})") from fault
        spki = x509.load_der_x509_certificate(der).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if b64url(sha256(spki)) not in self.partner.get("tls", {}).get("spki_sha256", []):
            raise NotBelieved("tls", "the key of the certificate at the endpoint is not pinned on the partner's card")
        trusting = context()
        trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        trusting.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(der))
        return httpx.Client(verify=trusting, timeout=PATIENCE, trust_env=False, follow_redirects=False)

    # --- believing: PROTOCOL.md S-5, in its order -------------------------------------------

    def believe(self, told, asked, request):
        if told.headers.get("content-type", "").lower() != "application/tongban-response+jwt":
            raise Hint(unsigned(told))
        text = told.content.decode("latin-1")
        # shape: three parts of base64url, a header of exactly three strings
        if len(text) > LARGEST or len(text.split(".")) != 3:
            raise NotBelieved("shape", "is not one compact JWS")
        header, payload, signature = (un_b64url(part) for part in text.split("."))
        header = strict_json(header)
        if set(header) != {"alg", "typ", "kid"} or not all(isinstance(v, str) for v in header.values()):
            raise NotBelieved("shape", "the header is not exactly alg, typ and kid")
        if header["typ"] != "tongban-response+jwt":
            raise NotBelieved("typ", "is not a response")
        # kid: the key comes from the card, never from the message
        jwk = self.keys_in_force().get(header["kid"])
        if jwk is None:
            raise NotBelieved("kid", "is no key of this partner in force; has it rotated keys, is it another environment's?")
        if header["alg"] != jwk["alg"]:
            raise NotBelieved("signature", "alg is not the one registered for this key")
        try:
            jws.deserialize_compact(text, import_key({k: jwk[k] for k in ("kty", "crv", "x", "y", "n", "e") if k in jwk}), [jwk["alg"]])
        except JoseError as fault:
            raise NotBelieved("signature", "does not verify: the answer was changed, or another key signed it") from fault
        said = strict_json(payload)
        req = said.get("req") if isinstance(said.get("req"), dict) else {}
        if said.get("iss") != self.partner["id"]:
            raise NotBelieved("iss", "is not the gateway that was asked")
        if said.get("aud") != self.card["id"]:
            raise NotBelieved("aud", "is not us: this answer was meant for somebody else")
        if req.get("jti") != asked["jti"]:
            raise NotBelieved("req.jti", "answers another request")
        if req.get("digest") != b64url(sha256(request)):
            raise NotBelieved("req.digest", "is not the SHA-256 of the bytes that were sent: what arrived there was something else")
        if said.get("status") != told.status_code:
            raise NotBelieved("status", "is not the HTTP status")
        self.check_times(said, int(time.time()))
        self.check_schema(said, asked)
        return said

    def keys_in_force(self):
        """The card's keys by the thumbprint that we compute, within their nbf and exp."""
        now, keys = int(time.time()), {}
        for jwk in self.partner["jwks"]["keys"]:
            if jwk.get("nbf", now) <= now < jwk.get("exp", now + 1):
                keys[import_key({k: v for k, v in jwk.items() if k in ("kty", "crv", "x", "y", "n", "e")}).thumbprint()] = jwk
        return keys

    @staticmethod
    def check_times(said, now):
        iat, exp = said.get("iat"), said.get("exp")
        if not (type(iat) is int and type(exp) is int and 0 < exp - iat <= LONGEST_LIFE):
            raise NotBelieved("times", f"exp is not later than iat by at most {LONGEST_LIFE} s")
        if iat > now + SKEW:
            raise NotBelieved("times", f"comes {iat - now} s from the future: compare the clocks")
        if now >= exp + SKEW:
            raise NotBelieved("times", f"ended {now - exp} s ago: old, or compare the clocks")

    def check_schema(self, said, asked):
        def must(fine, why):
            if not fine:
                raise NotBelieved("schema", why)

        success = type(said["status"]) is int and 200 <= said["status"] < 300
        outcome, log = "result" if success else "problem", said.get("log")
        members = {"ver", "iss", "aud", "iat", "exp", "jti", "req", "op", "status", "log", outcome}
        must(set(said) == members and set(said["req"]) == {"jti", "digest"}, "members are missing or unknown")
        must(said["ver"] == 1 and re.fullmatch(r"[A-Za-z0-9_-]{22,64}", str(said["jti"])), "ver or jti is wrong")
        must(said["op"] == asked["op"], "op is not what was asked")
        must(isinstance(log, dict) and set(log) == {"origin", "index", "leaf"}, "there is no promise (log)")
        must(type(log["index"]) is int and log["index"] >= 0 and re.fullmatch(r"[A-Za-z0-9_-]{43}", str(log["leaf"])), "the promise is malformed")
        must(str(log["origin"]).startswith(f"tongban/{self.partner['region']}/"), "the promise is about another's ledger")
        said_so = said[outcome]
        must(isinstance(said_so, dict), f"{outcome} is no object")
        if not success:
            words = all(isinstance(said_so.get(name), str) for name in ("type", "title", "title_zh", "code", "retry"))
            must(words and said_so.get("status") == said["status"], "the problem is malformed")
            return
        must(said["status"] == (202 if asked["op"] == "application.submit" else 200), "is not the status of this op's success")
        if asked["op"] == "license.query":
            body, found = asked["body"], said_so.get("licenses")
            must(isinstance(found, list) and said_so.get("found") is (len(found) > 0), "found and licenses disagree")
            for license in found:
                told = set(license.get("data", {})) | set(license.get("match", {}))
                must(told <= set(body.get("fields") or body.get("expect")), "tells more than was asked")
        if asked["op"] == "application.submit":
            must(said_so.get("digest") == b64url(sha256(jcs(asked["body"]))), "the receipt is for another application")
        if asked["op"].startswith("application."):
            must(said_so.get("case") == asked["case"], "is about another case")

    # --- the promise: PROTOCOL.md B-9 and B-13, C2SP tlog-proof ------------------------------------------

    def prove(self):
        """Fetches the leaf that the last answer promised, and checks that it stands in the partner's signed tree."""
        request = (self.dir / "last-request.jws").read_bytes()
        asked, said = (strict_json(un_b64url(text.split(".")[1])) for text in (request.decode(), (self.dir / "last-answer.jws").read_text()))
        log = said["log"]
        until = time.monotonic() + SOON
        while (told := self.call("GET", f"/v1/log/{log['origin']}/entry/{log['index']}")).status_code == 404:
            if time.monotonic() > until:
                raise NotBelieved("entry", "the promised leaf is not served: the promise is broken")
            time.sleep(0.5)
        try:
            head, note = told.content.decode().split("\n\n", 1)
            magic, extra, index, *path = head.split("\n")
            leaf, path = base64.b64decode(extra.removeprefix("extra "), validate=True), [base64.b64decode(line, validate=True) for line in path]
        except ValueError as fault:
            raise NotBelieved("entry", "is no proof file") from fault
        if told.status_code != 200 or magic != "c2sp.org/tlog-proof@v1":
            raise NotBelieved("entry", "is no proof file")
        if index != f"index {log['index']}":
            raise NotBelieved("index", "the proof is about another place than was promised")
        hash = sha256(b"\x00" + leaf)
        if b64url(hash) != log["leaf"]:
            raise NotBelieved("leaf", "the leaf at the promised place is not the one that was promised")
        entry, outcome = strict_json(leaf), said["result"] if "result" in said else said["problem"]
        ours = {"t": "in", "me": self.partner["region"], "peer": self.card["region"], "x": asked["jti"], "op": asked["op"]}
        ours |= {"status": said["status"], "rq": b64url(sha256(request)), "rd": b64url(sha256(jcs(outcome)))}
        if {name: entry.get(name) for name in ours} != ours:
            raise NotBelieved("exchange", "the leaf is not about what we asked and were answered")
        size, root = self.checkpoint(note, log["origin"])
        # RFC 9162 §2.1.3.2
        if log["index"] >= size:
            raise NotBelieved("path", "the checkpoint does not reach this index")
        at, last = log["index"], size - 1
        for sibling in path:
            if last == 0:
                raise NotBelieved("path", "is too long")
            if at & 1 or at == last:
                hash = sha256(b"\x01" + sibling + hash)
                while at and not at & 1:
                    at, last = at >> 1, last >> 1
            else:
                hash = sha256(b"\x01" + hash + sibling)
            at, last = at >> 1, last >> 1
        if last or hash != root:
            raise NotBelieved("path", "does not lead from the leaf to the signed root")
        return {"proved": log["index"], "origin": log["origin"], "size": size, "root": b64url(root)}

    def checkpoint(self, note, origin):
        """Size and root of a C2SP checkpoint that the ledger key on the card signed."""
        name, hex_id, key = self.partner["ledger"]["vkey"].split("+", 2)
        key = base64.b64decode(key)
        if key[:1] != b"\x01" or sha256(name.encode() + b"\n" + key)[:4].hex() != hex_id:
            raise NotBelieved("checkpoint", "the card's vkey is not a well-formed Ed25519 verifier key")
        text, _, signatures = note.rpartition("\n\n")
        text += "\n"
        ours = [base64.b64decode(line.split(" ")[2]) for line in signatures.split("\n") if line.startswith(f"— {name} ")]
        ours = [blob[4:] for blob in ours if blob[:4].hex() == hex_id]
        if not ours:
            raise NotBelieved("checkpoint", "is not signed by the ledger key on the partner's card")
        try:
            for signature in ours:
                Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature, text.encode())
        except InvalidSignature as fault:
            raise NotBelieved("checkpoint", "its signature does not verify") from fault
        lines = text.split("\n")
        if lines[0] != origin or name != origin or not re.fullmatch(r"[1-9][0-9]*", lines[1]):
            raise NotBelieved("checkpoint", "is of another log than the one promised")
        return int(lines[1]), base64.b64decode(lines[2])


def unsigned(told):
    """What an unsigned answer says, for a person who looks for the cause."""
    try:
        problem = told.json()
        words = " ".join(str(problem[name]) for name in ("code", "reason", "title", "title_zh") if name in problem)
    except (ValueError, TypeError):
        words = ""
    again = told.headers.get("retry-after")
    return f"HTTP {told.status_code} {words}" + (f"; try again after {again} s" if again else "")


def explain(problem, log):
    """A signed refusal in words."""
    print(f"refused, signed: {problem['status']} {problem['code']} {problem.get('reason', '')}".rstrip(), file=sys.stderr)
    print(f"  {problem['title_zh']} / {problem['title']}", file=sys.stderr)
    if "detail" in problem:
        print(f"  {problem['detail']}", file=sys.stderr)
    for fault in problem.get("errors", []):
        print(f"  {fault['pointer']} {fault['rule']}: {fault['message_zh']} / {fault['message']}", file=sys.stderr)
    print(f"  retry: {problem['retry']}   trace: {problem.get('trace', '-')}   recorded: {log['origin']} {log['index']}", file=sys.stderr)


def main(arguments):
    try:
        me, command, given = Me(arguments[0]), arguments[1], [Path(name).read_text() for name in arguments[2:]]
        if command == "ping":
            said = me.ask("ping", {"body": {}})
        elif command == "lookup":
            authorization = {"authorization": given[1].strip()} if len(given) > 1 else {}
            said = me.ask("license.query", json.loads(given[0]) | authorization)
        elif command == "submit":
            said = me.ask("application.submit", json.loads(given[0]))
        elif command == "status":
            application = json.loads(given[0])
            said = me.ask("application.status", application | {"body": {"case": application["case"]}})
        elif command == "proof":
            print(json.dumps(me.prove(), ensure_ascii=False))
            return 0
        else:
            raise IndexError
    except (IndexError, FileNotFoundError) as fault:
        print(fault if isinstance(fault, OSError) else __doc__, file=sys.stderr)
        return 64
    except NotBelieved as fault:
        print(fault, file=sys.stderr)
        return 1
    except Hint as hint:
        print(f"not signed, a hint only: {hint}", file=sys.stderr)
        return 3
    outcome = "result" if "result" in said else "problem"
    print(json.dumps({"status": said["status"], outcome: said[outcome], "exchange": said["req"]["jti"], "log": said["log"]}, ensure_ascii=False))
    if outcome == "problem":
        explain(said["problem"], said["log"])
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
