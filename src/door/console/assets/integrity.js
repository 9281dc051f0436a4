// What makes the integrity strip green: this browser fetched the signed checkpoint and the
// proof of one randomly chosen entry, and checked both by itself with WebCrypto. Nothing the
// server says about its own soundness is believed.
//
//   checkpoint   C2SP signed note: origin, size, root, Ed25519 signature
//   proof        C2SP tlog-proof: entry, index, path, and the checkpoint it leads to
//   the key      taken from the page the first time, kept by this browser, held against
//                every page afterwards
//
// A tree may only grow: a smaller one than this browser has seen is a failure, too.

const zh = document.documentElement.lang.startsWith("zh");
const say = (chinese, english) => (zh ? chinese : english);
const utf8 = new TextEncoder();

class Unsound extends Error {}

function demand(holds, chinese, english) {
  if (!holds) throw new Unsound(say(chinese, english));
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

function same(a, b) {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

function joined(...parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

async function sha256(...parts) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));
}

// RFC 6962 §2.1
const leafHash = (entry) => sha256(Uint8Array.of(0), entry);
const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right);

// "<name>+<key id, hex>+<base64 of 0x01 and the public key>"
async function verifierKey(vkey) {
  const [name, id, encoded] = vkey.split(/\+([0-9a-f]{8})\+/);
  const typed = bytes(encoded);
  demand(typed.length === 33 && typed[0] === 1, "检查点公钥格式不符", "the checkpoint key is malformed");
  const keyId = (await sha256(utf8.encode(name + "\n"), typed)).slice(0, 4);
  const hex = Array.from(keyId, (byte) => byte.toString(16).padStart(2, "0")).join("");
  demand(hex === id, "检查点公钥编号不符", "the checkpoint key does not have its id");
  const key = await crypto.subtle.importKey("raw", typed.slice(1), "Ed25519", false, ["verify"]);
  return { name, keyId, key };
}

// The signature covers the text with its last newline; signature lines follow a blank line.
async function openCheckpoint(note, origin, signer) {
  const end = note.lastIndexOf("\n\n");
  const text = note.slice(0, end + 1);
  const mine = note.slice(end + 2).split("\n").filter((line) => line.startsWith(`— ${signer.name} `));
  const signatures = mine.map((line) => bytes(line.slice(`— ${signer.name} `.length)));
  const signature = signatures.find((blob) => blob.length === 68 && same(blob.slice(0, 4), signer.keyId));
  demand(end > 0 && signature, "检查点没有本账本的签名", "the checkpoint bears no signature of this log");
  const holds = await crypto.subtle.verify("Ed25519", signer.key, signature.slice(4), utf8.encode(text));
  demand(holds, "检查点签名不成立", "the checkpoint's signature does not hold");
  const [named, size, root] = text.split("\n");
  demand(named === origin && /^(0|[1-9]\d*)$/.test(size), "检查点不属于本账本", "the checkpoint is another log's");
  return { size: Number(size), root: bytes(root), cosigned: note.slice(end + 2).split("\n").length - 2 };
}

// RFC 9162 §2.1.3.2
async function leadsToRoot(path, index, size, hash, root) {
  let [fn, sn, r] = [index, size - 1, hash];
  for (const p of path) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      r = await nodeHash(p, r);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)];
    } else {
      r = await nodeHash(r, p);
    }
    [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)];
  }
  return sn === 0 && same(r, root);
}

async function fetched(path) {
  const answer = await fetch(path, { cache: "no-store" });
  demand(answer.ok, `无法取得 ${path}`, `${path} could not be fetched`);
  return answer.text();
}

async function checkProof(file, index, origin, signer) {
  const [head, note] = [file.slice(0, file.indexOf("\n\n")), file.slice(file.indexOf("\n\n") + 2)];
  const lines = head.split("\n");
  demand(lines[0] === "c2sp.org/tlog-proof@v1", "证明文件格式不符", "not a proof file");
  const extra = lines.find((line) => line.startsWith("extra "));
  const numbered = lines.findIndex((line) => line === `index ${index}`);
  demand(extra && numbered > 0, "证明文件不含所求记录", "the proof is of another entry");
  const checkpoint = await openCheckpoint(note, origin, signer);
  const hash = await leafHash(bytes(extra.slice("extra ".length)));
  const path = lines.slice(numbered + 1).map(bytes);
  const included = await leadsToRoot(path, index, checkpoint.size, hash, checkpoint.root);
  demand(included, `第 ${index} 条记录不在已签名的树中`, `entry ${index} is not in the signed tree`);
  return checkpoint;
}

// A fork or a rollback shows against what this browser saw before.
function remember(origin, vkey, checkpoint) {
  const store = `tongban.log.${origin}`;
  const known = JSON.parse(localStorage.getItem(store) ?? "null");
  const root = Array.from(checkpoint.root).join(",");
  if (known) {
    demand(known.vkey === vkey, "账本公钥与本浏览器先前所见不同", "the log's key is not the one this browser knows");
    demand(checkpoint.size >= known.size, "账本比本浏览器先前所见更短", "the log is shorter than this browser has seen it");
    demand(checkpoint.size > known.size || root === known.root, "同样大小的账本内容不同(分叉)", "two different logs of one size: a fork");
  }
  localStorage.setItem(store, JSON.stringify({ vkey, size: checkpoint.size, root }));
}

function randomBelow(size) {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return Number(((BigInt(high) << 32n) | BigInt(low)) % BigInt(size));
}

function show(strip, state, verdict, detail) {
  strip.dataset.state = state;
  strip.querySelector(".verdict").textContent = verdict;
  strip.querySelector(".detail").textContent = detail;
}

async function verify(strip) {
  const { origin, vkey } = strip.dataset;
  try {
    const signer = await verifierKey(vkey);
    const first = await openCheckpoint(await fetched(`/log/${origin}/checkpoint`), origin, signer);
    demand(first.size > 0, "账本为空", "the log is empty");
    const index = randomBelow(first.size);
    const later = await checkProof(await fetched(`/log/${origin}/entry/${index}`), index, origin, signer);
    demand(later.size >= first.size, "账本变短", "the log has become shorter");
    remember(origin, vkey, first);
    show(strip, "verified", say("本浏览器已核验", "Verified by this browser"), say(
      `检查点(${first.size} 条)签名成立;随机抽取的第 ${index} 条记录证明在树中`,
      `The checkpoint over ${first.size} entries is signed; entry ${index}, drawn at random, is in the tree`));
  } catch (fault) {
    const unsound = fault instanceof Unsound;
    const why = unsound ? fault.message : say("浏览器不支持 Ed25519 或网络中断", "no Ed25519 in this browser, or no network");
    const verdict = unsound ? say("核验失败", "Verification failed") : say("本浏览器尚未核验", "Not verified by this browser");
    show(strip, unsound ? "failed" : "unverified", verdict, why);
  }
}

// A running check of the whole log: its bar moves, and the page is read again at its end.
async function follow(bar) {
  for (;;) {
    await new Promise((wake) => setTimeout(wake, 700));
    const told = JSON.parse(await fetched("/integrity/progress"));
    if (!told.running) return location.assign("/integrity");
    bar.value = told.percent;
  }
}

const strip = document.querySelector("#integrity");
if (strip) verify(strip);
const bar = document.querySelector("progress[data-running]");
if (bar) follow(bar).catch(() => {});
document.querySelector("[data-print]")?.addEventListener("click", () => print());
