#!/usr/bin/env node
const USAGE = `A Tongban partner in one file of JavaScript: jose for JWS, node:https for HTTP. Copy from it.

    client.mjs DIR ping
    client.mjs DIR lookup QUERY.json [AUTHORIZATION]     license.query, to read or to verify
    client.mjs DIR submit APPLICATION.json               application.submit
    client.mjs DIR status APPLICATION.json               application.status of the same case
    client.mjs DIR proof                                 prove the promise of the last answer

DIR holds sign.pem (our P-256 signing key), tls.crt and tls.key, card.json (our own card) and
partner.json (the partner's card). An answer is believed after every check of PROTOCOL.md S-5, in
its order, and not before. Standard output is one line of JSON; people read standard error.
Ends with 0 answered, 1 nothing that can be believed, 2 refused and signed, 3 an unsigned hint, 64 usage.
`;

import crypto from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import https from "node:https";
import path from "node:path";
import tls from "node:tls";
import { CompactSign, calculateJwkThumbprint, compactVerify, importJWK } from "jose";

const SKEW = 30; // seconds two clocks may differ
const LONGEST_LIFE = 120; // seconds an answer may live
const LARGEST = 256 * 1024; // octets of a message
const PATIENCE = 20_000; // milliseconds for one call
const SOON = 12_000; // milliseconds until a promised leaf stands under a checkpoint (PROTOCOL.md B-9: 10 s)

/** The first check that failed, and what was found. */
class NotBelieved extends Error {
  constructor(check, why) {
    super(`not believed: ${check}: ${why}`);
  }
}
/** An answer that nobody signed: good for deciding whether to try again, for nothing else. */
class Hint extends Error {}

const must = (fine, check, why) => {
  if (!fine) throw new NotBelieved(check, why);
};
const sha256 = (...parts) => crypto.createHash("sha256").update(Buffer.concat(parts.map((part) => Buffer.from(part)))).digest();
const b64url = (bytes) => Buffer.from(bytes).toString("base64url");
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** Node skips what is not base64url; a message has one spelling only. */
function unB64url(text) {
  const bytes = Buffer.from(text, "base64url");
  must(bytes.length > 0 && b64url(bytes) === text, "shape", "a part is empty or not base64url");
  return bytes;
}

/** An object as the protocol allows it: no name twice, integers within 2^53 only. JSON.parse sees neither. */
function strictJson(bytes) {
  let text, value;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch {
    throw new NotBelieved("shape", "a part is not JSON in UTF-8");
  }
  must(isObject(value), "shape", "a part is no JSON object");
  const names = []; // of the objects we are in
  for (const [token, , colon] of text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|[{}]|-?[0-9][0-9.eE+-]*/g)) {
    if (token === "{") names.push(new Set());
    else if (token === "}") names.pop();
    else if (colon) {
      const name = JSON.parse(token.slice(0, -colon.length)), known = names.at(-1);
      must(!known.has(name), "shape", "a JSON member stands there twice");
      known.add(name);
    } else if (token[0] !== '"') {
      must(/^(0|-?[1-9][0-9]*)$/.test(token) && Number.isSafeInteger(Number(token)), "shape", "a number is no integer within 2^53");
    }
  }
  return value;
}

