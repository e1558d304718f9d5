// Attention as two columns of words with lines between them; a line is as opaque as its weight.

import { describe, focusNext, isStart } from "explorer/attention_parts.js";
import { element, say } from "explorer/page.js";

const MAX_LINES = 1200; // of all words together; a chosen word has all of its own
const FAINTEST = 0.02; // weights below this are not drawn

/* Show one head. `shown` is its panel with
 *   matrix, largest, isSelf   weights from 0 to 1; whether rows and columns are the same words
 *   pinned(), pin(word)       the word that was clicked on, { side, index } or null
 *   say(nodes)                show what there is to say about a word
 */
export function showLines(area, shown) {
  const svg = element("svg", { class: "lines-middle", "aria-hidden": "true" });
  const buttons = { rows: makeWords("rows"), columns: makeWords("columns") };
  const node = element("div", { class: "lines", onkeydown: move, onpointerleave: () => preview(null) },
    makeColumn("rows", "Looks"), svg, makeColumn("columns", "Is looked at"));
  area.replaceChildren(node);
  let active = null; // the word under the pointer or the keyboard, else the pinned one
  let isPointed = false;
  setTabStops();
  update();
  new ResizeObserver(update).observe(svg);
  return { paint: null };

  function makeWords(side) {
    const groups = shown[side === "rows" ? "row_groups" : "column_groups"];
    return shown[side].map((text, index) => element("button", {
      type: "button", "data-group": groups?.[index] ?? null, "data-side": side, "data-index": index,
      class: `word-of ${isStart(groups, index) ? "is-start" : ""}`, "aria-pressed": "false",
      onclick: () => {
        shown.pin({ side, index });
        isPointed = false;
        setTabStops();
        update();
      },
      onpointerenter: () => preview({ side, index }),
      onfocus: (event) => event.currentTarget.matches(":focus-visible") && preview({ side, index }),
      onblur: () => preview(null),
    }, element("span", { class: "word-text" }, text), element("span", { class: "weight" })));
  }

  function makeColumn(side, label) {
    return element("div", { class: `lines-${side}`, role: "group", "aria-label": say(label) },
      element("span", { class: "label", "aria-hidden": "true" }, say(label)), buttons[side]);
  }

  function preview(word) {
    isPointed = word !== null;
    active = word;
    update();
  }

  // Of each column one word is in the order of the Tab key; arrow keys move on from there.
  function setTabStops() {
    for (const [side, words] of Object.entries(buttons)) {
      const pinned = shown.pinned();
      words.forEach((word, index) => {
        word.tabIndex = index === (pinned?.side === side ? pinned.index : 0) ? 0 : -1;
      });
    }
  }

  function move(event) {
    if (event.key === "Escape") {
      shown.pin(null);
      preview(null);
      return;
    }
    const { side, index } = document.activeElement.dataset;
    if (!side) return;
    const sides = { ArrowLeft: "rows", ArrowRight: "columns" };
    if (sides[event.key]) {
      event.preventDefault();
      const words = buttons[sides[event.key]];
      focusNext(words, Math.min(Number(index), words.length - 1));
      return;
    }
    const next = { ArrowUp: Number(index) - 1, ArrowDown: Number(index) + 1, Home: 0, End: buttons[side].length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    focusNext(buttons[side], next);
  }

  function update() {
    const word = isPointed ? active : shown.pinned();
    const pinned = shown.pinned();
    const looks = word && (word.side === "rows" || shown.isSelf) ? word.index : null;
    const looked = word && (word.side === "columns" || shown.isSelf) ? word.index : null;
    for (const [side, words] of Object.entries(buttons)) {
      words.forEach((button, index) => {
        const isPinned = pinned?.side === side && pinned.index === index;
        const isActive = word && (word.side === side || shown.isSelf) && word.index === index;
        const weight = side === "columns" ? (looks === null ? null : shown.matrix[looks][index])
          : (looked === null ? null : shown.matrix[index][looked]);
        button.setAttribute("aria-pressed", String(isPinned));
        button.classList.toggle("is-active", Boolean(isActive));
        button.style.setProperty("--weight", weight === null ? 0 : weight.toFixed(3));
        button.lastChild.textContent = weight === null || weight < 0.005 ? "" : weight.toFixed(2);
      });
    }
    shown.say(describe(shown, word, drawLines(looks, looked)));
  }

  // Draw the lines of a word, or with two nulls of all words; return how many are left out.
  function drawLines(looks, looked) {
    const lines = [];
    shown.matrix.forEach((row, i) => row.forEach((weight, j) => {
      if (looks === null && looked === null) {
        if (weight >= FAINTEST) lines.push([weight, i, j, "looks"]);
      } else if (weight >= 0.005) {
        if (i === looks) lines.push([weight, i, j, "looks"]);
        else if (j === looked) lines.push([weight, i, j, "looked"]);
      }
    }));
    lines.sort((a, b) => a[0] - b[0]);
    const top = svg.getBoundingClientRect().top;
    const [left, right] = ["rows", "columns"].map((side) => buttons[side].map((button) => {
      const box = button.getBoundingClientRect();
      return box.top + box.height / 2 - top;
    }));
    const width = svg.clientWidth || 1;
    svg.replaceChildren(...lines.slice(-MAX_LINES).map(([weight, i, j, kind]) => element("line", {
      x1: 0, y1: left[i], x2: width, y2: right[j], class: kind,
      "stroke-opacity": Math.max(0.06, weight / (looks === null && looked === null ? shown.largest : 1)).toFixed(3),
    })));
    return Math.max(0, lines.length - MAX_LINES);
  }
}
