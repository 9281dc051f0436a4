"""A partner that holds the true keys and does not tell the truth: stands between a client and the real gateway.

Every request goes on to the gateway, so what comes back is genuine until one fault (`faults`) is put into it.
"""

import base64
import http.client
import json
import ssl
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from .keys import b64url, tls_pair, with_kid

ANSWER = "application/tongban-response+jwt"


def un_b64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Told:
    """An answer under way: what the gateway said, the request it answers, and the liar's means."""

    status: int
    content_type: str
    body: bytes
    request: bytes
    liar: "Misbehaving"

    @property
    def claims(self):
        return json.loads(un_b64url(self.body.decode().split(".")[1]))

    def parts(self):
        return self.body.decode().split(".")

    def header(self, **changed):
        return json.loads(un_b64url(self.parts()[0])) | changed

    def sign(self, payload, header=None, key=None, form="raw"):
        """A new body: the payload (claims, or exact bytes) under the true key, or another."""
        payload = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
        text = f"{b64url(json.dumps(header or self.header()).encode())}.{b64url(payload)}"
        der = (key or self.liar.key).sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        raw = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(der))
        self.body = f"{text}.{b64url(raw if form == 'raw' else der)}".encode()

    def change(self, **changed):
        """Changes claims and signs anew; None takes a claim away."""
        self.sign({name: value for name, value in (self.claims | changed).items() if value is not None})


class Misbehaving:
    def __init__(self, folder, county, ours):
        """`ours`: the vendor, whose certificate opens the real gateway."""
        folder.mkdir(parents=True)
        jwk = county.signing_jwk()
        self.key = ec.derive_private_key(int.from_bytes(un_b64url(jwk["d"]), "big"), ec.SECP256R1())
        self.stranger = ec.generate_private_key(ec.SECP256R1())
        self.retired = ec.generate_private_key(ec.SECP256R1())
        self.fault, self.seen, self.kept = None, 0, {}
        self.upstream = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.upstream.check_hostname, self.upstream.verify_mode = False, ssl.CERT_NONE
        self.upstream.load_cert_chain(ours.home / "tls.crt", ours.home / "tls.key")
        self.port = county.partner
        pin = tls_pair(folder, "421202")
        server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        # The handshake belongs to the connection's own thread: a client that only looks must not block others.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self.endpoint = f"https://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # The card as the client has it: the true keys, a key that has ended, this endpoint and its pin.
        ended = public_jwk(self.retired) | {"alg": "ES256", "use": "sig", "exp": int(time.time()) - 60}
        self.card = county.card | {"endpoint": self.endpoint, "tls": {"spki_sha256": [pin]}, "jwks": {"keys": [*county.card["jwks"]["keys"], ended]}}

    def forward(self, method, path, body, headers):
        line = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.upstream, timeout=30)
        line.request(method, path, body=body, headers=headers)
        answer = line.getresponse()
        told = Told(answer.status, answer.getheader("content-type", ""), answer.read(), body or b"", self)
        line.close()
        return told

    def handler(liar):  # noqa: N805  the handler's own self is another
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self):
                liar.seen += 1
                body = self.rfile.read(int(self.headers.get("content-length", 0))) or None
                kind = self.headers.get("content-type")
                told = liar.forward(self.command, self.path, body, {"content-type": kind} if kind else {})
                if liar.fault:
                    liar.fault(told)
                self.send_response(told.status)
                self.send_header("content-type", told.content_type)
                self.send_header("content-length", str(len(told.body)))
                self.send_header("connection", "close")
                self.end_headers()
                self.wfile.write(told.body)
                self.close_connection = True

            do_GET = do_POST = do

            def log_message(self, *_):
                pass

        return Handler


def public_jwk(key):
    numbers = key.public_key().public_numbers()
    return with_kid({"crv": "P-256", "kty": "EC", "x": b64url(numbers.x.to_bytes(32, "big")), "y": b64url(numbers.y.to_bytes(32, "big"))})


def kid(key):
    return public_jwk(key)["kid"]
