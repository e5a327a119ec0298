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

import { ALL, Panel, SOLID, made } from "./viewer-panel.js";

const COLOURS = [[255, 176, 0], [0, 176, 246], [220, 38, 127], [120, 214, 75], [167, 139, 250], [254, 97, 0]];
const HOUNSFIELD = [["soft tissue", 40, 400], ["brain", 40, 80], ["lung", -600, 1500], ["bone", 400, 1800]];
const tile = (sliceType, ...position) => ({ sliceType, position });
// All four: the plane of the acquisition large where there is room, else a square of four.
const WIDE = [tile(0, 0, 0, 0.61, 1), tile(1, 0.63, 0, 0.37, 0.33), tile(2, 0.63, 0.335, 0.37, 0.33), tile(4, 0.63, 0.67, 0.37, 0.33)];
const SQUARE = [tile(0, 0, 0, 0.48, 0.49), tile(1, 0.52, 0, 0.48, 0.49), tile(2, 0, 0.51, 0.48, 0.49), tile(4, 0.52, 0.51, 0.48, 0.49)];
let viewers = 0;

async function fetched(address, told) {
  const answer = await fetch(address, { credentials: "same-origin", redirect: "manual" });
  if (answer.type === "opaqueredirect") throw new Error("your session has ended, sign in again");
  if (!answer.ok) throw new Error(answer.status === 404 ? "they aren't here any more" : "they are no volume");
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

// What of a mask touches what isn't of it, within the slices of the file.
function edge(mask, columns, rows) {
  return mask.map((value, at) => {
    const [column, row] = [at % columns, Math.floor(at / columns) % rows];
    const inside = column > 0 && column < columns - 1 && row > 0 && row < rows - 1;
    return value && !(inside && mask[at - 1] && mask[at + 1] && mask[at - columns] && mask[at + columns]) ? value : 0;
  });
}

class Viewer {
  constructor(element) {
    this.element = element;
    this.instead = [...element.children];
    this.id = `viewer${++viewers}`;
    this.windows = element.dataset.modality === "CT" ? HOUNSFIELD : [];
    this.overlays = [...element.querySelectorAll("[data-overlay]")].map((item, place) => ({
      name: item.textContent.trim(),
      address: item.dataset.overlay,
      colour: COLOURS[place % COLOURS.length],
    }));
    this.plane = 0;
    this.strength = 0.45;
    this.keys = new Map();
  }

  async open() {
    if (typeof niivue === "undefined" || !document.createElement("canvas").getContext("webgl2")) {
      throw new Error("this browser can't draw them, WebGL 2 is missing");
    }
    this.panel = new Panel(this);
    this.panel.bind();
    this.nv = new niivue.Niivue({
      isRadiologicalConvention: true, sagittalNoseLeft: true, multiplanarLayout: 2, multiplanarShowRender: 1,
      isOrientationTextVisible: true, showAllOrientationMarkers: true, fontColor: [0.85, 0.88, 0.88, 1],
      crosshairColor: [0.36, 0.77, 0.81, 0.8], crosshairGap: 5, crosshairWidthUnit: "percent",
      dragMode: 9, dragAndDropEnabled: false, isNearestInterpolation: false, loadingText: "", logLevel: "silent",
      clipPlaneHotKey: "", cycleClipPlaneHotKey: "", viewModeHotKey: "",
    });
    await this.nv.attachToCanvas(this.panel.canvas, false);
    this.panel.canvas.tabIndex = -1;
    const shares = new Map();
    const progress = (address) => (share) => {
      shares.set(address, share);
      const mean = [...shares.values()].reduce((sum, one) => sum + one, 0) / (1 + this.overlays.length);
      this.panel.progress.value = mean;
    };
    const addresses = [this.element.dataset.volume, ...this.overlays.map((overlay) => overlay.address)];
    const files = await Promise.all(addresses.map((address, place) => {
      const file = fetched(address, progress(address));
      return place ? file.catch(() => null) : file; // a label that can't be laid over it keeps nobody from the images
    }));
    await this.lay(files);
    for (const child of this.instead) child.hidden = true;
    this.panel.show();
    this.listen();
    new ResizeObserver(() => this.resized()).observe(this.stage);
    this.nv.resizeListener();
    this.view(ALL);
    if (this.laid.length) this.find();
    return this;
  }

  async lay(files) {
    for (const [place, buffer] of files.entries()) {
      const overlay = this.overlays[place - 1];
      if (!buffer) {
        overlay.box.checked = !(overlay.box.disabled = true);
        this.say(`It can't be laid over the images: ${overlay.name}.`);
        continue;
      }
      const image = await niivue.NVImage.loadFromUrl({
        url: buffer, name: overlay ? `overlay${place}.nii.gz` : "volume.nii.gz", colorbarVisible: false,
        ...(overlay ? { opacity: this.strength, cal_min: 0, cal_max: 1 } : {}),
      });
      if (overlay) {
        const [red, green, blue] = overlay.colour;
        image.setColormapLabel({ R: [0, red], G: [0, green], B: [0, blue], A: [0, 255], I: [0, 1], labels: ["", overlay.name] });
        Object.assign(overlay, { image, mask: image.img, shown: true });
      }
      this.nv.addVolume(image);
    }
    const base = this.base;
    if (!this.element.dataset.modality && base.global_min < -500) this.windows = HOUNSFIELD;
    this.panel.offer(this.windows.map(([name]) => name));
    if (this.windows.length) {
      this.key("c", "next window", () => this.windowed((Number(this.panel.preset.value) + 1) % this.windows.length));
      this.window(this.windows[0][1], this.windows[0][2]);
    } else this.window((base.cal_min + base.cal_max) / 2, base.cal_max - base.cal_min);
    this.first = [base.cal_min, base.cal_max];
    this.laid = this.overlays.filter((overlay) => overlay.image);
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

  get stage() {
    return this.panel.stage;
  }

  get tools() {
    return this.panel.tools;
  }

  key(name, words, act, shown = name) {
    this.keys.set(name, act);
    if (words) this.panel.list(shown, words);
  }

  say(words) {
    this.panel.said.textContent = words;
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
    const box = this.panel.canvas.getBoundingClientRect();
    const ratio = this.nv.uiData.dpr ?? 1;
    const tile = this.nv.tileIndex((event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio);
    const plane = this.nv.screenSlices[tile]?.axCorSag;
    if (plane <= 2) this.plane = plane;
  }

  moved() {
    const ras = this.ras();
    const at = this.nv.frac2mm(this.nv.scene.crosshairPos);
    this.panel.tell({
      plane: this.plane,
      slice: ras[this.axis],
      count: this.size[this.axis],
      value: this.base.getValue(...ras),
      middle: this.middle,
      span: this.span,
      least: this.base.global_min,
      most: this.base.global_max,
      at: [-at[0], at[1], at[2]],
    });
    this.element.dispatchEvent(new CustomEvent("viewer-moved"));
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
    else this.slide(this.ras()[this.axis] + slices * (event?.shiftKey ? 10 : 1));
  }

  find() {
    const overlay = this.laid.find((one) => one.shown);
    if (!overlay) return this.say("Nothing is laid over it now.");
    const [columns, rows, slices] = overlay.image.hdr.dims.slice(1, 4);
    let best = -1;
    let most = 0;
    const sums = [0, 0];
    for (let slice = 0; slice < slices; slice++) {
      let [count, across, down] = [0, 0, 0];
      for (let row = 0, at = slice * rows * columns; row < rows; row++) {
        for (let column = 0; column < columns; column++, at++) {
          if (overlay.mask[at]) { count++; across += column; down += row; }
        }
      }
      if (count > most) { best = slice; most = count; sums[0] = across; sums[1] = down; }
    }
    if (best < 0) return this.say("What is laid over it marks nothing.");
    this.go(this.to([Math.round(sums[0] / most), Math.round(sums[1] / most), best]));
    this.say(`On this slice most is marked of: ${overlay.name}.`);
  }

  // --- How -----------------------------------------------------------------------------------------------------------

  view(type) {
    if (type <= 2) this.plane = type;
    this.nv.opts.show3Dcrosshair = type !== SOLID;
    this.nv.setSliceType(type);
    if (type === ALL) this.lay4();
    else this.nv.clearCustomLayout();
    this.panel.press(type);
    this.moved();
  }

  resized() {
    if (this.nv.opts.crosshairWidth) this.nv.setCrosshairWidth(this.thin());
    if (this.nv.opts.sliceType === ALL) this.lay4();
  }

  // How wide the cross is, in percent of the volume: a pixel or two, however large it is shown.
  thin() {
    return Math.min(300 / Math.max(this.stage.clientWidth, 1), 1);
  }

  lay4() {
    this.nv.setCustomLayout(this.stage.clientWidth > 1.15 * this.stage.clientHeight ? WIDE : SQUARE);
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
    this.panel.preset.value = number;
    this.window(middle, span);
    this.say(`The window for ${name}.`);
  }

  lays(overlay, shown) {
    overlay.shown = overlay.box.checked = shown;
    this.nv.setOpacity(this.nv.volumes.indexOf(overlay.image), shown ? this.strength : 0);
  }

  strengthen(strength) {
    this.strength = this.panel.opacity.value = Math.min(Math.max(strength, 0), 1);
    for (const overlay of this.laid) if (overlay.shown) this.lays(overlay, true);
  }

  toggle() {
    const shown = !this.laid.some((overlay) => overlay.shown);
    for (const overlay of this.laid) this.lays(overlay, shown);
  }

  outline() {
    this.edges = !this.edges;
    for (const overlay of this.laid) {
      const [columns, rows] = overlay.image.hdr.dims.slice(1, 3);
      overlay.edge ??= edge(overlay.mask, columns, rows);
      overlay.image.img = this.edges ? overlay.edge : overlay.mask;
    }
    this.nv.updateGLVolume();
  }

  cross() {
    this.nv.setCrosshairWidth(this.nv.opts.crosshairWidth ? 0 : this.thin());
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
    viewer.panel?.remove();
    const { picture } = element.dataset;
    if (picture) element.prepend(made("img", { src: picture, alt: "The middle of the images" }));
    element.append(made("p", { class: "viewer-said", role: "status" }, `The images can't be scrolled through here: ${fault.message}.`));
    throw fault;
  }
}

for (const element of document.querySelectorAll(".viewer[data-volume]")) {
  element.viewer = open(element);
  element.viewer.catch(() => {}); // it was said on the page
}
