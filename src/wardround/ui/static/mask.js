// Masks of a drawing: how its steps are kept, and how it travels to the node and back.

// Where a mask of 0 and 1 changes, in order: some kilobytes of what would be megabytes.
export function changes(mask) {
  const found = [];
  for (let at = 0, last = 0; at < mask.length; at++) {
    if (mask[at] !== last) {
      found.push(at);
      last = mask[at];
    }
  }
  return found;
}

export function unpacked(found, length) {
  const mask = new Uint8Array(length);
  for (let place = 0; place < found.length; place += 2) mask.fill(1, found[place], found[place + 1] ?? length);
  return mask;
}

export async function through(stream, bytes) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}

export function base64url(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_");
}
