// The page: header, tabs, light and dark; and, for views, all that they are made of.
//
// A view is a module `explorer/views/NAME.js` with `show(container, view)` and `korean`, a
// dictionary from its English texts. `view` has
//   name, title, about    as Python gave them
//   ask(request)          → Promise of the answer; drops the view's previous request
//   texts, isSaved        the texts of a saved page, and whether this is one
//   requests              the requests that a saved page has answers to
//   state                 strings from the address's fragment
//   remember(state)       puts strings, or null, into the fragment

import { AskError, makeAsk } from "explorer/ask.js";
import { language, say, useDictionary } from "explorer/language.js";
import { element, errorBox, notice, refill } from "explorer/parts.js";

export * from "explorer/ask.js";
export * from "explorer/language.js";
export * from "explorer/parts.js";

const data = JSON.parse(document.getElementById("explorer").textContent);
let shown = 0; // counts what was shown: a view that loads late does not replace a newer one

function recall(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

function keep(key, value) {
  try { localStorage.setItem(key, value); } catch { /* a file:// page may have no storage */ }
}

// Return the view and the state that the fragment names: #fill?text=…
function readFragment() {
  const [name, query = ""] = location.hash.slice(1).split(/\?(.*)/s);
  const view = data.views.find((other) => other.name === name) ?? data.views[0];
  return [view, Object.fromEntries(new URLSearchParams(query))];
}

function address(name, state) {
  const query = new URLSearchParams(Object.entries(state).filter(([, value]) => value !== null));
  return `#${name}${query.size ? `?${query}` : ""}`;
}

// Browsers refuse addresses of megabytes, and Safari more than a hundred changes in half a minute;
// then the address is behind, and the view goes on.
function setAddress(text) {
  try { history.replaceState(null, "", text); } catch (error) { console.warn(error.message); }
}

const states = {}; // of each view, so that a tab comes back as it was left

async function showView() {
  const [about, state] = readFragment();
  const number = ++shown;
  const container = document.getElementById("view");
  states[about.name] = state;
  showTabs(about.name);
  let module;
  try {
    module = await import(`explorer/views/${about.name}.js`);
  } catch (error) {
    console.error(error);
    container.replaceChildren(errorBox(new AskError(
      ["This view failed to load.", "the script of the view", "reload the page"])));
    return;
  }
  if (number !== shown) return;
  useDictionary(module.korean);
  document.title = `${titleOf(about)} · ${data.model}`;
  const view = {
    ...about, ask: tellingToWait(makeAsk(about.name, data.saved?.answers[about.name])), isSaved: Boolean(data.saved), texts: data.saved?.texts ?? [],
    requests: data.saved?.answers[about.name].map(([request]) => request) ?? [],
    state, remember: (changes) => {
      if (number !== shown) return;
      Object.assign(states[about.name], changes);
      showTabs(about.name);
      setAddress(address(about.name, states[about.name]));
    },
  };
  const body = element("div", { class: "view" });
  container.replaceChildren(...[
    data.saved ? notice("Saved page: it has the answers for these texts.") : null, body,
  ].filter(Boolean));
  module.show(body, view);
}

const PATIENCE = 1500; // ms without an answer, until the page says why it may take longer
let waiting = 0; // answers that are late

// Return a function that asks like another, and says so while an answer is late.
function tellingToWait(ask) {
  return async (request) => {
    let isLate = false;
    const timer = setTimeout(() => { isLate = true; showWaiting(++waiting); }, PATIENCE);
    try {
      return await ask(request);
    } finally {
      clearTimeout(timer);
      if (isLate) showWaiting(--waiting);
    }
  };
}

function showWaiting(number) {
  document.getElementById("waiting").textContent = number
    ? say("Still computing. The first text of about its length takes longer: its program is being compiled.") : "";
}

const titles = {}; // Korean titles of tabs, from the views' dictionaries

// A text goes along to a view that has not been open yet.
function showTabs(chosen) {
  const { text = null } = states[chosen];
  const tabs = data.views.map((view) => element("a", {
    href: address(view.name, states[view.name] ?? { text }),
    "aria-current": view.name === chosen ? "page" : null, "data-key": view.name,
  }, titleOf(view)));
  refill(document.getElementById("tabs"), tabs);
}

function titleOf(view) {
  return (language() === "ko" && titles[view.name]) || view.title;
}

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function makeHeader() {
  const theme = element("button", {
    type: "button", class: "icon", id: "theme",
    onclick: () => {
      const chosen = isDark() ? "light" : "dark";
      document.documentElement.dataset.theme = chosen;
      keep("explorer-theme", chosen);
    },
  }, "◐");
  const tongue = element("button", {
    type: "button", class: "icon", id: "language",
    onclick: () => {
      setLanguage(language() === "ko" ? "en" : "ko");
      keep("explorer-language", language());
      showView();
    },
  });
  return element("header", {},
    element("div", { class: "brand" },
      element("h1", {}, data.model.split(/(?<=[/])/).flatMap((part) => [part, element("wbr")])), element("p", { class: "about", id: "about" })),
    element("div", { class: "tools" }, tongue, theme),
    element("nav", { id: "tabs" }));
}

function setLanguage(name) {
  document.documentElement.lang = name;
  const tongue = document.getElementById("language");
  tongue.textContent = name === "ko" ? "English" : "한국어";
  tongue.lang = name === "ko" ? "en" : "ko";
  document.getElementById("theme").setAttribute("aria-label", say("Light or dark"));
  document.getElementById("theme").title = say("Light or dark");
  document.getElementById("tabs").setAttribute("aria-label", say("Views"));
  document.getElementById("skip").textContent = say("Skip to the view");
  document.getElementById("about").textContent = say(data.about);
}

export async function start() {
  const theme = recall("explorer-theme");
  if (theme) document.documentElement.dataset.theme = theme;
  const skip = element("a", { id: "skip", href: "#view", onclick: (event) => {
    event.preventDefault();
    document.getElementById("view").focus();
  } });
  document.body.replaceChildren(skip, makeHeader(), element("main", { id: "view", tabindex: "-1" }),
    element("p", { id: "waiting", role: "status" }));
  if (new URLSearchParams(location.search).has("token")) { // the cookie has it from here on
    history.replaceState(null, "", location.pathname + location.hash);
  }
  const preferred = recall("explorer-language") ?? (navigator.language.startsWith("ko") ? "ko" : "en");
  setLanguage(preferred);
  addEventListener("hashchange", showView);
  await Promise.all(data.views.map(async (view) => {
    const module = await import(`explorer/views/${view.name}.js`).catch(() => ({}));
    titles[view.name] = module.korean?.[view.title];
  }));
  await showView();
}
