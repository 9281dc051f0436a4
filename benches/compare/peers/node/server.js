// The lookup as a Node service: fastify, jose, ajv.
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, fdatasync, openSync, readFileSync, write } from 'node:fs';
import { createInterface } from 'node:readline';
import Ajv from 'ajv';
import Fastify from 'fastify';
import { CompactSign, compactVerify, importJWK } from 'jose';

const dir = process.env.PEER_DIR;
const read = name => readFileSync(`${dir}/${name}`);
const key = name => importJWK(JSON.parse(read(name)), 'ES256');
const KID = JSON.parse(read('answer.jwk')).kid;
const [partner, authority, ours] = await Promise.all(['partner.jwk', 'authority.jwk', 'answer.jwk'].map(key));
const fits = new Ajv().compile(JSON.parse(read('lookup.schema.json')));

const licenses = new Map();
for await (const line of createInterface({ input: createReadStream(`${dir}/licenses.jsonl`) })) {
  const license = JSON.parse(line);
  for (const holder of license.holders) licenses.set(`${license.type_code} ${holder.code}`, license);
}

const sha256 = (text, form) => createHash('sha256').update(text).digest(form);
const now = () => Math.floor(Date.now() / 1000);
const ME = 'urn:tongban:gw:421202', PARTNER = 'urn:tongban:gw:331083', SKEW = 60;
const text = new TextDecoder(), bytes = new TextEncoder();

class Refused extends Error {
  constructor(status, reason) { super(reason); this.status = status; }
}

async function open(token, by, typ) {
  try {
    const { payload, protectedHeader } = await compactVerify(token, by, { algorithms: ['ES256'] });
    if (protectedHeader.typ !== typ) throw new Error('typ');
    return JSON.parse(text.decode(payload));
  } catch {
    throw new Refused(401, 'signature');
  }
}

// Ids in two halves, so that old ones go.
let young = new Set(), old = new Set();
function firstUse(id) {
  if (young.has(id) || old.has(id)) throw new Refused(409, 'replay');
  if (young.size >= 500_000) { old = young; young = new Set(); }
  young.add(id);
}

const verified = new Map(), uses = new Map();
async function authorized(ask) {
  const digest = sha256(ask.authorization, 'base64');
  let token = verified.get(digest);
  if (!token) {
    token = await open(ask.authorization, authority, 'tongban-authorization+jwt');
    if (verified.size >= 100_000) verified.clear();
    verified.set(digest, token);
  }
  const { type, holder } = ask.body.license, detail = token.authorization_details[0];
  const fits = token.aud === ME && token.client_id === PARTNER && token.exp + SKEW > now()
    && token.holder === sha256(`${token.jti}\0${holder.type}\0${holder.number}`, 'base64url')
    && detail.datatypes.includes(type) && detail.item === ask.item && detail.case === ask.case
    && ask.body.fields.every(field => detail.fields.includes(field));
  if (!fits) throw new Refused(403, 'authorization');
  const used = uses.get(token.jti) ?? 0;
  if (used >= detail.max_uses) throw new Refused(403, 'used up');
  uses.set(token.jti, used + 1);
}

// One flush for all that wait.
const log = openSync(`${dir}/audit.log`, 'a');
let waiting = [], busy = false, last = '';
function flush() {
  if (busy || waiting.length === 0) return;
  busy = true;
  const batch = waiting;
  waiting = [];
  write(log, batch.map(([line]) => line).join(''), failed => fdatasync(log, faulty => {
    if (failed || faulty) process.exit(1);
    busy = false;
    for (const [, done] of batch) done();
    flush();
  }));
}
function record(entry) {
  const json = JSON.stringify(entry);
  last = sha256(last + json, 'hex');
  return new Promise(done => { waiting.push([`${last} ${json}\n`, done]); flush(); });
}

async function lookup(message) {
  const ask = await open(message, partner, 'tongban-request+jwt');
  if (!fits(ask)) throw new Refused(400, 'schema');
  if (ask.iss !== PARTNER || ask.aud !== ME) throw new Refused(403, 'parties');
  if (ask.exp + SKEW <= now() || ask.iat - SKEW > now()) throw new Refused(400, 'times');
  firstUse(ask.jti);
  await authorized(ask);
  const found = licenses.get(`${ask.body.license.type} ${ask.body.license.holder.number}`);
  const result = { found: Boolean(found), source: 'cache', as_of: now(), licenses: found ? [cut(found, ask.body.fields)] : [] };
  const request = sha256(message, 'base64url');
  await record({ at: Date.now(), x: ask.jti, peer: ask.iss, op: ask.op, item: ask.item, status: 200, rq: request, rd: sha256(JSON.stringify(result), 'base64url') });
  const claims = { ver: 1, iss: ME, aud: ask.iss, iat: now(), exp: now() + 120, jti: randomUUID(), req: { jti: ask.jti, digest: request }, op: ask.op, status: 200, result };
  return new CompactSign(bytes.encode(JSON.stringify(claims))).setProtectedHeader({ alg: 'ES256', typ: 'tongban-response+jwt', kid: KID }).sign(ours);
}

const cut = (license, fields) => ({
  license_id: license.license_id, type: license.type_code, name: license.name,
  issuer: { code: license.issuer_code, name: license.issuer_name }, issued_on: license.issued_on, valid_from: license.valid_from,
  valid_to: license.valid_to, long_term: license.long_term, status: license.status,
  data: Object.fromEntries(fields.map(field => [field, license.data[field]])),
});

const https = { key: read('server.key'), cert: read('server.crt'), ca: read('client.crt'), requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' };
const app = Fastify({ https, logger: false });
app.addContentTypeParser('application/tongban-request+jwt', { parseAs: 'string' }, (_, body, done) => done(null, body));
app.post('/v1/exchange', async (request, reply) => {
  try {
    const answer = await lookup(request.body);
    return reply.type('application/tongban-response+jwt').send(answer);
  } catch (refused) {
    return reply.code(refused.status ?? 500).send(refused.message);
  }
});
await app.listen({ host: '127.0.0.1', port: Number(process.env.PEER_PORT) });
