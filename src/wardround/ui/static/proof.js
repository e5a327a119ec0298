// Checks a ledger's proof here, in the browser, with nobody's help: C2SP tlog-proof, signed-note and tlog-cosignature,
// RFC 6962 trees, Ed25519. Nothing that was pasted is sent anywhere. Each step that fails ends the check:
//   1. the keys can be read: the hub's, the witnesses', and how many of them may be faulty
//   2. the proof can be read: the entry, its index, the path, and the checkpoint with its signatures
//   3. the path leads from the entry to the checkpoint's root
//   4. the hub signed the checkpoint
//   5. a quorum of the witnesses cosigned it
// A browser without Ed25519 can do the first three alone, and says so.

const HEADER = "c2sp.org/tlog-proof@v1";
const NOTE = 0x01, COSIGNATURE = 0x04;
const LARGEST = 256 * 1024;
const MOST_SIGNATURES = 100;
const text = new TextEncoder();

export class Refused extends Error {}

function bytesOf(base64) {
  let raw;
  try { raw = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)); } catch { throw new Refused("it holds something that isn't base64"); }
  if (base64Of(raw) !== base64) throw new Refused("it holds base64 with stray bits or blanks");
  return raw;
}
const base64Of = (raw) => btoa(Array.from(raw, (byte) => String.fromCharCode(byte)).join(""));
const same = (one, other) => one.length === other.length && one.every((byte, place) => byte === other[place]);
const joined = (...parts) => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((place, part) => (whole.set(part, place), place + part.length), 0);
  return whole;
};
const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));
const node = (left, right) => sha256([1], left, right);
export const leaf = (entry) => sha256([0], entry);

/** The root to which `path` leads from a leaf's hash (RFC 9162, section 2.1.3.2). `index` and `size` are BigInt. */
export async function rootOf(hash, index, size, path) {
  if (index < 0n || index >= size) throw new Refused("its index lies outside of the tree");
  if ([hash, ...path].some((value) => value.length !== 32)) throw new Refused("a hash isn't 32 bytes");
  let at = index, last = size - 1n, found = hash;
  for (const value of path) {
    if (last === 0n) throw new Refused("its path is too long for the tree");
    if (at & 1n || at === last) {
      found = await node(value, found);
      while (!(at & 1n) && at !== 0n) { at >>= 1n; last >>= 1n; }
    } else {
      found = await node(found, value);
    }
    at >>= 1n;
    last >>= 1n;
  }
  if (last !== 0n) throw new Refused("its path is too short for the tree");
  return found;
}

const nameOf = (name) => {
  if (!name || /[+\s\u0000-\u001f]/u.test(name)) throw new Refused("a key's name is empty or has blanks");
  return name;
};

async function verifierOf(line) {
  const [name, id, ...rest] = line.split("+");
  if (!rest.length) throw new Refused("a key has the form name+hash+base64");
  const raw = bytesOf(rest.join("+"));
  if (raw.length !== 33 || ![NOTE, COSIGNATURE].includes(raw[0])) throw new Refused("a key isn't Ed25519 of a known kind");
  const keyId = (await sha256(text.encode(`${nameOf(name)}\n`), raw)).slice(0, 4);
  if (Array.from(keyId, (byte) => byte.toString(16).padStart(2, "0")).join("") !== id) throw new Refused(`the key of ${name} doesn't fit its hash`);
  return { name, kind: raw[0], key: raw.slice(1), keyId };
}

/** Step 1: the keys, as `wardround ledger keys` prints them. */
export async function readKeys(file) {
  if (file.length > LARGEST) throw new Refused("the keys are too long");
  let hub = null, faults = 0;
  const witnesses = [];
  for (const line of file.split(/\r?\n/u).map((each) => each.trim()).filter((each) => each && !each.startsWith("#"))) {
    const found = /^faults (0|[1-9][0-9]{0,3})$/u.exec(line);
    if (found) { faults = Number(found[1]); continue; }
    const verifier = await verifierOf(line);
    if (verifier.kind === NOTE) {
      if (hub) throw new Refused("the keys name two hubs; a ledger has one");
      hub = verifier;
    } else if (witnesses.some((known) => known.name === verifier.name || same(known.key, verifier.key))) {
      throw new Refused("the keys have a witness twice");
    } else witnesses.push(verifier);
  }
  if (!hub || faults >= Math.max(1, witnesses.length)) throw new Refused("the keys need the hub's line and more witnesses than may be faulty");
  return { hub, witnesses, faults, quorum: Math.floor((witnesses.length + faults) / 2) + 1 };
}

