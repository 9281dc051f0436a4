"""The untruths: what is put into genuine answers and proofs, and the check that has to find each.

A fault changes one thing (where it changes more, its title says which counts). Checks go by the words of PROTOCOL.md S-5 and, of a
proof, by the clients' README.
"""

import base64
import hashlib
import hmac
import json
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .keys import b64url
from .misbehaving import kid, public_jwk, un_b64url

OTHER_DIGEST = b64url(hashlib.sha256(b"another request").digest())


def body_is(change):
    def fault(told):
        told.body = change(told.body)

    return fault


def http_status(told):
    told.status = 202 if told.status == 200 else 200


def not_signed(told):
    told.content_type, told.body = "application/json", json.dumps({"status": 200, "result": told.claims["result"]}).encode()


def problem_not_signed(told):
    told.status, told.content_type = 503, "application/problem+json"
    words = {"type": "urn:tongban:problem:overloaded", "title": "Overloaded", "title_zh": "繁忙", "status": 503, "code": "overloaded", "retry": "after"}
    told.body = json.dumps(words).encode()


def json_serialization(told):
    header, payload, signature = told.parts()
    told.body = json.dumps({"protected": header, "payload": payload, "signature": signature}).encode()


def payload_text(old, new):
    """Bytes of the payload replaced, and signed as they are."""

    def fault(told):
        payload = un_b64url(told.parts()[1])
        assert old in payload, payload
        told.sign(payload.replace(old, new, 1))

    return fault


def body_changed(told):
    header, payload, signature = told.parts()
    changed = json.loads(un_b64url(payload))
    changed["result"]["time"] += 1
    told.body = f"{header}.{b64url(json.dumps(changed).encode())}.{signature}".encode()


def keyed_with_the_public_key(told):
    text = f"{b64url(json.dumps(told.header(alg='HS256')).encode())}.{told.parts()[1]}"
    secret = json.dumps(public_jwk(told.liar.key)).encode()
    told.body = f"{text}.{b64url(hmac.digest(secret, text.encode(), 'sha256'))}".encode()


def alg_none(told):
    told.body = f"{b64url(json.dumps(told.header(alg='none')).encode())}.{told.parts()[1]}.AAAA".encode()


def answer_before(told):
    told.body = told.liar.kept["answer"]


def digest_of_reserialised(told):
    request = json.loads(un_b64url(told.request.decode().split(".")[1]))
    told.change(req={"jti": told.claims["req"]["jti"], "digest": b64url(hashlib.sha256(json.dumps(request).encode()).digest())})


def req(**changed):
    return lambda told: told.change(req=told.claims["req"] | changed)


def times(iat, life):
    def fault(told):
        now = int(time.time())
        told.change(iat=now + iat, exp=now + iat + life)

    return fault


def with_status(status):
    def fault(told):
        told.status = status
        told.change(status=status)

    return fault


def result(**changed):
    return lambda told: told.change(result=told.claims["result"] | changed)


def license_field(told):
    answer = told.claims["result"]
    answer["licenses"][0]["data"]["authority"] = "测试民政局"
    told.change(result=answer)


def log(**changed):
    return lambda told: told.change(log=told.claims["log"] | changed)


def claims(**changed):
    return lambda told: told.change(**changed)


def signed_by(name, under=None):
    """Signed by another of the liar's keys, under its own name or under the true one."""

    def fault(told):
        key = getattr(told.liar, name)
        told.sign(told.claims, told.header(**({} if under == "true" else {"kid": kid(key)})), key)

    return fault


def wrong_from_kid_on(told):
    told.sign(told.claims | {"iss": "urn:tongban:gw:320922"}, told.header(kid=kid(told.liar.stranger)), told.liar.stranger)
    told.status = 202


