// Keys, and what has to be told while something is under way. The page works without this file too.
"use strict";
(() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  let pending = 0;
  let leaveFor = null;

  // Navigation waits until what was decided has been answered, so that no key press is lost.
  const go = (address) => {
    if (!address) return;
    if (pending > 0) leaveFor = address;
    else window.location.assign(address);
  };
  const busy = (change) => {
    pending = Math.max(0, pending + change);
    document.body.classList.toggle("busy", pending > 0);
    if (pending === 0 && leaveFor) window.location.assign(leaveFor);
  };
  const refused = () => one("#error") || one("#notice .alert");

  document.addEventListener("htmx:beforeRequest", (event) => {
    const quiet = event.target.hasAttribute("data-claim");
    if (quiet && document.hidden) event.preventDefault();
    else if (!quiet) busy(1);
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.target.hasAttribute("data-claim")) return;
    if (refused() || !event.detail.successful) leaveFor = null;
    busy(-1);
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
    const link = one(by > 0 ? 'a[rel="next"]' : 'a[rel="prev"]');
    if (one("#work")) { go(link && link.href); return; }
    const rows = all("[data-list] [data-row]");
    const at = rows.indexOf(document.activeElement);
    const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
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
    u: () => { const work = one("#work"); if (work) go(work.dataset.up); },
    "/": () => { const find = one("#find"); if (find) { find.focus(); find.select(); } },
  };
  const typing = (target) => target.matches('input:not([type="checkbox"], [type="radio"]), select, textarea');

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
    if (typing(event.target)) return;
    const help = one("#help");
    if (help && help.open && event.key !== "?") return;
    if (/^[0-9]$/.test(event.key) && one("#work")) { mark(event.key); event.preventDefault(); return; }
    const act = keys[event.key];
    if (act) { act(); event.preventDefault(); }
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
    leaveFor = null;
    pending = 0;
    document.body.classList.remove("busy");
  });
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-opens]");
    if (opener) dialog();
    if (event.target.closest('[data-toggles="boxes"]')) boxes(document.body.classList.contains("no-boxes"));
  });
  boxes(sessionStorage.getItem("boxes") !== "off");
  const here = one("nav [aria-current]"); // on a phone it may lie beyond the edge
  if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft - 40;
})();
