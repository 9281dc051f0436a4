#!/usr/bin/env python3
"""tongban_verify: checks Tongban exchange logs without any of Tongban's code.

    python3 tongban_verify.py pkg.tar            a package from `tongban audit export`
    python3 tongban_verify.py unpacked/          the same, unpacked
    python3 tongban_verify.py data/              a gateway's data directory, or a copy of it
    python3 tongban_verify.py one.tlog-proof     one leaf with its proof

Needs Python 3.9 and the package `cryptography`; nothing else, and no network. Exit: 0 sound,
1 could not be read, 2 a violation was found. With --json one JSON document.

What it trusts: --vkey (the log's key as on the region's card) or --policy (c2sp.org/tlog-policy,
also with witnesses and a quorum). Without either the log's own word is taken and said so: that
shows edits, but not a log made anew as a whole. --checkpoint FILE holds the log against a
checkpoint that somebody else kept: only that shows a whole copy put back to yesterday.

Formats: RFC 6962 (tree), c2sp.org signed-note, tlog-checkpoint, tlog-tiles, tlog-cosignature,
tlog-proof, tlog-policy; RFC 7515/7516 (JOSE), RFC 8785 (canonical JSON), POSIX ustar.

核验通办交换账本：不使用通办的任何代码。退出码 0 完好，1 无法读取，2 发现违规。
"""
import argparse
import base64
import datetime
import hashlib
import hmac
import json
import os
import re
import sqlite3
import sys
import urllib.parse

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap


class Unreadable(Exception):
    """What was named cannot be read at all: exit 1."""


class Bad(Exception):
    """Bytes that are not what their format says."""


class Report:
    """Findings (violations), notices (worth knowing) and what was seen."""

    def __init__(self):
        self.findings, self.notices, self.logs, self.leaves, self.opened = [], [], [], [], []
        self.counts = {"present": 0, "erased": 0, "dropped": 0, "missing": 0, "held": 0}
        self.trust = "given"

    def found(self, kind, file, index=None, message=""):
        self.findings.append({"kind": kind, "file": file, "index": index, "message": message})

    def notice(self, kind, file, message=""):
        self.notices.append({"kind": kind, "file": file, "message": message})


# ---------------------------------------------------------------- bytes and text


def sha256(data):
    return hashlib.sha256(data).digest()


def b64(text):
    """Standard base64 with padding, one spelling only."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, TypeError) as e:
        raise Bad("not base64") from e
    if base64.b64encode(data).decode() != text:
        raise Bad("not canonical base64")
    return data


def b64url(text):
    """base64url without padding, one spelling only."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, TypeError) as e:
        raise Bad("not base64url") from e
    if to_b64url(data) != text:
        raise Bad("not canonical base64url")
    return data


