"""Vectors of the ledger: trees, proofs, notes, tiles, what a witness is sent, reconciliation."""

from . import tree as t
from .build import jcs
from .keys import b64url, sha256
from .tree import Tree

ORIGIN = "tongban/331083/2030h1"
WITNESS = "tongban/421202/w1"
SIZES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33, 255, 256, 257, 300, 600, 65_536, 70_000]
AT = 1_900_000_000


def hexes(hashes):
    return [h.hex() for h in hashes]


def document(keys):
    log, witness = keys["asking-ledger"], keys["witness"]
    numbers = Tree(str(i).encode() for i in range(70_000))
    return {
        "about": "Entry i of the numbered tree is the decimal text of i. Hashes are hex.",
        "hashes": {
            "empty": sha256(b"").hex(),
            "leaves": [{"entry": e, "hash": t.leaf_hash(e.encode()).hex()} for e in ("", "a", "b", "0", "599")],
            "node": {"left": "00" * 32, "right": "ff" * 32, "hash": t.node_hash(bytes(32), b"\xff" * 32).hex()},
        },
        "roots": [{"size": size, "root": numbers.root(0, size).hex()} for size in SIZES],
        "inclusion": inclusion(numbers),
        "consistency": consistency(numbers),
        "tiles": tiles(numbers),
        "published": published(log, witness),
        "notes": notes(keys),
        "leaves": leaves(keys),
        "witness": submissions(keys),
        "reconciliation": reconciliation(keys),
        "tile_paths": [{"index": n, "path": t.tile_index(n)} for n in (0, 5, 999, 1000, 67_001, 1_234_067)],
    }


