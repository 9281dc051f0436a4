"""Messages of every kind, each as it was signed, with what must come of it."""

import json
import re
import zlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from .build import Moment, Scene, compact, digest_of, jcs
from .keys import b64url, sha256, unb64url

#: A message that is only long is not stored; its case says how to make it.
MOST_STORED = 40_000


def signature_of(text, keys):
    """What a plain JWS library must find: `good`, `bad`, `unknown-key`, or `odd` where it may refuse for other reasons."""
    parts = text.split(".")
    if len(parts) != 3 or not all(re.fullmatch(r"[A-Za-z0-9_-]+", part) and canonical(part) for part in parts):
        return "odd"
    header = strict_header(unb64url(parts[0]))
    if header is None or len(parts[0]) > 512:
        return "odd"
    named = [name for name in keys.by_name if keys.kid(name) == header["kid"]]
    if not named:
        return "unknown-key"
    key = keys[named[0]]
    if header["alg"] != key.alg:
        return "bad"
    return "good" if verifies(key, ".".join(parts[:2]).encode(), unb64url(parts[2])) else "bad"


def canonical(part):
    return len(part) % 4 != 1 and b64url(unb64url(part)) == part


def strict_header(data):
    def closed(pairs):
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a member twice")
        return dict(pairs)
    try:
        header = json.loads(data, object_pairs_hook=closed)
    except ValueError:
        return None
    whole = isinstance(header, dict) and set(header) == {"alg", "typ", "kid"}
    return header if whole and all(isinstance(word, str) for word in header.values()) else None


def verifies(key, message, signature):
    try:
        if key.alg == "ES256":
            if len(signature) != 64:
                return False
            der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
            key.key.public_key().verify(der, message, ec.ECDSA(hashes.SHA256()))
        elif key.alg == "PS256":
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
            rsa.RSAPublicNumbers(65537, key.n).public_key().verify(signature, message, scheme, hashes.SHA256())
        else:
            key.key.public_key().verify(signature, message)
        return True
    except InvalidSignature:
        return False


def readable_claims(text):
    try:
        claims = json.loads(unb64url(text.split(".")[1]).decode())
        return claims if isinstance(claims, dict) else {}
    except (ValueError, IndexError):
        return {}


def requests(scene, cases):
    at, keys, out = scene.document["at"], scene.keys, []
    for case in cases:
        if case["role"] != "answering" or "send" not in case or case.get("needs"):
            continue
        send = case["send"]
        message = Moment(scene, case["id"], at).message(send["base"], send.get("change"))
        if len(message.text) > MOST_STORED:
            continue
        out.append(request(case["id"], message, at, keys, verdict(case["expect"])))
    for name, document in scene.document["messages"].items():
        if document["typ"] == "tongban-request+jwt" and document["key"] == "asking" and name not in ("handling-event", "reconcile"):
            message = Moment(scene, f"good.{name}", at).message(name, None)
            out.append(request(f"good.{name}", message, at, keys, {"accepted": True}))
    return out


def request(name, message, at, keys, expect):
    row = {"id": name, "from": message.moment.scene.document["members"][message.sender]["region"], "at": at,
           "signature": signature_of(message.text, keys), "expect": expect, "body": message.text}
    claims = readable_claims(message.text)
    if row["signature"] == "good" and isinstance(claims.get("authorization"), str):
        row["authorization_signature"] = signature_of(claims["authorization"], keys)
    return row


def verdict(expect):
    if "code" not in expect:
        return {"accepted": True}
    return {"accepted": False} | {name: expect[name] for name in ("status", "signed", "code", "reason", "errors") if name in expect}


def responses(scene, cases):
    at, keys = scene.document["at"], scene.keys
    asked = {name: Moment(scene, f"asked.{name}", at).message(name, None)
             for name in ("ping", "lookup", "submit", "status", "question", "department-answer")}
    out = []
    for case in cases:
        answer = case.get("answer", {})
        stored = case["role"] == "asking" and answer.get("base") and not case.get("needs") and case["ask"] == "lookup"
        change = answer.get("change") or {}
        if not stored or "answer_of" in change or set(change.get("http", {})) - {"status"}:
            continue
        moment = Moment(scene, case["id"], at, asked["lookup"])
        moment.made["id"] = 0
        message = moment.message(answer["base"], change)
        expect = {name: case["expect"][name] for name in ("believed", "why") if name in case["expect"]}
        out.append(response(case["id"], "lookup", message, at, keys, expect))
    for name, ask in [("answer-pong", "ping"), ("answer", "lookup"), ("answer-not-found", "lookup"), ("answer-refusal", "lookup"),
                      ("receipt", "submit"), ("answer-status", "status"), ("receipt-question", "question"),
                      ("receipt-department-answer", "department-answer")]:
        # About the same case as the question.
        moment = Moment(scene, f"asked.{ask}", at, asked[ask])
        out.append(response(f"good.{name}", ask, moment.message(name, None), at, keys, {"believed": True}))
    other = Moment(scene, "S-7.swapped", at, Moment(scene, "asked.another", at).message("lookup", None))
    out.append(response("swapped", "lookup", other.message("answer", None), at, keys, {"believed": False, "why": "request-jti"}))
    return {"asked": {name: message.text for name, message in asked.items()}, "responses": out}


