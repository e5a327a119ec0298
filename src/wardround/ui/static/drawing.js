// Draws on the volume that `viewer.js` shows: pen, eraser, clicks, scribbles and models that the node answers with an
// outline, undo, and saving with a note. A page embeds it around a viewer without overlays, after that one's script:
//   <section class="drawing" data-form="TOKEN" data-outline="ADDRESS" data-label="ADDRESS" data-models="NAME,NAME">
//     the viewer's figure
//     <form hidden method="post" action="ADDRESS">what is asked</form>     label and token are put beside it
//   </section>
// `data-label` is the drawing to begin with, empty for none: NIfTI on the volume's grid, gzipped, as are all masks here.
// Whatever is asked of the node is a form: model, foreground and background (clicks as JSON), label (a mask, base64url).

import { base64url, changes, through, unpacked } from "./mask.js";

const MOST_STEPS = 60;
const [PLAIN, PEN, ERASER, INSIDE, OUTSIDE, IS, ISNT] = ["look", "pen", "eraser", "inside", "outside", "is", "isn't"];
const TOOLS = [
  [PLAIN, "Look", "v", "no tool: the pointer moves the cross"],
  [PEN, "Pen", "p", "pen"],
  [ERASER, "Eraser", "e", "eraser"],
  [INSIDE, "Click inside", "a", "it is here: outline it from clicks"],
  [OUTSIDE, "Click outside", "s", "it isn't here"],
  [IS, "Scribble inside", "y", "scribble where it is: outline it from scribbles"],
  [ISNT, "Scribble outside", "z", "scribble where it isn't"],
];
// What a tool that draws puts into the drawing; of scribbles what the node takes for them.
const VALUES = { [PEN]: 1, [ERASER]: 0, [ISNT]: 2, [IS]: 3 };

class Drawing {
  constructor(root, viewer) {
    this.root = root;
    this.viewer = viewer;
    this.nv = viewer.nv;
    this.form = root.querySelector("form");
    this.token = root.dataset.form;
    this.tool = PLAIN;
    this.ball = false;
    this.filled = false;
    this.radius = 1.5 * Math.min(...this.spacing);
    this.inside = [];
    this.outside = [];
    this.scribbled = new Map();
    this.given = [];
    this.past = [];
    this.dirty = false;
    this.busy = false;
  }

  get spacing() {
    return this.viewer.base.pixDimsRAS.slice(1, 4);
  }

