// Boxes drawn on a picture, kept in the rows of number fields below it, which are what is sent. Without this file the
// fields are filled in by hand, and the server draws what was found into the picture.
const SVG = "http://www.w3.org/2000/svg";
const easel = document.querySelector("[data-easel]");
const rows = [...document.querySelectorAll(".boxes .box")].map((group) =>
  Object.fromEntries([...group.querySelectorAll("input")].map((field) => [field.name.split("-")[0], field])));

if (easel && rows.length) {
  const picture = easel.querySelector("img");
  const high = Number(easel.dataset.rows), wide = Number(easel.dataset.columns), frame = easel.dataset.frame;
  const said = document.querySelector("[data-easel-said]");
  const sheet = document.createElementNS(SVG, "svg");
  sheet.setAttribute("viewBox", `0 0 ${wide} ${high}`);
  sheet.setAttribute("aria-hidden", "true");
  easel.append(sheet);
  easel.classList.add("easel-on");
  picture.src = easel.dataset.plain;
  said.textContent = "Draw a box on the picture, or fill in a row. A row that is emptied blackens nothing; a frame that is left empty stands for all frames.";

  const boxOf = (row) => {
    const [y, x, height, width] = ["row", "column", "height", "width"].map((name) => row[name].value.trim());
    if (![y, x, height, width].every((text) => /^[0-9]+$/.test(text))) return null;
    return { x: Number(x), y: Number(y), width: Number(width), height: Number(height) };
  };
  const shown = (row) => row.frame.value.trim() === "" || row.frame.value.trim() === frame;
  const draw = (box, kind) => {
    const drawn = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries(box)) drawn.setAttribute(name, value);
    drawn.setAttribute("class", kind);
    sheet.append(drawn);
  };
  let corner = null, other = null;
  const between = () => ({
    x: Math.min(corner.x, other.x), y: Math.min(corner.y, other.y),
    width: Math.abs(corner.x - other.x) + 1, height: Math.abs(corner.y - other.y) + 1,
  });
  const paint = () => {
    sheet.replaceChildren();
    for (const row of rows) {
      const box = boxOf(row);
      if (box && shown(row)) draw(box, "kept");
    }
    if (corner) draw(between(), "drawn");
  };
  const at = (event) => {
    const place = picture.getBoundingClientRect();
    const whole = (value, most) => Math.max(0, Math.min(most - 1, Math.floor(value)));
    return {
      x: whole(((event.clientX - place.left) / place.width) * wide, wide),
      y: whole(((event.clientY - place.top) / place.height) * high, high),
    };
  };
  easel.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    easel.setPointerCapture(event.pointerId);
    corner = other = at(event);
    paint();
  });
  easel.addEventListener("pointermove", (event) => {
    if (!corner) return;
    other = at(event);
    paint();
  });
  easel.addEventListener("pointerup", () => {
    if (!corner) return;
    const box = between();
    corner = other = null;
    const free = rows.find((row) => ["row", "column", "height", "width"].every((name) => row[name].value.trim() === ""));
    if (box.width > 1 && box.height > 1) {
      if (free) {
        [free.row.value, free.column.value, free.height.value, free.width.value] = [box.y, box.x, box.height, box.width];
        said.textContent = `A box of ${box.width} by ${box.height} pixels was added. Empty its row to take it back.`;
      } else {
        said.textContent = "All rows are taken: empty one first.";
      }
    }
    paint();
  });
  easel.addEventListener("pointercancel", () => { corner = other = null; paint(); });
  for (const row of rows) for (const field of Object.values(row)) field.addEventListener("input", paint);
  paint();
}
