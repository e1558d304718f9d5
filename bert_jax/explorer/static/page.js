// The page: header, tabs, languages, and the parts that views are made of.
//
// A view is a module `explorer/views/NAME.js` with `show(container, view)` and `korean`, a
// dictionary from its English texts. `view` has
//   name, title, about    as Python gave them
//   ask(request)          → Promise of the answer; drops the view's previous request
//   texts, isSaved        the texts of a saved page, and whether this is one
//   requests              the requests that a saved page has answers to
//   state                 strings from the address's fragment
//   remember(state)       puts strings, or null, into the fragment
// Texts of users become nodes by textContent alone.

const KOREAN = {
  "Light or dark": "밝게 또는 어둡게",
  "Try": "예문",
  "Texts": "글",
  "Saved page: it has the answers for these texts.": "저장된 페이지입니다. 아래 글에 대한 결과만 들어 있습니다.",
  "This saved page has no answer to that.": "이 저장된 페이지에는 그 결과가 없습니다.",
  "one of its texts": "저장된 글 가운데 하나",
  "run explore.py for the model itself": "explore.py로 모델을 직접 여십시오",
  "The server does not answer.": "서버가 응답하지 않습니다.",
  "explore.py at work": "실행 중인 explore.py",
  "start it again, and open its new address": "다시 실행하고 새 주소를 여십시오",
  "Expected": "필요한 것",
  "Do": "할 일",
  "Views": "보기",
  "Skip to the view": "본문으로 건너뛰기",
  "The text was cut after {n} characters.": "글이 너무 길어 {n}자에서 잘랐습니다.",
  "{name}: {l} layers of {d}, {h} heads, {p} parameters, {v} tokens":
    "{name}: {d}차원 {l}층, 헤드 {h}개, 매개변수 {p}개, 토큰 {v}개",
  "a translator by {kind}": "번역 모델 ({kind})",
  "a network with a memory": "기억 장치가 있는 신경망",
  "{model} has no checkpoint yet": "아직 체크포인트가 없습니다",
  "This view failed to load.": "이 보기를 불러오지 못했습니다.",
  "the script of the view": "이 보기의 스크립트",
  "reload the page": "페이지를 다시 불러오십시오",
};

const data = JSON.parse(document.getElementById("explorer").textContent);
let dictionary = KOREAN;
let shown = 0; // counts what was shown: a view that loads late does not replace a newer one

const SVG_TAGS = new Set(
  ["svg", "circle", "defs", "g", "line", "path", "polygon", "polyline", "rect", "text", "tspan"]);

// --- Parts of views -----------------------------------------------------------------------------

