// What the viewer's lines and its heat map have in common.

import { element, say } from "explorer/page.js";

const MOST = 5; // words that are named

// Return nodes that say where a word looks and who looks at it; without a word, a hint.
export function describe(shown, word, numHidden = 0) {
  if (!word) {
    return [
      element("p", {}, say(shown.hint)),
      element("p", { class: "hint" }, say("The strongest weight here is {weight}.", { weight: shown.largest.toFixed(2) }),
        numHidden ? ` ${say("{n} weaker lines are not drawn; choose a word to see its own.", { n: numHidden })}` : ""),
    ];
  }
  const name = shown[word.side][word.index];
  const parts = [];
  if (word.side === "rows" || shown.isSelf) {
    parts.push(list("looks", say("“{word}” looks at", { word: name }), shown.matrix[word.index], shown.columns));
  }
  if (word.side === "columns" || shown.isSelf) {
    parts.push(list("looked", say("Who looks at “{word}”", { word: name }),
      shown.matrix.map((row) => row[word.index]), shown.rows));
  }
  return parts;
}

function list(kind, label, weights, names) {
  const best = weights.map((weight, index) => [weight, index]).filter(([weight]) => weight >= 0.005)
    .sort((a, b) => b[0] - a[0]).slice(0, MOST);
  return element("p", { class: `named ${kind}` }, element("span", { class: "named-label" }, `${label}: `),
    best.length ? best.map(([weight, index], i) => [
      i ? ", " : "", element("b", {}, names[index]), ` ${weight.toFixed(2)}`,
    ]).flat() : say("nothing much"));
}

// True for the first word of a group after another one.
export function isStart(groups, index) {
  return Boolean(groups && index > 0 && groups[index] !== groups[index - 1]);
}

// Move the focus to a word, if there is one, and the order of the Tab key with it.
export function focusNext(words, index) {
  if (!words[index]) return;
  for (const word of words) word.tabIndex = -1;
  words[index].tabIndex = 0;
  words[index].focus();
}

// Paint a matrix, one pixel an entry, in the canvas's own CSS color: opaque at the largest.
export function paintMatrix(canvas, matrix) {
  const [red, green, blue] = getComputedStyle(canvas).color.match(/[\d.]+/g).map(Number);
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const largest = Math.max(...matrix.map((row) => Math.max(...row)), 1e-6);
  let at = 0;
  for (const row of matrix) {
    for (const weight of row) {
      image.data.set([red, green, blue, Math.round(255 * weight / largest)], at);
      at += 4;
    }
  }
  context.putImageData(image, 0, 0);
}
