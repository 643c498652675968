// A region drawn on a frame's picture is searched by.
"use strict";
(() => {
  const form = document.querySelector("form[data-crop]");
  const picture = document.querySelector(".frame-columns .picture");
  if (!form || !picture) return;
  const SVG = "http://www.w3.org/2000/svg";
  const LEAST = 3; // pixels of the screen; a shorter drag is a click
  const image = picture.querySelector("img");
  const button = form.querySelector("[data-crop-draw]");
  const svg = document.createElementNS(SVG, "svg");
  const pencil = document.createElementNS(SVG, "rect");
  pencil.setAttribute("class", "pencil");
  svg.setAttribute("class", "editor");
  svg.setAttribute("data-draws", ""); // dragging on it does not move the picture
  svg.setAttribute("viewBox", `0 0 ${form.dataset.width} ${form.dataset.height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.append(pencil);
  const drawing = (wanted) => {
    button.setAttribute("aria-pressed", String(wanted));
    if (wanted) picture.append(svg);
    else svg.remove();
  };
  const clamp = (value, high) => Math.min(Math.max(value, 0), high);
  const pointOf = (event) => {
    const box = image.getBoundingClientRect();
    const across = clamp((event.clientX - box.left) / box.width, 1) * form.dataset.width;
    return [across, clamp((event.clientY - box.top) / box.height, 1) * form.dataset.height];
  };
  let start = null;
  const spanned = (event) => {
    const [[x0, y0], [x1, y1]] = [start.point, pointOf(event)];
    return [Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0)];
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = { point: pointOf(event), x: event.clientX, y: event.clientY };
    svg.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => {
    if (!start) return;
    const values = spanned(event);
    ["x", "y", "width", "height"].forEach((name, k) => pencil.setAttribute(name, values[k]));
  });
  svg.addEventListener("pointerup", (event) => {
    if (!start) return;
    const box = spanned(event);
    const isClick = Math.abs(event.clientX - start.x) < LEAST || Math.abs(event.clientY - start.y) < LEAST;
    start = null;
    if (isClick) return;
    form.elements.box.value = box.map((value) => value.toFixed(1)).join(",");
    form.requestSubmit();
  });
  svg.addEventListener("pointercancel", () => { start = null; });
  button.hidden = false;
  button.addEventListener("click", () => drawing(button.getAttribute("aria-pressed") !== "true"));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") drawing(false); });
})();