def inclusion(tree):
    out = []
    for size in (1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 255, 256, 257, 600, 70_000):
        for index in sorted({0, 1, size // 2, size - 2, size - 1} & set(range(size))):
            out.append({"size": size, "index": index, "leaf": tree.leaves[index].hex(),
                        "root": tree.root(0, size).hex(), "proof": hexes(tree.inclusion(index, size)), "holds": True})
    good = {"size": 7, "index": 4, "leaf": tree.leaves[4].hex(), "root": tree.root(0, 7).hex(),
            "proof": hexes(tree.inclusion(4, 7)), "holds": False}
    first = good["proof"][0]
    for why, change in [
        ("one bit of a hash", {"proof": [flip(first), *good["proof"][1:]]}),
        ("a hash is missing", {"proof": good["proof"][:-1]}),
        ("a hash too many", {"proof": [*good["proof"], "00" * 32]}),
        ("two hashes swapped", {"proof": [good["proof"][1], first, *good["proof"][2:]]}),
        ("another index", {"index": 5}),
        ("an index outside the tree", {"index": 7}),
        ("another size", {"size": 6}),
        ("another leaf", {"leaf": tree.leaves[5].hex()}),
        ("another root", {"root": tree.root(0, 6).hex()}),
        ("no proof at all", {"proof": []}),
    ]:
        out.append({**good, **change, "why": why})
    return out


def consistency(tree):
    out = []
    for new in (1, 2, 3, 4, 6, 7, 8, 9, 17, 256, 257, 600, 70_000):
        for old in sorted({0, 1, 2, 3, new // 2, new - 1, new} & set(range(new + 1))):
            out.append({"old": old, "new": new, "old_root": tree.root(0, old).hex(), "new_root": tree.root(0, new).hex(),
                        "proof": hexes(tree.consistency(old, new)), "holds": True})
    good = {"old": 3, "new": 7, "old_root": tree.root(0, 3).hex(), "new_root": tree.root(0, 7).hex(),
            "proof": hexes(tree.consistency(3, 7)), "holds": False}
    for why, change in [
        ("one bit of a hash", {"proof": [flip(good["proof"][0]), *good["proof"][1:]]}),
        ("a hash is missing", {"proof": good["proof"][:-1]}),
        ("a hash too many", {"proof": [*good["proof"], "00" * 32]}),
        ("another old root", {"old_root": tree.root(0, 4).hex()}),
        ("another new root", {"new_root": tree.root(0, 6).hex()}),
        ("the sizes swapped", {"old": 7, "new": 3}),
        ("another old size", {"old": 4}),
        ("a proof where none is needed", {"old": 7, "old_root": tree.root(0, 7).hex()}),
        ("from nothing, with a proof", {"old": 0, "old_root": tree.root(0, 0).hex()}),
    ]:
        out.append({**good, **change, "why": why})
    return out


def flip(text):
    return format(int(text[0], 16) ^ 1, "x") + text[1:]


def tiles(tree):
    small = [{"path": path, "bytes": data.hex()} for path, data in tree.tiles(5)]
    sums = {str(size): [{"path": path, "length": len(data), "sha256": sha256(data).hex()} for path, data in tree.tiles(size)]
            for size in (256, 600)}
    wide = list(tree.tiles(70_000))
    return {
        "of_5": small, "of": sums,
        "of_70000": {"count": len(wide), "last": [{"path": p, "length": len(d), "sha256": sha256(d).hex()} for p, d in wide
                                                   if ".p/" in p or p.startswith("tile/1/")]},
    }


def published(log, witness):
    """The C2SP example of the project's reference, known from elsewhere: same seeds, same bytes."""
    origin, name, time = "exchange-log.county-a.example/2026h2", "gateway.county-b.example/w1", 1_766_275_200
    text = t.checkpoint_text(origin, 3, Tree([b"", b"a", b"b"]).root())
    note = text + "\n" + t.signature_line(origin, 1, log, text) + t.cosignature_line(name, witness, text, time)
    assert "pRlM19/84bzBaPZNAxawYDQZyy4W6KN6jpWTrf9FikRjDDyFBrvzJiXb4d16VLsF1WeVYI" in note
    assert "FwW0jgAAAABpRziAZz90gn+eplQ+iBjXJdZSkWlA778JByvSlz3pDMOsxrY0forf57DCnZYw38SUuEAcpZp" in note
    return {"entries": ["", "a", "b"], "log_vkey": t.vkey(origin, 1, log.raw), "witness_vkey": t.vkey(name, 4, witness.raw),
            "time": time, "note": note}


def notes(keys):
    log, stranger = keys["asking-ledger"], keys["stranger-ledger"]
    text = t.checkpoint_text(ORIGIN, 7, Tree(str(i).encode() for i in range(7)).root())
    good = t.signature_line(ORIGIN, 1, log, text)
    forged = good[:-6] + ("A" if good[-6] != "A" else "B") + good[-5:]
    foreign = t.signature_line("tongban/320922/2030h1", 1, stranger, text)
    other = t.checkpoint_text("tongban/320922/2030h1", 7, bytes(32))
    cosigned = t.cosignature_line(WITNESS, keys["witness"], text, AT)
    zeros = text.replace("\n7\n", "\n07\n")
    more = text + "more\n"
    rows = [
        ("a checkpoint", text + "\n" + good, True),
        ("an unknown signature beside the log's", text + "\n" + foreign + good, True),
        ("with a cosignature", text + "\n" + good + cosigned, True),
        ("no signature of the log's key", text + "\n" + foreign, False),
        ("a signature of the log's key that fails", text + "\n" + forged, False),
        ("a good and a failing signature of the log's key", text + "\n" + good + forged, False),
        ("no empty line", text + good, False),
        ("no signature at all", text + "\n", False),
        ("one digit of the size", text.replace("\n7\n", "\n8\n") + "\n" + good, False),
        ("a size with a leading zero", zeros + "\n" + t.signature_line(ORIGIN, 1, log, zeros), False),
        ("an extension line", more + "\n" + t.signature_line(ORIGIN, 1, log, more), False),
        ("another origin under the log's key", other + "\n" + t.signature_line(ORIGIN, 1, log, other), False),
        ("a hyphen for the dash", text + "\n" + good.replace(t.EM, "-"), False),
        ("no last line end", (text + "\n" + good)[:-1], False),
    ]
    return {"vkey": t.vkey(ORIGIN, 1, log.raw), "witness_vkey": t.vkey(WITNESS, 4, keys["witness"].raw), "time": AT,
            "notes": [{"what": what, "note": note, "holds": holds} for what, note, holds in rows]}


def some_leaves():
    digest = lambda word: b64url(sha256(word.encode()))
    base = {"v": 1, "me": "331083", "ts": AT * 1000}
    return [
        {**base, "t": "genesis", "past": "tongban/331083/2029h2", "ck": digest("checkpoint")},
        {**base, "t": "out.sent", "x": "A" * 22, "peer": "421202", "op": "ping", "rq": digest("request"), "sz": [612], "ts": AT * 1000 + 1},
        {**base, "t": "out.done", "x": "A" * 22, "peer": "421202", "op": "ping", "rq": digest("request"), "rs": digest("response"),
         "dec": "permit", "status": 200, "ms": [31], "sz": [801], "ts": AT * 1000 + 32},
        {**base, "t": "in", "x": "B" * 22, "peer": "421202", "op": "license.query", "item": "11421202TECT0001914000709001000",
         "lt": "111000000000131433001", "dec": "deny", "code": "no-agreement", "status": 403, "rq": digest("q"), "rd": digest("d"),
         "ms": [1, 0], "sz": [2048, 900], "ts": AT * 1000 + 50},
        {**base, "t": "incident", "peer": "421202", "code": "malformed", "n": 17, "ts": AT * 1000 + 60_000},
    ]


def leaves(keys):
    log = keys["asking-ledger"]
    lines = [jcs(leaf).encode() for leaf in some_leaves()]
    tree = Tree(lines)
    text = t.checkpoint_text(ORIGIN, len(lines), tree.root())
    note = text + "\n" + t.signature_line(ORIGIN, 1, log, text)
    rows = []
    for index, line in enumerate(lines):
        path = "".join(t.b64(h) + "\n" for h in tree.inclusion(index, len(lines)))
        rows.append({"entry": line.decode(), "hash": tree.leaves[index].hex(), "hash_b64url": b64url(tree.leaves[index]),
                     "tlog_proof": f"c2sp.org/tlog-proof@v1\nextra {t.b64(line)}\nindex {index}\n{path}\n{note}"})
    return {"vkey": t.vkey(ORIGIN, 1, log.raw), "checkpoint": note, "entries": rows}


def submissions(keys):
    """Bodies for `add-checkpoint`, in this order to one witness that begins with nothing."""
    log, stranger = keys["asking-ledger"], keys["stranger-ledger"]
    tree = Tree(str(i).encode() for i in range(9))
    forked = Tree((str(i) if i != 2 else "altered").encode() for i in range(9))

    def body(old, new, of=tree, proof=None, name=ORIGIN, key=log, head=None, flipped=False):
        text = t.checkpoint_text(name, new, of.root(0, new))
        line = t.signature_line(name, 1, key, text)
        if flipped:
            line = line[:-6] + ("A" if line[-6] != "A" else "B") + line[-5:]
        hashes = (of.consistency(old, new) if old <= new else []) if proof is None else proof
        return (head or f"old {old}\n") + "".join(t.b64(h) + "\n" for h in hashes) + "\n" + text + "\n" + line

    bad = tree.consistency(3, 7)
    bad[0] = bytes([bad[0][0] ^ 1]) + bad[0][1:]
    rows = [
        ("an origin nobody knows", body(0, 3, name="tongban/320981/2030h1", key=stranger), 404, None),
        ("no signature of the log's key", body(0, 3, key=stranger), 403, None),
        ("a signature of the log's key that fails", body(0, 3, flipped=True), 403, None),
        ("old beyond the checkpoint", body(5, 3), 400, None),
        ("old that was never stored", body(2, 3), 409, "0\n"),
        ("a first checkpoint", body(0, 3), 200, None),
        ("the same again", body(3, 3), 200, None),
        ("old that is not what is stored", body(0, 7), 409, "3\n"),
        ("the same size with another root", body(3, 3, of=forked), 422, None),
        ("a proof that fails", body(3, 7, proof=bad), 422, None),
        ("a proof that is missing", body(3, 7, proof=[]), 422, None),
        ("a forked log", body(3, 7, of=forked), 422, None),
        ("a larger checkpoint", body(3, 7), 200, None),
        ("going back", body(3, 5), 409, "7\n"),
        ("no old line", body(7, 9, head="size 7\n"), 400, None),
        ("old with a leading zero", body(7, 9, head="old 07\n"), 400, None),
        ("sixty-four hashes", body(7, 9, proof=[bytes(32)] * 64), 400, None),
    ]
    return {"vkey": t.vkey(ORIGIN, 1, log.raw), "origin": ORIGIN, "origin_sha256": sha256(ORIGIN.encode()).hex(),
            "requests": [{"what": what, "body": text, "status": status, **({"answer": answer} if answer else {})}
                         for what, text, status, answer in rows]}


def reconciliation(keys):
    """One window of 421202 and 331083 (protocol W-8, W-9)."""
    known_window(keys["asking-ledger"])
    start, end = 1_899_996_360, 1_899_996_420
    rows, items = [], []
    for n, outcome in enumerate([1, 2, 1, 0, 1]):
        jti, message, told = f"0190f3a2-7c1e-7d4b-9a51-{n:012}", f"aGVhZGVy.{n}.c2lnbmF0dXJl", {"found": False, "n": n}
        rd = sha256(jcs(told).encode()) if outcome else bytes(32)
        item = sha256(jti.encode())[:16] + sha256(message.encode()) + rd + bytes([outcome])
        rows.append({"jti": jti, "request": message, **({"told": jcs(told)} if outcome else {}), "outcome": outcome, "item": b64url(item)})
        items.append(item)
    counted = sorted(item for item in items if item[-1])
    root = Tree(counted).root()
    text = f"exchange-recon/v1\n331083 421202\n{start} {end}\n{len(counted)}\n{t.b64(root)}\n"
    lines = [(f"tongban/{region}/2030h1", keys[name]) for region, name in (("331083", "asking-ledger"), ("421202", "answering-ledger"))]
    note = text + "\n" + "".join(t.signature_line(name, 1, key, text) for name, key in lines)
    return {"window": {"from": start, "to": end}, "exchanges": rows, "ordered": [b64url(item) for item in sorted(items)],
            "count": len(counted), "root": b64url(root), "text": text, "note": note, "note_b64url": b64url(note.encode()),
            "vkeys": [t.vkey(name, 1, key.raw) for name, key in lines]}


def known_window(key):
    """A note that was computed elsewhere: items n = 7 and 9 of 16 × n ‖ 32 × (n+1) ‖ 32 × (n+2) ‖ 1."""
    items = [bytes([n]) * 16 + bytes([n + 1]) * 32 + bytes([n + 2]) * 32 + b"\x01" for n in (7, 9)]
    text = f"exchange-recon/v1\n331083 421202\n1900000020 1900000080\n2\n{t.b64(Tree(items).root())}\n"
    line = t.signature_line("tongban/331083/2030h1", 1, key, text)
    assert "iYd4ZlKHHhxJGjzYk8M208lJ92OWvaKn4njI7vEJHj8=" in text
    assert "b243MzzPcG/PGoRxYw2DOxCaNw6nH6o4urhgLGRuidSmK0B7745se1ypYg4k1t1Ra96CZMNvgmKxk2mmcK0tJz/H6AI=" in line
    assert sha256(b"0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22")[:16].hex() == "50b4978da2a35683d1dd8409c6e793db"
