"""Builds messages as `cases/README.md` says: a base message of the scene, its directives filled in, one change."""

import copy
import datetime
import hashlib
import json

from .identifiers import mod37_36
from .keys import P256_ORDER, b64url, sha256, unb64url

SHANGHAI = datetime.timezone(datetime.timedelta(hours=8))
B64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def jcs(value):
    """RFC 8785 for values whose numbers are integers."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(json.dumps(n, ensure_ascii=False) + ":" + jcs(value[n]) for n in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(jcs, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def digest_of(value):
    return b64url(sha256(jcs(value).encode()))


class Scene:
    def __init__(self, document, keys):
        self.document, self.keys = document, keys

    def urn(self, member):
        return "urn:tongban:gw:" + self.document["members"][member]["region"]

    def base(self, named):
        """A message by its name, or `{"like", "key"?, "from"?, "item"?}`."""
        if isinstance(named, str):
            return copy.deepcopy(self.document["messages"][named]), "asking"
        message = copy.deepcopy(self.document["messages"][named["like"]])
        message["key"] = named.get("key", message["key"])
        message["payload"].update({"item": named["item"]} if "item" in named else {})
        sender = named.get("from", "asking")
        if sender != "asking":
            message["payload"]["iss"] = {"$member": sender}
        return message, sender


class Moment:
    """What the messages of one case share: the clock, and the ids made for it."""

    def __init__(self, scene, name, at, request=None):
        self.scene, self.name, self.at, self.request = scene, name, at, request
        self.made = {}

    def new(self, what):
        count = self.made[what] = self.made.get(what, 0) + 1
        return b64url(hashlib.sha256(f"{self.name}/{what}/{count}".encode()).digest())[:22]

    def case_number(self, name, collecting="asking", handling="answering"):
        members = self.scene.document["members"]
        day = datetime.datetime.fromtimestamp(self.at, SHANGHAI).strftime("%Y%m%d")
        serial = int.from_bytes(sha256(f"{self.name}/{name}".encode())[:4], "big") % 10**8
        body = f"K{members[collecting]['region']}{members[handling]['region']}{day}{serial:08}"
        return body + mod37_36(body)

    def fill(self, value, own):
        """Directives become values; `own` holds what the message itself has made so far."""
        if isinstance(value, list):
            return [self.fill(item, own) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and next(iter(value)).startswith("$"):
            ((word, argument),) = value.items()
            return self.directive(word[1:], argument, own)
        return {name: self.fill(item, own) for name, item in value.items()}

    def directive(self, word, argument, own):
        if word == "time":
            return self.at + argument
        if word == "datetime":
            return datetime.datetime.fromtimestamp(self.at + argument, SHANGHAI).isoformat()
        if word == "day":
            return (datetime.datetime.fromtimestamp(self.at, SHANGHAI) + datetime.timedelta(days=argument)).date().isoformat()
        if word == "new":
            return own.setdefault(argument, self.new(argument))
        if word == "member":
            return self.scene.urn(argument)
        if word == "kid":
            return self.scene.keys.kid(argument)
        if word == "case":
            return self.case_number(argument)
        if word == "case_of":
            return self.case_number("here", *argument)
        if word == "holder":
            kind, number = argument
            return b64url(sha256(b"\0".join(part.encode() for part in (own["id"], kind, number))))
        if word == "signed":
            return self.message(argument, None).text
        if word == "event":
            return digest_of(self.fill(self.scene.document["messages"][argument]["payload"]["body"], {}))
        if word == "digest_text":
            return b64url(sha256(argument.encode()))
        if word == "origin":
            day = datetime.datetime.fromtimestamp(self.at, SHANGHAI)
            region = self.scene.document["members"][argument]["region"]
            return f"tongban/{region}/{day.year}h{1 if day.month < 7 else 2}"
        if word == "request":
            claims = self.request.claims
            return {
                "jti": lambda: claims["jti"], "op": lambda: claims["op"],
                "digest": lambda: b64url(sha256(self.request.text.encode())),
                "event": lambda: digest_of(claims["body"]), "verification": lambda: claims["body"]["id"],
            }[argument]()
        raise ValueError(f"no directive ${word}")

    def message(self, base, change, at=None):
        if at is not None:
            later = copy.copy(self)
            later.at = at
            return later.message(base, change)
        document, sender = self.scene.base(base)
        return Message(self, document, sender).changed(change)


class Message:
    def __init__(self, moment, document, sender):
        self.moment, self.sender, self.key = moment, sender, document["key"]
        self.http_status = document.get("http_status")
        self.own = {}
        self.header_key = self.key
        self.typ, self.template = document["typ"], document["payload"]
        self.window = None

    def changed(self, change):
        change = change or {}
        changes = change["both"] if "both" in change else [change] if change else []
        for one in changes:
            self.before(one)
        keys = self.moment.scene.keys
        # Ids first: other members may be made from them.
        self.claims = self.moment.fill({k: v for k, v in self.template.items() if v == {"$new": "id"}}, self.own)
        self.claims = self.moment.fill(self.template, self.own)
        self.header = {"alg": keys[self.header_key].alg, "typ": self.typ, "kid": keys.kid(self.header_key)}
        for one in changes:
            self.claimed(one)
        self.parts = [compact(self.header).encode(), compact(self.claims).encode()]
        for one in changes:
            self.written(one)
        self.sign()
        for one in changes:
            self.signed(one)
        return self

    def before(self, change):
        """What is changed in the template."""
        (word, argument), = change.items()
        if word == "key":
            self.key = self.header_key = argument
        elif word == "forge":
            self.key = argument
        elif word == "clock":
            self.moment = copy.copy(self.moment)
            self.moment.at += argument
        elif word == "authorization":
            inner = self.template["authorization"]["$signed"]
            self.template["authorization"] = {"$changed": None}
            directive = self.moment.directive
            moment = copy.copy(self.moment)
            moment.directive = lambda w, a, own: (
                self.moment.message(inner, argument).text if w == "changed" else directive(w, a, own)
            )
            self.moment = moment
        elif word == "problem":
            rows = {code: row for row in REFUSALS for code in row[1].split()}
            status, _, retry = rows[argument]
            problem = self.template["problem"]
            problem.update(type=f"urn:tongban:problem:{argument}", code=argument, status=status, retry=retry)
            self.template["status"] = self.http_status = status
        elif word == "http":
            self.http_status = argument.get("status", self.http_status)

    def claimed(self, change):
        (word, argument), = change.items()
        if word == "set":
            (pointer, value), = argument.items()
            self.put(pointer, self.moment.fill(value, self.own))
        elif word == "remove":
            holder, name = self.place(argument)
            del holder[name]
        elif word == "window":
            self.claims["iat"], self.claims["exp"] = (self.moment.at + shift for shift in argument)
            if "nbf" in self.claims:
                self.claims["nbf"] = self.claims["iat"]

    def place(self, pointer):
        root, *steps = pointer.split("/")[1:]
        at = {"header": self.header, "payload": self.claims}[root]
        for step in steps[:-1]:
            at = at[int(step)] if isinstance(at, list) else at[step]
        return at, int(steps[-1]) if isinstance(at, list) else steps[-1]

    def put(self, pointer, value):
        holder, name = self.place(pointer)
        holder[name] = value

    def written(self, change):
        (word, argument), = change.items()
        if word == "text":
            at = {"header": 0, "payload": 1}[argument["part"]]
            self.parts[at] = edited(self.parts[at], argument)
        elif word in ("grow", "grow_to"):
            fixed = len(b64url(self.parts[0])) + 2 + len(b64url(bytes(64)))
            size = lambda: fixed + (len(self.parts[1]) * 4 + 2) // 3
            while size() < argument:
                self.parts[1] += b" "
            if word == "grow_to" and size() > argument:
                self.parts[1] = self.parts[1][:-1]

    def sign(self):
        self.encoded = [b64url(part) for part in self.parts]
        signing_input = ".".join(self.encoded).encode()
        self.encoded.append(b64url(self.moment.scene.keys[self.key].sign(signing_input)))
        self.text = ".".join(self.encoded)

    def signed(self, change):
        (word, argument), = change.items()
        if word == "signature":
            self.encoded[2] = b64url(self.bent_signature(argument))
            self.text = ".".join(self.encoded)
        elif word == "signed_over":
            other = {**self.claims, "jti": self.moment.new("other")}
            self.encoded[1] = b64url(compact(other).encode())
            self.text = ".".join(self.encoded)
        elif word == "message":
            if "parts" in argument:
                self.text = ".".join(self.encoded[p] if isinstance(p, int) else p for p in argument["parts"])
            elif "respell" in argument:
                self.encoded[argument["respell"]] = respelled(self.encoded[argument["respell"]])
                self.text = ".".join(self.encoded)
            else:
                self.text = edited(self.text.encode(), argument).decode()

    def bent_signature(self, how):
        signature = unb64url(self.encoded[2])
        r, s = signature[:32], signature[32:]
        signing_input = ".".join(self.encoded[:2]).encode()
        return {
            "short": lambda: signature[:-1],
            "long": lambda: signature + b"\0",
            "zero": lambda: bytes(len(signature)),
            "flip": lambda: signature[:-1] + bytes([signature[-1] ^ 1]),
            "swapped": lambda: s + r,
            "der": lambda: self.moment.scene.keys[self.key].sign_der(signing_input),
            "malleated": lambda: r + (P256_ORDER - int.from_bytes(s, "big")).to_bytes(32, "big"),
        }[how]()


def edited(data, how):
    if "is" in how:
        return how["is"].encode()
    if "find" in how:
        new = bytes.fromhex(how["replace_hex"]) if "replace_hex" in how else how["replace"].encode()
        assert how["find"].encode() in data, how
        return data.replace(how["find"].encode(), new, 1)
    return how.get("prefix", "").encode() + data + how.get("suffix", "").encode()


def respelled(part):
    """The same bytes with a bit set that stands for nothing."""
    assert len(part) % 4, "this part has no idle bits"
    return part[:-1] + B64URL[B64URL.index(part[-1]) + 1]


#: status, codes, retry of every signed refusal
REFUSALS = [
    (401, "message-expired not-yet-valid lifetime-too-long", "yes"),
    (403, "audience-mismatch issuer-mismatch", "no"),
    (409, "replay jti-reuse illegal-transition sequence-gap duplicate-case", "no"),
    (403, "no-agreement item-not-agreed op-not-agreed license-not-agreed field-not-agreed basis-not-agreed", "no"),
    (422, "schema-violation unknown-op unknown-license-type unknown-item", "no"),
    (403, "authorization-missing authorization-invalid authorization-expired authorization-revoked "
          "authorization-used-up authorization-insufficient", "no"),
    (404, "unknown-case", "no"),
    (503, "register-unavailable status-stale calendar-unpublished", "after"),
    (504, "register-timeout", "after"),
    (508, "relay-loop", "no"),
]