/** Step 2: a proof as a file has it. */
export function readProof(file) {
  if (file.length > LARGEST) throw new Refused("the proof is too long");
  const gap = file.indexOf("\n\n");
  const lines = (gap < 0 ? file : file.slice(0, gap)).split("\n");
  if (gap < 0 || lines.length < 3 || lines[0] !== HEADER || !lines[1].startsWith("extra ")) throw new Refused(`a proof begins with ${HEADER} and the entry`);
  const index = /^index (0|[1-9][0-9]{0,18})$/u.exec(lines[2]);
  if (!index) throw new Refused("the proof's third line names no index");
  const note = file.slice(gap + 2), end = note.lastIndexOf("\n\n");
  // eslint-disable-next-line no-control-regex
  if (end < 1 || !note.endsWith("\n") || /[\u0000-\u0009\u000b-\u001f]/u.test(note)) throw new Refused("the proof's checkpoint is no signed note");
  const body = note.slice(0, end + 1), said = body.split("\n");
  if (said.length !== 4 || !/^(0|[1-9][0-9]{0,18})$/u.test(said[1])) throw new Refused("a checkpoint has three lines: origin, size, root");
  const signed = note.slice(end + 2, -1).split("\n");
  if (signed.length > MOST_SIGNATURES) throw new Refused("the checkpoint has too many signatures");
  const signatures = signed.map((line) => {
    const parts = line.slice(2).split(" ");
    if (!line.startsWith("\u2014 ") || parts.length !== 2) throw new Refused("a line of the checkpoint is no signature");
    const raw = bytesOf(parts[1]);
    if (raw.length <= 4) throw new Refused("a line of the checkpoint is no signature");
    return { name: nameOf(parts[0]), keyId: raw.slice(0, 4), blob: raw.slice(4) };
  });
  const root = bytesOf(said[2]);
  if (root.length !== 32) throw new Refused("a checkpoint's root has 32 bytes");
  return {
    entry: bytesOf(lines[1].slice(6)), index: BigInt(index[1]), path: lines.slice(3).map(bytesOf),
    body, origin: nameOf(said[0]), size: BigInt(said[1]), root, signatures,
  };
}

async function verifies(verifier, message, signature) {
  if (signature.length !== 64) return false;
  const key = await crypto.subtle.importKey("raw", verifier.key, { name: "Ed25519" }, false, ["verify"]);
  return crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
}

const by = (verifier) => (signature) => signature.name === verifier.name && same(signature.keyId, verifier.keyId);

export async function hasEd25519() {
  try {
    await crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"]);
    return true;
  } catch {
    return false;
  }
}

async function check4(proof, hub) {
  if (proof.origin !== hub.name) throw new Refused(`the checkpoint is of ${proof.origin}, and the keys are of ${hub.name}`);
  const own = proof.signatures.filter(by(hub));
  if (!own.length) throw new Refused("the hub didn't sign the checkpoint");
  for (const each of own) if (!(await verifies(hub, text.encode(proof.body), each.blob))) throw new Refused("the hub's signature doesn't hold");
}

async function check5(proof, keys) {
  const cosigned = [];
  for (const witness of keys.witnesses) {
    for (const each of proof.signatures.filter(by(witness))) {
      const seconds = each.blob.slice(0, 8).reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
      const message = text.encode(`cosignature/v1\ntime ${seconds}\n${proof.body}`);
      if (each.blob.length === 72 && seconds < 2n ** 63n && (await verifies(witness, message, each.blob.slice(8)))) {
        cosigned.push(witness.name);
        break;
      }
    }
  }
  if (cosigned.length < keys.quorum) throw new Refused(`${cosigned.length} of ${keys.witnesses.length} witnesses cosigned it, and ${keys.quorum} have to`);
  return cosigned;
}

