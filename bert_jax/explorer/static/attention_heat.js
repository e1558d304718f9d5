// Attention as a heat map: rows look at columns, opaque at the largest weight.

import { describe, isStart, paintMatrix } from "explorer/attention_parts.js";
import { element, rove, say } from "explorer/page.js";

const [SMALLEST, LARGEST] = [20, 34]; // pixels of a square: small ones have no room for a word

// Show one head; `shown` is that of `showLines`.
export function showHeat(area, shown) {
  const room = Math.max(area.clientWidth - 130, 100) / shown.columns.length;
  const size = Math.round(Math.min(LARGEST, Math.max(SMALLEST, room)));
  const [width, height] = [size * shown.columns.length, size * shown.rows.length];
  const canvas = element("canvas", { width: shown.columns.length, height: shown.rows.length, class: "heat-canvas" });
  const bands = { rows: element("div", { class: "band" }), columns: element("div", { class: "band" }) };
  const cell = element("div", { class: "cell", hidden: true });
  const grid = element("div", {
    class: "heat-grid", tabindex: "0", role: "group",
    "aria-label": say("Heat map; arrow keys move, Enter chooses the row"),
    onpointermove: (event) => {
      const box = canvas.getBoundingClientRect();
      point(Math.floor((event.clientY - box.top) / size), Math.floor((event.clientX - box.left) / size));
    },
    onpointerleave: () => point(null),
    onclick: () => at && pin({ side: "rows", index: at[0] }),
    onkeydown: move,
    onfocus: (event) => event.currentTarget.matches(":focus-visible") && point(...(at ?? [0, 0])),
    onblur: () => point(null),
  }, canvas, bands.rows, bands.columns, separators("row_groups"), separators("column_groups"), cell);
  const labels = { rows: makeLabels("rows"), columns: makeLabels("columns") };
  const node = element("div", { class: "heat" },
    element("div", { class: "heat-corner" }),
    element("div", { class: "heat-columns", role: "group", "aria-label": say("Is looked at"), onkeydown: unpin }, labels.columns),
    element("div", { class: "heat-rows", role: "group", "aria-label": say("Looks"), onkeydown: unpin }, labels.rows),
    grid);
  for (const sized of [canvas, grid]) Object.assign(sized.style, { width: `${width}px`, height: `${height}px` });
  node.style.setProperty("--cell", `${size}px`);
  for (const side of ["rows", "columns"]) rove(labels[side][0].parentNode, ".heat-label");
  const { scrollLeft, scrollTop } = area.querySelector(".heat") ?? {};
  area.replaceChildren(node);
  node.scrollTo(scrollLeft ?? 0, scrollTop ?? 0); // another head of the same words stays in place
  let at = null; // the square under the pointer or the keyboard
  let active = null; // the label under them
  update();
  paintMatrix(canvas, shown.matrix);
  return { paint: () => paintMatrix(canvas, shown.matrix) };

  function makeLabels(side) {
    const groups = shown[side === "rows" ? "row_groups" : "column_groups"];
    return shown[side].map((text, index) => element("button", {
      type: "button", class: "heat-label", "data-group": groups?.[index] ?? null, "data-side": side, title: text,
      "data-index": index, onclick: () => pin({ side, index }),
      onpointerenter: () => hover({ side, index }), onpointerleave: () => hover(null),
      onfocus: (event) => event.currentTarget.matches(":focus-visible") && hover({ side, index }),
      onblur: () => hover(null),
    }, element("span", {}, text)));
  }

  function separators(name) {
    const isRow = name === "row_groups";
    return (shown[name] ?? []).map((_, index) => {
      if (!isStart(shown[name], index)) return null;
      const line = element("div", { class: `separator ${isRow ? "is-row" : "is-column"}` });
      line.style[isRow ? "top" : "left"] = `${size * index}px`;
      return line;
    }).filter(Boolean);
  }

  function pin(word) {
    shown.pin(word);
    update();
  }

  function hover(word) {
    active = word;
    update();
  }

  function point(i, j) {
    const isInside = i !== null && i >= 0 && j >= 0 && i < shown.rows.length && j < shown.columns.length;
    at = isInside ? [i, j] : null;
    update();
  }

  function move(event) {
    const [i, j] = at ?? [0, 0];
    const next = {
      ArrowUp: [i - 1, j], ArrowDown: [i + 1, j], ArrowLeft: [i, j - 1], ArrowRight: [i, j + 1],
      Home: [i, 0], End: [i, shown.columns.length - 1],
    }[event.key];
    unpin(event);
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      pin({ side: "rows", index: i });
    }
    if (!next) return;
    event.preventDefault();
    if (shown.rows[next[0]] === undefined || shown.columns[next[1]] === undefined) return;
    point(...next);
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  function unpin(event) {
    if (event.key === "Escape") pin(null);
  }

  function update() {
    const word = active ?? shown.pinned();
    for (const side of ["rows", "columns"]) {
      const isShown = word && (word.side === side || shown.isSelf);
      bands[side].hidden = !isShown;
      bands[side].className = `band is-${side}`;
      if (isShown) {
        const [start, length] = side === "rows" ? ["top", "height"] : ["left", "width"];
        bands[side].style[start] = `${size * word.index}px`;
        bands[side].style[length] = `${size}px`;
      }
      labels[side].forEach((label, index) => {
        const isPinned = shown.pinned()?.side === side && shown.pinned().index === index;
        label.setAttribute("aria-pressed", String(isPinned));
        label.classList.toggle("is-active", Boolean(at ? at[side === "rows" ? 0 : 1] === index
          : isShown && word.index === index));
      });
    }
    cell.hidden = !at;
    if (at) {
      const [i, j] = at;
      cell.style.transform = `translate(${size * j}px, ${size * i}px)`;
      shown.say([element("p", { class: "named" }, say("“{row}” looks at “{column}”: {weight}", {
        row: shown.rows[i], column: shown.columns[j], weight: shown.matrix[i][j].toFixed(3),
      }))]);
    } else {
      shown.say(describe(shown, word));
    }
  }
}
