// Answers to a question, marked in its passage, with alternatives.

import { bars, element, percent, say } from "explorer/page.js";
import { koreanPredictions, predictionView } from "explorer/predictions.js";

export const korean = {
  ...koreanPredictions,
  "Answer": "질문 답하기",
  "Question": "질문",
  "Passage": "지문",
  "no answer in the passage": "지문에 답 없음",
  "Show what decided “{answer}”": "“{answer}”의 근거 보기",
  "Answers {n} are marked in the passage; click one to see what decided.": "답 {n}개를 지문에 표시했습니다. 누르면 근거를 보여 줍니다.",
  "“{label}”": "“{label}”",
};

export function show(container, view) {
  predictionView(container, view, {
    fields: [{ name: "question", label: "Question", rows: 1 }, { name: "context", label: "Passage", rows: 5 }],
    examples: view.about.examples,
    show: showAnswers,
    explainsOne: true,
    target: (prediction, chosen) => prediction.n_best.length ? { span: spanOf(chosenAnswer(prediction, chosen)) } : null,
    title: (explanation) => say("“{label}”", { label: explanation.label }),
    compare: (first, second) => [
      [say("Answer"), first.text, second.text],
      [say("Confidence"), percent(first.probability), percent(second.probability)],
    ],
  });

  function showAnswers(prediction, input, chosen, choose) {
    const target = prediction.n_best.length ? chosenAnswer(prediction, chosen) : null;
    const rows = prediction.n_best.map((answer) => ({
      label: answer.text, value: answer.probability,
      title: say("Show what decided “{answer}”", { answer: answer.text }),
      onClick: () => choose(spanOf(answer)),
    }));
    const list = bars([...rows, { label: say("no answer in the passage"), value: prediction.none_probability }]);
    prediction.n_best.forEach((answer, i) => {
      const button = list.children[i].firstElementChild;
      button.dataset.key = i;
      if (answer === target) list.children[i].classList.add("is-explained");
      button.setAttribute("aria-pressed", String(answer === target));
      button.querySelector(".bar-label").prepend(element("span", { class: "answer-number" }, String(i + 1)), " ");
    });
    return element("section", { class: "card", "aria-label": say("Prediction") },
      passage(input.context, prediction.n_best, target, choose), list,
      element("p", { class: "hint" }, say("Answers {n} are marked in the passage; click one to see what decided.", { n: `1–${prediction.n_best.length}` })));
  }

  // Show the passage with its answers; where several overlap, the more probable one is marked.
  function passage(text, answers, target, choose) {
    const characters = [...text];
    const bounds = [...new Set([0, characters.length, ...answers.flatMap(spanOf)])].sort((a, b) => a - b);
    return element("p", { class: "passage" }, bounds.slice(0, -1).map((start, i) => {
      const part = characters.slice(start, bounds[i + 1]).join("");
      const covering = answers.filter((answer) => answer.start <= start && bounds[i + 1] <= answer.end);
      if (!covering.length) return part;
      const isTarget = covering.includes(target);
      const best = isTarget ? target : covering[0];
      const begins = answers.map((answer, n) => answer.start === start ? n + 1 : 0).filter(Boolean);
      return element("mark", {
        class: `answer${isTarget ? " is-chosen" : ""}`, title: `${best.text} · ${percent(best.probability)}`,
        onclick: () => choose(spanOf(covering[0])),
      }, begins.length ? element("sup", { class: "answer-number" }, begins.join(",")) : null, part);
    }));
  }
}

function chosenAnswer(prediction, chosen) {
  return prediction.n_best.find((answer) => Array.isArray(chosen) && answer.start === chosen[0] && answer.end === chosen[1])
    ?? prediction.n_best[0];
}

function spanOf(answer) {
  return [answer.start, answer.end];
}
