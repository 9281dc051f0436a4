// Opens released evidence in this browser with the auditor's own key, which is read from a
// file and leaves the page for nowhere.
//
//   epoch key   general-JSON JWE, ECDH-ES+A256KW and A256GCM (RFC 7518 §4.6, §4.4, §5.3)
//   record key  HKDF-SHA256(epoch key ‖ r, "tongban/evidence/v1")
//   evidence    AES-256-GCM, nonce zero, associated data: the leaf without its `ev`
//
// What opens is held against the leaf: its hash (ev), the secret's hash (rh), the wrapped epoch
// key's (ek), and the hashes of request, response and result (rq, rs, rd).

const zh = document.documentElement.lang.startsWith("zh");
const say = (chinese, english) => (zh ? chinese : english);
const utf8 = new TextEncoder();
const text = new TextDecoder();

class Refused extends Error {}

function demand(holds, chinese, english) {
  if (!holds) throw new Refused(say(chinese, english));
}

function bytes(base64url) {
  const base64 = base64url.replaceAll("-", "+").replaceAll("_", "/");
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

function base64url(octets) {
  const base64 = btoa(String.fromCharCode(...octets));
  return base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function joined(...parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return all;
}

async function sha256(octets) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", octets));
}

const uint32 = (number) => new Uint8Array(new Uint32Array([number]).buffer).reverse();
const counted = (octets) => joined(uint32(octets.length), octets);

// RFC 7638
async function thumbprint({ crv, kty, x, y }) {
  return base64url(await sha256(utf8.encode(JSON.stringify({ crv, kty, x, y }))));
}

async function epochKey(wrapped, jwk) {
  const jwe = JSON.parse(wrapped);
  const kid = await thumbprint(jwk);
  const mine = jwe.recipients.find((recipient) => recipient.header.kid === kid);
  demand(mine, "此证据不是封存给这把密钥的", "this evidence is not sealed to that key");
  const curve = { name: "ECDH", namedCurve: "P-256" };
  const { kty, crv, x, y, d } = jwk;
  const secret = await crypto.subtle.importKey("jwk", { kty, crv, x, y, d }, curve, false, ["deriveBits"]);
  const { epk } = mine.header;
  const theirs = { kty: epk.kty, crv: epk.crv, x: epk.x, y: epk.y };
  const share = await crypto.subtle.importKey("jwk", theirs, curve, false, []);
  const z = new Uint8Array(await crypto.subtle.deriveBits({ name: "ECDH", public: share }, secret, 256));
  const alg = utf8.encode("ECDH-ES+A256KW");
  const [apu, apv] = [mine.header.apu ?? "", mine.header.apv ?? ""].map(bytes);
  const derived = await sha256(joined(uint32(1), z, counted(alg), counted(apu), counted(apv), uint32(256)));
  const wrapping = await crypto.subtle.importKey("raw", derived, "AES-KW", false, ["unwrapKey"]);
  const content = await crypto.subtle.unwrapKey(
    "raw", bytes(mine.encrypted_key), wrapping, "AES-KW", "AES-GCM", false, ["decrypt"]);
  const opened = await crypto.subtle.decrypt(
    { name: "AES-GCM", iv: bytes(jwe.iv), additionalData: utf8.encode(jwe.protected) },
    content, joined(bytes(jwe.ciphertext), bytes(jwe.tag)));
  return bytes(JSON.parse(text.decode(opened)).key);
}

async function open(released, epoch) {
  const [leafBytes, r, sealed] = [released.leaf, released.r, released.sealed].map(bytes);
  const leafText = text.decode(leafBytes);
  const leaf = JSON.parse(leafText);
  demand(base64url(await sha256(sealed)) === leaf.ev, "密文与账本记录不符", "not the evidence the log names");
  demand(base64url((await sha256(r)).slice(0, 16)) === leaf.rh, "密钥与账本记录不符", "not the secret the log commits to");
  const commitment = base64url((await sha256(utf8.encode(released.epoch))).slice(0, 16));
  demand(!leaf.ek || commitment === leaf.ek, "时段密钥与账本记录的承诺不符", "not the epoch key the log commits to");
  const bound = utf8.encode(leafText.replace(`"ev":"${leaf.ev}",`, ""));
  const material = await crypto.subtle.importKey("raw", joined(epoch, r), "HKDF", false, ["deriveKey"]);
  const info = utf8.encode("tongban/evidence/v1");
  const key = await crypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info },
    material, { name: "AES-GCM", length: 256 }, false, ["decrypt"]);
  const opened = await crypto.subtle.decrypt(
    { name: "AES-GCM", iv: new Uint8Array(12), additionalData: bound }, key, sealed);
  const evidence = JSON.parse(text.decode(opened));
  for (const [part, member] of [["request", "rq"], ["response", "rs"], ["result", "rd"]]) {
    if (evidence[part] && leaf[member]) {
      const hash = base64url(await sha256(utf8.encode(evidence[part])));
      demand(hash === leaf[member], `${part} 与账本散列不符`, `${part} is not what the log hashed`);
    }
  }
  return evidence;
}

// A JWS is shown by its claims; everything is text, whatever it holds.
function readable(part, value) {
  try {
    const json = part === "result" ? value : text.decode(bytes(value.split(".")[1]));
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return value;
  }
}

function show(into, index, evidence) {
  const words = {
    request: say("请求", "Request"), response: say("应答", "Response"), result: say("结果", "Result"),
    register: say("登记", "Register entry"), certificate: say("对方证书", "Peer certificate"),
  };
  const heading = document.createElement("h3");
  heading.textContent = `${say("记录", "Entry")} ${index} — ${say("已在本浏览器开启并与账本核对", "opened in this browser and held against the log")}`;
  into.append(heading);
  for (const [part, value] of Object.entries(evidence)) {
    const name = document.createElement("h4");
    name.textContent = words[part] ?? part;
    const shown = document.createElement("pre");
    shown.tabIndex = 0;
    shown.textContent = readable(part, value);
    into.append(name, shown);
  }
}

async function openAll(file, into, status) {
  into.replaceChildren();
  try {
    const jwk = JSON.parse(await file.text());
    const answer = await fetch(into.dataset.bundle, { cache: "no-store" });
    demand(answer.ok, "无法取回证据", "the evidence could not be fetched");
    const bundle = await answer.json();
    for (const released of bundle.released) {
      show(into, released.index, await open(released, await epochKey(released.epoch, jwk)));
    }
    status.textContent = say(`已开启 ${bundle.released.length} 条`, `${bundle.released.length} opened`);
  } catch (fault) {
    status.textContent = fault instanceof Refused ? fault.message : say("密钥文件不可用或证据无法开启", "not a usable key, or it does not open this");
  }
}

const input = document.querySelector("#auditor-key");
const into = document.querySelector("#opened");
const status = document.querySelector("#opening");
input?.addEventListener("change", () => input.files[0] && openAll(input.files[0], into, status));
