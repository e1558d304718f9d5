// One viewer for everything that attends: BERT's heads, a translator's alignment, a memory's heads.
//
// A picture has panels of heads over the same words; rows look at columns:
//   { title, notice, scale, panels: [{ name, rows, columns, row_groups, column_groups,
//                                      heads: [{ name, weights: [[…], …] }] }] }
// A weight is weights[row][column] / scale, from 0 to 1.

import { showHeat } from "explorer/attention_heat.js";
import { showLines } from "explorer/attention_lines.js";
import { paintMatrix } from "explorer/attention_parts.js";
import { element, notice, refill, say, switcher } from "explorer/page.js";

export const korean = {
  "Attention": "어텐션",
  "Layer {n}": "{n}층",
  "head {n}": "헤드 {n}",
  "mean of all heads": "모든 헤드의 평균",
  "mean": "평균",
  "Layers and heads": "층과 헤드",
  "Arrow keys move between heads.": "화살표 키로 헤드를 옮겨 다닙니다.",
  "Words with lines, or a heat map": "선 또는 히트맵",
  "Lines": "선",
  "Heat map": "히트맵",
  "Choose a word: where does it look, and who looks at it?": "단어를 고르면 그 단어가 보는 곳과 그 단어를 보는 곳이 나타납니다.",
  "“{word}” looks at": "“{word}”이(가) 보는 곳",
  "Who looks at “{word}”": "“{word}”을(를) 보는 곳",
  "nothing much": "뚜렷하지 않음",
  "“{row}” looks at “{column}”: {weight}": "“{row}” → “{column}”: {weight}",
  "Looks": "보는 쪽",
  "Is looked at": "보이는 쪽",
  "The strongest weight here is {weight}.": "여기에서 가장 큰 값은 {weight}입니다.",
  "{n} weaker lines are not drawn; choose a word to see its own.": "약한 선 {n}개는 생략했습니다. 단어를 고르면 그 단어의 선이 모두 보입니다.",
  "Heat map; arrow keys move, Enter chooses the row": "히트맵. 화살표 키로 옮기고 Enter로 행을 고릅니다",
  "Only the first {n} tokens are shown.": "처음 {n}개 토큰만 보입니다.",
  "Decoder → source, layer {n}": "디코더 → 원문, {n}층",
  "Decoder → itself, layer {n}": "디코더 → 자신, {n}층",
  "Encoder → itself, layer {n}": "인코더 → 자신, {n}층",
  "Attention to the source": "원문에 대한 어텐션",
  "Read": "읽기",
  "Write": "쓰기",
};

const HINT = "Choose a word: where does it look, and who looks at it?";
const choices = new WeakMap(); // container → what a person has chosen in it

/* Show a picture in a container, where a picture before it may have been.
 *
 * options: as       "lines" or "heat", until a person chooses
 *          state    strings from the address's fragment
 *          remember puts strings, or null, into the fragment
 *          hint     what to do with the words
 */
export function showAttention(container, picture, options = {}) {
  const { state = {}, remember = () => {}, as = "lines", hint = HINT } = options;
  const panels = picture.panels.filter((panel) => panel.rows.length && panel.columns.length);
  const body = element("div", { class: "attention" });
  if (!panels.length) {
    refill(container, notice(picture.notice));
    return;
  }

  const chosen = choices.get(container) ?? readState(state, as);
  choices.set(container, chosen);
  chosen.panel = Math.min(chosen.panel, panels.length - 1);
  chosen.head = Math.min(chosen.head, panels[chosen.panel].heads.length - 1);
  const scale = picture.scale ?? 1;

  const maps = makeMaps(panels, scale, (panel, head) => {
    chosen.panel = panel;
    chosen.head = head;
    keep();
    showLarge();
  });
  const title = element("h2", {});
  const readout = element("div", { class: "readout", role: "status" });
  const area = element("div", { class: "area" });
  const large = element("section", { class: "large" },
    element("div", { class: "row spread" }, title,
      switcher(say("Words with lines, or a heat map"), [["lines", say("Lines")], ["heat", say("Heat map")]],
        chosen.as, (value) => {
          chosen.as = value;
          keep();
          showLarge();
        })),
    readout, area);
  body.append(...[maps.isWorthShowing ? maps.node : null, large].filter(Boolean));
  refill(container, notice(picture.notice), body);
  let drawn = null;
  showLarge();
  body.repaint = () => {
    if (maps.isWorthShowing) maps.paint();
    drawn.paint?.();
  };
  if (maps.isWorthShowing) maps.paint();

  function keep() {
    remember({
      head: `${chosen.panel + 1}.${chosen.head < 0 ? "mean" : chosen.head + 1}`,
      as: chosen.as === as ? null : chosen.as,
      word: chosen.word ? `${chosen.word.side[0]}${chosen.word.index + 1}` : null,
    });
  }

  function showLarge() {
    const panel = panels[chosen.panel];
    const isAlone = panel.heads.length === 1;
    if (chosen.head < 0 && isAlone) chosen.head = 0;
    maps.choose(chosen.panel, chosen.head);
    title.textContent = isAlone && !maps.isWorthShowing ? say(panel.name)
      : `${say(panel.name)} · ${chosen.head < 0 ? say("mean of all heads") : say(panel.heads[chosen.head].name)}`;
    const matrix = weightsOf(panel, chosen.head, scale);
    const isSelf = String(panel.rows) === String(panel.columns);
    if (chosen.word && chosen.word.index >= panel[chosen.word.side].length) chosen.word = null;
    const shown = {
      ...panel, matrix, isSelf, hint, largest: Math.max(...matrix.map((row) => Math.max(...row)), 1e-6),
      pinned: () => chosen.word,
      pin(word) {
        const isSame = chosen.word && word && chosen.word.side === word.side && chosen.word.index === word.index;
        chosen.word = isSame ? null : word;
        keep();
      },
      say: (nodes) => readout.replaceChildren(...nodes),
    };
    drawn = (chosen.as === "heat" ? showHeat : showLines)(area, shown);
  }
}

