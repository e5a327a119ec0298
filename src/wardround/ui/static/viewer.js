// Shows a volume and what is drawn on it, by NiiVue, in radiological convention: the patient's right is at the left.
//
// A page embeds it by the macros of `viewer.html`: `scripts()` in its block `scripts`, `viewer(viewing)` where it is to
// be, of a `ui.viewer.Viewing`; its answer is `Shown(…, widened=ui.viewer.WIDENED)`. They make
//   <figure class="viewer" data-volume="ADDRESS" data-modality="CT">   NIfTI, gzipped
//     a sentence and a picture, shown where this can't run
//     <a data-overlay="ADDRESS">Name</a>                               each laid over it: NIfTI on the same grid
//   </figure>
//
// Another module (put after this one in the page) takes hold of it so; the promise is refused where nothing can be shown:
//   const viewer = await document.querySelector(".viewer").viewer;
//   viewer.nv                     NiiVue's object: `viewer.nv.addEventListener("locationChange", …)`, `drawUndo()`, …
//   viewer.key("p", "pen", act)   a key of the module's own, listed on the page; taken: 1-5 b c d f h i n o r w x , . - +
//                                 arrows, Page Up, Page Down, Home, End
//   viewer.tools                  an element for its buttons
//   viewer.voxel()                where the cross is, as [column, row, slice] of the file, counted from 0
//   viewer.of(ras), viewer.to(file)   between such indices and those of `nv.drawBitmap`, whose axes run right, front, up
//   viewer.go(ras)                puts the cross there
//   viewer.say(words)             says something below the picture, and to who can't see it
//   viewer.element                tells "viewer-moved" (after the cross or the view moved) as an event
// Keys work while the picture or one of its controls has the focus, so that none is taken from the page or the browser.

const VIEWS = [["Axial", "1"], ["Coronal", "2"], ["Sagittal", "3"], ["All four", "4"], ["3D", "5"]];
const [ALL, SOLID] = [3, 4];
const COLOURS = [[255, 176, 0], [0, 176, 246], [220, 38, 127], [120, 214, 75], [167, 139, 250], [254, 97, 0]];
const WINDOWS = { CT: [["soft tissue", 40, 400], ["brain", 40, 80], ["lung", -600, 1500], ["bone", 400, 1800]] };
const LARGEST_STEP = 10;

function made(tag, attributes = {}, ...inner) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...inner);
  return element;
}

async function fetched(address, told) {
  const answer = await fetch(address, { credentials: "same-origin", redirect: "error" });
  if (!answer.ok) throw new Error(answer.status === 404 ? "it isn't here any more" : "it can't be read");
  const whole = Number(answer.headers.get("content-length"));
  const parts = [];
  let size = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    if (whole) told(size / whole);
  }
  return new Blob(parts).arrayBuffer();
}

class Viewer {
  constructor(element) {
    this.element = element;
    this.instead = [...element.children];
    this.windows = WINDOWS[element.dataset.modality] ?? [];
    this.overlays = [...element.querySelectorAll("[data-overlay]")].map((item, place) => ({
      name: item.textContent.trim(),
      address: item.dataset.overlay,
      colour: COLOURS[place % COLOURS.length],
    }));
    this.plane = 0;
    this.strength = 0.5;
    this.keys = new Map();
  }

