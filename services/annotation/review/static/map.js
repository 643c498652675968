// The map of regions: points drawn by WebGL, to zoom, move and circle.
"use strict";
(async () => {
  const canvas = document.querySelector("canvas.region-map");
  if (!canvas) return;
  const form = document.querySelector("[data-map-choice]");
  const legend = document.querySelector(".map-legend");
  const lasso = document.querySelector(".lasso path");
  const link = document.querySelector("[data-map-list]");
  // Colours of Okabe and Ito, and of Tol, that people with colour blindness can tell apart.
  const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#882255", "#999933", "#44aa99", "#aa4499", "#ddcc77", "#332288"];
  const GREY = [0.55, 0.56, 0.58];
  const POINT_PX = 4;
  const MOST_CORNERS = 300;
  const gl = canvas.getContext("webgl", { antialias: true });
  if (!gl) { legend.textContent = "This browser has no WebGL, which draws the map."; return; }
  const answer = await fetch(canvas.dataset.regions);
  if (!answer.ok) { legend.textContent = "The map could not be loaded; reload the page."; return; }
  const data = await answer.json();
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const places = new Float32Array(bytes(data.places).buffer);
  const scores = bytes(data.scores);
  const count = places.length / 2;
  for (const name of Object.keys(data.colours).filter((name) => name.startsWith("tag:"))) {
    const option = document.createElement("option");
    option.value = name;
    option.textContent = `tag ${name.slice(4)}`;
    form.elements.colour.append(option);
  }

  const shader = (kind, source) => {
    const made = gl.createShader(kind);
    gl.shaderSource(made, source);
    gl.compileShader(made);
    return made;
  };
  const program = gl.createProgram();
  gl.attachShader(program, shader(gl.VERTEX_SHADER, `
    attribute vec2 place; attribute vec3 colour; uniform vec4 view; uniform float size; varying vec3 shade;
    void main() { gl_Position = vec4((place - view.xy) * view.zw, 0.0, 1.0); gl_PointSize = size; shade = colour; }`));
  gl.attachShader(program, shader(gl.FRAGMENT_SHADER, `
    precision mediump float; varying vec3 shade;
    void main() { if (length(gl_PointCoord - 0.5) > 0.5) discard; gl_FragColor = vec4(shade, 1.0); }`));
  gl.linkProgram(program);
  gl.useProgram(program);
  const attribute = (name, size, type, scaled) => {
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    const at = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, size, type, scaled, 0, 0);
    return buffer;
  };
  attribute("place", 2, gl.FLOAT, false);
  gl.bufferData(gl.ARRAY_BUFFER, places, gl.STATIC_DRAW);
  const colours = attribute("colour", 3, gl.UNSIGNED_BYTE, true);

  // What is in view: the centre, and how many of the map's units half the height is.
  let view = null;
  const fit = () => {
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let k = 0; k < count; k += 1) {
      x0 = Math.min(x0, places[2 * k]); x1 = Math.max(x1, places[2 * k]);
      y0 = Math.min(y0, places[2 * k + 1]); y1 = Math.max(y1, places[2 * k + 1]);
    }
    const ratio = canvas.clientWidth / canvas.clientHeight;
    view = { x: (x0 + x1) / 2, y: (y0 + y1) / 2, half: (Math.max(y1 - y0, (x1 - x0) / ratio) / 2) * 1.05 || 1 };
  };
  const across = () => (view.half * canvas.clientWidth) / canvas.clientHeight;
  let awaited = false;
  const draw = () => {
    if (awaited) return;
    awaited = true;
    requestAnimationFrame(() => {
      awaited = false;
      const dense = window.devicePixelRatio || 1;
      canvas.width = canvas.clientWidth * dense;
      canvas.height = canvas.clientHeight * dense;
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniform4f(gl.getUniformLocation(program, "view"), view.x, view.y, 1 / across(), 1 / view.half);
      gl.uniform1f(gl.getUniformLocation(program, "size"), POINT_PX * dense);
      gl.drawArrays(gl.POINTS, 0, count);
      canvas.dataset.drawn = count;
    });
  };

  const parts = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const entry = (colour, name) => {
    const item = document.createElement("li");
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    dot.setAttribute("viewBox", "0 0 10 10");
    const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [key, value] of Object.entries({ cx: 5, cy: 5, r: 4, fill: `rgb(${colour.map(Math.round).join(" ")})` })) circle.setAttribute(key, value);
    dot.append(circle);
    item.append(dot, name);
    return item;
  };
  const paint = () => {
    const chosen = form.elements.colour.value;
    const grey = GREY.map((part) => part * 255);
    const shaded = new Uint8Array(3 * count);
    if (chosen === "score") {
      const [low, high] = [parts("#56b4e9"), parts("#a62a22")];
      for (let k = 0; k < count; k += 1) for (let part = 0; part < 3; part += 1) shaded[3 * k + part] = low[part] + ((high[part] - low[part]) * scores[k]) / 255;
      legend.replaceChildren(entry(low, "0"), entry(high, "1"));
    } else {
      const { names, codes } = data.colours[chosen];
      const coded = bytes(codes);
      for (let k = 0; k < count; k += 1) shaded.set(coded[k] < PALETTE.length ? parts(PALETTE[coded[k]]) : grey, 3 * k);
      legend.replaceChildren(...names.map((name, number) => entry(number < PALETTE.length ? parts(PALETTE[number]) : grey, name)));
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, colours);
    gl.bufferData(gl.ARRAY_BUFFER, shaded, gl.STATIC_DRAW);
    draw();
  };

  const placeOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return [view.x + (((event.clientX - box.left) / box.width) * 2 - 1) * across(), view.y - (((event.clientY - box.top) / box.height) * 2 - 1) * view.half];
  };
  const zoom = (factor, [x, y]) => {
    view = { x: x + (view.x - x) / factor, y: y + (view.y - y) / factor, half: view.half / factor };
    forget();
    draw();
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), placeOf(event));
  }, { passive: false });

  // Circling.
  let circles = false;
  let corners = []; // in pixels of the canvas
  const forget = () => {
    corners = [];
    lasso.setAttribute("d", "");
    link.hidden = true;
  };
  const button = form.querySelector('[data-map-act="lasso"]');
  const circling = (wanted) => {
    circles = wanted;
    button.setAttribute("aria-pressed", String(wanted));
    canvas.classList.toggle("circling", wanted);
  };
  const offer = (outline) => {
    const every = Math.ceil(outline.length / MOST_CORNERS);
    const text = outline.filter((_, k) => k % every === 0).map(([x, y]) => `${x.toFixed(4)},${y.toFixed(4)}`).join(" ");
    link.href = `${canvas.dataset.selection}?places=${data.digest}&outline=${encodeURIComponent(text)}`;
    link.hidden = false;
    link.focus();
  };
  const toMap = ([x, y]) => [view.x + ((x / canvas.clientWidth) * 2 - 1) * across(), view.y - ((y / canvas.clientHeight) * 2 - 1) * view.half];
  const cornerOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    drag = { x: event.clientX, y: event.clientY, circles: circles || event.shiftKey };
    if (drag.circles) { forget(); corners = [cornerOf(event)]; }
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    if (drag.circles) {
      corners.push(cornerOf(event));
      lasso.setAttribute("d", `M${corners.map((corner) => corner.join(" ")).join("L")}Z`);
      return;
    }
    view.x -= ((event.clientX - drag.x) / canvas.clientWidth) * 2 * across();
    view.y += ((event.clientY - drag.y) / canvas.clientHeight) * 2 * view.half;
    drag = { ...drag, x: event.clientX, y: event.clientY };
    forget();
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      if (drag && drag.circles && corners.length > 2) { offer(corners.map(toMap)); circling(false); }
      drag = null;
    });
  }
  const MOVES = { ArrowLeft: [-0.2, 0], ArrowRight: [0.2, 0], ArrowUp: [0, 0.2], ArrowDown: [0, -0.2] };
  canvas.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (move) {
      view.x += move[0] * across();
      view.y += move[1] * view.half;
      forget();
      draw();
    } else if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 1.4 : 1 / 1.4, [view.x, view.y]);
    else if (event.key === "l") offer([[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([x, y]) => [view.x + x * across(), view.y + y * view.half]));
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  form.addEventListener("change", paint);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("click", (event) => {
    const act = event.target.dataset.mapAct;
    if (act === "fit") { fit(); forget(); draw(); }
    if (act === "lasso") circling(!circles);
  });
  window.addEventListener("resize", draw);
  fit();
  paint();
})();