  async open() {
    const { nv } = this;
    nv.setDrawOpacity(0.5);
    nv.createEmptyDrawing();
    // Round, and in millimetres: NiiVue's own pen is a square of voxels.
    nv.drawPt = (x, y, z, value) => this.dab([x, y, z], value, nv.drawPenAxCorSag);
    nv.drawPenLine = (to, from, value) => this.line(from, to, value);
    if (this.root.dataset.label) {
      const answer = await fetch(this.root.dataset.label, { credentials: "same-origin" });
      if (!answer.ok) throw new Error("your drawing so far can't be read");
      this.put(await this.mask(answer));
    }
    this.now = this.state();
    nv.addEventListener("drawingChanged", ({ detail }) => detail.action === "draw" && this.drawn());
    this.viewer.stage.addEventListener("pointerup", (event) => {
      if (event.button === 0 && (this.tool === INSIDE || this.tool === OUTSIDE)) this.click(this.tool);
    });
    this.build();
    this.hold(PEN);
    this.form.hidden = false;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.save();
    });
    addEventListener("beforeunload", (event) => this.dirty && event.preventDefault());
  }

  // --- What is on the page -------------------------------------------------------------------------------------------

  build() {
    const { viewer } = this;
    const button = (words, key, act) => {
      const made = document.createElement("button");
      Object.assign(made, { type: "button", className: "quiet small", textContent: words, onclick: act });
      if (key) made.setAttribute("aria-keyshortcuts", key);
      return made;
    };
    this.buttons = TOOLS.map(([tool, words, key]) => button(words, key, () => this.hold(tool)));
    this.undone = button("Undo", "u", () => this.undo());
    this.size = document.createElement("span");
    this.shape = button("Pen as a ball", "t", () => this.across());
    this.fill = button("Fill inside", "g", () => this.surround());
    viewer.tools.setAttribute("role", "group");
    viewer.tools.setAttribute("aria-label", "Drawing");
    viewer.tools.append(
      ...this.buttons, this.undone, button("Between slices", "l", () => this.between()), this.shape, this.fill,
      button("Smaller pen", "[", () => this.resize(1 / 1.25)), button("Larger pen", "]", () => this.resize(1.25)), this.size,
    );
    for (const model of this.root.dataset.models.split(",").filter(Boolean)) {
      viewer.tools.append(button(`Outline by ${model}`, "", () => this.outline(model)));
    }
    for (const [tool, , key, words] of TOOLS) {
      const clicks = tool === INSIDE || tool === OUTSIDE;
      viewer.key(key, clicks ? `${words}, at the cross` : words, () => (clicks ? this.click(tool) : this.hold(tool)));
    }
    viewer.key("m", "mark (or erase) at the cross", () => this.mark());
    viewer.key("u", "undo", () => this.undo());
    viewer.key("l", "fill between drawn slices", () => this.between());
    viewer.key("t", "pen: one slice or a ball", () => this.across());
    viewer.key("g", "pen: fill what it surrounds", () => this.surround());
    viewer.key("[", "smaller pen", () => this.resize(1 / 1.25));
    viewer.key("]", "larger pen", () => this.resize(1.25));
    viewer.key("o", "drawing on or off", () => this.nv.setDrawOpacity(this.nv.drawOpacity ? 0 : 0.5));
    viewer.key("f", "to what is drawn", () => this.find());
    viewer.key("k", "save: to what is asked with it", () => this.form.elements[0].focus());
    // The viewer's own arrows step through slices; with Shift they move within one, so that no pointer is needed.
    for (const [name, across, up] of [["ArrowLeft", 1, 0], ["ArrowRight", -1, 0], ["ArrowUp", 0, 1], ["ArrowDown", 0, -1]]) {
      const plain = viewer.keys.get(name);
      viewer.key(name, "", (event) => (event.shiftKey ? this.shift(across, up) : plain(event)));
    }
    viewer.key("Shift", "move within the slice", () => {}, "Shift + ← → ↑ ↓");
    this.resize(1);
  }

  // Of the screen: in radiological convention the left is the patient's right, and in sagittal slices the front.
  shift(across, up) {
    const ras = this.viewer.ras();
    const [wide, tall] = [[0, 1], [0, 2], [1, 2]][this.viewer.plane];
    ras[wide] += across;
    ras[tall] += up;
    this.viewer.go(ras);
  }

  hold(tool) {
    this.tool = tool;
    const draws = tool in VALUES;
    this.nv.setDrawingEnabled(draws);
    if (draws) this.nv.setPenValue(VALUES[tool], this.filled && VALUES[tool] < 2);
    TOOLS.forEach(([each], place) => this.buttons[place].setAttribute("aria-pressed", String(each === tool)));
    this.told();
  }

  across() {
    this.ball = !this.ball;
    this.told();
  }

  surround() {
    this.filled = !this.filled;
    this.hold(this.tool);
  }

  resize(factor) {
    const least = Math.min(...this.spacing) / 2;
    this.radius = Math.min(Math.max(this.radius * factor, least), 60);
    this.told();
  }

  told() {
    this.shape?.setAttribute("aria-pressed", String(this.ball));
    this.fill?.setAttribute("aria-pressed", String(this.filled));
    if (this.size) this.size.textContent = `Pen of ${(2 * this.radius).toFixed(1)} mm`;
  }

  say(words) {
    this.viewer.say(words);
  }

  // --- Drawing -------------------------------------------------------------------------------------------------------

  dab(at, value, plane) {
    const [size, mm, mask] = [this.viewer.size, this.spacing, this.nv.drawBitmap];
    const reach = mm.map((step, axis) => (!this.ball && axis === 2 - plane ? 0 : Math.floor(this.radius / step)));
    const most = this.radius * this.radius + 1e-6;
    const from = at.map((one, axis) => Math.max(one - reach[axis], 0));
    const to = at.map((one, axis) => Math.min(one + reach[axis], size[axis] - 1));
    for (let z = from[2]; z <= to[2]; z++) {
      for (let y = from[1]; y <= to[1]; y++) {
        const beside = ((z - at[2]) * mm[2]) ** 2 + ((y - at[1]) * mm[1]) ** 2;
        for (let x = from[0]; x <= to[0]; x++) {
          if (beside + ((x - at[0]) * mm[0]) ** 2 <= most) mask[x + size[0] * (y + size[1] * z)] = value;
        }
      }
    }
  }

  line(from, to, value) {
    const steps = Math.max(1, ...to.map((one, axis) => Math.abs(one - from[axis])));
    for (let step = 1; step <= steps; step++) {
      this.dab(to.map((one, axis) => Math.round(from[axis] + ((one - from[axis]) * step) / steps)), value, this.nv.drawPenAxCorSag);
    }
  }

  mark() {
    this.dab(this.viewer.ras(), VALUES[this.tool] ?? 1, this.viewer.plane);
    this.nv.refreshDrawing(true);
    this.drawn();
  }

  drawn() {
    if (VALUES[this.tool] > 1) this.scribble();
    else this.record();
  }

  put(mask) {
    this.nv.drawBitmap = mask;
    this.nv.refreshDrawing(true);
  }

  find() {
    const [first, last] = [this.nv.drawBitmap.indexOf(1), this.nv.drawBitmap.lastIndexOf(1)];
    if (first < 0) return this.say("Nothing is drawn yet.");
    const [columns, rows] = this.viewer.size;
    const counts = new Map();
    for (let at = first; at <= last; at++) {
      if (this.nv.drawBitmap[at]) {
        const slice = Math.floor(at / (columns * rows));
        const found = counts.get(slice) ?? [0, 0, 0];
        counts.set(slice, [found[0] + 1, found[1] + (at % columns), found[2] + (Math.floor(at / columns) % rows)]);
      }
    }
    const [slice, [count, x, y]] = [...counts].reduce((best, one) => (one[1][0] > best[1][0] ? one : best));
    this.viewer.go([Math.round(x / count), Math.round(y / count), slice]);
    this.say("At the axial slice on which most is drawn.");
  }

  // --- Undo ----------------------------------------------------------------------------------------------------------

  state() {
    const { given, inside, outside, scribbled } = this;
    return { drawn: changes(this.nv.drawBitmap), given, inside, outside, scribbled };
  }

  record() {
    this.past.push(this.now);
    if (this.past.length > MOST_STEPS) this.past.shift();
    this.now = this.state();
    this.dirty = true;
    this.sure = false;
    this.root.dataset.steps = this.past.length;
  }

  undo() {
    if (this.busy) return;
    if (!this.past.length) return this.say("There is nothing to undo.");
    this.now = this.past.pop();
    this.root.dataset.steps = this.past.length;
    ({ given: this.given, inside: this.inside, outside: this.outside, scribbled: this.scribbled } = this.now);
    this.put(unpacked(this.now.drawn, this.nv.drawBitmap.length));
    this.say("Undone.");
  }

  // --- What the node helps with --------------------------------------------------------------------------------------

  async click(tool) {
    if (this.busy) return;
    const [inside, outside, at] = [this.inside, this.outside, this.viewer.voxel()];
    if (tool === INSIDE) this.inside = [...inside, at];
    else this.outside = [...outside, at];
    if (!this.inside.length) return this.say("Click inside first; what isn't it comes after.");
    const clicks = { foreground: JSON.stringify(this.inside), background: JSON.stringify(this.outside) };
    if (await this.helped("clicks", clicks)) {
      this.say(`Outlined from ${this.inside.length} inside and ${this.outside.length} outside.`);
    } else {
      [this.inside, this.outside] = [inside, outside];
    }
  }

  // Scribbles aren't part of the drawing: they are taken out of it, and kept beside it with those before.
  async scribble() {
    const [before, drawing] = [this.scribbled, this.nv.drawBitmap];
    const scribbled = new Map(before);
    drawing.forEach((value, at) => value > 1 && scribbled.set(at, value));
    this.put(unpacked(this.now.drawn, drawing.length));
    if (this.busy) return;
    this.scribbled = scribbled;
    const marks = new Uint8Array(drawing.length);
    for (const [at, value] of scribbled) marks[at] = value;
    if (!marks.includes(VALUES[IS])) return this.say("Scribble inside first; what isn't it comes after.");
    this.busy = true;
    const label = base64url(await this.file(marks));
    if (await this.helped("scribbles", { label })) this.say("Outlined from the scribbles: look at it, and correct it.");
    else this.scribbled = before;
  }

  async outline(model) {
    if (!this.busy && (await this.helped(model, {}))) this.say(`Outlined by ${model}: look at it, and correct it.`);
  }

  // What was drawn by hand stays: only where nobody changed what was given before does the new outline count. Where somebody
  // did, the opposite is noted as given, so that it stays when the outline after this one comes, too.
  helped(model, fields) {
    return this.ask(model, fields, (outline) => {
      const [before, drawing] = [unpacked(this.given, outline.length), this.nv.drawBitmap];
      const byHand = drawing.map((value, at) => value ^ before[at]);
      const drawn = drawing.map((value, at) => (byHand[at] ? value : outline[at]));
      this.given = changes(drawn.map((value, at) => value ^ byHand[at]));
      return drawn;
    });
  }

  async between() {
    if (this.busy) return;
    const label = base64url(await this.file());
    const filled = await this.ask("interpolation", { label }, (outline) => outline.map((value, at) => value | this.nv.drawBitmap[at]));
    if (filled) this.say("The slices between those drawn are filled: look at them, and correct them.");
  }

  async ask(model, fields, merged) {
    this.busy = true;
    this.say("One moment …");
    this.nv.setDrawingEnabled(false);
    try {
      const outline = await this.mask(await this.send(this.root.dataset.outline, { model, ...fields }));
      this.put(merged(outline));
      this.record();
      return true;
    } catch (fault) {
      this.say(fault.message);
      return false;
    } finally {
      this.busy = false;
      this.hold(this.tool);
    }
  }

  async save() {
    if (this.busy) return;
    if (!this.now.drawn.length && !this.sure) {
      this.sure = true;
      delete this.form.dataset.sent;
      return this.say("Nothing is drawn. Save once more to say that nothing is there.");
    }
    this.busy = true;
    this.say("Saving …");
    try {
      const answer = await this.send(this.form.action, { ...Object.fromEntries(new FormData(this.form)), label: base64url(await this.file()) });
      this.dirty = false;
      location.assign(answer.url);
    } catch (fault) {
      this.busy = false;
      delete this.form.dataset.sent;
      this.say(`It isn't saved, and is still here: ${fault.message}`);
    }
  }

  // --- To and from the node ------------------------------------------------------------------------------------------

  async send(address, fields, again = false) {
    let answer;
    try {
      answer = await fetch(address, { method: "POST", credentials: "same-origin", body: new URLSearchParams({ form: this.token, ...fields }) });
    } catch {
      throw new Error("the node can't be reached. Try again.");
    }
    if (answer.status === 403 && !again && (await this.renewed())) return this.send(address, fields, true);
    if (answer.ok) return answer;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    throw new Error(page.querySelector("main p")?.textContent.trim() ?? "something went wrong at the node.");
  }

  // Somebody whose session ended signs in in another window, and goes on here.
  async renewed() {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const token = page.querySelector(".drawing")?.dataset.form;
    if (!token || token === this.token) return false;
    this.token = token;
    return true;
  }

  // A file's mask in the order of NiiVue's drawing, whose axes run right, front, up.
  async mask(answer) {
    const plain = await through(new DecompressionStream("gzip"), await answer.arrayBuffer());
    const file = plain.subarray(new DataView(plain.buffer).getFloat32(108, true));
    const { img2RASstart: start, img2RASstep: step } = this.viewer.base;
    const [columns, rows, slices] = this.viewer.size;
    const mask = new Uint8Array(columns * rows * slices);
    let at = 0;
    for (let z = 0; z < slices; z++) {
      for (let y = 0; y < rows; y++) {
        const line = start[0] + start[1] + start[2] + y * step[1] + z * step[2];
        for (let x = 0; x < columns; x++) mask[at++] = file[line + x * step[0]] ? 1 : 0;
      }
    }
    return mask;
  }

  async file(mask = this.nv.drawBitmap) {
    const plain = await this.nv.volumes[0].saveToDisk("", mask);
    return through(new CompressionStream("gzip"), plain);
  }
}

for (const root of document.querySelectorAll(".drawing")) {
  root.querySelector(".viewer").viewer
    .then((viewer) => new Drawing(root, viewer).open().then(() => { root.dataset.ready = "yes"; }, (fault) => viewer.say(`You can't draw here: ${fault.message}.`)))
    .catch(() => {}); // the viewer said it
}