// Make an element. Attributes named on… are listeners, true ones are set, false and null left out.
export function element(tag, attributes = {}, ...children) {
  const node = SVG_TAGS.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

// Return a text in the page's language; {name} in it becomes values.name.
export function say(text, values = {}) {
  const own = Object.hasOwn(dictionary, text) ? dictionary[text] : fromPattern(text);
  const found = language() === "ko" ? own ?? text : text;
  return found.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}

// Translate a text of the server, whose numbers are filled in, by the pattern that it follows.
function fromPattern(text) {
  for (const [pattern, translation] of Object.entries(dictionary)) {
    if (!pattern.includes("{")) continue;
    const names = [...pattern.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    const parts = pattern.split(/\{\w+\}/).map((part) => part.replace(/[.*+?^$()|[\]\\{}]/g, "\\$&"));
    const match = new RegExp(`^${parts.join("(.+?)")}$`, "s").exec(text);
    if (match) {
      const values = Object.fromEntries(names.map((name, i) => [name, match[i + 1]]));
      return translation.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
    }
  }
  return null;
}

export function language() {
  return document.documentElement.lang === "ko" ? "ko" : "en";
}

export function percent(value) {
  if (value > 0 && value < 0.001) return "< 0.1 %";
  return `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
}

// Show values as bars: [{ label, value, detail, onClick, isMarked, title }]; a full bar is `max`.
export function bars(rows, { max = 1 } = {}) {
  const list = element("ol", { class: "bars" }, rows.map((row, index) => {
    const fill = element("span", { class: "bar-fill" });
    fill.style.width = `${Math.min(100, (100 * row.value) / max)}%`;
    const parts = [
      element("span", { class: "bar-label" }, row.label),
      element("span", { class: "bar-track", "aria-hidden": "true" }, fill),
      element("span", { class: "bar-value" }, row.detail ?? percent(row.value)),
    ];
    const kind = `bar${row.isMarked ? " is-marked" : ""}`;
    return element("li", {}, row.onClick
      ? element("button", { type: "button", class: kind, title: row.title, onclick: row.onClick, "data-key": row.key ?? `bar ${index}` }, parts)
      : element("div", { class: kind, title: row.title }, parts));
  }));
  rove(list, "button.bar");
  return list;
}

// Let arrow keys, Home and End move among the buttons of a container, which is one stop of Tab.
// Call it again when they change.
export function rove(container, selector) {
  const items = () => [...container.querySelectorAll(selector)];
  const choose = (item) => items().forEach((other) => { other.tabIndex = other === item ? 0 : -1; });
  choose(items().find((item) => item === document.activeElement) ?? items()[0]);
  if (container.dataset.roves) return;
  container.dataset.roves = "true";
  container.addEventListener("focusin", (event) => {
    const item = event.target.closest(selector);
    if (item) choose(item);
  });
  container.addEventListener("keydown", (event) => {
    const all = items();
    const at = all.indexOf(document.activeElement);
    const to = {
      ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: all.length - 1,
    }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    all[Math.max(0, Math.min(to, all.length - 1))].focus();
  });
}

// Replace a container's children; the keyboard stays where it was, by the elements' data-key.
export function refill(container, ...children) {
  const key = container.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  container.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
  if (key === undefined) return;
  const next = [...container.querySelectorAll("[data-key]")].find((item) => item.dataset.key === key);
  next?.focus();
}

// Show a text that a person should see, or an error's three lines.
export function notice(text) {
  return text ? element("p", { class: "notice", role: "status" }, say(text)) : null;
}

export function errorBox(error) {
  const [wrong, expected, fix] = error.lines ?? [error.message ?? String(error)];
  return element("div", { class: "error", role: "alert" },
    element("p", { class: "error-wrong" }, say(wrong)),
    expected ? element("p", {}, `${say("Expected")}: ${say(expected)}`) : null,
    fix ? element("p", {}, `${say("Do")}: ${say(fix)}`) : null);
}

// A text box that calls onChange(value) when typing pauses, and when it is left.
export function textBox(label, value, onChange, { rows = 3, delay = 150 } = {}) {
  const area = element("textarea", { rows, spellcheck: "false", autocapitalize: "off", value });
  let timer = null;
  let last = value;
  const change = () => {
    clearTimeout(timer);
    if (area.value !== last) onChange(last = area.value);
  };
  area.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(change, delay);
  });
  area.addEventListener("change", change);
  const box = element("label", { class: "text-box" }, element("span", { class: "label" }, label), area);
  box.setText = (text) => { clearTimeout(timer); area.value = last = text; };
  box.area = area;
  return box;
}

// Buttons that put an example, or a text of a saved page, into a view.
export function choices(label, texts, onChoose) {
  if (!texts.length) return null;
  return element("div", { class: "choices", role: "group", "aria-label": label },
    element("span", { class: "label" }, label),
    texts.map((text) => element("button", { type: "button", class: "chip", onclick: () => onChoose(text) }, text)));
}

// A few values of which one is chosen, as buttons in a row: [[value, label], …].
export function switcher(label, options, value, onChoose) {
  const buttons = options.map(([option, text]) => element("button", {
    type: "button", "aria-pressed": String(option === value),
    onclick: () => {
      for (const button of buttons) button.setAttribute("aria-pressed", String(button === buttons[index(option)]));
      onChoose(option);
    },
  }, text));
  const index = (option) => options.findIndex(([other]) => other === option);
  return element("div", { class: "switcher", role: "group", "aria-label": label }, buttons);
}

export class AskError extends Error {
  constructor(lines) {
    super(lines[0]);
    this.lines = lines;
  }
}

// True for a request that a newer one has replaced: nothing is to be shown for it.
export function isReplaced(error) {
  return error?.name === "AbortError";
}

// --- Questions to the server, or to what a saved page holds ---------------------------------------

function makeAsk(name) {
  if (data.saved) {
    const answers = new Map(data.saved.answers[name].map(([request, answer]) => [canonical(request), answer]));
    return async (request) => {
      const answer = answers.get(canonical(request)) ?? { error: [
        "This saved page has no answer to that.", "one of its texts", "run explore.py for the model itself",
      ] };
      if (answer.error) throw new AskError(answer.error);
      return answer;
    };
  }
  let previous = null;
  return async (request) => {
    previous?.abort();
    const controller = previous = new AbortController();
    let response;
    try {
      response = await fetch(`/api/${name}`, {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify(request), signal: controller.signal,
      });
    } catch (error) {
      if (isReplaced(error)) throw error;
      throw new AskError([
        "The server does not answer.", "explore.py at work", "start it again, and open its new address",
      ]);
    }
    const isJson = response.headers.get("content-type")?.startsWith("application/json");
    const answer = isJson ? await response.json() : { error: [await response.text(), null, null] };
    if (controller.signal.aborted) throw new DOMException("replaced", "AbortError");
    if (answer.error) throw new AskError(answer.error);
    return answer;
  };
}

function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value && typeof value === "object") {
    return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

// --- The page -------------------------------------------------------------------------------------

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

const states = {}; // of each view, so that a tab comes back as it was left

async function showView() {
  const [about, state] = readFragment();
  const number = ++shown;
  const container = document.getElementById("view");
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
  dictionary = { ...KOREAN, ...module.korean };
  states[about.name] = state;
  showTabs(about.name);
  document.title = `${titleOf(about)} · ${data.model}`;
  const view = {
    ...about, ask: makeAsk(about.name), isSaved: Boolean(data.saved), texts: data.saved?.texts ?? [],
    requests: data.saved?.answers[about.name].map(([request]) => request) ?? [],
    state, remember: (changes) => {
      if (number !== shown) return;
      Object.assign(states[about.name], changes);
      showTabs(about.name);
      history.replaceState(null, "", address(about.name, states[about.name]));
    },
  };
  const body = element("div", { class: "view" });
  container.replaceChildren(...[
    data.saved ? notice("Saved page: it has the answers for these texts.") : null, body,
  ].filter(Boolean));
  module.show(body, view);
}

const titles = {}; // Korean titles of tabs, from the views' dictionaries

// A text goes along to a view that has not been open yet.
function showTabs(chosen) {
  const { text = null } = states[chosen];
  const tabs = data.views.map((view) => element("a", {
    href: address(view.name, states[view.name] ?? { text }),
    "aria-current": view.name === chosen ? "page" : null,
  }, titleOf(view)));
  document.getElementById("tabs").replaceChildren(...tabs);
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
  document.body.replaceChildren(skip, makeHeader(), element("main", { id: "view", tabindex: "-1" }));
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
