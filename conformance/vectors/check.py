#!/usr/bin/env python3
"""Checks the vectors with PyPI joserfc and cryptography, sharing no line with the gateway or with generate.py.

Every signature verdict, digest, proof, note, tile and token is found again here; what differs is printed and counted.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import re
import sys
import unicodedata

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe, jws
from joserfc.errors import JoseError
from joserfc.jwk import import_key

HERE = pathlib.Path(__file__).resolve().parent
sha256 = lambda data: hashlib.sha256(data).digest()
b64url = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
unb64url = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
faults, checks = [], 0


def same(what, found, expected):
    global checks
    checks += 1
    if found != expected:
        faults.append(f"{what}: found {found!r}, the vector says {expected!r}")


def read(name):
    return json.loads((HERE / name).read_text("utf-8"))


# Signatures.

KEYS = {key["public"]["kid"]: key["public"] for key in read("keys.json")["keys"]}
ALGORITHMS = ["ES256", "PS256", "EdDSA", "Ed25519"]


def verdict(text):
    parts = text.split(".")
    try:
        if len(parts) != 3 or any(not part or b64url(unb64url(part)) != part for part in parts):
            return "odd"
        pairs = json.loads(unb64url(parts[0]), object_pairs_hook=list)
    except ValueError:
        return "odd"
    shape = isinstance(pairs, list) and len(parts[0]) <= 512 and sorted(name for name, _ in pairs) == ["alg", "kid", "typ"]
    if not shape or not all(isinstance(value, str) for _, value in pairs):
        return "odd"
    header = dict(pairs)
    public = KEYS.get(header["kid"])
    if public is None:
        return "unknown-key"
    if public["alg"] != header["alg"]:
        return "bad"
    try:
        jws.deserialize_compact(text, import_key(public), algorithms=ALGORITHMS)
        return "good"
    except (JoseError, ValueError):
        return "bad"


def signatures():
    for row in read("requests.json")["requests"]:
        same(row["id"], verdict(row["body"]), row["signature"])
        if "authorization_signature" in row:
            token = json.loads(unb64url(row["body"].split(".")[1]))["authorization"]
            same(row["id"] + " authorization", verdict(token), row["authorization_signature"])
    responses = read("responses.json")
    for row in responses["responses"]:
        same(row["id"], verdict(row["body"]), row["signature"])
        if row["expect"]["believed"]:
            claims = json.loads(unb64url(row["body"].split(".")[1]))
            asked = responses["asked"][row["asked"]]
            same(row["id"] + " digest", claims["req"]["digest"], b64url(sha256(asked.encode())))
            same(row["id"] + " jti", claims["req"]["jti"], json.loads(unb64url(asked.split(".")[1]))["jti"])
            same(row["id"] + " status", claims["status"], row["http_status"])
    for row in read("trust.json")["status_lists"]:
        same(row["uri"], verdict(row["jwt"]), "good")


def thumbprints():
    for key in read("keys.json")["keys"]:
        same(key["name"], import_key(key["public"]).thumbprint(), key["public"]["kid"])


# JSON in its canonical form, and identifiers.


def jcs(value):
    if isinstance(value, list):
        return "[" + ",".join(map(jcs, value)) + "]"
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: [*name.encode("utf-16-be")])
        return "{" + ",".join(json.dumps(name, ensure_ascii=False) + ":" + jcs(value[name]) for name in names) + "}"
    return json.dumps(value, ensure_ascii=False)


def canonical():
    for row in read("jcs.json")["values"]:
        text = jcs(json.loads(row["json"]))
        same("jcs", text, row["jcs"])
        same("jcs digest", b64url(sha256(text.encode())), row["digest"])
    for row in read("trust.json")["agreements"]:
        same("agreement", b64url(sha256(jcs(row["agreement"]).encode())), row["jcs_sha256"])
    identifiers = read("identifiers.json")
    for row in identifiers["holder_digests"]:
        text = f"{row['jti']}\0{row['type']}\0{row['number']}"
        same("holder", b64url(sha256(text.encode())), row["digest"])


# The ledger, with the verifying algorithms of RFC 9162.


def node(left, right):
    return sha256(b"\x01" + left + right)


def included(row):
    size, index = row["size"], row["index"]
    if index >= size:
        return False
    fn, sn, r = index, size - 1, bytes.fromhex(row["leaf"])
    for p in map(bytes.fromhex, row["proof"]):
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r.hex() == row["root"]


def consistent(row):
    old, new, proof = row["old"], row["new"], [bytes.fromhex(p) for p in row["proof"]]
    if old > new:
        return False
    if old == new:
        return not proof and row["old_root"] == row["new_root"]
    if old == 0:
        return not proof and row["old_root"] == sha256(b"").hex()
    path = ([bytes.fromhex(row["old_root"])] if old & (old - 1) == 0 else []) + proof
    if not path:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr.hex() == row["old_root"] and sr.hex() == row["new_root"]


class Stack:
    """Roots of a growing tree from a stack of perfect subtrees."""

    def __init__(self):
        self.size, self.stack = 0, []

    def push(self, leaf):
        self.stack.append(leaf)
        self.size += 1
        size = self.size
        while size % 2 == 0:
            right, left = self.stack.pop(), self.stack.pop()
            self.stack.append(node(left, right))
            size //= 2

    def root(self):
        if not self.stack:
            return sha256(b"")
        root = self.stack[-1]
        for left in reversed(self.stack[:-1]):
            root = node(left, root)
        return root


def open_note(text, vkeys):
    """The text of a note that a known key signed, or None; `vkeys` are of type 1 and 4."""
    body, found, signatures = text.rpartition("\n\n")
    if not found or not signatures.endswith("\n"):
        return None
    body += "\n"
    good = set()
    for line in signatures[:-1].split("\n"):
        match = re.fullmatch("\u2014 ([^ +]+) ([A-Za-z0-9+/]+=*)", line)
        if not match:
            return None
        blob = base64.b64decode(match[2])
        for vkey in vkeys:
            name, key_id, key = vkey.split("+", 2)
            key = base64.b64decode(key)
            same("key id", sha256(name.encode() + b"\n" + key)[:4].hex(), key_id)
            if name != match[1] or blob[:4].hex() != key_id:
                continue
            message, signature = body, blob[4:]
            if key[0] == 4:
                message, signature = f"cosignature/v1\ntime {int.from_bytes(blob[4:12], 'big')}\n{body}", blob[12:]
            try:
                Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature, message.encode())
                good.add(key[0])
            except InvalidSignature:
                return None
    return body if 1 in good else None


def open_checkpoint(text, vkeys):
    body = open_note(text, vkeys)
    lines = body.split("\n") if body else []
    if len(lines) != 4 or lines[3] or not re.fullmatch("0|[1-9][0-9]*", lines[1]) or lines[0] != vkeys[0].split("+")[0]:
        return None
    return lines[0], int(lines[1]), base64.b64decode(lines[2])


def ledger():
    doc = read("ledger.json")
    same("empty", sha256(b"").hex(), doc["hashes"]["empty"])
    for row in doc["hashes"]["leaves"]:
        same("leaf", sha256(b"\0" + row["entry"].encode()).hex(), row["hash"])
    pair = doc["hashes"]["node"]
    same("node", node(bytes.fromhex(pair["left"]), bytes.fromhex(pair["right"])).hex(), pair["hash"])
    stack, roots = Stack(), {row["size"]: row["root"] for row in doc["roots"]}
    for number in range(max(roots) + 1):
        if number in roots:
            same(f"root of {number}", stack.root().hex(), roots[number])
        stack.push(sha256(b"\0" + str(number).encode()))
    for row in doc["inclusion"]:
        same(f"inclusion {row.get('why', row['index'])}", included(row), row["holds"])
    for row in doc["consistency"]:
        same(f"consistency {row.get('why', row['old'])}", consistent(row), row["holds"])
    published = doc["published"]
    opened = open_checkpoint(published["note"], [published["log_vkey"], published["witness_vkey"]])
    same("published", opened and opened[1], 3)
    for row in doc["notes"]["notes"]:
        opened = open_checkpoint(row["note"], [doc["notes"]["vkey"], doc["notes"]["witness_vkey"]])
        same(row["what"], opened is not None, row["holds"])
    origin, size, root = open_checkpoint(doc["leaves"]["checkpoint"], [doc["leaves"]["vkey"]])
    for index, row in enumerate(doc["leaves"]["entries"]):
        same("leaf", sha256(b"\0" + row["entry"].encode()).hex(), row["hash"])
        same("canonical leaf", jcs(json.loads(row["entry"])), row["entry"])
        head, _, note = row["tlog_proof"].partition("\n\n")
        first, extra, place, *path = head.split("\n")
        same("proof head", (first, base64.b64decode(extra[6:]).decode(), place), ("c2sp.org/tlog-proof@v1", row["entry"], f"index {index}"))
        same("proof note", note, doc["leaves"]["checkpoint"])
        proof = {"size": size, "index": index, "leaf": row["hash"], "root": root.hex(), "proof": [base64.b64decode(p).hex() for p in path]}
        same("proof", included(proof), True)
    tiles(doc["tiles"])
    witness(doc["witness"])
    reconciliation(doc["reconciliation"])


def reconciliation(doc):
    items = []
    for row in doc["exchanges"]:
        told = sha256(row["told"].encode()) if "told" in row else bytes(32)
        items.append(sha256(row["jti"].encode())[:16] + sha256(row["request"].encode()) + told + bytes([row["outcome"]]))
        same("item", b64url(items[-1]), row["item"])
    same("order", [b64url(item) for item in sorted(items)], doc["ordered"])
    stack = Stack()
    for item in sorted(item for item in items if item[80]):
        stack.push(sha256(b"\0" + item))
    same("window", (stack.size, b64url(stack.root())), (doc["count"], doc["root"]))
    for vkey in doc["vkeys"]:
        same("note", open_note(doc["note"], [vkey]), doc["text"])
    lines = ["exchange-recon/v1", "331083 421202", f"{doc['window']['from']} {doc['window']['to']}", str(doc["count"]),
             base64.b64encode(unb64url(doc["root"])).decode(), ""]
    same("text", "\n".join(lines), doc["text"])
    same("b64url", b64url(doc["note"].encode()), doc["note_b64url"])


def tile_bytes(size, path):
    """A tile from its name alone: hashes of `256^level` entries each."""
    match = re.fullmatch(r"tile/([0-9]+)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]+))?", path)
    level, index, width = int(match[1]), int(match[2].replace("x", "").replace("/", "")), int(match[3] or 256)
    span, out = 256 ** level, b""
    for n in range(index * 256, index * 256 + width):
        stack = Stack()
        for number in range(n * span, (n + 1) * span):
            stack.push(sha256(b"\0" + str(number).encode()))
        assert (n + 1) * span <= size
        out += stack.root()
    return out


def tiles(doc):
    for row in doc["of_5"]:
        same(row["path"], tile_bytes(5, row["path"]).hex(), row["bytes"])
    for size, rows in [*doc["of"].items(), ("70000", doc["of_70000"]["last"])]:
        for row in rows:
            data = tile_bytes(int(size), row["path"])
            same(f"{size} {row['path']}", (len(data), sha256(data).hex()), (row["length"], row["sha256"]))


def witness(doc):
    """A witness of one log, as the text says it."""
    size, root, vkey = 0, sha256(b""), doc["vkey"]
    for row in doc["requests"]:
        status, answer = 200, None
        head, _, note = row["body"].partition("\n\n")
        first, *lines = head.split("\n")
        match = re.fullmatch("old (0|[1-9][0-9]*)", first)
        text = note.rpartition("\n\n")[0].split("\n")
        if not match or len(lines) > 63:
            status = 400
        elif text[0] != doc["origin"]:
            status = 404
        elif (opened := open_checkpoint(note, [vkey])) is None:
            status = 403
        else:
            old, (_, new, new_root) = int(match[1]), opened
            proof = {"old": old, "new": new, "old_root": root.hex(), "new_root": new_root.hex(),
                     "proof": [base64.b64decode(line).hex() for line in lines]}
            if old > new:
                status = 400
            elif old != size:
                status, answer = 409, f"{size}\n"
            elif not consistent(proof):
                status = 422
            else:
                size, root = new, new_root
        same("witness: " + row["what"], (status, answer), (row["status"], row.get("answer")))


# Evidence and search.


def evidence():
    doc = read("evidence.json")

    def opened(row):
        key = HKDF(hashes.SHA256(), 32, b"", b"tongban/evidence/v1").derive(bytes.fromhex(row["epoch_key"]) + bytes.fromhex(row["r"]))
        try:
            return AESGCM(key).decrypt(bytes(12), base64.b64decode(row["sealed"]), row["associated_data"].encode()).decode()
        except InvalidTag:
            return None

    same("evidence", opened(doc), doc["plaintext"])
    for row in doc["refused"]:
        same(row["why"], opened({**doc, **row}), None)
    same("ev", b64url(sha256(base64.b64decode(doc["sealed"]))), doc["ev"])
    same("rh", b64url(sha256(bytes.fromhex(doc["r"]))[:16]), doc["rh"])
    leaf = json.loads(doc["leaf"])
    commitment = lambda row: b64url(sha256(row["wrapped_text"].encode())[:16])
    same("ek", [commitment(doc), json.loads(doc["wrapped_text"])], [leaf["ek"], doc["wrapped_epoch"]])
    for row in doc["not_committed"]:
        same(row["why"], commitment(row) == leaf["ek"], False)
    same("leaf hash", sha256(b"\0" + doc["leaf"].encode()).hex(), doc["leaf_hash"])
    same("bound", jcs({name: value for name, value in leaf.items() if name != "ev"}), doc["associated_data"])
    same("rd", b64url(sha256(json.loads(doc["plaintext"])["result"].encode())), leaf["rd"])
    auditor = next(key for key in read("keys.json")["keys"] if key["name"] == "auditor")
    key = import_key({**auditor["public"], **auditor["private"]})
    unwrapped = jwe.decrypt_json(doc["wrapped_epoch"], key, algorithms=["ECDH-ES+A256KW", "A256GCM"])
    same("epoch", json.loads(unwrapped.plaintext), {"epoch": doc["epoch"], "key": b64url(bytes.fromhex(doc["epoch_key"]))})
    mac = lambda key, message: hmac.new(key, message, hashlib.sha256).digest()
    for row in doc["tokens"]:
        same("normalised", normalised(row), row["normalised"])
        token = mac(bytes.fromhex(doc["shard_key"]), f"{row['field']}\0{row['normalised']}".encode())
        same("token", token.hex(), row["token"])
        same("tag", b64url(mac(bytes.fromhex(doc["r"]), token)[:16]), row["tag"])
        for day, expected in row["days"].items():
            same("day", mac(token, b"day" + day.encode())[:16].hex(), expected)


def normalised(row):
    text = unicodedata.normalize("NFKC", row["value"]).upper().translate({32: None, 45: None})
    if row["field"] != "citizen" or not re.fullmatch("[0-9]{15}", text):
        return text
    text, rest = f"{text[:6]}19{text[6:]}", 0
    for digit in text:
        rest = (rest + int(digit)) * 2 % 11
    return text + "0123456789X"[(12 - rest) % 11]


for part in (thumbprints, signatures, canonical, ledger, evidence):
    part()
print("\n".join(faults))
print(f"joserfc and cryptography: {checks:,} checks, {len(faults)} differ")
sys.exit(1 if faults else 0)
