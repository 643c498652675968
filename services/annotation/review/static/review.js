// Keyboard shortcuts and immediate updates of the page. The page also works without this script.
"use strict";
(() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const acts = window.gazeloopActs;
  const zoom = window.gazeloopZoom ?? { act: () => {}, isZoomed: () => false }; // absent where nothing zooms
  const PATIENCE_MS = 10_000;
  const LONGEST_WAIT_MS = 8000;
  const STALE_MS = 120_000; // older held keys are dropped: the user no longer expects them
  const address = () => window.location.pathname + window.location.search;
  const pathOf = (given) => new URL(given, window.location.href).pathname;
  const remembered = (key) => { try { return JSON.parse(sessionStorage.getItem(key)); } catch { return null; } };
  const notice = (text) => {
    const line = document.createElement("p");
    line.className = "alert";
    line.textContent = text;
    one("#notice").replaceChildren(...(text ? [line] : []));
  };

  // While a page or an answer is loading, typed keys are held, because they are meant for what comes
  // next. They are stored, so that they survive a full page load. `to` is the path they are for.
  let held = null; // {kind: "move" | "act", from, to, rel, id, keys, at}
  let tries = 0;
  // After these keys text is typed, up to Enter or Escape.
  const WRITES = ["m", "/"];
  const ENDS = ["Enter", "Escape"];
  const isWriting = (keys) => keys.reduce((writes, key) => (writes ? !ENDS.includes(key) : WRITES.includes(key)), false);
  const isText = (key) => key.length === 1 || key === "Backspace" || ENDS.includes(key);
  const keep = () => {
    document.body.classList.toggle("busy", held !== null);
    if (held) sessionStorage.setItem("held", JSON.stringify(held));
    else sessionStorage.removeItem("held");
  };
  const hold = (why) => {
    held = { from: address(), to: null, rel: null, id: null, keys: [], at: Date.now(), ...why };
    tries = 0;
    keep();
  };
  const release = () => {
    const { keys, undoes } = held || { keys: [] };
    held = null;
    keep();
    if (undoes) undoHere();
    keys.forEach((key, place) => (isWriting(keys.slice(0, place)) ? write(key) : press(key)));
  };
  const leaveOut = (reason) => {
    const keys = held ? held.keys.join(" ") : "";
    held = null;
    keep();
    if (keys) notice(`${reason} Keys typed after it were ignored: ${keys}`);
  };
  // Requests the awaited page, again with growing delays while it is awaited.
  const pursue = (ask) => {
    const awaited = held;
    setTimeout(() => { if (held === awaited) ask(); }, tries ? Math.min(LONGEST_WAIT_MS, 500 * 2 ** tries) : 0);
    tries += 1;
  };
  const follow = () => {
    const link = held && held.kind === "move" && one(held.link);
    if (link) link.click();
    else leaveOut("That page no longer exists.");
  };
  const NEXT = 'a[rel="next"]';
  const PREVIOUS = 'a[rel="prev"]';
  const ONWARD = "a[data-onward]"; // the server chooses the needle, so its path is not known before
  const leaving = (link, selector) => hold({
    kind: "move", link: selector, to: link.matches(ONWARD) ? null : pathOf(link.href), left: work ? work.dataset.needle : null,
  });
  const move = (selector) => {
    const link = one(selector);
    if (!link) return;
    leaving(link, selector);
    link.click();
    const awaited = held; // also retry a request that ends without any event
    setTimeout(() => { if (held === awaited && tries === 0) pursue(follow); }, PATIENCE_MS * 1.5);
  };
  // After the last verdict on a needle. The server is asked once it knows the verdicts, since it
  // would otherwise choose a needle that is decided; on a bad network, it is asked before.
  const moveOn = async () => {
    const link = one(ONWARD);
    if (!link) return;
    leaving(link, ONWARD);
    const awaited = held;
    await acts.settled(3000);
    if (held === awaited && link.isConnected) pursue(follow);
  };
  const leads = (link) => !link.matches("[data-frame]") && link.matches(`${NEXT}, ${PREVIOUS}, ${ONWARD}`);
  const selectorOf = (link) => [NEXT, PREVIOUS, ONWARD].find((selector) => link.matches(selector));
  // Whether the page is the one that the held keys are for.
  const isThere = (there) => there && (held.to ? there.dataset.needle && held.to.endsWith(`/${there.dataset.needle}`) : there.dataset.needle !== held.left);

  document.addEventListener("htmx:configRequest", (event) => {
    if (acts.csrf()) event.detail.headers["X-CSRF-Token"] = acts.csrf(); // the session may have begun in another tab
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    const from = event.detail.requestConfig.elt;
    if (from.hasAttribute("data-claim") && document.hidden) event.preventDefault();
    if (leads(from) && !held) leaving(from, selectorOf(from));
  });
  document.addEventListener("htmx:beforeOnLoad", (event) => {
    // A failed claim must not redirect to the login; the queue of acts asks the user to log in.
    const claim = event.detail.requestConfig.elt.hasAttribute("data-claim");
    if (claim && event.detail.xhr.status === 401) event.preventDefault();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const from = event.detail.requestConfig.elt; // the element may be gone after the swap
    if (!leads(from) || !held) return;
    const status = event.detail.xhr.status;
    if (status >= 400 && status < 500 && status !== 429) {
      if (status !== 401) leaveOut("The page did not open."); // 401 leads to the login and back to this page
      return;
    }
    const there = one("#work"); // an answer for a page that was left is dropped
    if (!event.detail.successful || !isThere(there)) {
      const waiting = held.keys.length ? ` Held keys: ${held.keys.join(" ")}` : "";
      notice(`The server does not answer; trying again.${waiting}`);
      pursue(follow);
      return;
    }
    notice("");
    arrived();
    const title = one("#query-title");
    if (title) title.focus({ preventScroll: true });
    if (from.matches(ONWARD)) claim(); // so that the next needle of others is another one
    release();
  });
  const reportNoAnswer = (event) => {
    const from = event.detail.requestConfig.elt;
    if (!leads(from) && !from.hasAttribute("data-claim")) notice("The server does not answer; try again in a moment.");
  };
  document.addEventListener("htmx:sendError", reportNoAnswer);
  document.addEventListener("htmx:timeout", reportNoAnswer);
  document.addEventListener("htmx:afterSwap", (event) => {
    arrived();
    announce();
    boxes();
    // The page may be older than what the other person decided.
    const claims = event.target.id === "claim" ? [event.detail.target, event.target] : [];
    if (claims.some((part) => part.dataset.claim === "others")) refresh();
  });

  // What the page shows in addition to what the server rendered: acts that are unsent, or sent since.
  let work = null;
  let shownActs = []; // their ids
  let undoable = []; // versions and ids of the acts that can be taken back, latest first
  const answered = () => remembered("versions") || {}; // by needle, the version of its last answer
  const regionOf = (value) => value.slice(0, value.lastIndexOf("@"));
  const verdicts = { accept: ["accepted", "fails too"], reject: ["rejected", "detector is right"], unsure: ["unsure", "unsure"] };
  const isUndecided = (mark) => mark.dataset.undecided === "yes";
  const marks = () => all('.cards input[type="checkbox"]');
  const count = () => {
    const decided = all(".card.accepted, .card.rejected, .card.unsure").length;
    const accepted = all(".card.accepted").length;
    const text = one("#decided");
    if (text) text.textContent = `${decided} decided${accepted ? `, ${accepted} fail${accepted === 1 ? "s" : ""} too` : ""}`;
  };
  // The needles of this tab's acts that can be taken back, with their pages, latest last.
  const trail = () => remembered("trail") || [];
  const keepTrail = (acted) => sessionStorage.setItem("trail", JSON.stringify(acted.slice(-200)));
  const follows = (act) => {
    const acted = trail();
    if (act.kind !== "undo") { keepTrail([...acted, { needle: act.needle, page: act.page }]); return; }
    const last = acted.findLastIndex((entry) => entry.needle === act.needle);
    keepTrail(acted.filter((_, place) => place !== last));
  };
  // By its path where the page shows no needle, because it is erased.
  const isHere = (entry) => (work ? entry.needle === work.dataset.needle : pathOf(entry.page) === window.location.pathname);
  const elsewhere = () => trail().filter((entry) => !isHere(entry));
  const canUndo = () => undoable.length > 0 || elsewhere().length > 0;
  const goBack = () => {
    const last = elsewhere().at(-1);
    if (!last) return;
    keepTrail(elsewhere()); // nothing is left on this needle
    hold({ kind: "move", to: pathOf(last.page), undoes: true });
    window.location.assign(last.page);
  };
  // On the needle that an undo has led to. A refused act has left nothing to undo, and no older
  // act is undone instead.
  const undoHere = () => {
    const button = one("#undo");
    if (button && undoable.length) { button.click(); return; }
    keepTrail(elsewhere());
    enableUndo();
    notice("Nothing is left to undo here: your last action was refused, or is undone already.");
  };
  const enableUndo = () => { const button = one("#undo"); if (button) button.disabled = !canUndo(); };
  const show = (act) => {
    shownActs.push(act.id);
    if (act.kind === "undo") undoable.shift();
    else undoable.unshift(act.id);
    enableUndo();
    if (act.kind !== "decide") return;
    for (const mark of marks().filter((box) => act.regions.includes(regionOf(box.value)))) {
      const card = mark.closest(".card");
      const [name, words] = verdicts[act.verdict];
      card.classList.remove("accepted", "rejected", "unsure");
      card.classList.add(name, "is-unsent");
      const by = document.createElement("span");
      by.className = "muted";
      by.textContent = "not sent yet";
      card.querySelector(".verdict").replaceChildren(`${words} `, by);
      mark.dataset.undecided = "no";
    }
    count();
  };
  const arrived = () => {
    const now = one("#work[data-needle]");
    if (now === work) return;
    work = now;
    shownActs = [];
    if (!work) return;
    undoable = work.dataset.undo.split(" ").filter(Boolean);
    enableUndo();
    for (const act of acts.of(work.dataset.needle)) show(act);
    if (Number(work.dataset.version) < (answered()[work.dataset.needle] || 0)) refresh();
  };

  // Renders the needle again from the server's current state.
  let refreshing = null;
  let outdated = false; // a refresh was wanted while one was under way: its answer may be older
  const swap = (old, html) => {
    const marked = new Set(marks().filter((mark) => mark.checked).map((mark) => regionOf(mark.value)));
    const typed = one("#note"); // a comment that the user is writing
    window.htmx.swap(old, html, { swapStyle: "outerHTML", swapDelay: 0, settleDelay: 0 });
    const note = one("#note");
    if (typed && note) { note.value = typed.value; note.setSelectionRange(typed.selectionStart, typed.selectionEnd); }
    for (const mark of marks()) mark.checked = marked.has(regionOf(mark.value));
    for (const mark of marks().filter((box) => box.checked)) pinOf(mark, true);
    arrived();
    announce();
    boxes();
  };
  const refresh = async () => {
    const old = work;
    if (!old) return;
    if (refreshing === old) { outdated = true; return; }
    if (old.contains(document.activeElement) && document.activeElement.closest(".fix[open]")) {
      setTimeout(refresh, 1000); // the user is typing there
      return;
    }
    refreshing = old;
    outdated = false;
    const html = await fetch(address(), { headers: { "HX-Request": "true" }, signal: AbortSignal.timeout(PATIENCE_MS) })
      .then((answer) => (answer.ok ? answer.text() : null), () => null);
    if (refreshing === old) refreshing = null; // else it is the next needle that is refreshed
    if (work !== old || !old.isConnected || (held && held.kind === "move")) return; // the user is leaving the page
    if (html !== null) swap(old, html);
    if (outdated) { refresh(); return; }
    if (html === null) { if (held && held.kind === "act") pursue(refresh); return; }
    if (held && held.kind === "act" && acts.fate(held.id) !== "queued" && refreshing === null) release();
  };

  acts.listen((what, act, headers) => {
    const version = headers && Number(headers.get("Review-Version"));
    if (act.needle && version) {
      const last = Object.entries({ ...answered(), [act.needle]: version }).slice(-50);
      sessionStorage.setItem("versions", JSON.stringify(Object.fromEntries(last)));
    }
    const awaited = held && held.id === act.id;
    if (one(".finished") && !held && !acts.any()) window.location.reload(); // its counts were early
    if (what === "refused" && awaited) leaveOut(`Refused: ${act.text}.`);
    if (act.needle) {
      const left = work && work.dataset.needle === act.needle && !acts.of(act.needle).length;
      const leaving = held && held.kind === "move";
      if (awaited || (left && !leaving)) refresh();
      return;
    }
    const next = headers && headers.get("Review-Next");
    if (what !== "taken" || act.page !== address()) return;
    if (awaited && next) { held.to = pathOf(next); keep(); }
    if (next) window.location.assign(next);
    else window.location.reload();
  });

  const labels = {
    decide: (form, fields, button) => {
      const cards = all(".card:has(.mark input:checked)").map((card) => card.dataset.card).join(", ");
      return `${verdicts[button.value][1]}, for ${cards} of ${one("#query-title").textContent}`;
    },
    undo: () => `undo at ${one("#query-title").textContent}`,
    correct: (form, fields, button) => `${button.textContent}, for ${form.dataset.of}`,
    answer: () => `answer to “${one("h1").textContent}”`,
  };
  const submit = (form, button) => {
    const kind = (button && button.dataset.act) || form.dataset.act;
    let fields = [...new FormData(form, button)].filter(([name]) => name !== "csrf").map(([name, value]) => [name, String(value)]);
    const regions = kind === "decide" ? fields.filter(([name]) => name === "region").map(([, value]) => regionOf(value)) : [];
    if (kind === "decide" && !regions.length) {
      notice("Mark at least one candidate first: press its number, or click it.");
      return;
    }
    if (kind === "undo") {
      if (!undoable.length) { goBack(); return; }
      fields = [["undoes", undoable[0]]];
    }
    notice("");
    const wasOpen = marks().some(isUndecided);
    const needle = work ? work.dataset.needle : null;
    const act = acts.add({
      kind, needle, regions,
      address: (button && button.getAttribute("formaction")) || form.getAttribute("action"),
      fields: [...fields, ...shownActs.map((id) => ["seen_act", id])],
      verdict: button ? button.value : "",
      text: labels[kind](form, fields, button),
    });
    const card = form.closest(".card"); // of a correction
    const settled = kind === "decide" ? marks() : card ? [card.querySelector(".mark input")] : [];
    for (const mark of settled) { mark.checked = false; pinOf(mark, false); }
    if (needle) { show(act); follows(act); }
    if (kind === "decide") one("#note").value = "";
    const open = form.closest(".fix");
    if (open) { open.open = false; open.querySelector("summary").focus(); }
    // Hold keys until the answer: it determines which decisions are left, or which question is next.
    if (kind === "undo" || kind === "answer") hold({ kind: "act", id: act.id });
    announce();
    if (kind === "decide" && wasOpen && !marks().some(isUndecided)) moveOn();
  };
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-act]")) return;
    event.preventDefault();
    submit(event.target, event.submitter);
  });
  const claim = () => {
    const part = one("#claim");
    if (part && part.dataset.claim === "free") window.htmx.trigger(part, "work");
  };
  const pinOf = (mark, marked) => {
    const pin = one(`[data-pin="${mark.closest("[data-card]").dataset.card}"]`);
    if (pin) pin.classList.toggle("marked", marked);
  };

  // Announces the counts to screen readers.
  const announce = () => {
    const title = one("#candidates-title");
    const live = one("#announcement");
    if (live && title) live.textContent = title.textContent.replace(/\s+/g, " ").trim();
  };

  // Shows or hides the other needles of a family below its row.
  const unfold = (link) => {
    const rows = all(`[data-under="${link.dataset.unfolds}"]`);
    const shown = rows.length === 0 || rows[0].hidden;
    link.setAttribute("aria-expanded", String(shown));
    if (!rows.length) window.htmx.trigger(link, "unfold");
    for (const row of rows) row.hidden = !shown;
  };

  const toggled = (what, shown) => {
    document.body.classList.toggle(`no-${what}`, !shown);
    sessionStorage.setItem(what, shown ? "on" : "off");
    for (const button of all(`[data-toggles="${what}"]`)) button.setAttribute("aria-pressed", String(shown));
  };
  const toggle = (what) => toggled(what, document.body.classList.contains(`no-${what}`));
  // What a page that has just arrived shows of what the user chose before.
  const boxes = () => {
    for (const what of ["boxes", "labels"]) toggled(what, sessionStorage.getItem(what) !== "off");
    for (const part of all(".zoom-buttons, .least")) part.hidden = false;
    const least = one("#least");
    if (least) { least.value = sessionStorage.getItem("least") || "0"; threshold(least.value); }
  };
  // Hides predictions below a score.
  const threshold = (least) => {
    sessionStorage.setItem("least", least);
    one('output[for="least"]').textContent = Number(least).toFixed(2);
    for (const part of all("main [data-score]")) part.classList.toggle("below", Number(part.dataset.score) < Number(least));
  };

  const step = (by) => {
    const frame = one(`a[data-frame][rel="${by > 0 ? "next" : "prev"}"]`);
    if (frame) { frame.click(); return; }
    if (one("#work")) {
      move(by > 0 ? NEXT : PREVIOUS);
      return;
    }
    const rows = all("[data-list] [data-row]").filter((row) => !row.closest("[hidden]"));
    const at = rows.indexOf(document.activeElement);
    const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
  };
  // Back in the list, focus the needle that the user comes from.
  const up = async () => {
    const from = one("#work");
    if (!from) return;
    if (from.dataset.needle) sessionStorage.setItem("from", from.dataset.needle);
    hold({ kind: "move", to: pathOf(from.dataset.up) });
    await acts.settled(1000); // so that the list shows the decisions; later acts are sent from there
    window.location.assign(from.dataset.up);
  };
  const arrive = () => {
    const from = sessionStorage.getItem("from");
    const row = from && one(`[data-list] [data-row][href*="/needles/${from}"]`);
    if (!one("[data-list]") || !from) return;
    sessionStorage.removeItem("from");
    if (row) { row.focus(); row.scrollIntoView({ block: "center" }); }
  };
  const decide = (id) => {
    const button = document.getElementById(id);
    if (!button || button.disabled) return;
    const marks = all('.cards input[type="checkbox"]');
    if (!marks.some((mark) => mark.checked)) {
      for (const mark of marks) mark.checked = isUndecided(mark);
    }
    button.click();
  };
  const undo = () => { const button = one("#undo"); if (!button) goBack(); else if (!button.disabled) button.click(); };
  const focusOn = (selector) => { const field = one(selector); if (field) { field.focus(); if (field.select) field.select(); } };
  const mark = (digit) => {
    const box = one(`input[data-key="${digit}"]`);
    if (!box) return;
    box.click();
    box.focus({ preventScroll: true });
    (box.closest(".card") || box).scrollIntoView({ block: "nearest" });
  };
  const correct = () => {
    const marked = one('.card:has(input[type="checkbox"]:checked) .fix') || one(".query .fix");
    if (!marked) return;
    marked.open = !marked.open;
    (marked.open && marked.querySelector("button, a") || marked.querySelector("summary")).focus();
  };
  const dialog = () => { const help = one("#help"); if (help) (help.open ? help.close() : help.showModal()); };

  const keys = {
    j: () => step(1), k: () => step(-1), a: () => decide("accept"), x: () => decide("reject"),
    s: () => decide("unsure"), z: undo, c: correct, n: () => move(ONWARD), m: () => focusOn("#note"), "?": dialog,
    t: () => { const button = one("#take-over"); if (button) button.click(); },
    b: () => toggle("boxes"), l: () => toggle("labels"),
    "+": () => zoom.act("in"), "-": () => zoom.act("out"), "=": () => zoom.act("reset"),
    u: up,
    "/": () => focusOn("#find"),
  };
  // Handles a key; returns whether it has a meaning here.
  const press = (key) => {
    const digit = /^[0-9]$/.test(key) && one("#work");
    const act = digit ? () => mark(key) : keys[key];
    const means = held && isWriting(held.keys) ? isText(key) : Boolean(act);
    if (means && held) { held.keys.push(key); keep(); }
    else if (means) act();
    return means;
  };
  // Types a held key into the field that an earlier one opened. If there is none, the text is lost,
  // rather than taken for commands.
  const write = (key) => {
    const field = document.activeElement;
    if (held) { held.keys.push(key); keep(); }
    else if (!typing(field)) return;
    else if (key === "Escape" || (key === "Enter" && field.matches("#note"))) field.blur();
    else if (key === "Enter") field.form.requestSubmit();
    else {
      const erased = key === "Backspace" && field.selectionStart === field.selectionEnd ? 1 : 0;
      field.setRangeText(key === "Backspace" ? "" : key, Math.max(0, field.selectionStart - erased), field.selectionEnd, "end");
    }
  };
  const typing = (target) => target.matches('input:not([type="checkbox"], [type="radio"], [type="range"]), select, textarea');

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const fix = event.key === "Escape" && event.target.closest(".fix[open]");
    if (fix) { fix.open = false; fix.querySelector("summary").focus(); return; }
    const leavesField = event.key === "Escape" || (event.key === "Enter" && event.target.matches("#note"));
    if (leavesField && typing(event.target)) { event.target.blur(); event.preventDefault(); return; }
    if (typing(event.target)) return;
    const help = one("#help");
    if (help && help.open && event.key !== "?") return;
    const arrow = event.key.startsWith("Arrow") && zoom.isZoomed() && !event.target.matches("input, select, textarea");
    if (arrow) { zoom.act(event.key.slice(5).toLowerCase()); event.preventDefault(); return; }
    if (press(event.key)) event.preventDefault();
  });
  document.addEventListener("change", (event) => {
    const card = event.target.closest("[data-card]");
    if (!card || event.target.type !== "checkbox") return;
    pinOf(event.target, event.target.checked);
    claim(); // so that others see that the needle is being reviewed
  });
  document.addEventListener("change", (event) => {
    const implied = event.target.closest("[data-implies]");
    if (implied) one(`input[data-key="${implied.dataset.implies}"]`).checked = true;
    const filters = event.target.closest("[data-filters]");
    if (filters && event.target.matches("select")) filters.requestSubmit();
  });
  document.addEventListener("input", (event) => { if (event.target.id === "least") threshold(event.target.value); });
  document.addEventListener("submit", (event) => {
    // Leave empty filters out of the address.
    if (!event.target.matches("[data-filters]")) return;
    for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
  });
  window.addEventListener("pageshow", (event) => {
    for (const field of all("[data-filters] :disabled")) field.disabled = false;
    if (event.persisted && (held || one("#work"))) window.location.reload();
  });
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-opens]");
    if (opener) dialog();
    const fold = event.target.closest("[data-unfolds]");
    if (fold && !event.ctrlKey && !event.metaKey) { event.preventDefault(); unfold(fold); }
    const toggler = event.target.closest("[data-toggles]");
    if (toggler) toggle(toggler.dataset.toggles);
  });
  // Continues with what was awaited before the page load.
  const resume = () => {
    const before = remembered("held");
    if (!before || !document.body.dataset.person) return;
    held = before;
    keep();
    if (Date.now() - before.at > STALE_MS) leaveOut("The page took too long.");
    else if (before.to === window.location.pathname) release();
    else if (before.from !== address()) leaveOut("Another page was opened.");
    else if (before.kind === "move") pursue(before.link ? follow : up);
    else if (acts.fate(before.id) === "refused") leaveOut("The action was refused.");
    else if (acts.fate(before.id) === "done" && one("#work[data-needle]")) release();
    else if (acts.fate(before.id) === "done") leaveOut("The action is done.");
  };
  boxes();
  arrive();
  arrived();
  resume();
  const here = one("nav [aria-current]"); // on a phone it may be scrolled out of view
  if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft - 40;
})();
