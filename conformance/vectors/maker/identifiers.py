"""Identifiers and their check characters, by the standards' own words."""

import datetime
import re

A36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
A31 = "0123456789ABCDEFGHJKLMNPQRTUWXY"
#: Issued without a fitting check character, and valid (protocol N-6).
EXCEPTIONS = ["91350100M0001TGQXM", "91350203M0001FUE2P", "91350211M0000XUF46"]


def mod37_36(text):
    """ISO/IEC 7064 MOD 37,36."""
    p = 36
    for character in text:
        total = (p + A36.index(character)) % 36 or 36
        p = 2 * total % 37
    return A36[(37 - p) % 36]


def resident_id(text, today, regions):
    if not re.fullmatch(r"[1-9][0-9]{5}(18|19|20)[0-9]{9}[0-9Xx]", text):
        return "format"
    if text[:6] not in regions:
        return "region"
    try:
        born = datetime.date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return "date"
    if born > today:
        return "future"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    check = "10X98765432"[sum(w * int(c) for w, c in zip(weights, text)) % 11]
    return "ok" if check == text[17].upper() else "check"


def uscc(text):
    if not re.fullmatch(r"[1-9ANY][1-59][0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}", text):
        return "format"
    total = sum(pow(3, i, 31) * A31.index(c) for i, c in enumerate(text[:17]))
    if A31[(31 - total % 31) % 31] == text[17]:
        return "ok"
    return "ok-exception" if text in EXCEPTIONS else "check"


def license_id(text):
    match = re.fullmatch(
        r"1\.2\.156\.3005\.2\.([0-9A-Z]{18})([0-9]{3})\.([0-9A-Z]{6,18})\.([0-9A-Z]{1,64})\.([0-9]{3})\.([0-9A-Z])", text
    )
    if not match:
        return "format"
    authority, number, issuer, serial, version, check = match.groups()
    if not uscc(authority).startswith("ok"):
        return "type-uscc"
    return "ok" if mod37_36(authority + number + issuer + serial + version) == check else "check"


def item_code(text):
    match = re.fullmatch(r"(.{18})[1-7](00|[1-8][0-9])(0[1-9]|[12][0-9])[0-9]{8}([0-9]{2})?", text)
    return "ok" if match and uscc(match[1]).startswith("ok") else "bad"


def case_number(text, regions):
    match = re.fullmatch(r"K([0-9]{6})([0-9]{6})([0-9]{4})([0-9]{2})([0-9]{2})[0-9]{8}([0-9A-Z])", text)
    if not match:
        return "format"
    if match[1] not in regions or match[2] not in regions:
        return "region"
    try:
        datetime.date(int(match[3]), int(match[4]), int(match[5]))
    except ValueError:
        return "date"
    return "ok" if mod37_36(text[:-1]) == match[6] else "check"
