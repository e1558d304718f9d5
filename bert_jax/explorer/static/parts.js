// Parts that views are made of. Texts of users become nodes by textContent alone.

import { say } from "explorer/language.js";

const SVG_TAGS = new Set(
  ["svg", "circle", "defs", "g", "line", "path", "polygon", "polyline", "rect", "text", "tspan"]);

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

// More characters than a server reads of a text, which says so; a pasted book stays in its box.
const MAX_SENT = 40_100; // two for each that Python counts, and some to be cut

// A text box that calls onChange(value) when typing pauses, and when it is left.
export function textBox(label, value, onChange, { rows = 3, delay = 150 } = {}) {
  const area = element("textarea", { rows, spellcheck: "false", autocapitalize: "off", value });
  let timer = null;
  let last = value;
  const change = () => {
    clearTimeout(timer);
    if (area.value !== last) onChange((last = area.value).slice(0, MAX_SENT));
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
    type: "button", "aria-pressed": String(option === value), "data-key": `${label} ${option}`,
    onclick: () => {
      for (const button of buttons) button.setAttribute("aria-pressed", String(button === buttons[index(option)]));
      onChoose(option);
    },
  }, text));
  const index = (option) => options.findIndex(([other]) => other === option);
  return element("div", { class: "switcher", role: "group", "aria-label": label }, buttons);
}
