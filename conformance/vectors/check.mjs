#!/usr/bin/env node
// Checks the vectors with npm jose and Node's own crypto, sharing no line with the gateway,
// generate.py or check.py. Signatures, thumbprints, digests, proofs, notes and evidence.

import { createHash, createHmac, createDecipheriv, createPublicKey, hkdfSync, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { calculateJwkThumbprint, compactVerify, generalDecrypt, importJWK } from "jose";

const read = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url), "utf8"));
const sha256 = (...data) => data.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const hex = (text) => Buffer.from(text, "hex");
const b64url = (data) => Buffer.from(data).toString("base64url");

let checks = 0;
const faults = [];
function same(what, found, expected) {
  checks += 1;
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) faults.push(`${what}: found ${a}, the vector says ${b}`);
}

// Signatures.

const keys = new Map();
for (const key of read("keys.json").keys) keys.set(key.public.kid, key.public);

async function verdict(text) {
  const parts = text.split(".");
  // jose takes parts with idle bits set; a message has one spelling only.
  const spelled = parts.length === 3 && parts.every((part) => /^[\w-]+$/.test(part) && b64url(Buffer.from(part, "base64url")) === part);
  if (!spelled || parts[0].length > 512) return "odd";
  const bytes = Buffer.from(parts[0], "base64url");
  const text0 = bytes.toString("utf8");
  let header;
  try {
    header = JSON.parse(text0);
  } catch {
    return "odd";
  }
  const names = header && typeof header === "object" ? Object.keys(header).sort().join() : "";
  // A member that stands twice is one member to JSON.parse: count the names in the text.
  const written = (text0.match(/"\s*:/g) ?? []).length;
  if (names !== "alg,kid,typ" || written !== 3 || Object.values(header).some((value) => typeof value !== "string")) return "odd";
  const jwk = keys.get(header.kid);
  if (!jwk) return "unknown-key";
  if (jwk.alg !== header.alg) return "bad";
  try {
    const { nbf, exp, ...plain } = jwk;
    await compactVerify(text, await importJWK(plain, jwk.alg), { algorithms: [jwk.alg] });
    return "good";
  } catch (fault) {
    return "bad";
  }
}

const claimsOf = (text) => JSON.parse(Buffer.from(text.split(".")[1], "base64url").toString("utf8"));

async function signatures() {
  for (const row of read("requests.json").requests) {
    same(row.id, await verdict(row.body), row.signature);
    if (row.authorization_signature) same(`${row.id} authorization`, await verdict(claimsOf(row.body).authorization), row.authorization_signature);
  }
  const { asked, responses } = read("responses.json");
  for (const row of responses) {
    same(row.id, await verdict(row.body), row.signature);
    if (!row.expect.believed) continue;
    const claims = claimsOf(row.body);
    same(`${row.id} digest`, claims.req.digest, b64url(sha256(asked[row.asked])));
    same(`${row.id} jti`, claims.req.jti, claimsOf(asked[row.asked]).jti);
    same(`${row.id} status`, claims.status, row.http_status);
  }
  for (const row of read("trust.json").status_lists) same(row.uri, await verdict(row.jwt), "good");
  for (const key of keys.values()) same(key.kid, await calculateJwkThumbprint(key), key.kid);
}

// JSON in its canonical form: JavaScript's own strings and order are RFC 8785's.

function jcs(value) {
  if (Array.isArray(value)) return `[${value.map(jcs).join()}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${jcs(value[name])}`).join()}}`;
}

function canonical() {
  for (const row of read("jcs.json").values) {
    same("jcs", jcs(JSON.parse(row.json)), row.jcs);
    same("jcs digest", b64url(sha256(row.jcs)), row.digest);
  }
  for (const row of read("trust.json").agreements) same("agreement", b64url(sha256(jcs(row.agreement))), row.jcs_sha256);
  for (const row of read("identifiers.json").holder_digests) {
    same("holder", b64url(sha256(`${row.jti}\0${row.type}\0${row.number}`)), row.digest);
  }
}

// The ledger.

const leafOf = (entry) => sha256("\0", entry);
const node = (left, right) => sha256("\x01", left, right);

/** The root that an inclusion path leads to, by the path's own shape (RFC 6962 §2.1.1 read backwards). */
function folded(index, size, leaf, path) {
  if (size === 1) return path.length === 0 ? leaf : null;
  if (path.length === 0) return null;
  const k = 2 ** Math.floor(Math.log2(size - 1));
  const last = path[path.length - 1];
  const rest = path.slice(0, -1);
  if (index < k) {
    const left = folded(index, k, leaf, rest);
    return left && node(left, last);
  }
  const right = folded(index - k, size - k, leaf, rest);
  return right && node(last, right);
}

function included({ size, index, leaf, root, proof }) {
  if (index >= size) return false;
  const found = folded(index, size, hex(leaf), proof.map(hex));
  return found !== null && found.toString("hex") === root;
}

/** Old and new root that a consistency proof leads to (SUBPROOF read backwards). */
function roots(old, size, whole, oldRoot, path) {
  if (old === size) {
    if (whole) return path.length === 0 ? [oldRoot, oldRoot] : null;
    return path.length === 1 ? [path[0], path[0]] : null;
  }
  if (path.length === 0) return null;
  const k = 2 ** Math.floor(Math.log2(size - 1));
  const last = path[path.length - 1];
  const rest = path.slice(0, -1);
  if (old <= k) {
    const left = roots(old, k, whole, oldRoot, rest);
    return left && [left[0], node(left[1], last)];
  }
  const right = roots(old - k, size - k, false, oldRoot, rest);
  return right && [node(last, right[0]), node(last, right[1])];
}

function consistent(row) {
  const proof = row.proof.map(hex);
  if (row.old > row.new) return false;
  if (row.old === 0) return proof.length === 0 && (row.new > 0 || row.old_root === row.new_root) && row.old_root === sha256("").toString("hex");
  const found = roots(row.old, row.new, true, hex(row.old_root), proof);
  return found !== null && found[0].toString("hex") === row.old_root && found[1].toString("hex") === row.new_root;
}

function rootOf(leaves) {
  if (leaves.length === 0) return sha256("");
  let level = leaves;
  // Level by level; an odd last one goes up as it is: the same tree as the recursive one.
  while (level.length > 1) {
    const next = [];
    for (let i = 0; i + 1 < level.length; i += 2) next.push(node(level[i], level[i + 1]));
    if (level.length % 2) next.push(level[level.length - 1]);
    level = next;
  }
  return level[0];
}

function edKey(raw) {
  return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: b64url(raw) }, format: "jwk" });
}

function openNote(note, vkeys) {
  const end = note.lastIndexOf("\n\n");
  if (end < 0 || !note.endsWith("\n") || end + 2 >= note.length) return null;
  const text = note.slice(0, end + 1);
  let signed = false;
  for (const line of note.slice(end + 2, -1).split("\n")) {
    const match = /^\u2014 ([^ +]+) ([A-Za-z0-9+/]+=*)$/u.exec(line);
    if (!match) return null;
    const blob = Buffer.from(match[2], "base64");
    for (const vkey of vkeys) {
      const [name, id] = vkey.split("+", 2);
      const key = Buffer.from(vkey.slice(name.length + id.length + 2), "base64");
      if (name !== match[1] || blob.subarray(0, 4).toString("hex") !== id) continue;
      const cosigned = key[0] === 4;
      const time = cosigned ? blob.readBigUInt64BE(4) : 0n;
      const message = cosigned ? `cosignature/v1\ntime ${time}\n${text}` : text;
      if (!verify(null, Buffer.from(message), edKey(key.subarray(1)), blob.subarray(cosigned ? 12 : 4))) return null;
      signed ||= !cosigned;
    }
  }
  return signed ? text : null;
}

function openCheckpoint(note, vkeys) {
  const match = /^([^\n]+)\n(0|[1-9][0-9]*)\n([A-Za-z0-9+/]{43}=)\n$/.exec(openNote(note, vkeys) ?? "");
  if (!match || match[1] !== vkeys[0].split("+")[0]) return null;
  return { origin: match[1], size: Number(match[2]), root: Buffer.from(match[3], "base64").toString("hex") };
}

function ledger() {
  const doc = read("ledger.json");
  const leaves = Array.from({ length: 70_000 }, (_, i) => leafOf(String(i)));
  for (const row of doc.hashes.leaves) same("leaf", leafOf(row.entry).toString("hex"), row.hash);
  same("node", node(hex(doc.hashes.node.left), hex(doc.hashes.node.right)).toString("hex"), doc.hashes.node.hash);
  for (const row of doc.roots) same(`root of ${row.size}`, rootOf(leaves.slice(0, row.size)).toString("hex"), row.root);
  for (const row of doc.inclusion) same(`inclusion ${row.why ?? row.index}`, included(row), row.holds);
  for (const row of doc.consistency) same(`consistency ${row.why ?? row.old}`, consistent(row), row.holds);
  const { published, notes } = doc;
  same("published", openCheckpoint(published.note, [published.log_vkey, published.witness_vkey])?.size, 3);
  for (const row of notes.notes) same(row.what, openCheckpoint(row.note, [notes.vkey, notes.witness_vkey]) !== null, row.holds);
  const checkpoint = openCheckpoint(doc.leaves.checkpoint, [doc.leaves.vkey]);
  doc.leaves.entries.forEach((row, index) => {
    same("leaf", leafOf(row.entry).toString("hex"), row.hash);
    same("canonical leaf", jcs(JSON.parse(row.entry)), row.entry);
    const end = row.tlog_proof.indexOf("\n\n");
    const [first, extra, place, ...path] = row.tlog_proof.slice(0, end).split("\n");
    same("proof head", [first, Buffer.from(extra.slice(6), "base64").toString(), place], ["c2sp.org/tlog-proof@v1", row.entry, `index ${index}`]);
    same("proof", included({ ...checkpoint, index, leaf: row.hash, proof: path.map((p) => Buffer.from(p, "base64").toString("hex")) }), true);
  });
  for (const row of doc.tiles.of["600"]) {
    const [, level, index, width] = /^tile\/([01])\/([0-9]{3})(?:\.p\/([0-9]+))?$/.exec(row.path);
    const span = 256 ** Number(level);
    const hashes = Array.from({ length: Number(width ?? 256) }, (_, i) => {
      const n = Number(index) * 256 + i;
      return rootOf(leaves.slice(n * span, (n + 1) * span));
    });
    same(row.path, sha256(Buffer.concat(hashes)).toString("hex"), row.sha256);
  }
  witness(doc.witness);
  reconciliation(doc.reconciliation);
}

function reconciliation(doc) {
  const items = doc.exchanges.map(({ jti, request, told, outcome }) =>
    Buffer.concat([sha256(jti).subarray(0, 16), sha256(request), told ? sha256(told) : Buffer.alloc(32), Buffer.from([outcome])]));
  same("items", items.map(b64url), doc.exchanges.map((row) => row.item));
  items.sort(Buffer.compare);
  same("order", items.map(b64url), doc.ordered);
  const counted = items.filter((item) => item[80]);
  same("window", [counted.length, b64url(rootOf(counted.map(leafOf)))], [doc.count, doc.root]);
  same("note", doc.vkeys.map((vkey) => openNote(doc.note, [vkey])), doc.vkeys.map(() => doc.text));
  same("b64url", b64url(doc.note), doc.note_b64url);
}

function witness({ vkey, origin, requests }) {
  let [size, root] = [0, sha256("").toString("hex")];
  for (const row of requests) {
    const end = row.body.indexOf("\n\n");
    const [first, ...lines] = row.body.slice(0, end).split("\n");
    const note = row.body.slice(end + 2);
    const match = /^old (0|[1-9][0-9]*)$/.exec(first);
    const answered = () => {
      if (!match || lines.length > 63) return [400];
      if (note.split("\n", 1)[0] !== origin) return [404];
      const checkpoint = openCheckpoint(note, [vkey]);
      if (!checkpoint) return [403];
      const old = Number(match[1]);
      if (old > checkpoint.size) return [400];
      if (old !== size) return [409, `${size}\n`];
      const proof = lines.map((line) => Buffer.from(line, "base64").toString("hex"));
      if (!consistent({ old, new: checkpoint.size, old_root: root, new_root: checkpoint.root, proof })) return [422];
      ({ size, root } = checkpoint);
      return [200];
    };
    same(`witness: ${row.what}`, answered(), row.answer ? [row.status, row.answer] : [row.status]);
  }
}

// Evidence and search.

async function evidence() {
  const doc = read("evidence.json");
  const opened = (row) => {
    const key = Buffer.from(hkdfSync("sha256", Buffer.concat([hex(row.epoch_key), hex(row.r)]), "", "tongban/evidence/v1", 32));
    const sealed = Buffer.from(row.sealed, "base64");
    const cipher = createDecipheriv("aes-256-gcm", key, Buffer.alloc(12));
    cipher.setAAD(Buffer.from(row.associated_data)).setAuthTag(sealed.subarray(-16));
    try {
      return Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]).toString("utf8");
    } catch {
      return null;
    }
  };
  same("evidence", opened(doc), doc.plaintext);
  for (const row of doc.refused) same(row.why, opened({ ...doc, ...row }), null);
  same("ev", b64url(sha256(Buffer.from(doc.sealed, "base64"))), doc.ev);
  same("rh", b64url(sha256(hex(doc.r)).subarray(0, 16)), doc.rh);
  same("leaf hash", leafOf(doc.leaf).toString("hex"), doc.leaf_hash);
  const { ev, ...bound } = JSON.parse(doc.leaf);
  const commitment = (row) => b64url(sha256(Buffer.from(row.wrapped_text)).subarray(0, 16));
  same("ek", [commitment(doc), JSON.parse(doc.wrapped_text)], [bound.ek, doc.wrapped_epoch]);
  for (const row of doc.not_committed) same(row.why, commitment(row) === bound.ek, false);
  same("bound", [ev, jcs(bound)], [doc.ev, doc.associated_data]);
  const auditor = read("keys.json").keys.find((key) => key.name === "auditor");
  const key = await importJWK({ ...auditor.public, ...auditor.private }, "ECDH-ES+A256KW");
  const { plaintext } = await generalDecrypt(doc.wrapped_epoch, key);
  same("epoch", JSON.parse(Buffer.from(plaintext).toString()), { epoch: doc.epoch, key: b64url(hex(doc.epoch_key)) });
  const mac = (secret, ...message) => message.reduce((h, part) => h.update(part), createHmac("sha256", secret)).digest();
  for (const row of doc.tokens) {
    const token = mac(hex(doc.shard_key), `${row.field}\0${row.normalised}`);
    same("token", token.toString("hex"), row.token);
    same("tag", b64url(mac(hex(doc.r), token).subarray(0, 16)), row.tag);
    for (const [day, expected] of Object.entries(row.days)) same("day", mac(token, "day", day).subarray(0, 16).toString("hex"), expected);
  }
}

await signatures();
canonical();
ledger();
await evidence();
faults.forEach((fault) => console.log(fault));
console.log(`jose and node:crypto: ${checks.toLocaleString("en")} checks, ${faults.length} differ`);
process.exit(faults.length ? 1 : 0);