  async open() {
    if (typeof niivue === "undefined" || !document.createElement("canvas").getContext("webgl2")) {
      throw new Error("this browser can't draw it (WebGL 2 is missing)");
    }
    this.build();
    const reduced = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.nv = new niivue.Niivue({
      isRadiologicalConvention: true, sagittalNoseLeft: true, multiplanarLayout: 2, multiplanarShowRender: 1,
      isOrientationTextVisible: true, showAllOrientationMarkers: true, fontColor: [0.85, 0.88, 0.88, 1],
      crosshairColor: [0.36, 0.77, 0.81, 0.7], crosshairGap: 6, dragMode: 9, dragAndDropEnabled: false,
      isNearestInterpolation: false, loadingText: "", logLevel: "silent", tileMargin: 4,
      clipPlaneHotKey: "", cycleClipPlaneHotKey: "", viewModeHotKey: "", show3Dcrosshair: !reduced,
    });
    await this.nv.attachToCanvas(this.canvas, false);
    this.canvas.tabIndex = -1;
    const shares = new Map();
    const progress = (address) => (share) => {
      shares.set(address, share);
      const mean = [...shares.values()].reduce((sum, one) => sum + one, 0) / (1 + this.overlays.length);
      this.progress.value = mean;
    };
    const addresses = [this.element.dataset.volume, ...this.overlays.map((overlay) => overlay.address)];
    const files = await Promise.all(addresses.map((address) => fetched(address, progress(address))));
    await this.lay(files);
    this.progress.remove();
    for (const child of this.instead) child.hidden = true;
    this.stage.hidden = this.panel.hidden = false;
    this.listen();
    this.nv.resizeListener();
    this.view(ALL);
    if (this.overlays.length) this.find();
    return this;
  }

  async lay(files) {
    for (const [place, buffer] of files.entries()) {
      const overlay = this.overlays[place - 1];
      const image = await niivue.NVImage.loadFromUrl({
        url: buffer, name: overlay ? `overlay${place}.nii.gz` : "volume.nii.gz", colorbarVisible: false,
        ...(overlay ? { opacity: this.strength, cal_min: 0, cal_max: 1 } : {}),
      });
      if (overlay) {
        const [red, green, blue] = overlay.colour;
        image.setColormapLabel({ R: [0, red], G: [0, green], B: [0, blue], A: [0, 255], I: [0, 1], labels: ["", overlay.name] });
        overlay.image = image;
        overlay.shown = true;
      }
      this.nv.addVolume(image);
    }
    const base = this.base;
    if (this.windows.length) this.window(this.windows[0][1], this.windows[0][2]);
    else this.window((base.cal_min + base.cal_max) / 2, base.cal_max - base.cal_min);
    this.first = [base.cal_min, base.cal_max];
  }

  get base() {
    return this.nv.volumes[0];
  }

  get axis() {
    return 2 - this.plane;
  }

  get size() {
    return this.base.dimsRAS.slice(1, 4);
  }

  // --- What is on the page -------------------------------------------------------------------------------------------

