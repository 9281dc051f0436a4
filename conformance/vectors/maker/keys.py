"""The keys of the vectors: published, made from their names, good for nothing but tests."""

import base64
import hashlib
import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sha256(data):
    return hashlib.sha256(data).digest()


def seed_of(name):
    return sha256(b"tongban published test key: " + name.encode())


def thumbprint(jwk):
    """RFC 7638."""
    members = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}[jwk["kty"]]
    text = json.dumps({name: jwk[name] for name in members}, separators=(",", ":"), sort_keys=True)
    return b64url(sha256(text.encode()))


def number(value, size=None):
    return b64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class Es256:
    alg = "ES256"

    def __init__(self, name):
        scalar = int.from_bytes(seed_of(name), "big") % (P256_ORDER - 1) + 1
        self.key = ec.derive_private_key(scalar, ec.SECP256R1())
        point = self.key.public_key().public_numbers()
        self.public = {"kty": "EC", "crv": "P-256", "x": number(point.x, 32), "y": number(point.y, 32)}
        self.private = {"d": number(scalar, 32)}

    def sign_der(self, message):
        # RFC 6979: the same bytes on every run.
        return self.key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))

    def sign(self, message):
        r, s = decode_dss_signature(self.sign_der(message))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class Ed25519:
    def __init__(self, name, alg="Ed25519", seed=None):
        seed = seed or seed_of(name)
        self.alg = alg
        self.key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        self.raw = self.key.public_key().public_bytes_raw()
        self.public = {"kty": "OKP", "crv": "Ed25519", "x": b64url(self.raw)}
        self.private = {"d": b64url(seed)}

    def sign(self, message):
        return self.key.sign(message)


class Ps256:
    """RSASSA-PSS by its book (RFC 8017 §9.1.1), because a library would choose a salt of its own."""

    alg = "PS256"

    def __init__(self, name):
        p, q = prime(name + " p"), prime(name + " q")
        p, q = max(p, q), min(p, q)
        self.n, e = p * q, 65537
        self.d = pow(e, -1, (p - 1) * (q - 1))
        self.public = {"kty": "RSA", "n": number(self.n), "e": number(e)}
        self.private = {
            "d": number(self.d), "p": number(p), "q": number(q),
            "dp": number(self.d % (p - 1)), "dq": number(self.d % (q - 1)), "qi": number(pow(q, -1, p)),
        }

    def sign(self, message):
        salt = sha256(b"salt" + message)
        bits = self.n.bit_length() - 1
        size = (bits + 7) // 8
        digest = sha256(bytes(8) + sha256(message) + salt)
        block = bytes(size - 32 - 32 - 2) + b"\x01" + salt
        masked = bytearray(a ^ b for a, b in zip(block, mask(digest, size - 33)))
        masked[0] &= 0xFF >> (8 * size - bits)
        encoded = bytes(masked) + digest + b"\xbc"
        return pow(int.from_bytes(encoded, "big"), self.d, self.n).to_bytes((self.n.bit_length() + 7) // 8, "big")


def mask(seed, length):
    """MGF1 with SHA-256."""
    return b"".join(sha256(seed + i.to_bytes(4, "big")) for i in range(length // 32 + 1))[:length]


def prime(name):
    """The first prime of 1024 bits behind a number made from the name, its two upper bits set."""
    stream = b"".join(sha256(f"{name} {i}".encode()) for i in range(4))
    candidate = int.from_bytes(stream, "big") | 3 << 1022 | 1
    while candidate % 65537 == 1 or not is_prime(candidate):
        candidate += 2
    return candidate


def is_prime(n):
    """Miller and Rabin, with the first twenty primes as bases."""
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71)
    if any(n % base == 0 for base in bases):
        return False
    d, twos = n - 1, 0
    while d % 2 == 0:
        d, twos = d // 2, twos + 1
    for base in bases:
        x = pow(base, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


#: name → (maker, role, what the public key says beside its material)
ROSTER = {
    "asking": (Es256, "gateway", {}),
    "asking-retired": (Es256, "gateway", {"exp": 1_700_000_000}),
    "asking-coming": (Es256, "gateway", {"nbf": 4_000_000_000}),
    "asking-ps256": (Ps256, "gateway", {}),
    "asking-eddsa": (lambda name: Ed25519(name, "EdDSA"), "gateway", {}),
    "asking-ed25519": (Ed25519, "gateway", {}),
    "answering": (Es256, "gateway", {}),
    "answering-retired": (Es256, "gateway", {"exp": 1_700_000_000}),
    "third": (Es256, "gateway", {}),
    "suspended": (Es256, "gateway", {}),
    "authority": (Es256, "authority", {}),
    "authority-retired": (Es256, "authority", {"exp": 1_700_000_000}),
    "other-authority": (Es256, "authority", {}),
    "stranger": (Es256, "nobody's", {}),
    "auditor": (Es256, "auditor", {}),
    "asking-ledger": (lambda name: Ed25519(name, seed=bytes([1]) * 32), "ledger", {}),
    "answering-ledger": (Ed25519, "ledger", {}),
    "witness": (lambda name: Ed25519(name, seed=bytes([2]) * 32), "witness", {}),
    "stranger-ledger": (Ed25519, "nobody's", {}),
}


class Keys:
    def __init__(self):
        self.by_name, self.role, self.more = {}, {}, {}
        for name, (make, role, more) in ROSTER.items():
            self.by_name[name], self.role[name], self.more[name] = make(name), role, more

    def __getitem__(self, name):
        return self.by_name[name]

    def kid(self, name):
        return thumbprint(self[name].public)

    def public(self, name):
        use = {"alg": "ECDH-ES+A256KW", "use": "enc"} if self.role[name] == "auditor" else {"alg": self[name].alg, "use": "sig"}
        return {**self[name].public, "kid": self.kid(name), **use, **self.more[name]}

    def document(self):
        return {
            "about": "Published keys, made from their names; nothing but tests may trust them.",
            "keys": [
                {"name": name, "role": self.role[name], "public": self.public(name), "private": self[name].private}
                for name in self.by_name
            ],
            "refused": self.refused(),
        }

    def refused(self):
        """Public keys that must not be loaded."""
        good, edwards, rsa = (self.public(name) for name in ("asking", "asking-ed25519", "asking-ps256"))
        y = unb64url(good["y"])
        weak = {**rsa, "n": number(self["asking-ps256"].n >> 1024 | 1)}
        rows = [
            ("another kid", {**good, "kid": self.kid("third")}),
            ("off the curve", {**good, "y": b64url(y[:-1] + bytes([y[-1] ^ 1]))}),
            ("small order", {**edwards, "x": b64url(b"\x01" + bytes(31))}),
            ("weak RSA", weak),
            ("private", {**good, **self["asking"].private}),
            ("an algorithm of another kind of key", {**good, "alg": "EdDSA"}),
            ("a shared secret", {"kty": "oct", "k": b64url(bytes(32)), "alg": "HS256", "kid": self.kid("asking")}),
        ]
        for why, jwk in rows:
            if why not in ("another kid", "a shared secret", "private"):
                jwk["kid"] = thumbprint(jwk)
        return [{"why": why, "key": jwk} for why, jwk in rows]
