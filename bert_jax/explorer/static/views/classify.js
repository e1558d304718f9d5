// Classes, labels or a score of a text or a pair, as bars.

import { bars, element, percent, say } from "explorer/page.js";
import { koreanPredictions, predictionView } from "explorer/predictions.js";
import { signed } from "explorer/words.js";

export const korean = {
  ...koreanPredictions,
  "Classify": "분류",
  "Score": "점수",
  "Your text": "글",
  "Second text of the pair": "짝이 되는 글",
  "Make it a pair": "짝으로 만들기",
  "Leave out the second text": "짝 빼기",
  "Show what speaks for “{label}”": "“{label}”의 근거 보기",
  "“{label}”": "“{label}”",
  "the score": "점수",
  "{n} points": "{n} %p",
  "Click a bar to see which words speak for it.": "막대를 누르면 그 근거가 되는 단어를 보여 줍니다.",
  "{n} more, less probable": "확률이 더 낮은 {n}개",
  "Labels whose probability reaches their threshold are marked.": "확률이 기준을 넘은 레이블을 표시했습니다.",
};

const MAX_BARS = 12;

export function show(container, view) {
  const { kind, takes_pairs: takesPairs, is_pair: isPair, labels } = view.about;
  const isScore = kind === "regression";
  predictionView(container, view, {
    fields: [
      { name: "text", label: "Your text", rows: 3 },
      ...(takesPairs ? [{ name: "text_b", label: "Second text of the pair", rows: 3, isOptional: true, add: "Make it a pair", remove: "Leave out the second text" }] : []),
    ],
    examples: view.about.examples.map((text, i, all) => isPair ? { text, text_b: all[(i + 1) % all.length] } : { text }),
    keepsChoice: true,
    isScore,
    isScored: true,
    show: isScore ? showScore : showBars,
    standard: (prediction) => isScore ? null : byProbability(prediction)[0][0],
    target: (prediction, chosen) => ({ label: isScore ? null : explained(prediction, chosen) }),
    title: (explanation) => isScore ? say("the score") : say("“{label}”", { label: explanation.label }),
    compare: (first, second) => isScore
      ? [[say("the score"), number(first.score), number(second.score), signed(second.score - first.score, 2)]]
      : byProbability(first).slice(0, MAX_BARS).map(([label, p]) => {
        const other = second.probabilities[label];
        return [label, percent(p), percent(other), say("{n} points", { n: signed(100 * (other - p), 0) })];
      }),
  });

  function showBars(prediction, input, chosen, choose) {
    const sorted = labels.length > 2 ? byProbability(prediction) : Object.entries(prediction.probabilities);
    const shown = sorted.slice(0, MAX_BARS);
    const target = explained(prediction, chosen);
    const canExplain = new Set(byProbability(prediction).slice(0, view.isSaved ? view.about.saved_labels : labels.length).map(([label]) => label));
    const predicted = new Set(prediction.labels ?? [prediction.label]);
    const list = bars(shown.map(([label, p]) => ({
      label: predicted.has(label) ? `✓ ${label}` : label, value: p,
      title: say("Show what speaks for “{label}”", { label }),
      onClick: canExplain.has(label) ? () => choose(label) : null,
    })));
    [...list.children].forEach((item, i) => {
      const button = item.firstElementChild;
      button.dataset.key = shown[i][0];
      if (shown[i][0] === target) item.classList.add("is-explained");
      if (predicted.has(shown[i][0])) item.classList.add("is-predicted");
      if (button.tagName === "BUTTON") button.setAttribute("aria-pressed", String(shown[i][0] === target));
    });
    const more = sorted.length - shown.length;
    return element("section", { class: "card", "aria-label": say("Prediction") }, list,
      more > 0 ? element("p", { class: "hint" }, say("{n} more, less probable", { n: more })) : null,
      element("p", { class: "hint" }, say("Click a bar to see which words speak for it."),
        kind === "multilabel" ? ` ${say("Labels whose probability reaches their threshold are marked.")}` : ""));
  }

  function showScore(prediction) {
    return element("section", { class: "card", "aria-label": say("Prediction") }, element("p", { class: "score" }, number(prediction.score)));
  }

  function explained(prediction, chosen) {
    return chosen !== null && chosen in prediction.probabilities ? chosen : byProbability(prediction)[0][0];
  }
}

function number(value) {
  return value.toFixed(2).replace("-", "−");
}

function byProbability(prediction) {
  return Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]);
}