# command, what is wrong, the check that finds it ("hint": not signed, so never judged)
ANSWERS = [
    ("ping", "a result that nobody signed", "hint", not_signed),
    ("ping", "a refusal that nobody signed", "hint", problem_not_signed),
    ("ping", "a line end behind the message", "shape", body_is(lambda body: body + b"\n")),
    ("ping", "a fourth part", "shape", body_is(lambda body: body + b".AAAA")),
    ("ping", "an empty signature", "shape", body_is(lambda body: body[: body.rindex(b".") + 1])),
    ("ping", "padded base64url", "shape", body_is(lambda body: body + b"=")),
    ("ping", "JSON serialization", "shape", json_serialization),
    ("ping", "a header member more (crit)", "shape", lambda told: told.sign(told.claims, told.header(crit=["b64"]))),
    ("ping", "a header member that is no string", "shape", lambda told: told.sign(told.claims, told.header(kid=7))),
    ("ping", "a request's typ", "typ", lambda told: told.sign(told.claims, told.header(typ="tongban-request+jwt"))),
    ("ping", "the stranger's own key", "kid", signed_by("stranger")),
    ("ping", "a key that has ended", "kid", signed_by("retired")),
    ("ping", "alg none", "signature", alg_none),
    ("ping", "HMAC keyed with the public key", "signature", keyed_with_the_public_key),
    ("ping", "the stranger's key under the true name", "signature", signed_by("stranger", under="true")),
    ("ping", "the body changed", "signature", body_changed),
    ("ping", "DER instead of r‖s", "signature", lambda told: told.sign(told.claims, form="der")),
    ("ping", "a member twice", "shape", payload_text(b'"status"', b'"aud":"x","status"')),
    ("ping", "a member twice, by an escape", "shape", payload_text(b'"status"', b'"\\u0061ud":"x","status"')),
    ("ping", "a number that is no integer", "shape", payload_text(b'"index":', b'"index":0.5,"n":')),
    ("ping", "bytes that are not UTF-8", "shape", payload_text(b'"version":"', b'"version":"\xff')),
    ("ping", "another member's iss", "iss", claims(iss="urn:tongban:gw:320922")),
    ("ping", "an answer for somebody else", "aud", claims(aud="urn:tongban:gw:320922")),
    ("ping", "the answer before, once more", "req.jti", answer_before),
    ("ping", "a swapped req.jti", "req.jti", req(jti="AAAAAAAAAAAAAAAAAAAAAA")),
    ("ping", "a swapped digest", "req.digest", req(digest=OTHER_DIGEST)),
    ("ping", "a digest of re-serialised JSON", "req.digest", digest_of_reserialised),
    ("ping", "another HTTP status", "status", http_status),
    ("refused", "a refusal under HTTP 200", "status", http_status),
    ("ping", "an answer from the future", "times", times(60, 60)),
    ("ping", "an answer that has ended", "times", times(-200, 60)),
    ("ping", "an answer that lives too long", "times", times(0, 121)),
    ("ping", "a version that is null", "schema", payload_text(b'"ver":1', b'"ver":null')),
    ("ping", "no promise", "schema", claims(log=None)),
    ("ping", "a promise about another's ledger", "schema", log(origin="tongban/320922/2026h2")),
    ("ping", "result and problem", "schema", claims(problem={"code": "replay"})),
    ("ping", "a member that nobody knows", "schema", claims(sub="x")),
    ("ping", "another op's answer", "schema", claims(op="license.query")),
    ("ping", "success under another status", "schema", with_status(202)),
    ("lookup", "more than was asked", "schema", license_field),
    ("lookup", "found, and nothing there", "schema", result(licenses=[])),
    ("lookup", "found is null", "schema", result(found=None)),
    ("submit", "another application's receipt", "schema", result(digest=OTHER_DIGEST)),
    ("submit", "another case's receipt", "schema", result(case="K3310834212022026101200000001M")),
    ("ping", "kid, iss and status wrong: the first counts", "kid", wrong_from_kid_on),
    ("ping", "iss and times wrong: the first counts", "iss", lambda told: told.change(iss="urn:tongban:gw:320922", iat=1, exp=2)),
    ("ping", "digest and times wrong: the first counts", "req.digest",
     lambda told: told.change(req=told.claims["req"] | {"digest": OTHER_DIGEST}, iat=1, exp=2)),
]