/** RFC 8785. Our numbers are integers, so JSON.stringify with sorted names is all of it. */
function jcs(value) {
  if (Array.isArray(value)) return `[${value.map(jcs).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${jcs(value[name])}`).join(",")}}`;
}

/** This vendor's gateway, towards one partner. */
class Me {
  constructor(dir) {
    this.read = (name) => fs.readFileSync(path.join(dir, name));
    this.keep = (name, bytes) => fs.writeFileSync(path.join(dir, name), bytes);
    this.card = JSON.parse(this.read("card.json"));
    this.partner = JSON.parse(this.read("partner.json"));
    this.key = crypto.createPrivateKey(this.read("sign.pem"));
  }

  // --- asking ---------------------------------------------------------------------------

  /** Signs and sends one request; returns the claims of an answer that may be believed. */
  async ask(op, members) {
    const now = Math.floor(Date.now() / 1000);
    const asked = { ver: 1, iss: this.card.id, aud: this.partner.id, iat: now, exp: now + 60, jti: crypto.randomBytes(16).toString("base64url"), op, ...members };
    const kid = await calculateJwkThumbprint(crypto.createPublicKey(this.key).export({ format: "jwk" }));
    // Serialised once. What is signed is what is sent; the digest is over these very bytes.
    const request = await new CompactSign(Buffer.from(JSON.stringify(asked)))
      .setProtectedHeader({ alg: "ES256", typ: "tongban-request+jwt", kid })
      .sign(this.key);
    this.keep("sent.jws", request); // for the partner's `tongban explain`, should it be refused
    const told = await this.call("POST", "/v1/exchange", request, { "content-type": "application/tongban-request+jwt" });
    const answer = await this.believe(told, asked, request);
    this.keep("last-request.jws", request);
    this.keep("last-answer.jws", told.body);
    return answer;
  }

  /** TLS 1.3 both ways. Who holds a key that is pinned on the card is the partner; host names prove nothing.
   *  Nothing is sent before the pin was compared. */
  async connect() {
    const at = new URL(this.partner.endpoint);
    const options = { host: at.hostname, port: at.port || 443, cert: this.read("tls.crt"), key: this.read("tls.key") };
    const socket = tls.connect({ ...options, minVersion: "TLSv1.3", rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
    await once(socket, "secureConnect", { signal: AbortSignal.timeout(PATIENCE) });
    const certificate = socket.getPeerX509Certificate();
    const pin = b64url(sha256(certificate.publicKey.export({ type: "spki", format: "der" })));
    const pinned = this.partner.tls?.spki_sha256?.includes(pin);
    const current = Date.parse(certificate.validFrom) <= Date.now() && Date.now() <= Date.parse(certificate.validTo);
    if (!pinned || !current) socket.destroy();
    must(pinned, "tls", "the key of the certificate at the endpoint is not pinned on the partner's card");
    must(current, "tls", "the certificate at the endpoint is out of date");
    return socket;
  }

  async call(method, path, body = "", headers = {}) {
    try {
      const socket = await this.connect();
      const length = body ? { "content-length": Buffer.byteLength(body) } : {};
      const host = new URL(this.partner.endpoint).host;
      const request = https.request({ method, path, createConnection: () => socket, headers: { host, ...headers, ...length }, timeout: PATIENCE });
      request.on("timeout", () => request.destroy(new Error("too slow")));
      request.end(body);
      const [response] = await once(request, "response");
      const parts = [];
      for await (const part of response) parts.push(part);
      return { status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) };
    } catch (fault) {
      if (fault instanceof NotBelieved) throw fault;
      throw new NotBelieved("tls", `no answer came (${fault.message}); does the partner have our card?`);
    }
  }

  // --- believing: PROTOCOL.md S-5, in its order ---------------------------------------------

  async believe(told, asked, request) {
    if (told.headers["content-type"]?.toLowerCase() !== "application/tongban-response+jwt") throw new Hint(unsigned(told));
    const text = told.body.toString("latin1");
    // shape: three parts of base64url, a header of exactly three strings
    must(text.length <= LARGEST && text.split(".").length === 3, "shape", "is not one compact JWS");
    const [head, payload] = text.split(".").map(unB64url);
    const header = strictJson(head);
    const names = Object.keys(header).sort().join();
    must(names === "alg,kid,typ" && Object.values(header).every((v) => typeof v === "string"), "shape", "the header is not exactly alg, typ and kid");
    must(header.typ === "tongban-response+jwt", "typ", "is not a response");
    // kid: the key comes from the card, never from the message
    const jwk = (await this.keysInForce()).get(header.kid);
    must(jwk, "kid", "is no key of this partner in force; has it rotated keys, is it another environment's?");
    must(header.alg === jwk.alg, "signature", "alg is not the one registered for this key");
    try {
      await compactVerify(text, await importJWK(jwk, jwk.alg), { algorithms: [jwk.alg] });
    } catch {
      throw new NotBelieved("signature", "does not verify: the answer was changed, or another key signed it");
    }
    const said = strictJson(payload);
    must(said.iss === this.partner.id, "iss", "is not the gateway that was asked");
    must(said.aud === this.card.id, "aud", "is not us: this answer was meant for somebody else");
    must(said.req?.jti === asked.jti, "req.jti", "answers another request");
    must(said.req?.digest === b64url(sha256(request)), "req.digest", "is not the SHA-256 of the bytes that were sent: what arrived there was something else");
    must(said.status === told.status, "status", "is not the HTTP status");
    this.checkTimes(said, Math.floor(Date.now() / 1000));
    this.checkSchema(said, asked);
    return said;
  }

  /** The card's keys by the thumbprint that we compute, within their nbf and exp. */
  async keysInForce() {
    const now = Math.floor(Date.now() / 1000), keys = new Map();
    for (const jwk of this.partner.jwks.keys) {
      if ((jwk.nbf ?? now) <= now && now < (jwk.exp ?? now + 1)) keys.set(await calculateJwkThumbprint(jwk), jwk);
    }
    return keys;
  }

  checkTimes({ iat, exp }, now) {
    const life = Number.isInteger(iat) && Number.isInteger(exp) ? exp - iat : 0;
    must(life > 0 && life <= LONGEST_LIFE, "times", `exp is not later than iat by at most ${LONGEST_LIFE} s`);
    must(iat <= now + SKEW, "times", `comes ${iat - now} s from the future: compare the clocks`);
    must(now < exp + SKEW, "times", `ended ${now - exp} s ago: old, or compare the clocks`);
  }

  checkSchema(said, asked) {
    const so = (fine, why) => must(fine, "schema", why);
    const success = Number.isInteger(said.status) && said.status >= 200 && said.status < 300;
    const [outcome, log] = [success ? "result" : "problem", said.log];
    const members = ["aud", "exp", "iat", "iss", "jti", "log", "op", outcome, "req", "status", "ver"].sort().join();
    so(Object.keys(said).sort().join() === members && Object.keys(said.req).sort().join() === "digest,jti", "members are missing or unknown");
    so(said.ver === 1 && /^[A-Za-z0-9_-]{22,64}$/.test(said.jti), "ver or jti is wrong");
    so(said.op === asked.op, "op is not what was asked");
    so(isObject(log) && Object.keys(log).sort().join() === "index,leaf,origin", "there is no promise (log)");
    so(Number.isInteger(log.index) && log.index >= 0 && /^[A-Za-z0-9_-]{43}$/.test(log.leaf), "the promise is malformed");
    so(String(log.origin).startsWith(`tongban/${this.partner.region}/`), "the promise is about another's ledger");
    const result = said[outcome];
    so(isObject(result), `${outcome} is no object`);
    if (!success) {
      const words = ["type", "title", "title_zh", "code", "retry"].every((name) => typeof result[name] === "string");
      so(words && result.status === said.status, "the problem is malformed");
      return;
    }
    so(said.status === (asked.op === "application.submit" ? 202 : 200), "is not the status of this op's success");
    if (asked.op === "license.query") {
      const wanted = asked.body.fields ?? Object.keys(asked.body.expect);
      so(Array.isArray(result.licenses) && result.found === result.licenses.length > 0, "found and licenses disagree");
      for (const license of result.licenses) {
        const told = Object.keys({ ...license.data, ...license.match });
        so(told.every((name) => wanted.includes(name)), "tells more than was asked");
      }
    }
    if (asked.op === "application.submit") so(result.digest === b64url(sha256(jcs(asked.body))), "the receipt is for another application");
    if (asked.op.startsWith("application.")) so(result.case === asked.case, "is about another case");
  }

  // --- the promise: PROTOCOL.md B-9 and B-13, C2SP tlog-proof --------------------------------------------

  /** Fetches the leaf that the last answer promised, and checks that it stands in the partner's signed tree. */
  async prove() {
    const request = this.read("last-request.jws").toString();
    const [asked, said] = [request, this.read("last-answer.jws").toString()].map((text) => strictJson(unB64url(text.split(".")[1])));
    const { origin, index, leaf: promised } = said.log;
    const until = Date.now() + SOON;
    let told;
    while ((told = await this.call("GET", `/v1/log/${origin}/entry/${index}`)).status === 404) {
      must(Date.now() < until, "entry", "the promised leaf is not served: the promise is broken");
      await new Promise((wake) => setTimeout(wake, 500));
    }
    const form = /^c2sp\.org\/tlog-proof@v1\nextra ([A-Za-z0-9+/=]+)\nindex ([0-9]+)\n((?:[A-Za-z0-9+/]{43}=\n)*)\n([^]*)$/;
    const parts = told.status === 200 && form.exec(told.body.toString());
    must(parts, "entry", "is no proof file");
    const leaf = Buffer.from(parts[1], "base64");
    const siblings = parts[3].split("\n").slice(0, -1).map((line) => Buffer.from(line, "base64"));
    must(parts[2] === String(index), "index", "the proof is about another place than was promised");
    let hash = sha256([0], leaf);
    must(b64url(hash) === promised, "leaf", "the leaf at the promised place is not the one that was promised");
    const entry = strictJson(leaf);
    const ours = { t: "in", me: this.partner.region, peer: this.card.region, x: asked.jti, op: asked.op, status: said.status };
    Object.assign(ours, { rq: b64url(sha256(request)), rd: b64url(sha256(jcs(said.result ?? said.problem))) });
    must(Object.keys(ours).every((name) => entry[name] === ours[name]), "exchange", "the leaf is not about what we asked and were answered");
    const { size, root } = this.checkpoint(parts[4], origin);
    // RFC 9162 §2.1.3.2. Indices stay below 2^31 here; beyond it take BigInt.
    must(index < size && size < 2 ** 31, "path", "the checkpoint does not reach this index");
    let [at, last] = [index, size - 1];
    for (const sibling of siblings) {
      must(last > 0, "path", "is too long");
      if (at & 1 || at === last) {
        hash = sha256([1], sibling, hash);
        while (at !== 0 && !(at & 1)) [at, last] = [at >> 1, last >> 1];
      } else hash = sha256([1], hash, sibling);
      [at, last] = [at >> 1, last >> 1];
    }
    must(last === 0 && hash.equals(root), "path", "does not lead from the leaf to the signed root");
    return { proved: index, origin, size, root: b64url(root) };
  }

  /** Size and root of a C2SP checkpoint that the ledger key on the card signed. */
  checkpoint(note, origin) {
    const [, name, id, encoded] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(this.partner.ledger.vkey);
    const key = Buffer.from(encoded, "base64");
    const known = key.length === 33 && key[0] === 1 && sha256(`${name}\n`, key).toString("hex").startsWith(id);
    must(known, "checkpoint", "the card's vkey is not a well-formed Ed25519 verifier key");
    const end = note.lastIndexOf("\n\n");
    const text = note.slice(0, end + 1);
    const blobs = note.slice(end + 2).split("\n").filter((line) => line.startsWith(`— ${name} `)).map((line) => Buffer.from(line.split(" ")[2], "base64"));
    const ours = blobs.filter((blob) => blob.subarray(0, 4).toString("hex") === id);
    must(ours.length > 0, "checkpoint", "is not signed by the ledger key on the partner's card");
    const publicKey = crypto.createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: b64url(key.subarray(1)) }, format: "jwk" });
    must(ours.every((blob) => crypto.verify(null, Buffer.from(text), publicKey, blob.subarray(4))), "checkpoint", "its signature does not verify");
    const lines = text.split("\n");
    must(lines[0] === origin && name === origin && /^[1-9][0-9]*$/.test(lines[1]), "checkpoint", "is of another log than the one promised");
    return { size: Number(lines[1]), root: Buffer.from(lines[2], "base64") };
  }
}

/** What an unsigned answer says, for a person who looks for the cause. */
function unsigned(told) {
  let words = "";
  try {
    const problem = JSON.parse(told.body);
    words = ["code", "reason", "title", "title_zh"].filter((name) => name in problem).map((name) => problem[name]).join(" ");
  } catch {
    // Nothing in it that a person could read.
  }
  const again = told.headers["retry-after"];
  return `HTTP ${told.status} ${words}${again ? `; try again after ${again} s` : ""}`;
}

/** A signed refusal in words. */
function explain(problem, log) {
  console.error(`refused, signed: ${problem.status} ${problem.code} ${problem.reason ?? ""}`.trimEnd());
  console.error(`  ${problem.title_zh} / ${problem.title}`);
  if (problem.detail) console.error(`  ${problem.detail}`);
  for (const fault of problem.errors ?? []) console.error(`  ${fault.pointer} ${fault.rule}: ${fault.message_zh} / ${fault.message}`);
  console.error(`  retry: ${problem.retry}   trace: ${problem.trace ?? "-"}   recorded: ${log.origin} ${log.index}`);
}

async function main([dir, command, ...files]) {
  try {
    const me = new Me(dir ?? "");
    const [given, token] = files.map((name) => fs.readFileSync(name, "utf8"));
    let said;
    if (command === "ping") said = await me.ask("ping", { body: {} });
    else if (command === "lookup" && given) said = await me.ask("license.query", { ...JSON.parse(given), ...(token && { authorization: token.trim() }) });
    else if (command === "submit" && given) said = await me.ask("application.submit", JSON.parse(given));
    else if (command === "status" && given) said = await me.ask("application.status", { ...JSON.parse(given), body: { case: JSON.parse(given).case } });
    else if (command === "proof") {
      console.log(JSON.stringify(await me.prove()));
      return 0;
    } else {
      console.error(USAGE);
      return 64;
    }
    const outcome = said.result ? "result" : "problem";
    console.log(JSON.stringify({ status: said.status, [outcome]: said[outcome], exchange: said.req.jti, log: said.log }));
    if (outcome === "result") return 0;
    explain(said.problem, said.log);
    return 2;
  } catch (fault) {
    if (fault instanceof Hint) console.error(`not signed, a hint only: ${fault.message}`);
    else if (fault instanceof NotBelieved) console.error(fault.message);
    else if (fault.code === "ENOENT") console.error(dir ? fault.message : USAGE);
    else throw fault;
    return fault instanceof Hint ? 3 : fault instanceof NotBelieved ? 1 : 64;
  }
}

process.exitCode = await main(process.argv.slice(2));
