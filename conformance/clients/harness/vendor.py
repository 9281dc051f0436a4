"""The vendor of the play: 玉环 (331083). Keys, certificate and card are made with openssl, nothing of this project."""

import hashlib
import json
import time

from .county import CITIZEN, ITEM, MARRIAGE
from .keys import signing_key, tls_pair

REGION = "331083"
AGREEMENT = "421202-331083-2020"
PROOF_ITEM = "11421202TECT0001914002009002000"  # 开具户籍类证明: an application without a form of its own
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def case_number(serial):
    """K, collecting and handling region, day, serial, check character (ISO 7064 MOD 37,36)."""
    text = f"K{REGION}421202{time.strftime('%Y%m%d')}{serial:08d}"
    carry = 36
    for character in text:
        carry = (carry + ALPHABET.index(character)) % 36 or 36
        carry = carry * 2 % 37
    return text + ALPHABET[(37 - carry) % 36]


class Vendor:
    def __init__(self, folder):
        self.home = folder / "yuhuan"
        self.home.mkdir()
        self.jwk = signing_key(self.home / "sign.pem")
        pin = tls_pair(self.home, REGION)
        self.card = {"id": f"urn:tongban:gw:{REGION}", "region": REGION, "name": "玉环市", "endpoint": "https://127.0.0.1:9",
                     "tls": {"spki_sha256": [pin]}, "jwks": {"keys": [self.jwk]}, "contact": "0576-0000000", "status": "active"}
        self.card_file = self.home / "card.json"
        self.card_file.write_text(json.dumps(self.card, ensure_ascii=False))

    def desk(self, folder, partner_card, case=None):
        """A client's directory: the vendor's keys and card, this partner's card, what to ask."""
        folder.mkdir(parents=True)
        for name in ("sign.pem", "tls.crt", "tls.key", "card.json"):
            (folder / name).write_bytes((self.home / name).read_bytes())
        (folder / "partner.json").write_text(json.dumps(partner_card, ensure_ascii=False))
        license = {"type": MARRIAGE, "holder": {"type": "111", "number": CITIZEN, "name": "测试甲"}}
        members = {"item": ITEM, "basis": "consent", "purpose": "新生儿户口登记核验父母婚姻状况", "operator": "YH0123", "agreement": AGREEMENT}
        asks = {
            "read": {"license": license, "mode": "read", "fields": ["cert_no", "registered_on"]},
            "verify": {"license": license, "mode": "verify", "expect": {"cert_no": "J331083-2026-000001", "registered_on": "2001-01-01"}},
            "toomuch": {"license": license, "mode": "read", "fields": ["cert_no", "authority"]},
            "faulty": {"license": license, "mode": "read", "fields": []},
        }
        for name, body in asks.items():
            (folder / f"{name}.json").write_text(json.dumps(members | {"body": body}, ensure_ascii=False))
        if case:
            (folder / "application.json").write_text(json.dumps(application(members, case), ensure_ascii=False))
        return folder


def application(members, case):
    upload = {"evidence": "upload", "sha256": hashlib.sha256(b"abc").hexdigest(), "bytes": 3, "media_type": "application/pdf"}
    body = {
        "mode": "online", "parent": None, "native": {"collecting": "YH2026101200017"},
        "collecting": {"region": REGION, "place": "331083001", "org": "11331083TECT000279", "officer": "YH0123",
                       "collected_at": int(time.time()), "identity_check": "id_card_reader"},
        "handling": {"region": "421202", "org": "11421202TECT000191"},
        "applicant": {"kind": "1", "name": "测试甲", "id_type": "111", "id_number": CITIZEN, "mobile": "13900000000", "agent": None},
        "form": {}, "materials": [{"code": code, "name": name} | upload for code, name in (("M1", "身份证"), ("M2", "户口簿"))], "authorizations": [],
    }
    return members | {"item": PROOF_ITEM, "purpose": "开具户籍类证明", "case": case, "body": body}
