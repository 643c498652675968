// Drawing, moving and resizing of boxes. The rows of the form are the state: every change is written
// into them, and what they hold is drawn over the picture.
"use strict";
(() => {
  const form = document.querySelector("form[data-boxes]");
  const svg = document.querySelector("svg[data-draws]");
  if (!form || !svg) return;
  const SVG = "http://www.w3.org/2000/svg";
  const LEAST = 3; // a shorter drag is a click
  const WIDTH = Number(svg.dataset.width);
  const HEIGHT = Number(svg.dataset.height);
  const body = form.querySelector("tbody");
  const rows = () => [...body.querySelectorAll("[data-row-key]")];
  const field = (row, name) => row.querySelector(name === "row" ? '[name="row"]' : `[name^="${name}-"]`);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const boxOf = (row) => {
    const parts = field(row, "box").value.split(",").map(Number);
    return parts.length === 4 && parts.every(Number.isFinite) && parts[2] > 0 && parts[3] > 0 ? parts : null;
  };
  const textOf = (box) => box.map((value) => value.toFixed(1)).join(", ");
  let added = 0;
  let selected = null; // the key of a row
  let category = ""; // of the last box, for the next one
  let dirty = false;

  // Undo: the values of all rows before each change.
  const state = () => JSON.stringify(rows().map((row) => [row.dataset.rowKey, field(row, "row").checked, field(row, "category").value, field(row, "box").value]));
  let current = state();
  const undone = [];
  const done = [];
  const restore = (text) => {
    const values = JSON.parse(text);
    for (const row of rows()) if (!values.some(([key]) => key === row.dataset.rowKey)) row.remove();
    for (const [key, kept, name, box] of values) {
      const row = rowOf(key) || addRow(key);
      field(row, "row").checked = kept;
      field(row, "category").value = name;
      field(row, "box").value = box;
    }
    current = text;
    draw();
  };
  const changed = () => {
    const now = state();
    if (now !== current) {
      done.push(current);
      undone.length = 0;
      current = now;
      dirty = true;
    }
    draw();
  };
  const step = (from, to) => {
    if (!from.length) return;
    to.push(current);
    restore(from.pop());
  };
  const acts = { undo: () => step(done, undone), redo: () => step(undone, done), new: () => addBox([WIDTH * 0.4, HEIGHT * 0.4, WIDTH * 0.2, HEIGHT * 0.2]) };

  const rowOf = (key) => rows().find((row) => row.dataset.rowKey === key);
  const addRow = (key) => {
    const row = rows().at(-1).cloneNode(true);
    const old = row.dataset.rowKey;
    row.dataset.rowKey = key;
    row.hidden = false; // the rows for browsers without this script are hidden
    for (const input of row.querySelectorAll("input")) {
      if (input.name === "key" || input.name === "row") input.value = key;
      else { input.name = input.name.replace(old, key); input.value = ""; }
    }
    body.append(row);
    return row;
  };
  const addBox = (box) => {
    added += 1;
    const row = addRow(`n${added}`);
    field(row, "row").checked = true;
    field(row, "category").value = category;
    field(row, "box").value = textOf(box);
    selected = row.dataset.rowKey;
    changed();
    field(row, "category").focus();
  };

  const made = (name, values, parent) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(values)) element.setAttribute(key, value);
    parent.append(element);
    return element;
  };
  // The size of a handle in the picture's pixels, whatever its zoom.
  const handle = () => (7 * WIDTH) / svg.getBoundingClientRect().width;
  const draw = () => {
    const focused = svg.contains(document.activeElement);
    svg.replaceChildren();
    for (const row of rows()) {
      const box = boxOf(row);
      const kept = field(row, "row").checked;
      const predicted = row.dataset.rowKey.startsWith("p");
      row.classList.toggle("selected", row.dataset.rowKey === selected);
      if (!box || (!kept && !predicted)) continue;
      const [x, y, width, height] = box;
      const name = field(row, "category").value || "no category";
      const label = kept ? `${name}, ${textOf(box)}` : `predicted ${name}; Enter adds it`;
      const group = made("g", { class: kept ? "truth" : "prediction", tabindex: "0", role: "button", "data-key": row.dataset.rowKey, "aria-label": label }, svg);
      for (const part of ["casing", "line"]) made("rect", { class: part, x, y, width, height }, group);
      made("title", {}, group).textContent = label;
      if (row.dataset.rowKey === selected && kept) {
        const side = handle();
        for (const [across, down] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
          made("rect", { class: "handle", "data-corner": `${across}${down}`, x: x + across * width - side / 2, y: y + down * height - side / 2, width: side, height: side }, group);
        }
      }
    }
    const own = svg.querySelector(`[data-key="${selected}"]`);
    if (own) svg.append(own); // above the others
    if (own && focused) own.focus({ preventScroll: true });
    for (const [name, past] of [["undo", done], ["redo", undone]]) form.querySelector(`[data-box-act="${name}"]`).disabled = !past.length;
  };
  const select = (key) => {
    selected = key;
    draw();
    const own = svg.querySelector(`[data-key="${key}"]`);
    if (own) own.focus({ preventScroll: true });
  };

  // Dragging draws, moves or resizes.
  const pointOf = (event) => {
    const place = svg.getBoundingClientRect();
    return [clamp(((event.clientX - place.left) / place.width) * WIDTH, 0, WIDTH), clamp(((event.clientY - place.top) / place.height) * HEIGHT, 0, HEIGHT)];
  };
  const spanned = ([x0, y0], [x1, y1]) => [Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0)];
  const moved = ([x, y, width, height], dx, dy) => [clamp(x + dx, 0, Math.max(WIDTH - width, 0)), clamp(y + dy, 0, Math.max(HEIGHT - height, 0)), width, height];
  let drag = null; // {start, box, fixed: the corner opposite to the one that is dragged, pointer}
  let pencil = null; // the box that is being drawn
  const cancel = () => {
    drag = null;
    pencil = null;
    restore(current);
  };
  svg.addEventListener("pointerdown", (event) => {
    if (drag) { cancel(); return; } // a second finger zooms
    if (event.button !== 0) return;
    const group = event.target.closest("[data-key]");
    const key = group && group.dataset.key;
    const kept = key && field(rowOf(key), "row").checked;
    const corner = event.target.dataset.corner;
    if (kept) select(key);
    const box = kept ? boxOf(rowOf(key)) : null;
    const fixed = box && corner ? [box[0] + (corner[0] === "0" ? box[2] : 0), box[1] + (corner[1] === "0" ? box[3] : 0)] : null;
    drag = { start: pointOf(event), box, fixed, pointer: event.pointerId, over: key };
    svg.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => {
    if (!drag || event.pointerId !== drag.pointer) return;
    const point = pointOf(event);
    if (drag.box) {
      const box = drag.fixed ? spanned(drag.fixed, point) : moved(drag.box, point[0] - drag.start[0], point[1] - drag.start[1]);
      if (box[2] >= 1 && box[3] >= 1) field(rowOf(selected), "box").value = textOf(box);
      draw();
      return;
    }
    const [x, y, width, height] = spanned(drag.start, point);
    pencil = width >= LEAST && height >= LEAST ? [x, y, width, height] : null;
    draw();
    if (pencil) made("rect", { class: "pencil", x, y, width, height }, svg);
  });
  svg.addEventListener("pointerup", (event) => {
    if (!drag || event.pointerId !== drag.pointer) return;
    const { box, over } = drag;
    const drawn = pencil;
    drag = null;
    pencil = null;
    if (drawn) addBox(drawn);
    else if (!box && over) adopt(over);
    else changed();
  });
  svg.addEventListener("pointercancel", () => { if (drag) cancel(); });
  // A prediction becomes an annotation.
  const adopt = (key) => {
    field(rowOf(key), "row").checked = true;
    changed();
    select(key);
  };

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  svg.addEventListener("focusin", (event) => {
    const group = event.target.closest("[data-key]");
    if (group && group.dataset.key !== selected) select(group.dataset.key);
  });
  svg.addEventListener("keydown", (event) => {
    const group = event.target.closest("[data-key]");
    if (!group) return;
    const row = rowOf(group.dataset.key);
    const box = boxOf(row);
    const arrow = ARROWS[event.key];
    if (arrow && field(row, "row").checked) {
      const [dx, dy] = arrow.map((part) => part * (event.shiftKey ? 10 : 1));
      const [x, y, width, height] = box;
      const sized = [x, y, clamp(width + dx, 1, WIDTH - x), clamp(height + dy, 1, HEIGHT - y)];
      field(row, "box").value = textOf(event.altKey ? sized : moved(box, dx, dy));
      changed();
    } else if (event.key === "Delete" || event.key === "Backspace") {
      field(row, "row").checked = false;
      changed();
    } else if (event.key === "Enter") {
      if (!field(row, "row").checked) adopt(group.dataset.key);
      else field(row, "category").focus();
    } else return;
    event.preventDefault();
    event.stopPropagation(); // the page has keys of its own
  });
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.matches("input")) return;
    event.preventDefault();
    acts[event.shiftKey ? "redo" : "undo"]();
  });
  form.addEventListener("click", (event) => {
    const act = event.target.closest("[data-box-act]");
    if (act) acts[act.dataset.boxAct]();
  });
  form.addEventListener("focusin", (event) => {
    const row = event.target.closest("[data-row-key]");
    if (row && row.dataset.rowKey !== selected) { selected = row.dataset.rowKey; draw(); }
  });
  form.addEventListener("change", (event) => {
    if (event.target.name.startsWith("category-")) {
      category = event.target.value;
      field(event.target.closest("[data-row-key]"), "row").checked = true;
    }
    changed();
  });
  // Inside a form, Enter would publish: in a row it only ends the entry.
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.closest("[data-row-key]")) { event.preventDefault(); event.target.blur(); }
  });
  form.addEventListener("submit", () => { dirty = false; });
  window.addEventListener("beforeunload", (event) => { if (dirty) event.preventDefault(); });
  window.addEventListener("resize", draw);
  for (const part of document.querySelectorAll("[data-box-act], .editor-help")) part.hidden = false;
  for (const row of rows()) if (row.dataset.rowKey.startsWith("e")) row.hidden = true;
  draw();
})();
