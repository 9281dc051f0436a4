"""Sealed evidence and search tokens (protocol B-14, B-15), each byte given."""

import base64
import hmac
import unicodedata

from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .build import compact, jcs

from .keys import Es256, b64url, sha256
from .tree import leaf_hash

def normalise(field, value):
    text = unicodedata.normalize("NFKC", value).upper().replace(" ", "").replace("-", "")
    if field == "citizen" and len(text) == 15 and text.isdigit():
        body = text[:6] + "19" + text[6:]
        weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
        text = body + "10X98765432"[sum(w * int(c) for w, c in zip(weights, body)) % 11]
    return text


def mac(key, message):
    return hmac.digest(key, message, "sha256")


def token(shard_key, field, value):
    return mac(shard_key, field.encode() + b"\0" + normalise(field, value).encode())


def document(keys):
    epoch, epoch_key, r, shard_key = 1_899_999_600_000, sha256(b"epoch key"), sha256(b"r"), sha256(b"K_shard")
    result = jcs({"found": False, "source": "register", "as_of": 1_900_000_000, "licenses": [], "ways": ["upload"]})
    plaintext = {"certificate": base64.b64encode(b"not a certificate, only bytes").decode(),
                 "request": "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl", "result": result}
    searched = [("citizen", "42120219000101001X"), ("case", "K3310834212022026101200000001M"), ("operator", "331083:YH0123")]
    tags = sorted(b64url(mac(r, token(shard_key, field, value))[:16]) for field, value in searched)
    # Exactly these bytes: whoever writes the object anew, in another order or with spaces, has another key's commitment.
    wrapped = wrap(keys, epoch, epoch_key)
    wrapped_text = compact(wrapped)
    leaf = {"v": 1, "t": "in", "me": "421202", "peer": "331083", "x": "A" * 22, "ts": 1_900_000_000_123, "iat": 1_900_000_000,
            "op": "license.query", "dec": "permit", "status": 200, "rq": b64url(sha256(plaintext["request"].encode())),
            "rd": b64url(sha256(result.encode())), "ek": b64url(sha256(wrapped_text.encode())[:16]), "rh": b64url(sha256(r)[:16]),
            "tags": tags, "ms": [1, 2], "sz": [2100, 900]}
    bound = jcs(leaf)
    key = HKDF(hashes.SHA256(), 32, None, b"tongban/evidence/v1").derive(epoch_key + r)
    text = compact(plaintext)
    sealed = AESGCM(key).encrypt(bytes(12), text.encode(), bound.encode())
    whole = jcs({**leaf, "ev": b64url(sha256(sealed))})
    days = ["20300318", "20300319"]
    return {
        "epoch": epoch, "epoch_key": epoch_key.hex(), "r": r.hex(), "plaintext": text, "key": key.hex(), "nonce": "00" * 12,
        "associated_data": bound, "sealed": base64.b64encode(sealed).decode(), "ev": b64url(sha256(sealed)),
        "rh": b64url(sha256(r)[:16]), "leaf": whole, "leaf_hash": leaf_hash(whole.encode()).hex(),
        "refused": [
            {"why": "one bit of the ciphertext", "sealed": base64.b64encode(bytes([sealed[0] ^ 1]) + sealed[1:]).decode()},
            {"why": "another leaf", "associated_data": bound.replace('"status":200', '"status":201')},
            {"why": "another r", "r": sha256(b"another r").hex()},
        ],
        "wrapped_epoch": wrapped, "wrapped_text": wrapped_text, "ek": leaf["ek"],
        "not_committed": [
            {"why": "one bit of the wrapped key", "wrapped_text": wrapped_text.replace('"tag":"', '"tag":"A', 1)},
            {"why": "another key, wrapped as well", "wrapped_text": compact(wrap(keys, epoch, sha256(b"another epoch key")))},
            {"why": "the same object in other bytes", "wrapped_text": wrapped_text + " "},
        ],
        "shard_key": shard_key.hex(),
        "tokens": [
            {"field": field, "value": value, "normalised": normalise(field, value),
             "token": token(shard_key, field, value).hex(),
             "tag": b64url(mac(r, token(shard_key, field, value))[:16]),
             "days": {day: mac(token(shard_key, field, value), b"day" + day.encode())[:16].hex() for day in days}}
            for field, value in [*searched, ("license", "J331083-2026-000001"), ("citizen", "421202000101001"),
                                 ("citizen", "４２１２０２１９０００１０１００１ｘ"), ("case", "k331083421202 2026101200000001m")]
        ],
    }


def wrap(keys, epoch, epoch_key):
    """General-JSON JWE, ECDH-ES+A256KW, with an ephemeral key, a content key and an IV that are given here."""
    auditor, ephemeral = keys["auditor"], Es256("auditor ephemeral")
    content_key, iv = sha256(b"content key"), sha256(b"iv")[:12]
    shared = ephemeral.key.exchange(ec.ECDH(), auditor.key.public_key())
    sized = lambda data: len(data).to_bytes(4, "big") + data
    other = sized(b"ECDH-ES+A256KW") + sized(b"") + sized(b"") + (256).to_bytes(4, "big")
    wrapping = ConcatKDFHash(hashes.SHA256(), 32, other).derive(shared)
    protected = b64url(compact({"alg": "ECDH-ES+A256KW", "enc": "A256GCM"}).encode())
    payload = compact({"epoch": epoch, "key": b64url(epoch_key)}).encode()
    sealed = AESGCM(content_key).encrypt(iv, payload, protected.encode())
    header = {"kid": keys.kid("auditor"), "epk": ephemeral.public}
    return {"protected": protected,
            "recipients": [{"header": header, "encrypted_key": b64url(keywrap.aes_key_wrap(wrapping, content_key))}],
            "iv": b64url(iv), "ciphertext": b64url(sealed[:-16]), "tag": b64url(sealed[-16:])}