def to_b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def no_duplicates(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Bad("a member stands twice")
    return members


def read_json(data):
    try:
        return json.loads(data.decode("utf-8") if isinstance(data, bytes) else data, object_pairs_hook=no_duplicates)
    except (ValueError, RecursionError) as e:
        raise Bad("not JSON") from e


def jcs(value):
    """RFC 8785 for what stands here: strings, integers, lists, objects with ASCII names."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8")


def canonical(data):
    """The JSON value of `data` if it is spelt canonically."""
    value = read_json(data)
    try:
        same = jcs(value) == data
    except (ValueError, TypeError) as e:
        raise Bad("not canonical JSON") from e
    if not same:
        raise Bad("not canonical JSON")
    return value


def decimal(text):
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", text):
        raise Bad("not a decimal number")
    return int(text)


# ---------------------------------------------------------------- Merkle tree (RFC 6962, RFC 9162)


def leaf_hash(entry):
    return sha256(b"\x00" + entry)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


def split(n):
    """The largest power of two smaller than n."""
    return 1 << ((n - 1).bit_length() - 1)


def root_of(items):
    if not items:
        return sha256(b"")
    if len(items) == 1:
        return items[0]
    k = split(len(items))
    return node_hash(root_of(items[:k]), root_of(items[k:]))


def verify_inclusion(path, index, size, leaf, root):
    """RFC 9162 §2.1.3.2."""
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def siblings(index, size):
    """The ranges whose hashes an inclusion path of `index` holds, leaf side first."""
    start, end, found = 0, size, []
    while end - start > 1:
        middle = start + split(end - start)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def run_root(first, last, leaf_hashes, first_path, last_path, size):
    """The root of the tree in which `leaf_hashes` stand at first..last: everything left of them
    is in the first leaf's path, everything right of them in the last one's. So two proofs prove
    that a run of any length is complete."""
    known = {r: h for r, h in zip(siblings(first, size), first_path) if r[1] <= first}
    known.update({r: h for r, h in zip(siblings(last, size), last_path) if r[0] > last})
    at = iter(leaf_hashes)

    def walk(start, end):
        if end <= first or start > last:
            return known[(start, end)]
        if end - start == 1:
            return next(at)
        middle = start + split(end - start)
        return node_hash(walk(start, middle), walk(middle, end))

    return walk(0, size)


# ---------------------------------------------------------------- signed notes, checkpoints, policies


class Vkey:
    """`<name>+<key id>+<base64(type ‖ public key)>` (c2sp.org/signed-note)."""

    def __init__(self, name, kind, public):
        self.name, self.kind, self.public = name, kind, public
        self.id = sha256(name.encode() + b"\n" + bytes([kind]) + public)[:4]

    @staticmethod
    def parse(text):
        parts = text.split("+", 2)
        if len(parts) != 3 or not is_key_name(parts[0]):
            raise Bad("not a verifier key")
        key = b64(parts[2])
        if len(key) != 33 or key[0] not in (1, 4):
            raise Bad("not an Ed25519 verifier key")
        vkey = Vkey(parts[0], key[0], key[1:])
        if vkey.id.hex() != parts[1]:
            raise Bad("the key id is not the key's")
        return vkey

    def under(self, name):
        return Vkey(name, self.kind, self.public)

    def __str__(self):
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    def holds(self, signature, message):
        try:
            ed25519.Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
            return True
        except (InvalidSignature, ValueError):
            return False


def is_key_name(name):
    return bool(name) and len(name.encode()) <= 255 and not re.search(r"[\s+\x00-\x1f\x7f-\x9f]", name)


class Note:
    def __init__(self, data):
        if len(data) > 1 << 20:
            raise Bad("larger than a note may be")
        try:
            whole = data.decode("utf-8")
        except UnicodeDecodeError as e:
            raise Bad("not a signed note") from e
        if re.search(r"[\x00-\x09\x0b-\x1f]", whole) or "\n\n" not in whole:
            raise Bad("not a signed note")
        at = whole.rindex("\n\n") + 1
        self.text, lines = whole[:at], whole[at + 1:]
        if not lines.endswith("\n"):
            raise Bad("not a signed note")
        self.signatures = []
        for line in lines[:-1].split("\n"):
            match = re.fullmatch("\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)", line)
            if not match or not is_key_name(match[1]):
                raise Bad("not a signature line")
            blob = b64(match[2])
            if len(blob) < 5:
                raise Bad("not a signature line")
            self.signatures.append((match[1], blob[:4], blob[4:]))
        if len(self.signatures) > 100:
            raise Bad("too many signatures")

    def signed_by(self, vkey):
        """True or False; a known key whose signature fails rejects the note."""
        signed = False
        for name, key_id, blob in self.signatures:
            if (name, key_id) != (vkey.name, vkey.id):
                continue
            if vkey.kind == 1:
                holds = vkey.holds(blob, self.text.encode())
            else:
                when = int.from_bytes(blob[:8], "big")
                message = f"cosignature/v1\ntime {when}\n{self.text}".encode()
                holds = len(blob) == 72 and vkey.holds(blob[8:], message)
            if not holds:
                raise Bad(f"the signature of {name} does not hold")
            signed = True
        return signed


class Checkpoint:
    def __init__(self, data):
        self.data, self.note = data, Note(data)
        lines = self.note.text[:-1].split("\n")
        if len(lines) != 3 or not lines[0]:
            raise Bad("not a checkpoint")
        self.origin, self.size, self.root = lines[0], decimal(lines[1]), b64(lines[2])
        if len(self.root) != 32:
            raise Bad("not a checkpoint")


class Policy:
    """What the caller trusts: logs, and witnesses of whom a quorum must have cosigned."""

    def __init__(self):
        self.logs, self.witnesses, self.groups, self.quorum, self.own_word = [], {}, {}, None, False

    @staticmethod
    def parse(text):
        policy, ended = Policy(), False
        for line in text.split("\n"):
            words = line.split("#", 1)[0].split()
            if not words:
                continue
            head = words[0]
            if head == "log" and len(words) in (2, 3):
                policy.logs.append(Vkey.parse(words[1]))
            elif head == "witness" and len(words) in (3, 4):
                policy.name(words[1])
                policy.witnesses[words[1]] = Vkey.parse(words[2])
            elif head == "group" and len(words) >= 4:
                policy.name(words[1])
                members = words[3:]
                if any(m not in policy.witnesses and m not in policy.groups for m in members):
                    raise Bad("a group names what is not defined")
                least = {"all": len(members), "any": 1}.get(words[2]) or decimal(words[2])
                policy.groups[words[1]] = (least, members)
            elif head == "quorum" and len(words) == 2 and not ended:
                ended = True
                if words[1] != "none":
                    if words[1] not in policy.witnesses and words[1] not in policy.groups:
                        raise Bad("the quorum names what is not defined")
                    policy.quorum = words[1]
            else:
                raise Bad("not a line of a policy")
        if not policy.logs or not ended:
            raise Bad("a policy names a log and a quorum")
        return policy

    def name(self, name):
        if name in self.witnesses or name in self.groups or name == "none":
            raise Bad("a name is defined twice")

    def key_for(self, origin):
        """The key of a log: its own line, or the same key under the name of another half-year."""
        exact = next((k for k in self.logs if k.name == origin), None)
        if exact or not self.logs:
            return exact
        region = origin.rsplit("/", 1)[0]
        near = next((k for k in self.logs if k.name.rsplit("/", 1)[0] == region), None)
        return near.under(origin) if near else None

    def open(self, data):
        """A checkpoint that the log's key signed, and a quorum of witnesses."""
        checkpoint = Checkpoint(data)
        key = self.key_for(checkpoint.origin)
        if key is None or not checkpoint.note.signed_by(key):
            raise Bad("not signed by the log's key")
        agreed = {name for name, k in self.witnesses.items() if checkpoint.note.signed_by(k)}

        def reached(name):
            if name in self.witnesses:
                return name in agreed
            least, members = self.groups[name]
            return sum(reached(m) for m in members) >= least

        if self.quorum and not reached(self.quorum):
            raise Bad("not cosigned by the policy's quorum")
        return checkpoint


class ProofFile:
    """c2sp.org/tlog-proof@v1, with the leaf in `extra`."""

    def __init__(self, data):
        head, gap, self.note = data.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError as e:
            raise Bad("not a proof file") from e
        if not gap or lines.pop(0) != "c2sp.org/tlog-proof@v1" or not lines:
            raise Bad("not a proof file")
        if not lines[0].startswith("extra "):
            raise Bad("the proof carries no leaf")
        self.leaf = b64(lines.pop(0)[6:])
        if not lines or not lines[0].startswith("index "):
            raise Bad("not a proof file")
        self.index = decimal(lines.pop(0)[6:])
        self.path = [b64(line) for line in lines]
        if len(self.path) > 63 or any(len(h) != 32 for h in self.path):
            raise Bad("not a proof file")

    def proven(self, policy):
        """The checkpoint under which the leaf stands."""
        checkpoint = policy.open(self.note)
        if not verify_inclusion(self.path, self.index, checkpoint.size, leaf_hash(self.leaf), checkpoint.root):
            raise Bad("the proof does not lead from the leaf to the checkpoint's root")
        return checkpoint


# ---------------------------------------------------------------- leaves, orders, evidence

LARGEST_LEAF = 65_535
ORDER_OPS = {None: "erased", "hold": "held", "release": "released", "drop": "dropped"}


def read_leaf(data, origin):
    """A leaf of this log: canonical JSON, and of the region that the origin names."""
    leaf = canonical(data)
    if not isinstance(leaf, dict) or len(data) > LARGEST_LEAF:
        raise Bad("not a leaf")
    if not isinstance(leaf.get("t"), str) or type(leaf.get("ts")) is not int or leaf.get("v") != 1:
        raise Bad("not a leaf")
    if leaf.get("me") != origin.split("/")[1]:
        raise Bad("a leaf of another region")
    return leaf


class Order:
    """An `erase` leaf: it speaks of its own log unless `past` names another."""

    def __init__(self, leaf, origin, index):
        self.what = ORDER_OPS.get(leaf.get("op")) if leaf.get("t") == "erase" else None
        self.of, self.at = set(leaf.get("of", [])), leaf.get("ts", 0)
        self.origin, self.index, self.target = origin, index, leaf.get("past", origin)
        self.vault = leaf.get("code")
        self.name = f"{origin.rsplit('/', 1)[-1]}/{index}"

    def covers(self, what, origin, index):
        return self.what == what and self.target == origin and index in self.of


FLOOR_MONTHS = {"provision": 36, "other": 6}
SHANGHAI = datetime.timezone(datetime.timedelta(hours=8))


def class_of(leaf):
    exchange = leaf.get("t") in ("in", "out.sent", "out.done", "out.failed")
    return "provision" if exchange and leaf.get("op") not in (None, "ping", "ledger.reconcile") else "other"


def month_of(ts):
    return datetime.datetime.fromtimestamp(ts / 1000, SHANGHAI).strftime("%Y-%m")


def day_of(ts):
    return datetime.datetime.fromtimestamp(ts / 1000, SHANGHAI).strftime("%Y%m%d")


def floor_end(month, klass):
    """The first millisecond at which a vault of that month may be dropped."""
    year, number = map(int, month.split("-"))
    months = year * 12 + number + FLOOR_MONTHS[klass]
    return int(datetime.datetime(months // 12, months % 12 + 1, 1, tzinfo=SHANGHAI).timestamp() * 1000)


def fits(leaf, sealed, r):
    """The names of what does not fit the leaf."""
    wrong = []
    if leaf.get("ev") != to_b64url(sha256(sealed)):
        wrong.append("evidence-changed")
    if leaf.get("rh") != to_b64url(sha256(r)[:16]):
        wrong.append("secret-changed")
    return wrong


def commits_to(leaf, wrapped):
    """Whether the epoch's wrapped key is the one that the leaf's `ek` commits to; older leaves have none."""
    wrapped = wrapped if isinstance(wrapped, bytes) else wrapped.encode()
    return leaf.get("ek") in (None, to_b64url(sha256(wrapped)[:16]))


def unnamed(leaf, names_epochs):
    """Once a log's leaves with evidence commit to their epoch's key, each one must."""
    return names_epochs and "ev" in leaf and "ek" not in leaf


class Auditor:
    """Opens evidence with an auditor's private key, and holds it against its leaf."""

    def __init__(self, jwk, partner_keys):
        self.partners = partner_keys
        try:
            if (jwk["kty"], jwk["crv"]) != ("EC", "P-256"):
                raise Bad("another kind of key")
            self.key = ec.derive_private_key(int.from_bytes(b64url(jwk["d"]), "big"), ec.SECP256R1())
        except (KeyError, ValueError, TypeError, Bad) as e:
            raise Unreadable("the auditor's key is not a private P-256 JWK") from e
        public = self.key.public_key().public_numbers()
        x, y = (to_b64url(n.to_bytes(32, "big")) for n in (public.x, public.y))
        self.kid = to_b64url(sha256(jcs({"crv": "P-256", "kty": "EC", "x": x, "y": y})))
        self.epochs = {}

    def epoch_key(self, wrapped, epoch):
        """RFC 7516 general JSON, ECDH-ES+A256KW, A256GCM."""
        if wrapped in self.epochs:
            return self.epochs[wrapped]
        jwe = read_json(wrapped)
        try:
            shared = {**read_json(b64url(jwe["protected"])), **jwe.get("unprotected", {})}
            for recipient in jwe["recipients"]:
                header = {**shared, **recipient.get("header", {})}
                if header.get("kid") == self.kid:
                    break
            else:
                raise Bad("sealed to other auditors")
            if (header["alg"], header["enc"]) != ("ECDH-ES+A256KW", "A256GCM"):
                raise Bad("another algorithm")
            epk = header["epk"]
            x, y = (int.from_bytes(b64url(epk[n]), "big") for n in "xy")
            shared_point = self.key.exchange(
                ec.ECDH(), ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key())
            info = b"".join(len(p).to_bytes(4, "big") + p for p in (
                header["alg"].encode(), b64url(header.get("apu", "")), b64url(header.get("apv", ""))))
            info += (256).to_bytes(4, "big")
            kek = ConcatKDFHash(hashes.SHA256(), 32, info).derive(shared_point)
            cek = aes_key_unwrap(kek, b64url(recipient["encrypted_key"]))
            bound = jwe["protected"] + ("." + jwe["aad"] if "aad" in jwe else "")
            text = AESGCM(cek).decrypt(
                b64url(jwe["iv"]), b64url(jwe["ciphertext"]) + b64url(jwe["tag"]), bound.encode())
            payload = read_json(text)
            if payload["epoch"] != epoch:
                raise Bad("the wrapped key is another epoch's")
            self.epochs[wrapped] = b64url(payload["key"])
        except (KeyError, TypeError, AttributeError, ValueError, InvalidTag, InvalidUnwrap) as e:
            raise Bad("the epoch's key does not unwrap") from e
        return self.epochs[wrapped]

    def open(self, leaf, wrapped, epoch, r, sealed):
        """The evidence, with what does not fit the leaf."""
        material = self.epoch_key(wrapped, epoch) + r
        key = HKDF(hashes.SHA256(), 32, salt=None, info=b"tongban/evidence/v1").derive(material)
        bound = jcs({name: value for name, value in leaf.items() if name != "ev"})
        try:
            evidence = read_json(AESGCM(key).decrypt(bytes(12), sealed, bound))
        except InvalidTag as e:
            raise Bad("the evidence does not open") from e
        wrong = []
        for member, said in (("request", "rq"), ("response", "rs"), ("result", "rd"), ("register", "rd")):
            if member in evidence and leaf.get(said) != to_b64url(sha256(evidence[member].encode())):
                wrong.append(f"{member} is not what {said} says")
        if "request" not in evidence and leaf.get("t") == "in":
            wrong.append("the request is not there")
        for member in ("request", "response"):
            if member in evidence and self.partners:
                verdict = jws_verdict(evidence[member], self.partners)
                if verdict:
                    wrong.append(f"{member}: {verdict}")
        return evidence, wrong


def jws_verdict(compact, keys):
    """'' when a known key signed it; what is wrong otherwise; unknown keys are said."""
    try:
        head, payload, signature = compact.split(".")
        header, blob = read_json(b64url(head)), b64url(signature)
    except (ValueError, Bad):
        return "is not a compact JWS"
    kid, alg, message = header.get("kid"), header.get("alg"), f"{head}.{payload}".encode()
    candidates = [jwk for jwk in keys if kid in (jwk.get("kid"), None)]
    if not candidates:
        return "is signed by a key that was not given"
    return "" if any(jws_holds(jwk, alg, message, blob) for jwk in candidates) else "has a signature that does not hold"


def jws_holds(jwk, alg, message, blob):
    def number(name):
        return int.from_bytes(b64url(jwk[name]), "big")

    try:
        if jwk.get("alg") not in (None, alg):
            return False
        if alg == "ES256" and jwk["crv"] == "P-256" and len(blob) == 64:
            key = ec.EllipticCurvePublicNumbers(number("x"), number("y"), ec.SECP256R1()).public_key()
            der = utils.encode_dss_signature(int.from_bytes(blob[:32], "big"), int.from_bytes(blob[32:], "big"))
            key.verify(der, message, ec.ECDSA(hashes.SHA256()))
        elif alg in ("EdDSA", "Ed25519") and jwk["crv"] == "Ed25519":
            ed25519.Ed25519PublicKey.from_public_bytes(b64url(jwk["x"])).verify(blob, message)
        elif alg == "PS256" and jwk["kty"] == "RSA":
            key = rsa.RSAPublicNumbers(number("e"), number("n")).public_key()
            key.verify(blob, message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        else:
            return False
        return True
    except (InvalidSignature, KeyError, ValueError, TypeError, Bad):
        return False


class Warrant:
    """{shard, field, t, from, to}: enough to find one subject's tags in one half-year."""

    def __init__(self, value):
        try:
            self.subject = b64url(value["t"])
            self.field, self.shard = value["field"], value["shard"]
        except (KeyError, TypeError, Bad) as e:
            raise Unreadable("not a warrant") from e
        if len(self.subject) != 32:
            raise Unreadable("not a warrant")

    def matches(self, leaf, r):
        tag = to_b64url(hmac.new(r, self.subject, hashlib.sha256).digest()[:16])
        return tag in leaf.get("tags", [])


# ---------------------------------------------------------------- packages

BLOCK = 512
PAIRED = re.compile(r"(proofs/(0|[1-9][0-9]*)\.tlog-proof|orders/[0-9]{4}h[12]-(0|[1-9][0-9]*)\.tlog-proof"
                    r"|evidence/(0|[1-9][0-9]*)\.json)")
PLAIN = ("README.md", "verify.py", "policy", "checkpoint", "leaves.jsonl", "facts.jsonl", "secrets.jsonl")


def tar_header(name, size):
    """The one ustar header a package has for a member: 0644, nobody, the epoch."""
    fields = name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2
    fields += b"%011o\0" % size + b"00000000000\0" + b" " * 8 + b"0" + b"\0" * 100
    fields += b"ustar\0" + b"00" + b"\0" * 64 + b"0000000\0" * 2
    fields = fields.ljust(BLOCK, b"\0")
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


class Package:
    """Members by name, from a tar or from the folder it was unpacked into."""

    def __init__(self, path):
        self.path, self.members, self.order = path, {}, []
        if os.path.isdir(path):
            self.file = None
            for folder, _, names in os.walk(path):
                for name in sorted(names):
                    full = os.path.join(folder, name)
                    self.members[os.path.relpath(full, path).replace(os.sep, "/")] = full
        else:
            self.file = open(path, "rb")
            self.read_tar()

    def read_tar(self):
        end = os.fstat(self.file.fileno()).st_size
        at = 0
        while True:
            self.file.seek(at)
            header = self.file.read(BLOCK)
            if header == bytes(BLOCK):
                if self.file.read() != bytes(BLOCK):
                    raise Bad("the archive does not end as a package does")
                return
            name = header[:100].rstrip(b"\0").decode("ascii", "replace")
            try:
                size = int(header[124:135], 8)
            except ValueError as e:
                raise Bad("not a header of a package") from e
            if header != tar_header(name, size) or name in self.members:
                raise Bad(f"the header at octet {at} is not a package's")
            self.members[name] = (at + BLOCK, size)
            self.order.append(name)
            after = at + BLOCK + size
            at = after + -size % BLOCK
            if at > end:
                raise Bad("the archive is cut short")
            self.file.seek(after)
            if self.file.read(at - after) != bytes(at - after):
                raise Bad(f"something stands behind {name}")

    def read(self, name):
        if name not in self.members:
            raise Bad(f"{name} is missing")
        if self.file is None:
            with open(self.members[name], "rb") as f:
                return f.read()
        at, size = self.members[name]
        self.file.seek(at)
        return self.file.read(size)

    def lines(self, name):
        """Canonical JSON lines."""
        data = self.read(name)
        if data and not data.endswith(b"\n"):
            raise Bad("the last line is cut")
        for line in data[:-1].split(b"\n") if data else []:
            yield canonical(line)


def open_manifest(package, policy):
    """The payload of manifest.json: a flattened JWS by the ledger's key over every member."""
    data = package.read("manifest.json")
    jws = canonical(data[:-1]) if data.endswith(b"\n") else None
    if not isinstance(jws, dict) or set(jws) != {"payload", "protected", "signature"}:
        raise Bad("manifest.json is not a manifest")
    header, payload = canonical(b64url(jws["protected"])), canonical(b64url(jws["payload"]))
    origin = payload.get("log") if isinstance(payload, dict) else None
    if header.get("alg") != "EdDSA" or header.get("typ") != "tongban-package+json" or not isinstance(origin, str):
        raise Bad("manifest.json is not a manifest")
    key = policy.key_for(origin)
    if key is None or header.get("kid") != f"{origin}+{key.id.hex()}":
        raise Bad("the manifest is signed by another key")
    if not key.holds(b64url(jws["signature"]), f"{jws['protected']}.{jws['payload']}".encode()):
        raise Bad("the manifest's signature does not hold")
    return payload


def check_package(path, policy, report, auditor=None, warrant=None):
    package = Package(path)
    if "manifest.json" not in package.members:
        raise Unreadable("holds no manifest.json")
    if policy is None:
        policy = Policy.parse(package.read("policy").decode("utf-8"))
        policy.own_word, report.trust = True, "own word"
    try:
        manifest = open_manifest(package, policy)
    except Bad as e:
        # Go on with what it says: what was changed besides is worth knowing.
        report.found("manifest-invalid", "manifest.json", None, str(e))
        try:
            manifest = read_json(b64url(read_json(package.read("manifest.json"))["payload"]))
            manifest["log"].split("/")[1]
        except (Bad, KeyError, TypeError, AttributeError, IndexError):
            return
    try:
        return check_members(package, manifest, policy, report, auditor, warrant)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as e:
        report.found("package-malformed", "manifest.json", None, f"{type(e).__name__}")


def check_members(package, manifest, policy, report, auditor, warrant):
    origin, size, selection = manifest["log"], manifest["size"], manifest["selection"]
    listed = {m["name"]: m for m in manifest["members"]}
    expected = ["manifest.json"] + [m["name"] for m in manifest["members"]]
    for name in package.members:
        if name != "manifest.json" and name not in listed:
            report.found("member-extra", name)
    changed = set()
    for name, member in listed.items():
        if name not in PLAIN and not PAIRED.fullmatch(name):
            report.found("member-extra", name)
        if name not in package.members:
            report.found("member-missing", name)
            changed.add(name)
        else:
            data = package.read(name)
            if (len(data), sha256(data).hex()) != (member["size"], member["sha256"]):
                report.found("member-changed", name)
                changed.add(name)
    if package.file and package.order != expected and not report.findings:
        report.found("package-malformed", "manifest.json", None, "the members stand in another order")

    try:
        checkpoint = policy.open(package.read("checkpoint"))
        if (checkpoint.origin, checkpoint.size) != (origin, size):
            raise Bad("a checkpoint of another log or size")
    except Bad as e:
        report.found("checkpoint-invalid", "checkpoint", None, str(e))
        checkpoint = None

    leaves = read_leaves(package, origin, size, report)
    check_runs(package, leaves, checkpoint, policy, report)
    facts = read_facts(package, origin, policy, report)
    secrets = read_secrets(package, leaves, report)
    window = selection["kind"] == "window"
    check_selection(selection, leaves, size, report)
    wanted = {i for i, (_, leaf) in leaves.items() if "ev" in leaf}
    if window:
        wanted &= set(selection["matches"])
    for name in listed:
        if name.startswith("evidence/") and int(name[9:-5]) not in wanted:
            report.found("evidence-extra", name, int(name[9:-5]))
    for index in sorted(wanted):
        check_evidence(package, index, leaves[index][1], facts, report, auditor)
    if window:
        check_window(selection, size, leaves, secrets, facts, warrant, report)
    report.logs.append({"origin": origin, "size": size, "leaves": len(leaves), "selection": selection["kind"],
                        "key": str(policy.key_for(origin))})


def read_leaves(package, origin, size, report):
    """index → (exact bytes, leaf)"""
    leaves, last, names_epochs = {}, -1, False
    name = "leaves.jsonl"
    try:
        for line in package.lines(name):
            index, data = line["i"], b64(line["l"])
            if type(index) is not int or index <= last or index >= size or set(line) != {"i", "l"}:
                report.found("leaf-malformed", name, index if type(index) is int else None, "out of order")
                continue
            last = index
            try:
                leaves[index] = (data, read_leaf(data, origin))
                if unnamed(leaves[index][1], names_epochs):
                    report.found("epoch-unnamed", name, index, "commits to no epoch's key, after leaves that do")
                names_epochs = names_epochs or "ek" in leaves[index][1]
            except Bad as e:
                report.found("leaf-malformed", name, index, str(e))
    except (Bad, KeyError, TypeError) as e:
        report.found("package-malformed", name, last + 1, str(e))
    return leaves


def runs_of(indices):
    runs = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return runs


def check_runs(package, leaves, checkpoint, policy, report):
    """Every run of consecutive leaves is proven by the proofs of its two ends."""
    ends = set()
    for first, last in runs_of(leaves):
        proofs = {}
        for index in {first, last}:
            ends.add(f"proofs/{index}.tlog-proof")
            name = f"proofs/{index}.tlog-proof"
            try:
                proof = ProofFile(package.read(name))
                if proof.index != index or (checkpoint and proof.note != checkpoint.data):
                    raise Bad("another leaf's proof, or under another checkpoint")
                if proof.leaf != leaves[index][0]:
                    report.found("leaf-changed", "leaves.jsonl", index, "not the leaf of its proof")
                elif checkpoint:
                    proof.proven(policy)
                proofs[index] = proof
            except Bad as e:
                report.found("proof-invalid", name, index, str(e))
        if checkpoint and len(proofs) == len({first, last}) and not any(
                f["kind"] in ("proof-invalid", "leaf-changed") and f["index"] in (first, last) for f in report.findings):
            hashes_of_run = (leaf_hash(leaves[i][0]) for i in range(first, last + 1))
            try:
                root = run_root(first, last, hashes_of_run, proofs[first].path, proofs[last].path, checkpoint.size)
            except KeyError:
                root = None
            if root != checkpoint.root:
                report.found("leaf-changed", "leaves.jsonl", first, f"a leaf from {first} to {last} is not the log's")
    for name in package.members:
        if name.startswith("proofs/") and name not in ends:
            report.found("member-extra", name)


def read_facts(package, origin, policy, report):
    """(what, index) → the order that says so, proven."""
    facts, named = {}, set()
    name = "facts.jsonl"
    for line in package.lines(name) if name in package.members else []:
        index, what, order = line["i"], line["is"], line["order"]
        file = f"orders/{order.replace('/', '-')}.tlog-proof"
        named.add(file)
        try:
            proof = ProofFile(package.read(file))
            checkpoint = proof.proven(policy)
            told = Order(read_leaf(proof.leaf, checkpoint.origin), checkpoint.origin, proof.index)
            if told.name != order or checkpoint.origin.split("/")[:-1] != origin.split("/")[:-1]:
                raise Bad("another order")
            if what == "dropped":
                if told.what != what or told.target != origin:
                    raise Bad("the leaf orders something else")
            elif not told.covers(what, origin, index):
                raise Bad("the order does not list this leaf")
            facts[(what, index)] = told
        except Bad as e:
            report.found("order-unproven", file, index, str(e))
    for member in package.members:
        if member.startswith("orders/") and member not in named:
            report.found("member-extra", member)
    return facts


def gone(leaf, index, facts):
    """('erased' or 'dropped', order) when an order in the tree explains that nothing is there."""
    if ("erased", index) in facts:
        return "erased", facts[("erased", index)]
    order = facts.get(("dropped", index))
    if order and dropped_by(order, leaf):
        return "dropped", order
    return None, None


def dropped_by(order, leaf):
    # A leaf stamped at the very end of a month may stand in the next one's files.
    months = [leaf["month"]] if "month" in leaf else {month_of(leaf["ts"]), month_of(leaf["ts"] + 60_000)}
    klass = class_of(leaf)
    return any(order.vault == f"{month}.{klass}" and order.at >= floor_end(month, klass) for month in months)


def read_secrets(package, leaves, report):
    secrets, name = {}, "secrets.jsonl"
    for line in package.lines(name) if name in package.members else []:
        index, r = line["i"], b64(line["r"])
        if index not in leaves or leaves[index][1].get("rh") != to_b64url(sha256(r)[:16]):
            report.found("secret-changed", name, index)
        secrets[index] = r
    return secrets


def check_selection(selection, leaves, size, report):
    kind, name = selection["kind"], "leaves.jsonl"
    if kind == "range":
        wanted = range(selection["from"], selection["to"])
    elif kind == "window":
        wanted = range(selection["first"], selection["end"])
    elif kind == "leaves":
        wanted = selection["of"]
    elif kind == "exchanges":
        there = {leaf.get("x") for _, leaf in leaves.values()}
        for x in selection["of"]:
            if x not in there:
                report.found("selection-incomplete", name, None, "an exchange has no leaf here")
        return
    else:
        report.found("package-malformed", "manifest.json", None, "another selection")
        return
    for index in wanted:
        if index not in leaves:
            report.found("leaf-missing", name, index)
    for index in leaves:
        if index not in set(wanted) if kind == "leaves" else index not in wanted:
            report.found("leaf-extra", name, index)


def check_evidence(package, index, leaf, facts, report, auditor):
    name, told = f"evidence/{index}.json", {"index": index, "x": leaf.get("x")}
    report.leaves.append(told)
    if ("held", index) in facts:
        told["held"] = facts[("held", index)].name
        report.counts["held"] += 1
    what, order = gone(leaf, index, facts)
    if name not in package.members:
        told["evidence"], told["order"] = what or "missing", order and order.name
        report.counts[what or "missing"] += 1
        if not what:
            report.found("evidence-missing", name, index, "missing, and no order in the tree says so")
        return
    if what:
        report.found("evidence-extra", name, index, f"is there although order {order.name} says {what}")
    told["evidence"] = "present"
    report.counts["present"] += 1
    try:
        data = package.read(name)
        row = canonical(data[:-1]) if data.endswith(b"\n") else {}
        sealed, r, wrapped, epoch = b64(row["sealed"]), b64(row["r"]), row["wrapped"], row["epoch"]
        for kind in fits(leaf, sealed, r):
            report.found(kind, name, index)
        if not commits_to(leaf, wrapped):
            report.found("epoch-differs", name, index, "the wrapped key is not the one the leaf commits to")
        read_json(wrapped)
        if set(row) != {"class", "epoch", "r", "sealed", "wrapped"} or row["class"] not in FLOOR_MONTHS:
            raise Bad("not an evidence file")
        if auditor:
            open_one(auditor, leaf, wrapped, epoch, r, sealed, name, index, report)
    except (Bad, KeyError, TypeError) as e:
        report.found("evidence-changed", name, index, str(e))


def open_one(auditor, leaf, wrapped, epoch, r, sealed, name, index, report):
    try:
        evidence, wrong = auditor.open(leaf, wrapped, epoch, r, sealed)
    except Bad as e:
        report.found("evidence-unopened", name, index, str(e))
        return
    for what in wrong:
        report.found("evidence-contradicts", name, index, what)
    report.opened.append({"index": index, "members": sorted(evidence), "evidence": evidence})


def check_window(selection, size, leaves, secrets, facts, warrant, report):
    """Completeness: every leaf of a period, the secret of each that has one, and what matched."""
    name = "secrets.jsonl"
    start, end = selection["from"], selection["to"]
    first, last = selection["first"], selection["end"] - 1
    if first > 0 and leaves and leaves.get(first, (0, {"ts": start}))[1]["ts"] >= start:
        report.found("selection-incomplete", "leaves.jsonl", first, "begins inside the period")
    if last + 1 < size and leaves.get(last, (0, {"ts": end}))[1]["ts"] < end:
        report.found("selection-incomplete", "leaves.jsonl", last, "ends inside the period")
    inside = {i: leaf for i, (_, leaf) in leaves.items() if start <= leaf["ts"] < end}
    matched, unknown = set(), 0
    for index, leaf in inside.items():
        if "rh" not in leaf:
            continue
        if index in secrets:
            if warrant and warrant.matches(leaf, secrets[index]):
                matched.add(index)
        elif gone(leaf, index, facts)[0]:
            unknown += 1
        else:
            report.found("secret-missing", name, index, "no secret, and no order in the tree says why")
    if unknown:
        report.notice("erased-unsearchable", name, f"{unknown} leaves were erased by order and cannot match")
    if warrant is None:
        report.notice("no-warrant", name, "without --warrant what matched is the package's word")
    elif warrant.field != selection["field"]:
        report.found("selection-incomplete", "manifest.json", None, "the warrant is for another field")
    else:
        for index in sorted(matched ^ set(selection["matches"])):
            what = "matches and was left out" if index in matched else "does not match"
            report.found("tag-hidden" if index in matched else "tag-contradicts", "leaves.jsonl", index, what)


def check_proof(path, policy, report):
    with open(path, "rb") as f:
        data = f.read(4 << 20)
    try:
        proof = ProofFile(data)
        if policy is None:
            raise Unreadable("a single proof needs --vkey or --policy")
        checkpoint = proof.proven(policy)
        read_leaf(proof.leaf, checkpoint.origin)
        report.logs.append({"origin": checkpoint.origin, "size": checkpoint.size, "leaves": 1,
                            "key": str(policy.key_for(checkpoint.origin))})
        report.leaves.append({"index": proof.index, "leaf": json.loads(proof.leaf)})
    except Bad as e:
        report.found("proof-invalid", os.path.basename(path), None, str(e))


# ---------------------------------------------------------------- a data directory


def row_sum(index, second, *parts):
    """The first eight bytes of SHA-256 over a row, as SQLite's integer."""
    h = hashlib.sha256((index % (1 << 64)).to_bytes(8, "big") + second.to_bytes(8, "big", signed=True))
    for part in parts:
        h.update(part)
    return int.from_bytes(h.digest()[:8], "big", signed=True)


class VaultRows:
    """The rows of a vault in their file: blocks of 4096 octets, a row where its mark stands, zeros elsewhere."""

    MARK, HEAD, BLOCK, GROWTH = b"evidence", 72, 4096, 1 << 20

    def __init__(self, data, name, report):
        self.name, self.report, self.path = name, report, os.path.join(data, name)

    def __iter__(self):
        """Index, epoch, r, tokens, sealed and whether the sum fits; what an erasure leaves is no row."""
        if not os.path.exists(self.path):
            return
        try:
            with open(self.path, "rb") as file:
                yield from self.read(file, os.fstat(file.fileno()).st_size)
        except OSError as e:
            self.damaged(str(e))

    def read(self, file, length):
        at, whole = 0, length % self.GROWTH == 0
        while at < length:
            file.seek(at)
            head = file.read(self.HEAD)
            tokens, sealed = (int.from_bytes(head[n:n + 4], "big") for n in (24, 28))
            end = at + self.HEAD + tokens + sealed
            if head[:8] == self.MARK and len(head) == self.HEAD and end <= length:
                row = self.row(head, file.read(tokens), file.read(sealed))
                if row:
                    yield row
                at = end
                continue
            file.seek(at)
            rest = file.read(self.BLOCK - at % self.BLOCK)
            whole = whole and not rest.strip(b"\0")
            at += len(rest)
        if not whole:
            self.damaged("neither rows nor zeros")

    @staticmethod
    def row(head, tokens, sealed):
        index, epoch = int.from_bytes(head[8:16], "big"), int.from_bytes(head[16:24], "big", signed=True)
        total, r = int.from_bytes(head[32:40], "big", signed=True), head[40:72]
        covered = hashlib.sha256(sealed).digest()
        fits = total == row_sum(index, epoch, r, len(tokens).to_bytes(8, "big"), tokens, covered)
        if fits and not any(r):
            return None
        return index, epoch, r, tokens, sealed, fits

    def damaged(self, message):
        self.report.found("file-damaged", self.name, None, message)


class Database:
    """One SQLite file, read without writing beside it. Damage is a finding, never a crash."""

    def __init__(self, data, name, report):
        self.name, self.report, self.path, self.whole = name, report, os.path.join(data, name), True
        wal = self.path + "-wal"
        at_rest = not os.path.exists(wal) or os.path.getsize(wal) == 0
        uri = f"file:{urllib.parse.quote(os.path.abspath(self.path))}?mode=ro"
        self.connection = sqlite3.connect(uri + ("&immutable=1" if at_rest else ""), uri=True)
        self.connection.text_factory = bytes

    def rows(self, shape, sql):
        """Rows whose columns are integers (i), bytes (b), or bytes or nothing (?); another is damage."""
        try:
            for row in self.connection.execute(sql):
                if all(isinstance(v, int) if s == "i" else isinstance(v, bytes) or s == "?" and v is None
                       for s, v in zip(shape, row)):
                    yield row
                else:
                    self.damaged("a row of another shape")
        except (sqlite3.Error, OverflowError, ValueError, MemoryError) as e:
            self.damaged(str(e))

    def damaged(self, message):
        if self.whole:
            self.report.found("file-damaged", self.name, None, message)
        self.whole = False

    def integrity(self):
        for (text,) in self.rows("b", "PRAGMA integrity_check(10)"):
            if text != b"ok":
                self.damaged(text.decode("utf-8", "replace"))

    def untouched(self):
        """The sum that was left beside the file at rest."""
        try:
            with open(self.path + ".sha256", "rb") as f:
                wanted = f.read(200).split(b" ")[0].decode("ascii", "replace")
        except OSError:
            return
        if len(wanted) != 64:
            return
        h = hashlib.sha256()
        with open(self.path, "rb") as f:
            for piece in iter(lambda: f.read(1 << 20), b""):
                h.update(piece)
        if h.hexdigest() != wanted and not any(f["file"] == self.name for f in self.report.findings):
            self.report.found("file-touched", self.name, None, "not the bytes it was left with")

    def close(self):
        self.connection.close()


def tile_path(level, number, width):
    groups = [f"{number % 1000:03}"]
    while number >= 1000:
        number //= 1000
        groups.insert(0, f"x{number % 1000:03}")
    return f"tile/{level}/{'/'.join(groups)}" + ("" if width == 256 else f".p/{width}")


class Tree:
    """The growing tree of one log, held against its tile files and checkpoints."""

    def __init__(self, data, origin, sealed, awaited, report):
        self.folder, self.data = f"tiles/{origin}", data
        self.sealed, self.report, self.size, self.levels = sealed, report, 0, []
        self.awaited = sorted(awaited, key=lambda c: c[0])
        self.cached, self.disputed, self.contradicted, self.lost, self.tiles = (None, b""), [], False, False, 0
        self.meet()

    def read_tile(self, level, number, width):
        """A tile's bytes; a partial one also out of the full one that replaced it."""
        for name in (tile_path(level, number, width), tile_path(level, number, 256)):
            try:
                with open(os.path.join(self.data, self.folder, name), "rb") as f:
                    data = f.read()
                if len(data) >= 32 * width:
                    return data[:32 * width], f"{self.folder}/{name}", len(data) == 32 * width or width < 256
            except OSError:
                continue
        return None, f"{self.folder}/{tile_path(level, number, width)}", True

    def tile_hash(self, index):
        if index >= self.sealed:
            return None
        number, place = divmod(index, 256)
        width = min(256, self.sealed - number * 256)
        if self.cached[0] != number:
            data, name, exact = self.read_tile(0, number, width)
            if data is None:
                self.report.found("tile-missing", name)
            elif not exact:
                self.report.found("tile-changed", name, None, "longer than a tile")
            self.tiles += 1
            self.cached = (number, data or b"", name)
        found = self.cached[1][place * 32:place * 32 + 32]
        return found or None

    def tile_name(self):
        return self.cached[2]

    def push(self, leaf):
        self.size += 1
        carry = leaf
        for level in range(9):
            if len(self.levels) <= level:
                self.levels.append([])
            tile = self.levels[level]
            tile.append(carry)
            if len(tile) < 256:
                break
            self.levels[level] = []
            carry = root_of(tile)
            number = (self.size >> 8 * (level + 1)) - 1
            if level and not self.lost and self.size <= self.sealed:
                self.hold_tile(level, number, b"".join(tile))
        self.meet()

    def hold_tile(self, level, number, wanted):
        data, name, exact = self.read_tile(level, number, len(wanted) // 32)
        self.tiles += 1
        if data is None:
            self.report.found("tile-missing", name)
        elif data != wanted or not exact:
            self.report.found("tile-changed", name)

    def root(self):
        carry = None
        for tile in self.levels:
            if tile:
                carry = root_of(tile + ([carry] if carry else []))
        return carry or sha256(b"")

    def meet(self):
        while self.awaited and self.awaited[0][0] == self.size:
            _, root, file = self.awaited.pop(0)
            if self.lost or root == self.root():
                continue
            if not self.contradicted:
                self.report.found("checkpoint-contradicted", file, None, f"signed for another tree of {self.size}")
            self.contradicted = True

    def finish(self):
        if self.awaited:
            size, _, file = self.awaited[-1]
            folder = f"ledger/{self.folder.rsplit('/', 1)[-1]}"
            message = f"{file} is signed for {size} leaves, the log holds {self.size}"
            self.report.found("leaf-missing", folder, self.size, message)
        for index, store, tile in self.disputed:
            if self.contradicted:
                self.report.found("leaf-rewritten", store, index)
            else:
                self.report.found("tile-changed", tile, index)
        if self.lost or self.contradicted:
            return
        # Partial tiles at the edge, and those of the newest checkpoint above level 0.
        for level, tile in enumerate(self.levels):
            through = self.sealed >> 8 * level
            number, width = through // 256, through % 256
            if level and width and len(tile) >= width and self.size >> 8 * (level + 1) == number:
                self.hold_tile(level, number, b"".join(tile[:width]))
        for level, tile in enumerate(self.levels):
            number = self.size >> 8 * (level + 1)
            folder = os.path.join(self.data, self.folder, tile_path(level, number, 256) + ".p")
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
                if re.fullmatch(r"[1-9][0-9]{0,2}", name) and int(name) <= len(tile):
                    with open(os.path.join(folder, name), "rb") as f:
                        data = f.read()
                    file = f"{self.folder}/{tile_path(level, number, 256)}.p/{name}"
                    known = any(f["file"] == file for f in self.report.findings)
                    if data != b"".join(tile[:int(name)]) and not known:
                        self.report.found("tile-changed", file)


def check_directory(data, policy, report, kept_elsewhere=(), auditor=None):
    if not os.path.isdir(os.path.join(data, "ledger")) and os.path.isdir(os.path.join(data, "data", "ledger")):
        data = os.path.join(data, "data")
    ledger = os.path.join(data, "ledger")
    shards = sorted(n for n in os.listdir(ledger) if re.fullmatch(r"[0-9]{4}h[12]", n)) if os.path.isdir(ledger) else []
    if not shards:
        raise Unreadable("holds no ledger")
    if policy is None:
        report.trust = "own word"
    kept = read_heads(data, report)
    before, orders, logs = None, [], []
    for shard in sorted(set(shards) | set(kept)):
        later = [s for s in shards if s > shard]
        must_be_closed = bool(later) and first_leaf(data, later[0], months_in(data, later[0])).get("code") != "restored"
        log = check_log(data, shard, kept.get(shard, []), policy, before, must_be_closed, kept_elsewhere, report)
        if log:
            before = log["end"]
            orders.extend(log.pop("orders"))
            logs.append((shard, log))
    for shard, log in logs:
        check_vaults(data, shard, log, orders, report, auditor)
        report.logs.append({n: log[n] for n in ("origin", "size", "sealed", "tiles", "key")})


def read_heads(data, report):
    """shard → [(size, note)] of state.db, oldest first."""
    name, kept = "ledger/state.db", {}
    if not os.path.exists(os.path.join(data, name)):
        report.found("file-missing", name)
        return kept
    db = Database(data, name, report)
    sql = "SELECT shard, size, note FROM history UNION SELECT shard, size, note FROM head ORDER BY shard, size"
    for shard, size, note in db.rows("bib", sql):
        kept.setdefault(shard.decode("utf-8", "replace"), []).append((size, note))
    db.integrity()
    db.untouched()
    db.close()
    return kept


def first_leaf(data, shard, months):
    for month in months:
        scratch = Report()
        db = Database(data, f"ledger/{shard}/{month}.db", scratch)
        for (leaf,) in db.rows("b", "SELECT leaf FROM leaf WHERE idx=0"):
            db.close()
            try:
                return read_json(leaf)
            except Bad:
                return {}
        db.close()
        break
    return {}


def months_in(data, shard, suffix=""):
    folder = os.path.join(data, "ledger", shard)
    pattern = re.compile(r"([0-9]{4}-[0-9]{2})" + re.escape(suffix) + r"\.db")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [m[1] for m in map(pattern.fullmatch, names) if m]


def check_log(data, shard, kept, policy, before, must_be_closed, kept_elsewhere, report):
    folder, months = f"ledger/{shard}", months_in(data, shard)
    genesis = first_leaf(data, shard, months)
    origin = None
    for _, note in kept:
        try:
            origin = origin or Checkpoint(note).origin
        except Bad:
            pass
    if origin is None and isinstance(genesis.get("me"), str):
        origin = f"tongban/{genesis['me']}/{shard}"
    if origin is None or origin.count("/") != 2:
        report.found("file-damaged", folder, None, "neither a checkpoint nor a first leaf can be read")
        return None
    named = None
    try:
        named = Vkey.parse(genesis.get("vkey") or "")
    except Bad:
        pass
    key = policy.key_for(origin) if policy else named
    if key and named and str(key) != str(named):
        report.found("key-differs", folder, 0, "the first leaf names another key")
    # After a restore the end that is named is not here: witnesses have it.
    restored = genesis.get("code") == "restored" and "past" in genesis and "ck" in genesis
    if before and not restored and (genesis.get("past"), genesis.get("ck")) != before:
        report.found("chain-broken", folder, 0, "does not name the end of the log before it")

    awaited, end = [], None
    published = f"tiles/{origin}/checkpoint"
    notes = [("ledger/state.db", size, note) for size, note in kept]
    try:
        with open(os.path.join(data, published), "rb") as f:
            notes.append((published, None, f.read()))
    except OSError:
        if kept:
            report.found("checkpoint-missing", published)
    cosigned = f"tiles/{origin}/cosigned"
    if os.path.exists(os.path.join(data, cosigned)):
        with open(os.path.join(data, cosigned), "rb") as f:
            notes.append((cosigned, None, f.read()))
    else:
        cosigned = published
    for note in kept_elsewhere:
        if Checkpoint(note).origin == origin:
            notes.append(("(kept elsewhere)", None, note))
    own_policy = policy
    if own_policy is None and key:
        own_policy = Policy()
        own_policy.logs = [key]
    sizes = {}
    for file, size, note in notes:
        try:
            if own_policy is None:
                raise Bad("no key is known")
            # A quorum is asked of the checkpoint that witnesses were asked about, not of every kept one.
            opened = Checkpoint(note)
            if opened.origin != origin or not opened.note.signed_by(key):
                raise Bad("not signed by this log's key")
            if policy and file == cosigned:
                policy.open(note)
            if size is not None and size != opened.size:
                raise Bad("another size than its row says")
            awaited.append((opened.size, opened.root, file))
            sizes[file] = max(sizes.get(file, 0), opened.size)
            if file != "(kept elsewhere)" and (end is None or opened.size >= end[0]):
                end = (opened.size, sha256(note))
        except Bad as e:
            report.found("checkpoint-invalid", file, None, str(e))
    if "ledger/state.db" in sizes and published in sizes and sizes["ledger/state.db"] != sizes[published]:
        behind = min(sizes, key=lambda f: sizes[f] if f in ("ledger/state.db", published) else 1 << 63)
        report.found("checkpoint-behind", behind, sizes[behind], "an older checkpoint than the log has signed")

    # What somebody else kept must be reached; what tiles exist is told by our own.
    sealed = max((c[0] for c in awaited if c[2] != "(kept elsewhere)"), default=0)
    tree = Tree(data, origin, sealed, awaited, report)
    log = {"origin": origin, "orders": [], "end": (origin, to_b64url(end[1])) if end else None,
           "evidence": {}, "unread": set(), "names_epochs": False, "leaves": {}, "key": str(key) if key else None}
    last_kind = None
    for month in months:
        last_kind = check_month(data, shard, month, origin, tree, log, report) or last_kind
    tree.finish()
    if must_be_closed and last_kind != "close":
        report.found("chain-broken", folder, tree.size, "does not end with its last leaf")
    log.update(size=tree.size, sealed=sealed, tiles=tree.tiles)
    return log


FACETS = ("kind", "peer", "op", "item", "lt", "dec", "code")
# Leaves of a block in a facet index.
BLOCK = 512
# The days under which its runs of authorizations and of exchanges stand.
AUTHORIZATIONS, EXCHANGES = 0, 1
# The forms of an index that are read.
FACET_FORM, TOKEN_FORM = 3, 2


def is_read(db, form):
    """Begins one snapshot of an index, also beside a running gateway. Of one that is of an older form, or not begun,
    nothing is said: no search reads it."""
    try:
        db.connection.execute("BEGIN")
    except sqlite3.Error as e:
        db.damaged(str(e))
    if next((v for (v,) in db.rows("i", "PRAGMA user_version")), form) == form:
        return True
    db.close()
    return False


def read_runs(db, found):
    """How often each (day, token, index) stands where a search looks for it: in runs of a day, whose entries (16
    octets of token, 8 of index) stand in their order, cut into chunks, each found by its first entry."""
    stored, counted, before = {}, {}, b""
    runs = {number: (day, n) for number, day, n in db.rows("iii", "SELECT id, day, n FROM run")}
    for run, first, body in db.rows("ibb", "SELECT run, first, body FROM chunk ORDER BY run, first"):
        if run not in runs or not body or len(body) % 24:
            found(None, f"run {run}: a chunk of no run, or of no entries")
            continue
        if run not in counted:
            counted[run], before = 0, b""
        counted[run] += len(body) // 24
        for at in range(0, len(body), 24):
            entry = body[at:at + 24]
            row = (runs[run][0], entry[:16], int.from_bytes(entry[16:], "big"))
            if entry <= before or at == 0 and entry != first:
                found(row[2], "stands where no search looks for it")
            stored[row], before = stored.get(row, 0) + 1, entry
    if any(n != counted.get(run) for run, (_, n) in runs.items()):
        found(None, "a run of more or fewer entries than it says")
    return stored


class Facets:
    """The facet index of a month, held against the leaves row by row while they are read: the words of each
    leaf, together a combination; in which blocks of leaves each of them stands, and when those were stamped (a search
    reads no others); where authorizations and exchanges stand; and the hourly sums."""

    def __init__(self, data, shard, month, report):
        self.name, self.report = f"ledger/{shard}/{month}.index.db", report
        self.db, self.row = None, None
        self.places, self.blocks, self.hours, self.runs = set(), {}, {}, set()
        self.unread, self.last = False, -1
        if not os.path.exists(os.path.join(data, self.name)):
            return
        db = Database(data, self.name, report)
        if not is_read(db, FACET_FORM):
            return
        self.db = db
        self.upto = next((u for (u,) in self.db.rows("i", "SELECT idx FROM upto")), -1)
        self.words = dict(self.db.rows("ib", "SELECT id, text FROM word"))
        combos = self.db.rows("i" * 8, f"SELECT id, {', '.join(FACETS)} FROM combo")
        self.combos = {row[0]: row[1:] for row in combos}
        self.texts = {number: [self.words.get(word) for word in words] for number, words in self.combos.items()}
        self.numbers = {tuple(texts): number for number, texts in self.texts.items()}
        self.rows = self.db.rows("iii?", "SELECT idx, ts, combo, auth FROM facet ORDER BY idx")
        self.row = next(self.rows, None)

    def found(self, index, message):
        self.report.found("facet-index-changed", self.name, index, message)

    def reach(self, index):
        self.last = index
        while self.row and self.row[0] <= index:
            row, self.row = self.row, next(self.rows, None)
            if row[0] == index:
                return row
            self.found(row[0], "a row of no leaf")
        return None

    def skip(self, index):
        """Nothing is said about a leaf that cannot be read."""
        if self.db:
            self.reach(index)
            self.unread = True

    def leaf(self, index, leaf):
        if not self.db:
            return
        row = self.reach(index)
        if index > self.upto:
            if row:
                self.found(index, "a row ahead of what the index says")
            return
        said = [leaf["t"]] + [leaf.get(name, "") for name in FACETS[1:]]
        texts = [text.encode() if isinstance(text, str) else b"" for text in said]
        auth, stamped = b64url(leaf["auth"]) if "auth" in leaf else None, leaf["ts"]
        combo = row[2] if row else None
        if not row or (row[1], self.texts.get(combo), row[3]) != (stamped, texts, auth):
            self.found(index, "not what the leaf says" if row else "not in it")
            combo = self.numbers.get(tuple(texts))
        if auth:
            self.runs.add((AUTHORIZATIONS, auth[:16], index))
        if "x" in leaf:
            self.runs.add((EXCHANGES, sha256(leaf["x"].encode())[:16], index))
        first, last = self.blocks.get((index // BLOCK,), (stamped, stamped))
        self.blocks[(index // BLOCK,)] = (min(first, stamped), max(last, stamped))
        if combo is None:
            return
        self.places.add((combo, index // BLOCK))
        kind, peer, op, _, _, _, code = self.combos[combo]
        took = leaf["ms"][0] if leaf.get("ms") else 0
        n, total, slowest = self.hours.get((stamped // 3_600_000, kind, peer, op, code), (0, 0, 0))
        self.hours[(stamped // 3_600_000, kind, peer, op, code)] = (n + 1, total + took, max(slowest, took))

    def end(self):
        if not self.db:
            return
        if self.upto > self.last:
            self.found(None, "goes further than the log")
        while self.row:
            self.found(self.row[0], "a row of no leaf")
            self.row = next(self.rows, None)
        if not self.unread:
            for combo, block in sorted(set(self.db.rows("ii", "SELECT combo, block FROM place")) ^ self.places):
                self.found(None, f"combination {combo}, block {block}")
            blocks = {row[:1]: row[1:] for row in self.db.rows("iii", "SELECT id, from_ts, to_ts FROM block")}
            hours = {row[:5]: row[5:] for row in self.db.rows(
                "iiiiiiii", "SELECT hour, kind, peer, op, code, n, ms, slowest FROM hourly")}
            for what, told, known in (("block", blocks, self.blocks), ("hour", hours, self.hours)):
                for key in sorted(k for k in set(told) | set(known) if told.get(k) != known.get(k)):
                    self.found(None, f"{what} {' '.join(map(str, key))}")
            for number in sorted(set(self.combos) - {combo for combo, _ in self.places}):
                self.found(None, f"combination {number}")
            for number in sorted(set(self.words) - {word for words in self.combos.values() for word in words}):
                self.found(None, f"word {number}")
            stored = read_runs(self.db, self.found)
            differing = {row for row, times in stored.items() if times > 1} | set(stored) ^ self.runs
            for index in sorted({index for _, _, index in differing}):
                self.found(index, "under another authorization or exchange than the leaf's")
        self.db.integrity()
        self.db.close()


def check_month(data, shard, month, origin, tree, log, report):
    name = f"ledger/{shard}/{month}.db"
    facets = Facets(data, shard, month, report)
    db = Database(data, name, report)
    kind_of_last = None
    for index, stored, text, ts, kind, exchange in db.rows(
            "ibbib?", "SELECT idx, hash, leaf, ts, kind, exchange FROM leaf ORDER BY idx"):
        if index < tree.size:
            report.found("leaf-rewritten", name, index, "stands twice")
            continue
        if index > tree.size:
            report.found("leaf-missing", name, tree.size, f"through leaf {index - 1}")
            log["unread"].update(range(tree.size, min(index, tree.size + 100_000)))
            facets.skip(index - 1)
            while tree.size < index and not tree.lost:
                known = tree.tile_hash(tree.size)
                if known is None:
                    tree.lost, tree.size, tree.levels = True, index, []
                else:
                    tree.push(known)
        own, tile = leaf_hash(text), tree.tile_hash(index)
        if own == stored:
            if tile is not None and tile != own:
                tree.disputed.append((index, name, tree.tile_name()))
            elif tile is None and index < tree.sealed and tree.cached[1]:
                report.found("tile-changed", tree.tile_name(), index, "cut short")
                tree.cached = (tree.cached[0], b"", tree.cached[2])
            try:
                leaf = read_leaf(text, origin)
                kind_of_last = leaf["t"]
                told = (ts, kind, exchange)
                if told != (leaf["ts"], leaf["t"].encode(), leaf["x"].encode() if "x" in leaf else None):
                    report.found("index-changed", name, index, "stands under other search columns than it says")
                remember(log, index, leaf, text, origin, month)
                facets.leaf(index, leaf)
                if unnamed(leaf, log["names_epochs"]):
                    report.found("epoch-unnamed", name, index, "commits to no epoch's key, after leaves that do")
                log["names_epochs"] = log["names_epochs"] or "ek" in leaf
            except (Bad, AttributeError) as e:
                log["unread"].add(index)
                facets.skip(index)
                report.found("leaf-malformed", name, index, str(e))
        elif tile == own:
            report.found("hash-changed", name, index)
            log["unread"].add(index)
            facets.skip(index)
        else:
            report.found("leaf-changed", name, index, "its bytes were changed")
            log["unread"].add(index)
            facets.skip(index)
            own = stored if isinstance(stored, bytes) and len(stored) == 32 else own
        tree.push(own)
    check_memory(db, report)
    if not db.whole:
        facets.unread = True
    facets.end()
    db.integrity()
    db.untouched()
    db.close()
    return kind_of_last


def check_memory(db, report):
    """Used ids and uses: a row a commit; a row a leaf, in two tables, in files begun before."""
    tables = {name.decode() for (name,) in db.rows("b", "SELECT name FROM sqlite_master WHERE type='table'")}
    if "batch" in tables or "used" not in tables:
        for first, sealed, used, taken, total in db.rows(
                "iibbi", "SELECT first, sealed, used, taken, sum FROM batch"):
            if row_sum(first, sealed, len(used).to_bytes(8, "big"), used, taken) != total:
                report.found("memory-changed", db.name, first, "used ids and uses of a commit")
    if "used" in tables:
        for table, shape, sql in (("used", "iiibb", "SELECT idx, expires, sum, id, content FROM used"),
                                  ("take", "iiib", "SELECT idx, expires, sum, token FROM take")):
            for index, expires, total, *parts in db.rows(shape, sql):
                if row_sum(index, expires, *parts) != total:
                    report.found("memory-changed", db.name, index, f"a row of {table}")


def remember(log, index, leaf, text, origin, month):
    """What the vaults are held against."""
    if "ev" in leaf or "rh" in leaf:
        log["evidence"][index] = {n: leaf[n] for n in ("ek", "ev", "rh", "ts", "t", "op") if n in leaf}
        log["evidence"][index]["month"] = month
    log["leaves"][index] = text if "ev" in leaf else None
    if leaf["t"] == "erase":
        log["orders"].append(Order(leaf, origin, index))


def check_vaults(data, shard, log, orders, report, auditor):
    """Every leaf with evidence has its row, or an order that explains why not; and no other rows."""
    origin, seen, erased, held = log["origin"], set(), {}, {}
    mine = [o for o in orders if o.target == origin]
    for klass in ("provision", "other"):
        for month in months_in(data, shard, "." + klass):
            check_vault(data, shard, month, klass, log, seen, erased, held, report, auditor)
    by_name = {o.name: o for o in mine}
    for index, leaf in log["evidence"].items():
        name = f"ledger/{shard}/{leaf['month']}.{class_of(leaf)}.db"
        rows = name.removesuffix("db") + "sealed"
        released = max((o.index for o in mine if o.covers("released", origin, index)), default=-1)
        holds = [o for o in mine if o.covers("held", origin, index) and o.index > released]
        if index in held:
            file, order = held[index]
            if order in by_name and by_name[order].covers("held", origin, index) and holds:
                report.counts["held"] += 1
            else:
                report.found("hold-changed", file, index, f"no order in force at {order} holds this row")
        elif holds and index in seen:
            report.found("hold-missing", name, index, f"order #{holds[-1].name} is not kept")
        if index in seen:
            if index in erased:
                report.found("evidence-extra", rows, index, "is there and marked as erased")
            elif any(o.covers("erased", origin, index) for o in mine) and index not in held:
                report.found("evidence-not-erased", rows, index, "an order to erase it was not carried out")
            report.counts["present"] += 1
            continue
        order = by_name.get(erased.get(index, (None, None))[1])
        if order and order.covers("erased", origin, index):
            report.counts["erased"] += 1
            report.leaves.append({"index": index, "evidence": "erased", "order": order.name})
        elif index in erased:
            report.counts["missing"] += 1
            report.found("evidence-missing", erased[index][0], index, "marked as erased by an order that does not say so")
        elif not os.path.exists(os.path.join(data, name)) and any(
                o.what == "dropped" and dropped_by(o, leaf) for o in mine):
            report.counts["dropped"] += 1
        else:
            report.counts["missing"] += 1
            report.found("evidence-missing", rows, index, "missing, and no order in the tree says so")
    for index, (file, _) in {**erased, **held}.items():
        if index not in log["evidence"] and index not in log["unread"]:
            report.found("vault-row-extra", file, index, "speaks of a leaf without evidence")


def check_vault(data, shard, month, klass, log, seen, erased, held, report, auditor):
    name = f"ledger/{shard}/{month}.{klass}.db"
    db = Database(data, name, report)
    epochs, tokens, differing = {}, set(), {}
    for number, wrapped in db.rows("ib", "SELECT id, wrapped FROM epoch"):
        epochs[number] = wrapped
        try:
            if read_json(wrapped)["recipients"] == []:
                raise Bad("no recipients")
        except (Bad, KeyError, TypeError) as e:
            report.found("epoch-changed", name, None, f"the wrapped key of epoch {number}: {e}")
    if any(db.rows("b", "SELECT name FROM sqlite_master WHERE name='vault'")):
        db.damaged("of an older form; a start of the gateway brings it forward")
    rows = name.removesuffix("db") + "sealed"
    for index, epoch, r, record, sealed, as_written in VaultRows(data, rows, report):
        leaf = log["evidence"].get(index)
        if index in log["unread"]:
            continue
        if leaf is None or index in seen:
            if index >= log["size"]:
                report.notice("rows-ahead", rows, f"row {index} is ahead of the log")
            else:
                report.found("vault-row-extra", rows, index, "no leaf has this evidence")
            continue
        seen.add(index)
        wrong = fits(leaf, sealed, r)
        for kind in wrong:
            report.found(kind, rows, index)
        if not wrong and not as_written:
            report.found("vault-row-changed", rows, index, "the row is not as it was written")
        if epoch not in epochs:
            report.found("epoch-missing", name, index, f"epoch {epoch}")
        elif not commits_to(leaf, epochs[epoch]):
            differing.setdefault(epoch, []).append(index)
        elif auditor and not wrong:
            text = epochs[epoch]
            open_one(auditor, read_json(log["leaves"][index]), text.decode("utf-8", "replace"), epoch, r, sealed,
                     rows, index, report)
        day = int(day_of(leaf["ts"]))
        tokens.update((day, record[at + 1:at + 17], index) for at in range(0, len(record) - 16, 17))
    for epoch, leaves in differing.items():
        report.found("epoch-differs", name, leaves[0],
                     f"the wrapped key of epoch {epoch} is not the one that {len(leaves)} leaves commit to")
    for table, into in (("erased", erased), ("hold", held)):
        for index, order_shard, leaf in db.rows("ibi", f"SELECT idx, shard, leaf FROM {table}"):
            into[index] = (name, f"{order_shard.decode('utf-8', 'replace')}/{leaf}")
    db.integrity()
    db.untouched()
    db.close()
    check_index(data, shard, month, klass, tokens, report)


def check_index(data, shard, month, klass, tokens, report):
    """The search index is derived: it must say what the vault says, up to where it says it goes."""
    name = f"ledger/{shard}/{month}.{klass}.index.db"
    if not os.path.exists(os.path.join(data, name)):
        return
    db = Database(data, name, report)
    if not is_read(db, TOKEN_FORM):
        return

    def found(index, message):
        report.found("search-index-changed", name, index, message)

    upto = next((u for (u,) in db.rows("i", "SELECT idx FROM upto")), -1)
    stored = read_runs(db, found)
    for row in sorted(row for row, times in stored.items() if times > 1 or row not in tokens):
        found(row[2], "a token that the vault does not have")
    if any(index > upto for _, _, index in stored):
        found(None, "goes further than it says")
    for _, _, index in sorted(tokens - set(stored)):
        if index <= upto:
            found(index, "a token of the vault is not in it")
    db.integrity()
    db.untouched()
    db.close()


# ---------------------------------------------------------------- the command line


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="tongban_verify.py", description="Checks Tongban packages, data directories and proofs. 核验导出包、数据目录与证明。")
    parser.add_argument("what", help="a package (tar or folder), a data directory, or a .tlog-proof 待核验对象")
    parser.add_argument("--vkey", help="the log's key as on the region's card 账本公钥")
    parser.add_argument("--policy", help="c2sp.org/tlog-policy file 信任策略文件")
    parser.add_argument("--checkpoint", action="append", default=[], help="a checkpoint kept elsewhere 他处留存的检查点")
    parser.add_argument("--key", help="an auditor's private JWK: opens the evidence 审计私钥")
    parser.add_argument("--partner", action="append", default=[], help="a card or JWK set of a partner 伙伴名片或公钥集")
    parser.add_argument("--warrant", help="{shard, field, t, from, to}: completeness 检索令")
    parser.add_argument("--show", action="store_true", help="print opened evidence 显示解封的证据")
    parser.add_argument("--json", action="store_true", help="one JSON document 以 JSON 输出")
    return parser.parse_args(argv)


def read_file(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError as e:
        raise Unreadable(f"{path}: {e.strerror}") from e


def read_settings(args):
    policy = None
    try:
        if args.policy:
            policy = Policy.parse(read_file(args.policy).decode("utf-8"))
        elif args.vkey:
            policy = Policy()
            policy.logs = [Vkey.parse(args.vkey)]
        partners = []
        for path in args.partner:
            value = read_json(read_file(path))
            partners += value.get("jwks", value).get("keys", [])
        auditor = Auditor(read_json(read_file(args.key)), partners) if args.key else None
        warrant = Warrant(read_json(read_file(args.warrant))) if args.warrant else None
        kept = [read_file(path) for path in args.checkpoint]
        for note in kept:
            if policy:
                Policy.open(policy, note)
    except (Bad, UnicodeDecodeError, AttributeError) as e:
        raise Unreadable(str(e)) from e
    return policy, auditor, warrant, kept


def check(path, policy=None, report=None, auditor=None, warrant=None, kept=()):
    """Checks whatever stands at `path`; the door for other programs."""
    report = report or Report()
    try:
        if os.path.isdir(path) and not os.path.exists(os.path.join(path, "manifest.json")):
            check_directory(path, policy, report, kept, auditor)
        elif not os.path.exists(path):
            raise Unreadable(f"{path}: no such file")
        elif not os.path.isdir(path) and open_first(path).startswith(b"c2sp.org/tlog-proof"):
            check_proof(path, policy, report)
        else:
            check_package(path, policy, report, auditor, warrant)
    except Bad as e:
        report.found("package-malformed", os.path.basename(path), None, str(e))
    except OSError as e:
        raise Unreadable(f"{path}: {e.strerror}") from e
    return report


def open_first(path):
    with open(path, "rb") as f:
        return f.read(64)


def main(argv=None):
    args = arguments(argv)
    try:
        policy, auditor, warrant, kept = read_settings(args)
        report = check(args.what, policy, None, auditor, warrant, kept)
    except Unreadable as e:
        if args.json:
            print(json.dumps({"readable": False, "fault": str(e)}, ensure_ascii=False))
        print(f"tongban_verify: {e} 无法读取", file=sys.stderr)
        return 1
    sound = not report.findings
    if args.json:
        out = {"sound": sound, "trust": report.trust, "logs": report.logs, "counts": report.counts,
               "findings": report.findings, "notices": report.notices, "leaves": report.leaves}
        if args.show:
            out["opened"] = report.opened
        print(json.dumps(out, ensure_ascii=False, indent=1))
    else:
        print_report(report, args)
    return 0 if sound else 2


def print_report(report, args):
    for log in report.logs:
        print(f"{log['origin']}: {log.get('leaves', log['size'])} leaves 条记录, tree of 树 {log['size']}, key 公钥 {log['key']}")
    if report.trust != "given":
        print("  the key is the log's own word: compare it with the region's card 公钥为账本自述，请与名片核对")
    print("evidence 证据: " + ", ".join(f"{n} {word}" for word, n in report.counts.items()))
    for leaf in report.leaves:
        if leaf.get("evidence") in ("erased", "dropped"):
            print(f"· leaf {leaf['index']}: {leaf['evidence']} by order #{leaf['order']} 依令 #{leaf['order']} 已删除")
    if args.show:
        for one in report.opened:
            print(json.dumps(one, ensure_ascii=False, indent=1))
    for notice in report.notices:
        print(f"· {notice['file']}: {notice['message']}")
    for found in report.findings:
        where = f": leaf {found['index']}" if found["index"] is not None else ""
        print(f"✗ {found['file']}{where}: {found['kind']} {found['message']}")
    print("sound 完好" if not report.findings else "violation 发现违规")


if __name__ == "__main__":
    sys.exit(main())
