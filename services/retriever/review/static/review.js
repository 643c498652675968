// Keys, and what has to be told while something is under way. The page works without this file too.
"use strict";
(() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  let pending = 0;
  let leave = null; // what to do once all that is pending is answered
  let moving = false; // to the needle beside this one
  let typed = []; // meanwhile: keys that are meant for that needle

  // Leaving waits until what was decided has been answered, so that no key press is lost.
  const go = (act) => { if (pending > 0) leave = act; else act(); };
  const busy = (change) => {
    pending = Math.max(0, pending + change);
    document.body.classList.toggle("busy", pending > 0);
    if (pending > 0 || !leave) return;
    const act = leave;
    leave = null;
    act();
  };
  const stay = () => { leave = null; moving = false; typed = []; };
  const refused = () => one("#error") || one("#notice .alert");
  const follow = (rel) => { const link = one(`a[rel="${rel}"]`); if (link) link.click(); };
  const leads = (link) => link.matches('a[rel="next"], a[rel="prev"]');

  document.addEventListener("htmx:beforeRequest", (event) => {
    const from = event.detail.requestConfig.elt;
    if (from.hasAttribute("data-claim")) { if (document.hidden) event.preventDefault(); return; }
    if (leads(from)) {
      moving = true;
      if (pending > 0) { leave = () => follow(from.rel); event.preventDefault(); return; }
    }
    busy(1);
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const from = event.detail.requestConfig.elt; // also where the swap has taken it away
    if (from.hasAttribute("data-claim")) return;
    if (refused() || !event.detail.successful) stay();
    busy(-1);
    if (!leads(from)) return;
    const title = one("#query-title");
    if (title && event.detail.successful) title.focus({ preventScroll: true });
    const keys = typed;
    stay();
    for (const key of keys) press(key);
  });
  document.addEventListener("htmx:sendError", () => {
    const notice = one("#notice");
    const text = document.createElement("p");
    text.className = "alert";
    text.textContent = "The server does not answer. Nothing was changed; try again in a moment.";
    notice.replaceChildren(text);
  });
  document.addEventListener("htmx:afterSwap", () => {
    tell();
    boxes(sessionStorage.getItem("boxes") !== "off");
  });

  // Screen readers hear what changed; the pictures tell it to everyone else.
  const tell = () => {
    const title = one("#candidates-title");
    const said = one("#said");
    if (said && title) said.textContent = refused() ? "" : title.textContent.replace(/\s+/g, " ").trim();
  };

  const boxes = (shown) => {
    document.body.classList.toggle("no-boxes", !shown);
    sessionStorage.setItem("boxes", shown ? "on" : "off");
    for (const button of all('[data-toggles="boxes"]')) button.setAttribute("aria-pressed", String(shown));
  };

  const step = (by) => {
    if (one("#work")) {
      const rel = by > 0 ? "next" : "prev";
      if (!one(`a[rel="${rel}"]`)) return;
      moving = true;
      go(() => follow(rel));
      return;
    }
    const rows = all("[data-list] [data-row]");
    const at = rows.indexOf(document.activeElement);
    const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
  };
  // Back in the list, the needle that one comes from is in focus.
  const up = (work) => {
    if (work.dataset.needle) sessionStorage.setItem("from", work.dataset.needle);
    window.location.assign(work.dataset.up);
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
      for (const mark of marks) mark.checked = mark.dataset.undecided === "yes";
    }
    button.click();
  };
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
    z: () => decide("undo"), c: correct, "?": dialog,
    b: () => boxes(document.body.classList.contains("no-boxes")),
    u: () => { const work = one("#work"); if (work) go(() => up(work)); },
    "/": () => { const find = one("#find"); if (find) { find.focus(); find.select(); } },
  };
  // Whether the key means anything here.
  const press = (key) => {
    const digit = /^[0-9]$/.test(key) && one("#work");
    const act = digit ? () => mark(key) : keys[key];
    if (!act) return false;
    if (moving) typed.push(key);
    else act();
    return true;
  };
  const typing = (target) => target.matches('input:not([type="checkbox"], [type="radio"]), select, textarea');

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const fix = event.key === "Escape" && event.target.closest(".fix[open]");
    if (fix) { fix.open = false; fix.querySelector("summary").focus(); return; }
    if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
    if (typing(event.target)) return;
    const help = one("#help");
    if (help && help.open && event.key !== "?") return;
    if (press(event.key)) event.preventDefault();
  });
  document.addEventListener("change", (event) => {
    const card = event.target.closest("[data-card]");
    if (!card || event.target.type !== "checkbox") return;
    const pin = one(`[data-pin="${card.dataset.card}"]`);
    if (pin) pin.classList.toggle("marked", event.target.checked);
    // From the first mark on, others see that somebody works here.
    const claim = one("#claim");
    if (claim && claim.dataset.claim === "free") window.htmx.trigger(claim, "work");
  });
  document.addEventListener("change", (event) => {
    const implied = event.target.closest("[data-implies]");
    if (implied) one(`input[data-key="${implied.dataset.implies}"]`).checked = true;
    const filters = event.target.closest("[data-filters]");
    if (filters && event.target.matches("select")) filters.requestSubmit();
  });
  document.addEventListener("submit", (event) => {
    // Empty filters stay out of the address.
    if (!event.target.matches("[data-filters]")) return;
    for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
  });
  window.addEventListener("pageshow", () => {
    for (const field of all("[data-filters] :disabled")) field.disabled = false;
    stay();
    pending = 0;
    document.body.classList.remove("busy");
  });
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-opens]");
    if (opener) dialog();
    if (event.target.closest('[data-toggles="boxes"]')) boxes(document.body.classList.contains("no-boxes"));
  });
  boxes(sessionStorage.getItem("boxes") !== "off");
  arrive();
  const here = one("nav [aria-current]"); // on a phone it may lie beyond the edge
  if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft - 40;
})();