/** All steps: `{ steps: [{ words, state, more }], entry, proven }`; a state is "held", "failed" or "not checked". */
export async function checked(proofFile, keysFile) {
  const steps = [];
  const found = { steps, entry: null, proven: false };
  const step = async (words, act) => {
    if (steps.some((before) => before.state === "failed")) { steps.push({ words, state: "not checked", more: "a step before it failed" }); return null; }
    try {
      const [value, more] = await act();
      steps.push({ words, state: "held", more });
      return value;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      steps.push({ words, state: "failed", more: error.message });
      return null;
    }
  };
  const keys = await step("The keys can be read", async () => {
    const read = await readKeys(keysFile);
    return [read, `${read.hub.name}, and ${read.witnesses.length} witnesses of whom ${read.quorum} have to cosign`];
  });
  const proof = await step("The proof can be read", async () => {
    const read = readProof(proofFile);
    return [read, `entry ${read.index} in a tree of ${read.size}`];
  });
  await step("The entry is in the tree", async () => {
    if (!same(await rootOf(await leaf(proof.entry), proof.index, proof.size, proof.path), proof.root)) throw new Refused("the path leads to another root than the checkpoint's");
    return [true, `${proof.path.length} hashes lead from it to the checkpoint's root (SHA-256)`];
  });
  const able = await hasEd25519();
  const signed = async (words, act) => {
    if (able) return step(words, act);
    steps.push({ words, state: "not checked", more: "this browser has no Ed25519; check it with wardround ledger proof-check" });
    return null;
  };
  await signed("The hub signed the checkpoint", async () => {
    await check4(proof, keys.hub);
    return [true, `by the key of ${keys.hub.name} that you gave`];
  });
  await signed("A quorum of hospitals cosigned it", async () => {
    const names = await check5(proof, keys);
    return [names, names.join(", ")];
  });
  found.proven = steps.every((each) => each.state === "held");
  if (proof) found.entry = new TextDecoder().decode(proof.entry);
  return found;
}

const TAGS = { held: "good", failed: "bad", "not checked": "warn" };

function made(tag, attributes, ...inner) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inner);
  return element;
}

function show(place, found) {
  const words = found.proven ? "Proven, by what this browser checked itself" : "Not proven";
  const parts = [made("h2", { tabindex: "-1" }, words), made("ul", { class: "todo" }, ...found.steps.map((each) =>
    made("li", {}, made("span", { class: `tag ${TAGS[each.state]}` }, each.state), ` ${each.words}: ${each.more}.`)))];
  if (found.entry !== null) {
    let told = found.entry;
    try { told = JSON.stringify(JSON.parse(found.entry).entry, null, 1); } catch { /* shown as it is */ }
    parts.push(made("h3", {}, "What the entry says"), made("pre", { class: "scroll mono", tabindex: "0", role: "region", "aria-label": "What the entry says" }, told));
  }
  place.replaceChildren(...parts);
  place.hidden = false;
  place.querySelector("h2").focus();
}

const form = globalThis.document?.querySelector("[data-proof-check]");
if (form && globalThis.crypto?.subtle) {
  const [proof, keys, file] = ["proof", "keys", "file"].map((name) => form.elements[name]);
  const place = document.querySelector("[data-proof-found]");
  form.querySelectorAll("[data-with-script]").forEach((part) => { part.hidden = false; });
  form.querySelectorAll("[data-without-script]").forEach((part) => { part.hidden = true; });
  file.addEventListener("change", async () => { if (file.files.length) proof.value = await file.files[0].text(); });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    event.stopPropagation();
    show(place, await checked(`${proof.value.replaceAll("\r\n", "\n").trim()}\n`, keys.value));
  });
}