function readState(state, as) {
  const [panel, head] = (state.head ?? "1.mean").split(".");
  const word = /^([rc])(\d+)$/.exec(state.word ?? "");
  return {
    panel: Math.max(0, (parseInt(panel, 10) || 1) - 1),
    head: head === "mean" ? -1 : Math.max(0, (parseInt(head, 10) || 1) - 1),
    as: ["lines", "heat"].includes(state.as) ? state.as : as,
    word: word && { side: word[1] === "r" ? "rows" : "columns", index: Math.max(0, word[2] - 1) },
  };
}

// Return the weights of a head, or with -1 the mean of all heads: an array for each row.
function weightsOf(panel, head, scale) {
  const heads = head < 0 ? panel.heads : [panel.heads[head]];
  return panel.rows.map((_, i) => panel.columns.map((_, j) =>
    heads.reduce((sum, { weights }) => sum + weights[i][j], 0) / (heads.length * scale)));
}

// --- The grid of panels and heads -----------------------------------------------------------------

function makeMaps(panels, scale, onChoose) {
  const rows = panels.map((panel, p) => {
    const heads = panel.heads.map((_, h) => h);
    return (heads.length > 1 ? [-1, ...heads] : heads).map((head) => {
      const name = head < 0 ? say("mean of all heads") : say(panel.heads[head].name);
      const button = element("button", {
        type: "button", class: `map${head < 0 ? " is-mean" : ""}`, tabindex: "-1", "aria-pressed": "false",
        "data-key": `map ${p} ${head}`, title: `${say(panel.name)}, ${name}`, "aria-label": `${say(panel.name)}, ${name}`,
        onclick: () => onChoose(p, head),
      }, element("canvas", { width: panel.columns.length, height: panel.rows.length, "aria-hidden": "true" }));
      return { panel: p, head, button };
    });
  });
  const most = Math.max(...rows.map((row) => row.length));
  const labels = panels.some((panel) => panel.heads.length > 1) ? element("div", { class: "maps-row maps-heads", "aria-hidden": "true" },
    element("span", { class: "maps-name" }),
    Array.from({ length: most }, (_, i) => element("span", { class: `map-label${i ? "" : " is-mean"}` }, i ? String(i) : say("mean")))) : null;
  const node = element("div", {
    class: "maps", role: "group", "aria-label": `${say("Layers and heads")}. ${say("Arrow keys move between heads.")}`,
    onkeydown: move,
  }, ...[labels, ...rows.map((row, p) => element("div", { class: "maps-row" },
    element("span", { class: "maps-name" }, say(panels[p].name)), row.map((map) => map.button)))].filter(Boolean));

  function move(event) {
    const p = rows.findIndex((row) => row.some((map) => map.button === document.activeElement));
    if (p < 0) return;
    const h = rows[p].findIndex((map) => map.button === document.activeElement);
    const last = rows[p].length - 1;
    const target = {
      ArrowLeft: [p, h - 1], ArrowRight: [p, h + 1], ArrowUp: [p - 1, h], ArrowDown: [p + 1, h],
      Home: [p, 0], End: [p, last],
    }[event.key];
    if (!target) return;
    event.preventDefault();
    const row = rows[target[0]];
    const map = row?.[Math.min(target[1], row.length - 1)];
    if (!map) return;
    onChoose(map.panel, map.head);
    map.button.focus();
  }

  return {
    node, isWorthShowing: rows.flat().length > 1,
    paint: () => rows.flat().forEach(({ panel, head, button }) =>
      paintMatrix(button.firstChild, weightsOf(panels[panel], head, scale))),
    choose: (panel, head) => rows.flat().forEach((map) => {
      const isChosen = map.panel === panel && map.head === head;
      map.button.setAttribute("aria-pressed", String(isChosen));
      map.button.tabIndex = isChosen ? 0 : -1;
    }),
  };
}

// Canvases do not follow the page from light to dark by themselves.
function repaintAll() {
  for (const body of document.querySelectorAll(".attention")) body.repaint?.();
}
new MutationObserver(repaintAll).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaintAll);
