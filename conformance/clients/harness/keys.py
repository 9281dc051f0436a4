"""Keys and certificates, made with openssl and nothing of this project."""

import base64
import hashlib
import json
import subprocess

from .tools import quiet


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def with_kid(jwk):
    """A public EC key of four members with its RFC 7638 thumbprint."""
    return jwk | {"kid": b64url(hashlib.sha256(json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()).digest())}


def der(*command):
    """What openssl writes, as bytes."""
    return subprocess.run(["openssl", *map(str, command), "-outform", "DER"], check=True, capture_output=True).stdout


def signing_key(path):
    """A new P-256 key; its public JWK."""
    quiet("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    point = der("pkey", "-in", path, "-pubout")[-64:]
    return with_kid({"crv": "P-256", "kty": "EC", "x": b64url(point[:32]), "y": b64url(point[32:])}) | {"alg": "ES256", "use": "sig"}


def tls_pair(folder, region):
    """A certificate that names the gateway in its one URI; the pin of its key."""
    names = f"subjectAltName=URI:urn:tongban:gw:{region},DNS:localhost,IP:127.0.0.1"
    quiet("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN=gateway {region}",
          "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "keyUsage=critical,digitalSignature",
          "-addext", "extendedKeyUsage=serverAuth,clientAuth", "-keyout", folder / "tls.key", "-out", folder / "tls.crt")
    return b64url(hashlib.sha256(der("pkey", "-in", folder / "tls.key", "-pubout")).digest())
