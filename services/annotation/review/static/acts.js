// The queue of an annotator's acts. An act is stored immediately, so that it survives navigation,
// reload and the end of a session. The tab that holds the lock sends acts one at a time, in order,
// until the server answers: 204 accepts an act, 4xx refuses it. The server recognizes an act by its
// id, so that sending it again changes nothing.
"use strict";
window.gazeloopActs = (() => {
  const PATIENCE_MS = 10_000; // a request without an answer is aborted and sent again
  const LONGEST_WAIT_S = 30;
  const QUIET_MS = 300; // acts answered sooner are not reported as unsent
  const SKIPPABLE_AFTER = 3; // failures in a row
  const root = document.body.dataset.root;
  const prefix = `gazeloop${root}`;
  const QUEUED = `${prefix}:act:`;
  const REFUSED = `${prefix}:refused:`;
  const SESSION = `${prefix}:session`;
  const listeners = [];
  let sending = false;
  let trouble = null; // why the oldest act could not be sent: {text, login}
  let failures = 0;
  let timer = 0;

  // Storage can be full or forbidden; then acts are kept until the page is left.
  const memory = new Map();
  const put = (key, value) => {
    try { localStorage.setItem(key, JSON.stringify(value)); memory.delete(key); } catch { memory.set(key, value); }
  };
  const get = (key) => {
    if (memory.has(key)) return memory.get(key);
    try { return JSON.parse(localStorage.getItem(key)); } catch { return null; }
  };
  const drop = (key) => {
    memory.delete(key);
    try { localStorage.removeItem(key); } catch { /* storage is forbidden */ }
  };
  const stored = (start) => {
    let keys = [];
    try { keys = Object.keys(localStorage); } catch { /* storage is forbidden */ }
    const all = new Set([...keys, ...memory.keys()].filter((key) => key.startsWith(start)));
    return [...all].sort().map((key) => ({ ...get(key), key })).filter((act) => act.id);
  };

  const here = document.body.dataset.person ?? null;
  if (here !== null) put(SESSION, { person: here, csrf: document.body.dataset.csrf });
  const session = () => get(SESSION);
  const queued = () => stored(QUEUED);
  const refused = () => stored(REFUSED).filter((act) => act.person === here);
  const own = () => queued().filter((act) => act.person === (session() || {}).person);
  const notify = (what, act, more) => { for (const listener of listeners) listener(what, act, more); };

  const identity = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID needs https
    return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  };
  // Storage keys in the order of the acts, even if the clock is set back.
  const sequence = () => {
    const last = queued().at(-1);
    const after = last ? Number(last.key.slice(QUEUED.length).split(":")[0]) + 1 : 0;
    return String(Math.max(Date.now() * 1000, after)).padStart(17, "0");
  };

  const add = (act) => {
    const id = identity();
    const kept = { ...act, id, person: here, page: location.pathname + location.search };
    put(`${QUEUED}${sequence()}:${id}`, kept);
    render();
    setTimeout(render, QUIET_MS);
    send();
    return kept;
  };

  const settle = (act, reason) => {
    if (reason) put(`${REFUSED}${act.key.slice(QUEUED.length)}`, { ...act, reason });
    drop(act.key);
    failures = 0;
    trouble = null;
  };

  const reasonIn = (html) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const alert = page.querySelector(".alert") || page.body;
    return alert.textContent.replace(/\s+/g, " ").trim();
  };
  // Whether the browser has a newer session than the page: forms of the old one are refused.
  const renewed = async () => {
    const answer = await fetch(`${root}/needles`, { signal: AbortSignal.timeout(PATIENCE_MS) });
    const body = new DOMParser().parseFromString(await answer.text(), "text/html").body;
    const now = { person: body.dataset.person ?? null, csrf: body.dataset.csrf };
    const before = session() || {};
    if (now.person !== null) put(SESSION, now);
    return now.person === null || now.csrf !== before.csrf;
  };
  const LOGIN = { login: true, text: "Your session has ended." };
  const again = (text, wait) => ({ text, wait: Number(wait) || 0 });

  // Sends one act. Returns why it must be sent again, or null once it is answered.
  const attempt = async (act) => {
    const body = new URLSearchParams([...act.fields, ["act_id", act.id]]);
    const headers = { "HX-Request": "true", "X-CSRF-Token": session().csrf };
    const answer = await fetch(act.address, {
      method: "POST", body, headers, signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const text = await answer.text();
    if (answer.status === 204) {
      settle(act);
      notify("taken", act, answer.headers);
      return null;
    }
    if (answer.status === 401 || new URL(answer.url).pathname === `${root}/login`) return LOGIN;
    if (answer.status === 403 && await renewed()) return again("The session has changed.");
    const temporary = answer.status < 400 || answer.status >= 500 || [408, 425, 429].includes(answer.status);
    if (temporary) return again(`The server answers ${answer.status}.`, answer.headers.get("Retry-After"));
    settle(act, reasonIn(text));
    notify("refused", act);
    return null;
  };

  const sendAll = async () => {
    for (let act = own()[0]; act; act = own()[0]) {
      let why;
      try { why = await attempt(act); } catch { why = again("The server does not answer."); }
      if (why) { trouble = why; failures += 1; return; }
      render();
    }
    trouble = null;
  };
  const locked = (work) => (navigator.locks ? navigator.locks.request(`${prefix}:send`, work) : work());

  const send = async () => {
    clearTimeout(timer);
    if (sending || here === null) return;
    sending = true;
    await locked(sendAll);
    sending = false;
    render();
    if (trouble && !trouble.login) {
      const wait = Math.max(Math.min(LONGEST_WAIT_S, 2 ** (failures - 1)), trouble.wait || 0);
      timer = setTimeout(send, wait * 1000 * (0.75 + Math.random() / 2));
    } else if (!trouble && own().length) send(); // added while the lock was being released
  };

  // The state of an act, whichever tab sent it.
  const fate = (id) => {
    const is = (act) => act.id === id;
    return queued().some(is) ? "queued" : stored(REFUSED).some(is) ? "refused" : "done";
  };
  const settled = async (patience) => {
    const until = Date.now() + patience;
    while (own().length && !trouble && Date.now() < until) await new Promise((on) => { setTimeout(on, 20); });
  };

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const button = (text, act) => {
    const made = element("button", text, { type: "button", class: "quiet" });
    made.addEventListener("click", act);
    return made;
  };
  const skip = (act) => { settle(act, "Skipped. It was not sent."); notify("refused", act); send(); };

  const waiting = (acts) => {
    const line = element("p", "", { class: "waiting" });
    line.append(element("b", `${acts.length} unsent`));
    if (here === null || (trouble && trouble.login)) {
      const next = encodeURIComponent(location.pathname + location.search);
      const names = [...new Set(acts.map((act) => act.person))].join(", ");
      line.append(` ${trouble ? `${trouble.text} ` : ""}Stored in this browser; sent once ${names} logs in again. `);
      if (here !== null) line.append(element("a", "Log in", { href: `${root}/login?next=${next}` }));
    } else if (trouble) {
      line.append(` ${trouble.text} Stored in this browser; sending again until the server answers. `);
      line.append(button("Send now", send));
      if (failures >= SKIPPABLE_AFTER) line.append(button(`Skip: ${acts[0].text}`, () => skip(acts[0])));
    }
    return line;
  };
  const others = (acts) => {
    const names = [...new Set(acts.map((act) => act.person))].join(", ");
    const line = element("p", "", { class: "waiting" });
    line.append(element("b", `${acts.length} unsent`), ` of ${names}, sent once ${names} logs in here. `);
    line.append(button("Discard", () => { for (const act of acts) drop(act.key); render(); }));
    return line;
  };
  const refusal = (act) => {
    const line = element("p", "", { class: "alert" });
    line.append(element("b", `Refused: ${act.text}.`), ` ${act.reason.replace(/^Refused\. /, "")} `);
    line.append(element("a", "Open page", { href: act.page }));
    line.append(button("Dismiss", () => { drop(act.key); render(); }));
    return line;
  };

  const dismissal = (acts) => {
    const line = element("p", "", { class: "waiting" });
    line.append(element("b", `${acts.length} refused`), " ");
    line.append(button("Dismiss all", () => { for (const act of acts) drop(act.key); render(); }));
    return line;
  };

  let drawn = "";
  const render = () => {
    const panel = document.querySelector("#unsent");
    const acts = queued();
    document.body.dataset.unsent = String(acts.length);
    const late = (act) => trouble || here === null || Date.now() * 1000 - Number(act.key.slice(QUEUED.length).split(":")[0]) >= QUIET_MS * 900;
    const ownActs = acts.filter((act) => here === null || act.person === here);
    const rest = acts.filter((act) => here !== null && act.person !== here);
    const no = here === null ? [] : refused();
    const lines = [];
    if (ownActs.some(late)) lines.push(waiting(ownActs));
    if (rest.length) lines.push(others(rest));
    if (no.length > 2) lines.push(dismissal(no));
    lines.push(...no.map(refusal));
    const text = lines.map((line) => line.textContent).join("\n");
    if (text === drawn) return; // unchanged lines are not announced again and keep their focus
    drawn = text;
    const status = element("div", "", { role: "status" });
    status.append(...lines);
    panel.replaceChildren(status);
    panel.hidden = !lines.length;
  };

  window.addEventListener("storage", (event) => {
    const key = event.key || "";
    if (key.startsWith(QUEUED) && event.oldValue && !event.newValue) {
      const act = JSON.parse(event.oldValue);
      notify(fate(act.id) === "refused" ? "refused" : "taken", act);
    }
    if (key === SESSION) { trouble = null; send(); }
    if (key.startsWith(prefix)) { render(); setTimeout(render, QUIET_MS); }
  });
  window.addEventListener("online", send);
  window.addEventListener("pageshow", () => { render(); send(); });
  return {
    add, fate, send, settled, csrf: () => (session() || {}).csrf,
    any: () => own().length > 0,
    of: (needle) => queued().filter((act) => act.needle === needle && act.person === here),
    listen: (listener) => listeners.push(listener),
  };
})();