def first_entry(told):
    """Promises the place and the leaf of an exchange before: both true, and not this one's."""
    told.change(log=told.liar.kept["log"])


# An answer with a bent promise, and the check of the proof that finds it.
PROMISES = [
    ("a leaf that is not there", "leaf", log(leaf=OTHER_DIGEST)),
    ("the leaf of another exchange", "exchange", first_entry),
    ("an index that never comes", "entry", lambda told: told.change(log=told.claims["log"] | {"index": told.claims["log"]["index"] + 100_000})),
]


def proof(change):
    """Changes the lines of the proof and its note."""

    def fault(told):
        if told.status == 200:
            head, note = told.body.decode().split("\n\n", 1)
            lines = head.split("\n")
            told.body = "\n\n".join(change(lines, note, told.liar)).encode()

    return fault


def joined(lines, note):
    return "\n".join(lines), note


def leaf_changed(lines, note, _):
    leaf = base64.b64decode(lines[1][6:]).replace(b'"permit"', b'"deny"')
    return joined([lines[0], f"extra {base64.b64encode(leaf).decode()}", *lines[2:]], note)


def sibling_changed(lines, note, _):
    changed = bytes([base64.b64decode(lines[3])[0] ^ 1]) + base64.b64decode(lines[3])[1:]
    return joined([*lines[:3], base64.b64encode(changed).decode(), *lines[4:]], note)


def root_changed(lines, note, _):
    text = note.split("\n")
    text[2] = base64.b64encode(hashlib.sha256(b"root").digest()).decode()
    return joined(lines, "\n".join(text))


def signed_by_another(lines, note, _):
    """The right name, another key: its id differs, so nobody known has signed."""
    text, _, line = note.rpartition("\n\n")
    name, key = line.split(" ")[1], Ed25519PrivateKey.generate()
    public = b"\x01" + key.public_key().public_bytes_raw()
    blob = hashlib.sha256(f"{name}\n".encode() + public).digest()[:4] + key.sign(f"{text}\n".encode())
    return joined(lines, f"{text}\n\n— {name} {base64.b64encode(blob).decode()}\n")


def forged_under_its_id(lines, note, _):
    text, _, line = note.rpartition("\n\n")
    name, blob = line.split(" ")[1:]
    blob = base64.b64decode(blob)[:4] + Ed25519PrivateKey.generate().sign(f"{text}\n".encode())
    return joined(lines, f"{text}\n\n— {name} {base64.b64encode(blob).decode()}\n")


# What is served in place of the true proof, and the check that finds it.
PROOFS = [
    ("a page instead of a proof", "entry", lambda told: setattr(told, "body", b"<html>busy</html>")),
    ("the proof of another place", "index", proof(lambda lines, note, _: joined([*lines[:2], "index 0", *lines[3:]], note))),
    ("a leaf that was changed", "leaf", proof(leaf_changed)),
    ("a sibling that was changed", "path", proof(sibling_changed)),
    ("a sibling too few", "path", proof(lambda lines, note, _: joined(lines[:-1], note))),
    ("a sibling too many", "path", proof(lambda lines, note, _: joined([*lines, lines[-1]], note))),
    ("a true checkpoint, too old", "path", proof(lambda lines, _, liar: joined(lines, liar.kept["note"]))),
    ("a root that was changed", "checkpoint", proof(root_changed)),
    ("a checkpoint of another key", "checkpoint", proof(signed_by_another)),
    ("a forged checkpoint signature", "checkpoint", proof(forged_under_its_id)),
    ("a checkpoint that nobody signed", "checkpoint", proof(lambda lines, note, _: joined(lines, note.split("\n\n")[0] + "\n\n"))),
]


def keep_note(told):
    """Remembers a true checkpoint note."""
    if told.status == 200:
        told.liar.kept["note"] = told.body.decode().split("\n\n", 1)[1]


def keep_log(told):
    """Remembers a true answer and its promise."""
    told.liar.kept |= {"log": told.claims["log"], "answer": told.body}
