// What stands around the images of `viewer.js`: buttons, sliders, layers, and the list of keys.

const VIEWS = ["Axial", "Coronal", "Sagittal", "All four", "3D"];
export const [ALL, SOLID] = [3, 4];
const TEN = 10;

export function made(tag, attributes = {}, ...inner) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...inner);
  return element;
}

function named(label, input) {
  return made("div", {}, made("label", { for: input.id }, label), input);
}

function rounded(number, digits) {
  return Number(number.toPrecision(digits));
}

export class Panel {
  constructor(viewer) {
    this.viewer = viewer;
    this.element = viewer.element;
    const slider = (name, act, more = {}) => made("input", { type: "range", id: `${viewer.id}-${name}`, step: "any", input: act, ...more });
    this.canvas = made("canvas", { "aria-hidden": "true" });
    this.stage = made("div", {
      class: "viewer-stage", tabindex: "0", role: "application", "aria-roledescription": "viewer",
      "aria-label": "The images. Keys are listed below.",
    }, this.canvas);
    this.progress = made("progress", { max: "1", value: "0", "aria-label": "Loading the images" });
    this.said = made("output", { class: "viewer-said" });
    this.place = made("p", { class: "viewer-place" });
    this.views = VIEWS.map((name, type) => made("button", {
      type: "button", class: "quiet small", "aria-pressed": "false", "aria-keyshortcuts": String(type + 1), click: () => viewer.view(type),
    }, name));
    this.slice = slider("slice", () => viewer.slide(Number(this.slice.value) - 1), { min: "1", step: "1" });
    const turned = () => viewer.window(Number(this.level.value), Number(this.width.value));
    this.level = slider("level", turned);
    this.width = slider("width", turned);
    this.preset = made("select", { id: `${viewer.id}-window`, change: () => viewer.windowed(Number(this.preset.value)) });
    this.opacity = slider("opacity", () => viewer.strengthen(Number(this.opacity.value)), { min: "0", max: "1", step: "0.05" });
    this.opacity.value = viewer.strength;
    this.tools = made("div", { class: "viewer-tools" });
    this.keys = made("dl", { class: "viewer-keys" });
    this.help = made("details", innerWidth > 1024 ? { open: "" } : {}, made("summary", {}, "Keys"), this.keys);
    this.side = made("div", { class: "viewer-panel" },
      made("div", { class: "viewer-views", role: "group", "aria-label": "Views" }, ...this.views),
      made("div", { class: "viewer-sliders" }, named("Slice", this.slice), named("Brightness", this.level),
        named("Contrast", this.width), named("Window", this.preset)),
      ...(viewer.overlays.length ? [this.layers()] : []), this.tools, this.help);
    this.stage.hidden = this.side.hidden = true;
    this.element.append(this.progress, this.stage, this.place, this.said, this.side);
    this.element.classList.add("viewer-on");
  }

  layers() {
    const layers = made("fieldset", { class: "viewer-layers" }, made("legend", {}, "Laid over it"));
    this.viewer.overlays.forEach((overlay, number) => {
      const id = `${this.viewer.id}-layer-${number}`;
      overlay.box = made("input", { type: "checkbox", id, change: () => this.viewer.lays(overlay, overlay.box.checked) });
      overlay.box.checked = true;
      const swatch = made("span", { class: "viewer-swatch", "aria-hidden": "true" });
      swatch.style.backgroundColor = `rgb(${overlay.colour})`;
      layers.append(made("label", { for: id }, overlay.box, swatch, overlay.name));
    });
    layers.append(named("How strong", this.opacity));
    return layers;
  }

  // The viewer's own keys; once the viewer knows this panel.
  bind() {
    const viewer = this.viewer;
    VIEWS.forEach((name, type) => viewer.key(String(type + 1), name.toLowerCase().replace("3d", "3D"), () => viewer.view(type)));
    viewer.key("ArrowUp", "next slice", (event) => viewer.step(1, event), "↑");
    viewer.key("ArrowDown", "slice before", (event) => viewer.step(-1, event), "↓");
    viewer.key("PageUp", "ten on", () => viewer.step(TEN), "Page Up");
    viewer.key("PageDown", "ten back", () => viewer.step(-TEN), "Page Down");
    viewer.key("Home", "first slice", () => viewer.slide(0));
    viewer.key("End", "last slice", () => viewer.slide(Infinity));
    viewer.key("ArrowLeft", "turn 3D", () => viewer.turn(-TEN, 0), "← →");
    viewer.key("ArrowRight", "", () => viewer.turn(TEN, 0));
    viewer.key("b", "brighter", () => viewer.window(viewer.middle - viewer.span / 20, viewer.span));
    viewer.key("d", "darker", () => viewer.window(viewer.middle + viewer.span / 20, viewer.span));
    viewer.key("n", "narrower window", () => viewer.window(viewer.middle, viewer.span / 1.1));
    viewer.key("w", "wider window", () => viewer.window(viewer.middle, viewer.span * 1.1));
    viewer.key("+", "larger", () => viewer.zoom(1.2));
    viewer.key("-", "smaller", () => viewer.zoom(1 / 1.2));
    if (viewer.overlays.length) {
      viewer.key("o", "overlay on, off", () => viewer.toggle());
      viewer.key("i", "only its outline", () => viewer.outline());
      viewer.key(",", "overlay fainter", () => viewer.strengthen(viewer.strength - 0.1));
      viewer.key(".", "overlay stronger", () => viewer.strengthen(viewer.strength + 0.1));
      viewer.key("f", "where it marks most", () => viewer.find());
    }
    viewer.key("x", "cross on, off", () => viewer.cross());
    viewer.key("r", "as it was", () => viewer.reset());
    viewer.key("h", "these keys", () => (this.help.open = !this.help.open));
  }

  list(key, words) {
    this.keys.append(made("div", {}, made("dt", {}, made("kbd", {}, key)), made("dd", {}, words)));
  }

  // The names of windows that may be chosen; none where values aren't Hounsfield units.
  offer(names) {
    this.preset.replaceChildren(...names.map((name, number) => made("option", { value: number }, name)));
    this.preset.parentElement.hidden = !names.length;
  }

  show() {
    this.progress.remove();
    this.stage.hidden = this.side.hidden = false;
  }

  press(type) {
    this.views.forEach((button, number) => button.setAttribute("aria-pressed", String(number === type)));
  }

  tell({ plane, slice, count, value, middle, span, least, most, at }) {
    Object.assign(this.slice, { max: count, value: slice + 1 });
    Object.assign(this.level, { min: least, max: most, value: middle });
    Object.assign(this.width, { min: 0, max: Math.max(most - least, span), value: span });
    const sides = [["left", "right"], ["front", "back"], ["up", "down"]];
    const where = at.map((mm, axis) => `${Math.abs(mm).toFixed(0)} mm ${sides[axis][mm < 0 ? 1 : 0]}`);
    this.place.textContent = `${VIEWS[plane]} ${slice + 1} of ${count} · value ${rounded(value, 4)} · ` +
      `level ${rounded(middle, 3)}, width ${rounded(span, 3)} · ${where.join(", ")}`;
  }

  remove() {
    for (const part of [this.progress, this.stage, this.place, this.said, this.side]) part.remove();
    this.element.classList.remove("viewer-on");
  }
}
