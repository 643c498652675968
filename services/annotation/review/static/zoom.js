// Zoom and pan of a picture: wheel with Ctrl, pinch, drag, double click, buttons and keys.
// The picture is laid out larger, so that lines and labels keep their width.
"use strict";
window.gazeloopZoom = (() => {
  const MOST = 16;
  const STEP = 1.4;
  const PAN_PX = 80;
  const states = new WeakMap(); // by frame: {scale, x, y}, in which x and y are scroll positions
  const frames = () => [...document.querySelectorAll("[data-zoom]")];
  const stateOf = (frame) => {
    if (!states.has(frame)) states.set(frame, { scale: 1 });
    return states.get(frame);
  };
  // A picture of the image's own size, for details that the first one lacks.
  const sharpen = (frame) => {
    const image = frame.querySelector("img[data-native]");
    if (!image) return;
    image.src = image.dataset.native;
    image.removeAttribute("data-native");
  };
  const letter = (frame, scale) => {
    for (const mark of frame.querySelectorAll("[data-size]")) mark.setAttribute(mark.matches("text") ? "font-size" : "r", Number(mark.dataset.size) / scale);
  };
  // Hides labels that would lie on others, lower scores first; zooming in separates them.
  const separate = (frame) => {
    const scoreOf = (tag) => Number(tag.closest("g").dataset.score ?? 1);
    const tags = [...frame.querySelectorAll(".tag")].sort((one, two) => scoreOf(two) - scoreOf(one));
    const shown = [];
    for (const tag of tags) {
      const box = tag.getBoundingClientRect();
      const covered = shown.some((other) => box.left < other.right && other.left < box.right && box.top < other.bottom && other.top < box.bottom);
      tag.classList.toggle("covered", covered);
      if (!covered && box.width) shown.push(box);
    }
  };
  const separateAll = () => requestAnimationFrame(() => frames().forEach(separate));
  for (const change of ["input", "htmx:afterSwap"]) document.addEventListener(change, separateAll);
  separateAll();
  // Zooms so that the point at these client coordinates stays where it is.
  const zoom = (frame, factor, clientX, clientY) => {
    const picture = frame.querySelector(".picture");
    const state = stateOf(frame);
    const scale = Math.min(MOST, Math.max(1, state.scale * factor));
    const box = frame.getBoundingClientRect();
    const x = (clientX ?? box.left + box.width / 2) - box.left;
    const y = (clientY ?? box.top + box.height / 2) - box.top;
    const ratio = scale / state.scale;
    const left = (frame.scrollLeft + x) * ratio - x;
    const top = (frame.scrollTop + y) * ratio - y;
    if (state.scale === 1) frame.style.height = `${box.height}px`; // the picture grows, its frame does not
    state.scale = scale;
    picture.style.width = scale === 1 ? "" : `${scale * 100}%`;
    if (scale === 1) frame.style.height = "";
    frame.classList.toggle("zoomed", scale > 1);
    frame.scrollTo({ left, top, behavior: "instant" });
    letter(frame, scale);
    separate(frame);
    if (scale > 1) sharpen(frame);
  };
  const reset = (frame) => zoom(frame, 1 / stateOf(frame).scale);
  const pan = (frame, x, y) => frame.scrollBy({ left: x, top: y, behavior: "instant" });

  document.addEventListener("wheel", (event) => {
    const frame = event.target.closest("[data-zoom]");
    if (!frame || !event.ctrlKey) return; // without Ctrl, the wheel scrolls; a pinch on a touchpad has it
    event.preventDefault();
    zoom(frame, Math.exp(-event.deltaY / 200), event.clientX, event.clientY);
  }, { passive: false });

  const pointers = new Map();
  let pinched = 0; // the distance of two fingers
  const distance = () => {
    const [one, two] = [...pointers.values()];
    return Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY);
  };
  document.addEventListener("pointerdown", (event) => {
    const frame = event.target.closest("[data-zoom]");
    if (!frame) return;
    pointers.set(event.pointerId, event);
    if (pointers.size === 2) pinched = distance();
  });
  document.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    const frame = before && before.target.closest("[data-zoom]");
    if (!frame) return;
    pointers.set(event.pointerId, event);
    if (pointers.size === 2) {
      const now = distance();
      const [one, two] = [...pointers.values()];
      zoom(frame, now / pinched, (one.clientX + two.clientX) / 2, (one.clientY + two.clientY) / 2);
      pinched = now;
    } else if (event.pointerType === "mouse" && !before.target.closest("[data-draws]")) pan(frame, before.clientX - event.clientX, before.clientY - event.clientY);
  });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, (event) => pointers.delete(event.pointerId));
  document.addEventListener("dragstart", (event) => { if (event.target.closest("[data-zoom]")) event.preventDefault(); });
  document.addEventListener("dblclick", (event) => {
    const frame = event.target.closest("[data-zoom]");
    if (frame && !event.target.closest("[data-draws]")) zoom(frame, STEP * STEP, event.clientX, event.clientY);
  });

  const acts = {
    in: (frame) => zoom(frame, STEP), out: (frame) => zoom(frame, 1 / STEP), reset,
    left: (frame) => pan(frame, -PAN_PX, 0), right: (frame) => pan(frame, PAN_PX, 0),
    up: (frame) => pan(frame, 0, -PAN_PX), down: (frame) => pan(frame, 0, PAN_PX),
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-zooms]");
    if (button) acts[button.dataset.zooms](button.closest(".zoomable").querySelector("[data-zoom]"));
  });
  const act = (name) => { const [frame] = frames(); if (frame) acts[name](frame); };
  return { act, isZoomed: () => frames().some((frame) => stateOf(frame).scale > 1) };
})();