def response(name, ask, message, at, keys, expect):
    return {"id": name, "asked": ask, "at": at, "http_status": message.http_status,
            "signature": signature_of(message.text, keys), "expect": expect, "body": message.text}


def status_list(scene, authority, uri, at):
    listed = scene.document["authorities"][authority]
    terms = listed["status_lists"][uri]
    bits = bytearray(terms["places"] // 8)
    for place in terms["set"]:
        bits[place // 8] |= 1 << place % 8
    claims = {"sub": uri, "iat": at + terms["iat"], "exp": at + terms["exp"], "ttl": 60,
              "status_list": {"bits": 1, "lst": b64url(stored_zlib(bytes(bits)))}}
    key = listed["keys"][0]
    header = {"alg": scene.keys[key].alg, "typ": "statuslist+jwt", "kid": scene.keys.kid(key)}
    signing_input = ".".join(b64url(compact(part).encode()) for part in (header, claims))
    return signing_input + "." + b64url(scene.keys[key].sign(signing_input.encode()))


def stored_zlib(data):
    """zlib without compression: the same bytes whatever the library's version."""
    assert len(data) < 65_536
    size = len(data).to_bytes(2, "little")
    block = b"\x01" + size + bytes(byte ^ 0xFF for byte in size) + data
    return b"\x78\x01" + block + zlib.adler32(data).to_bytes(4, "big")


def trust(scene):
    """What a gateway is given so that it judges the vectors: cards, authorities, status lists, agreements."""
    keys, document, at = scene.keys, scene.document, scene.document["at"]
    cards = []
    for name, member in document["members"].items():
        card = {"id": scene.urn(name), "region": member["region"], "name": member["name"],
                "endpoint": f"https://{name}.example:8443", "jwks": {"keys": [keys.public(key) for key in member["keys"]]},
                "contact": "0715-0000000", "status": member["status"]}
        if f"{name}-ledger" in keys.by_name:
            from .tree import vkey
            origin = f"tongban/{member['region']}/2030h1"
            card["ledger"] = {"origin": origin, "vkey": vkey(origin, 1, keys[f"{name}-ledger"].raw)}
        cards.append(card)
    authorities, lists = [], []
    for name, authority in document["authorities"].items():
        files = {uri: f"lists/{uri.rsplit('/', 1)[1]}.jwt" for uri in authority["status_lists"]}
        authorities.append({"id": name, "name": authority["name"], "jwks": {"keys": [keys.public(key) for key in authority["keys"]]},
                            "status_lists": [{"uri": uri, "file": file} for uri, file in files.items()], "status": "active"})
        lists += [{"uri": uri, "file": file, "jwt": status_list(scene, name, uri, at)} for uri, file in files.items()]
    agreements = [{"agreement": agreement, "jcs_sha256": digest_of(agreement)} for agreement in document["agreements"]]
    return {"about": "The trust files of the answering gateway, region 421202, in the scene of the vectors.", "me": "421202", "at": at,
            "cards": cards, "authorities": authorities, "status_lists": lists, "agreements": agreements,
            "calendars": document["calendars"]}


def canonical_forms():
    """JCS (RFC 8785) and its digests."""
    values = [
        None, True, False, 0, -1, 9_007_199_254_740_992, "", "测试·甲", "\u0001\b\t\n\f\r\"\\/\u007f", "\u20ac$\u000f\nA'B\"\\\\\"/",
        [], {}, [1, [2, [3]]], {"b": 1, "a": 2, "A": 3, "10": 4, "2": 5},
        {"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
         "\U0001f600": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"},
        {"seq": 1, "prev": "A" * 43, "event": "withdraw", "at": 1_900_000_000, "by": {"org": "11331083TECT000279", "officer": "YH0123"}, "data": {}},
    ]
    return {"about": "Each value as JSON text, its canonical bytes (RFC 8785) as text, and b64url SHA-256 of them.",
            "values": [{"json": json.dumps(value), "jcs": jcs(value), "digest": b64url(sha256(jcs(value).encode()))} for value in values]}


__all__ = ["Scene", "canonical_forms", "requests", "responses", "trust"]