  build() {
    this.canvas = made("canvas", { "aria-hidden": "true" });
    this.stage = made("div", {
      class: "viewer-stage", tabindex: "0", role: "application",
      "aria-label": "The images. Keys are listed below.", "aria-roledescription": "viewer",
    }, this.canvas);
    this.progress = made("progress", { max: "1", value: "0", "aria-label": "Loading the images" });
    this.said = made("output", { class: "viewer-said" });
    this.place = made("p", { class: "viewer-place" });
    this.views = VIEWS.map(([name, key], number) =>
      made("button", { type: "button", class: "quiet small", "aria-pressed": "false", "aria-keyshortcuts": key,
        click: () => this.view([0, 1, 2, ALL, SOLID][number]) }, name));
    this.slice = made("input", { type: "range", min: "1", step: "1", id: "viewer-slice", input: () => this.slide(Number(this.slice.value) - 1) });
    this.level = made("input", { type: "range", id: "viewer-level", step: "any", input: () => this.turned() });
    this.width = made("input", { type: "range", id: "viewer-width", step: "any", input: () => this.turned() });
    this.tools = made("div", { class: "viewer-tools" });
    this.list = made("dl", { class: "viewer-keys" });
    const named = (label, input) => made("div", {}, made("label", { for: input.id }, label), input);
    const sliders = made("div", { class: "viewer-sliders" }, named("Slice", this.slice), named("Brightness", this.level), named("Contrast", this.width));
    if (this.windows.length) {
      this.preset = made("select", { id: "viewer-window", change: () => this.windowed(Number(this.preset.value)) },
        ...this.windows.map(([name], number) => made("option", { value: number }, name)));
      sliders.append(named("Window", this.preset));
    }
    const layers = made("fieldset", { class: "viewer-layers" }, made("legend", {}, "Laid over it"));
    this.overlays.forEach((overlay, number) => {
      const box = (overlay.box = made("input", { type: "checkbox", id: `viewer-layer-${number}`, change: () => this.lays(overlay, box.checked) }));
      box.checked = true;
      const swatch = made("span", { class: "viewer-swatch", "aria-hidden": "true" });
      swatch.style.backgroundColor = `rgb(${overlay.colour})`;
      layers.append(made("label", { for: box.id }, box, swatch, overlay.name));
    });
    this.opacity = made("input", { type: "range", id: "viewer-opacity", min: "0", max: "1", step: "0.05", input: () => this.strengthen(Number(this.opacity.value)) });
    this.opacity.value = this.strength;
    layers.append(named("How strong", this.opacity));
    this.panel = made("div", { class: "viewer-panel" },
      made("div", { class: "viewer-views", role: "group", "aria-label": "Views" }, ...this.views), sliders,
      ...(this.overlays.length ? [layers] : []), this.tools,
      made("details", { class: "viewer-help", ...(innerWidth > 1024 ? { open: "" } : {}) }, made("summary", {}, "Keys"), this.list));
    this.stage.hidden = this.panel.hidden = true;
    this.element.append(this.progress, this.stage, this.place, this.said, this.panel);
    this.element.classList.add("viewer-on");
    const plane = (number) => () => this.view(number);
    this.key("1", "axial", plane(0));
    this.key("2", "coronal", plane(1));
    this.key("3", "sagittal", plane(2));
    this.key("4", "all four", plane(ALL));
    this.key("5", "3D", plane(SOLID));
    this.key("ArrowUp", "next slice", (event) => this.step(1, event), "↑");
    this.key("ArrowDown", "slice before", (event) => this.step(-1, event), "↓");
    this.key("PageUp", "ten on", () => this.step(LARGEST_STEP), "Page Up");
    this.key("PageDown", "ten back", () => this.step(-LARGEST_STEP), "Page Down");
    this.key("Home", "first slice", () => this.slide(0));
    this.key("End", "last slice", () => this.slide(Infinity));
    this.key("ArrowLeft", "turn 3D", () => this.turn(-10, 0), "← →");
    this.key("ArrowRight", "", () => this.turn(10, 0));
    this.key("b", "brighter", () => this.window(this.middle - this.span / 20, this.span));
    this.key("d", "darker", () => this.window(this.middle + this.span / 20, this.span));
    this.key("n", "narrower window", () => this.window(this.middle, this.span / 1.1));
    this.key("w", "wider window", () => this.window(this.middle, this.span * 1.1));
    if (this.windows.length) this.key("c", "next window", () => this.windowed((Number(this.preset.value) + 1) % this.windows.length));
    this.key("+", "larger", () => this.zoom(1.2));
    this.key("-", "smaller", () => this.zoom(1 / 1.2));
    if (this.overlays.length) {
      this.key("o", "overlay on or off", () => this.overlays.forEach((overlay) => this.lays(overlay, !this.overlays[0].shown, overlay)));
      this.key("i", "overlay as outline", () => this.outline());
      this.key(",", "overlay fainter", () => this.strengthen(this.strength - 0.1));
      this.key(".", "overlay stronger", () => this.strengthen(this.strength + 0.1));
      this.key("f", "to what is drawn", () => this.find());
    }
    this.key("x", "cross on or off", () => this.cross());
    this.key("r", "as it was", () => this.reset());
    this.key("h", "these keys", () => { const help = this.list.parentElement; help.open = !help.open; });
  }

  key(name, words, act, shown = name) {
    this.keys.set(name, act);
    if (words) this.list.append(made("div", {}, made("dt", {}, made("kbd", {}, shown)), made("dd", {}, words)));
  }

