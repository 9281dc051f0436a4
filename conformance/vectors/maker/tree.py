"""RFC 6962 trees, signed notes, tiles: the ledger's bytes, written from RFC 6962 §2.1 and the C2SP texts."""

import base64
import functools

from .keys import sha256

EM = "\u2014"


def b64(data):
    return base64.b64encode(data).decode()


def leaf_hash(entry):
    return sha256(b"\x00" + entry)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


def split(n):
    return 1 << (n - 1).bit_length() - 1


class Tree:
    """The tree of some entries; every range is hashed once."""

    def __init__(self, entries):
        self.entries = list(entries)
        self.leaves = [leaf_hash(entry) for entry in self.entries]
        self.root = functools.lru_cache(None)(self.root)

    def root(self, start=0, end=None):
        end = len(self.leaves) if end is None else end
        if end == start:
            return sha256(b"")
        if end - start == 1:
            return self.leaves[start]
        middle = start + split(end - start)
        return node_hash(self.root(start, middle), self.root(middle, end))

    def path(self, m, start, end):
        """PATH(m, D[start:end])."""
        if end - start == 1:
            return []
        k = split(end - start)
        if m < k:
            return self.path(m, start, start + k) + [self.root(start + k, end)]
        return self.path(m - k, start + k, end) + [self.root(start, start + k)]

    def proof(self, m, start, end, whole=True):
        """SUBPROOF(m, D[start:end], b)."""
        if m == end - start:
            return [] if whole else [self.root(start, end)]
        k = split(end - start)
        if m <= k:
            return self.proof(m, start, start + k, whole) + [self.root(start + k, end)]
        return self.proof(m - k, start + k, end, False) + [self.root(start, start + k)]

    def inclusion(self, index, size):
        return self.path(index, 0, size)

    def consistency(self, old, new):
        return [] if old in (0, new) else self.proof(old, 0, new)

    def tiles(self, size):
        """Every tile of the tree of `size` leaves: path and bytes."""
        level, span = 0, 1
        while size // span:
            hashes = [self.root(i * span, (i + 1) * span) for i in range(size // span)]
            for n in range(0, len(hashes), 256):
                width = len(hashes[n:n + 256])
                path = f"tile/{level}/{tile_index(n // 256)}" + (f".p/{width}" if width < 256 else "")
                yield path, b"".join(hashes[n:n + 256])
            level, span = level + 1, span * 256


def tile_index(n):
    groups = [f"{n % 1000:03}"]
    while n >= 1000:
        n //= 1000
        groups.insert(0, f"x{n % 1000:03}")
    return "/".join(groups)


def key_id(name, kind, public):
    return sha256(name.encode() + b"\n" + bytes([kind]) + public)[:4]


def vkey(name, kind, public):
    return f"{name}+{key_id(name, kind, public).hex()}+{b64(bytes([kind]) + public)}"


def checkpoint_text(origin, size, root):
    return f"{origin}\n{size}\n{b64(root)}\n"


def signature_line(name, kind, key, text):
    return f"{EM} {name} {b64(key_id(name, kind, key.raw) + key.sign(text.encode()))}\n"


def cosignature_line(name, key, text, time):
    message = f"cosignature/v1\ntime {time}\n{text}"
    blob = key_id(name, 4, key.raw) + time.to_bytes(8, "big") + key.sign(message.encode())
    return f"{EM} {name} {b64(blob)}\n"