  listen() {
    // Before NiiVue, which has keys of its own on its canvas.
    this.element.addEventListener("keydown", (event) => {
      const onSlider = event.target.matches("input, select, textarea, summary");
      const act = event.ctrlKey || event.altKey || event.metaKey ? undefined : this.keys.get(event.key);
      if (act && !(onSlider && (event.key.length > 1 || event.target.matches("textarea, select, [type=text]")))) {
        act(event);
        event.preventDefault();
      }
      if (this.stage.contains(event.target)) event.stopPropagation();
    }, true);
    this.stage.addEventListener("keyup", (event) => event.stopPropagation(), true);
    for (const kind of ["pointerdown", "wheel"]) this.stage.addEventListener(kind, (event) => this.touched(event), { capture: true, passive: true });
    this.nv.addEventListener("locationChange", () => this.moved());
    this.nv.addEventListener("intensityChange", () => this.moved());
    this.stage.addEventListener("pointerup", () => this.moved());
  }

  touched(event) {
    const box = this.canvas.getBoundingClientRect();
    const ratio = this.nv.uiData.dpr ?? 1;
    const tile = this.nv.tileIndex((event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio);
    const plane = this.nv.screenSlices[tile]?.axCorSag;
    if (plane <= 2) this.plane = plane;
  }

  moved() {
    const ras = this.ras();
    const count = this.size[this.axis];
    this.slice.max = count;
    this.slice.value = ras[this.axis] + 1;
    const { cal_min, cal_max, global_min, global_max } = this.base;
    Object.assign(this.level, { min: global_min, max: global_max, value: (cal_min + cal_max) / 2 });
    Object.assign(this.width, { min: 0, max: Math.max(global_max - global_min, cal_max - cal_min), value: cal_max - cal_min });
    const value = this.base.getValue(...ras);
    const at = this.nv.frac2mm(this.nv.scene.crosshairPos).slice(0, 3);
    const side = (number, [positive, negative]) => `${Math.abs(number).toFixed(0)} mm ${number < 0 ? negative : positive}`;
    const where = [["left", "right"], ["front", "back"], ["up", "down"]].map((words, axis) => side(axis === 0 ? -at[0] : at[axis], words));
    this.place.textContent = `${VIEWS[this.plane][0]} ${ras[this.axis] + 1} of ${count} · value ${+value.toFixed(2)} · ` +
      `level ${+((cal_min + cal_max) / 2).toPrecision(3)}, width ${+(cal_max - cal_min).toPrecision(3)} · ${where.join(", ")}`;
    this.element.dispatchEvent(new CustomEvent("viewer-moved"));
  }

  say(words) {
    this.said.textContent = words;
  }

  // --- Where ---------------------------------------------------------------------------------------------------------

  ras() {
    return [...this.nv.frac2vox(this.nv.scene.crosshairPos)];
  }

  of(ras) {
    const file = [0, 0, 0];
    this.base.permRAS.forEach((axis, place) => {
      file[Math.abs(axis) - 1] = axis > 0 ? ras[place] : this.size[place] - 1 - ras[place];
    });
    return file;
  }

  to(file) {
    return this.base.permRAS.map((axis, place) => {
      const at = file[Math.abs(axis) - 1];
      return axis > 0 ? at : this.size[place] - 1 - at;
    });
  }

  voxel() {
    return this.of(this.ras());
  }

  go(ras) {
    this.nv.scene.crosshairPos = this.nv.vox2frac(ras.map((at, axis) => Math.min(Math.max(at, 0), this.size[axis] - 1)));
    this.nv.createOnLocationChange();
    this.nv.drawScene();
  }

  slide(at) {
    const ras = this.ras();
    ras[this.axis] = at;
    this.go(ras);
  }

  step(slices, event) {
    if (this.nv.opts.sliceType === SOLID) this.turn(0, event ? slices * 10 : slices);
    else this.slide(this.ras()[this.axis] + slices * (event?.shiftKey ? LARGEST_STEP : 1));
  }

  find() {
    const image = this.overlays.find((overlay) => overlay.shown)?.image;
    if (!image) return this.say("Nothing is laid over it now.");
    const [columns, rows, slices] = image.hdr.dims.slice(1, 4);
    let best = -1;
    let most = 0;
    const sums = [0, 0];
    for (let slice = 0; slice < slices; slice++) {
      let [count, across, down] = [0, 0, 0];
      for (let row = 0, at = slice * rows * columns; row < rows; row++) {
        for (let column = 0; column < columns; column++, at++) {
          if (image.img[at]) { count++; across += column; down += row; }
        }
      }
      if (count > most) { best = slice; most = count; sums[0] = across; sums[1] = down; }
    }
    if (best < 0) return this.say("What is laid over it marks nothing.");
    this.go(this.to([Math.round(sums[0] / most), Math.round(sums[1] / most), best]));
    this.say(`At the slice on which ${this.overlays.find((overlay) => overlay.shown).name} marks most.`);
  }

  // --- How -----------------------------------------------------------------------------------------------------------

  view(type) {
    if (type <= 2) this.plane = type;
    this.nv.opts.show3Dcrosshair = type !== SOLID;
    this.nv.setSliceType(type);
    this.views.forEach((button, number) => button.setAttribute("aria-pressed", String([0, 1, 2, ALL, SOLID][number] === type)));
    this.moved();
  }

  turn(azimuth, elevation) {
    const { renderAzimuth, renderElevation } = this.nv.scene;
    this.nv.setRenderAzimuthElevation(renderAzimuth + azimuth, Math.min(Math.max(renderElevation + elevation, -90), 90));
  }

  zoom(factor) {
    if (this.nv.opts.sliceType === SOLID) return this.nv.setScale(this.nv.scene.volScaleMultiplier * factor);
    const [, , , now] = this.nv.scene.pan2Dxyzmm;
    const next = Math.min(Math.max(now * factor, 1), 12);
    const at = this.nv.frac2mm(this.nv.scene.crosshairPos);
    this.nv.setPan2Dxyzmm(next === 1 ? [0, 0, 0, 1] : [-at[0], -at[1], -at[2], next]);
  }

  get middle() {
    return (this.base.cal_min + this.base.cal_max) / 2;
  }

  get span() {
    return this.base.cal_max - this.base.cal_min;
  }

  window(middle, span) {
    const half = Math.max(span, 1e-6) / 2;
    this.base.cal_min = middle - half;
    this.base.cal_max = middle + half;
    this.nv.updateGLVolume();
    this.moved();
  }

  windowed(number) {
    const [name, middle, span] = this.windows[number];
    this.preset.value = number;
    this.window(middle, span);
    this.say(`The window for ${name}.`);
  }

  turned() {
    this.window(Number(this.level.value), Number(this.width.value));
  }

  lays(overlay, shown) {
    overlay.shown = overlay.box.checked = shown;
    this.nv.setOpacity(this.nv.volumes.indexOf(overlay.image), shown ? this.strength : 0);
  }

  strengthen(strength) {
    this.strength = this.opacity.value = Math.min(Math.max(strength, 0), 1);
    for (const overlay of this.overlays) if (overlay.shown) this.lays(overlay, true);
  }

  outline() {
    this.nv.setAtlasOutline(this.nv.opts.atlasOutline ? 0 : 1);
  }

  cross() {
    this.nv.setCrosshairWidth(this.nv.opts.crosshairWidth ? 0 : 1);
  }

  reset() {
    [this.base.cal_min, this.base.cal_max] = this.first;
    this.nv.setPan2Dxyzmm([0, 0, 0, 1]);
    this.nv.setScale(1);
    this.nv.setRenderAzimuthElevation(110, 10);
    this.nv.updateGLVolume();
    this.go(this.size.map((count) => count >> 1));
  }
}

async function open(element) {
  const viewer = new Viewer(element);
  try {
    return await viewer.open();
  } catch (fault) {
    for (const part of [viewer.progress, viewer.stage, viewer.panel]) part?.remove();
    element.classList.remove("viewer-on");
    element.append(made("p", { class: "viewer-said", role: "status" }, `The images can't be shown here to scroll through: ${fault.message}.`));
    throw fault;
  }
}

for (const element of document.querySelectorAll(".viewer[data-volume]")) {
  element.viewer = open(element);
  element.viewer.catch(() => {}); // it was said on the page
}
