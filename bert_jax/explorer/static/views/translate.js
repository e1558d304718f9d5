// Translate: hypotheses of a beam search, each step's other words, and the attention of one of them.

import { korean as viewer, showAttention } from "explorer/attention.js";
import {
  bars, choices, element, errorBox, isReplaced, notice, percent, refill, rove, say, textBox,
} from "explorer/page.js";

export const korean = {
  ...viewer,
  "Translate": "번역",
  "Your text": "글",
  "Hypotheses": "번역 후보",
  "What the search found": "탐색이 찾은 번역",
  "{p} · score {score}": "{p} · 점수 {score}",
  "Word by word": "단어별로",
  "Choose a word to see what else could have stood there.": "단어를 고르면 그 자리에 올 수 있던 다른 말이 보입니다.",
  "Instead of “{word}”": "“{word}” 대신",
  "Go on from “{word}”": "“{word}”(으)로 이어 가기",
  "Begins with “{words}”.": "“{words}”(으)로 시작합니다.",
  "Translate freely": "자유롭게 번역",
  "the end": "끝",
  "This model has no attention: every word is written from one vector, the encoder's last state.":
    "이 모델에는 어텐션이 없습니다. 모든 단어를 인코더의 마지막 상태라는 벡터 하나에서 씁니다.",
  "Only the first {n} tokens are translated.": "처음 {n}개 토큰만 번역합니다.",
  "The vocabulary lacks: {symbols}": "어휘에 없는 글자: {symbols}",
  "Rows are the words that look: those of the translation as they are written, or the encoder's. Columns are looked at. “▁” begins a word.":
    "행은 보는 말(쓰이고 있는 번역, 또는 인코더의 말), 열은 보이는 말입니다. “▁”는 단어의 시작입니다.",
  "Type a sentence above.": "위에 문장을 써 보십시오.",
};

export function show(container, view) {
  const examples = view.isSaved ? view.texts : view.about.examples;
  let text = view.state.text ?? examples[0] ?? "";
  let prefix = (view.state.prefix ?? "").split(".").filter(Boolean).map(Number);
  let chosen = Math.max(0, (parseInt(view.state.best, 10) || 1) - 1);
  let focusAt = null; // the step from which the search goes on
  let step = null; // of the chosen hypothesis, whose other words are shown
  const box = textBox(say("Your text"), text, (value) => restart(value), { rows: 2 });
  const problem = element("div", {});
  const hypotheses = element("div", { class: "results" });
  const words = element("div", { class: "results" });
  const viewer = element("div", { class: "results" });
  const hint = element("p", { class: "hint" }, say("Rows are the words that look: those of the translation as they are written, or the encoder's. Columns are looked at. “▁” begins a word."));
  container.append(...[
    view.isSaved ? null : box,
    choices(view.isSaved ? say("Texts") : say("Try"), examples, (example) => {
      box.setText(example);
      restart(example);
    }),
    problem, hypotheses, words, viewer, hint,
  ].filter(Boolean));
  update();

  function restart(value) {
    text = value;
    prefix = [];
    chosen = 0;
    step = null;
    update();
  }

  async function update() {
    view.remember({ text, prefix: prefix.length ? prefix.join(".") : null, best: chosen ? chosen + 1 : null });
    viewer.classList.add("is-busy");
    try {
      const answer = await view.ask({ text, prefix, chosen });
      chosen = answer.chosen;
      problem.replaceChildren(...[notice(answer.notice)].filter(Boolean));
      showHypotheses(answer);
      showWords(answer);
      if (answer.picture) showAttention(viewer, answer.picture, { state: view.state, remember: view.remember });
      else viewer.replaceChildren();
      hint.hidden = !answer.picture?.panels.length;
    } catch (error) {
      if (isReplaced(error)) return;
      problem.replaceChildren(errorBox(error));
      for (const part of [hypotheses, words, viewer]) part.replaceChildren();
    }
    viewer.classList.remove("is-busy");
  }

  function showHypotheses(answer) {
    if (!answer.hypotheses.length) {
      hypotheses.replaceChildren(element("p", { class: "hint" }, say("Type a sentence above.")));
      return;
    }
    const forced = answer.hypotheses[0].steps.slice(0, prefix.length).map((one) => readable(one.token)).join("");
    refill(hypotheses,
      prefix.length ? element("div", { class: "row" },
        element("p", {}, say("Begins with “{words}”.", { words: forced.trim() })),
        element("button", { type: "button", class: "icon", "data-key": "best 0", onclick: () => restart(text) }, say("Translate freely"))) : null,
      element("h2", {}, say("What the search found")),
      element("ol", { class: "hypotheses", "aria-label": say("Hypotheses") }, answer.hypotheses.map((hypothesis, index) =>
        element("li", {}, element("button", {
          type: "button", class: "hypothesis", "data-key": `best ${index}`, "aria-pressed": String(index === answer.chosen),
          onclick: () => {
            chosen = index;
            step = null;
            update();
          },
        }, element("span", { class: "hypothesis-text" }, hypothesis.text || `(${say("the end")})`),
        element("span", { class: "hint" }, say("{p} · score {score}", {
          p: percent(hypothesis.probability), score: hypothesis.score.toFixed(2),
        })))))));
    rove(hypotheses, ".hypothesis");
  }

  function showWords(answer) {
    const steps = answer.hypotheses[answer.chosen]?.steps ?? [];
    if (!steps.length) {
      words.replaceChildren();
      return;
    }
    const others = element("div", { class: "others" });
    const buttons = steps.map((one, index) => element("button", {
      type: "button", class: "step", "aria-pressed": String(index === step), "data-key": `step ${index}`,
      onclick: () => choose(index === step ? null : index),
    }, element("span", {}, readable(one.token)), element("span", { class: "step-bar", "aria-hidden": "true" }),
    element("span", { class: "weight" }, percent(one.probability))));
    buttons.forEach((button, index) => button.style.setProperty("--p", steps[index].probability));
    const row = element("div", { class: "steps", role: "group", "aria-label": say("Word by word") }, buttons);
    refill(words,
      element("h2", {}, say("Word by word")),
      element("p", { class: "hint" }, say("Choose a word to see what else could have stood there.")), row, others);
    if (focusAt !== null) buttons[focusAt]?.focus();
    focusAt = null;
    rove(row, ".step");
    choose(step !== null && step < steps.length ? step : null);

    function choose(index) {
      step = index;
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
      if (index === null) {
        others.replaceChildren();
        return;
      }
      const before = steps.slice(0, index).map((one) => one.id);
      others.replaceChildren(
        element("h2", {}, say("Instead of “{word}”", { word: readable(steps[index].token).trim() })),
        bars(steps[index].alternatives.map((one) => ({
          label: readable(one.token), value: one.probability, isMarked: one.id === steps[index].id,
          title: view.isSaved ? null : say("Go on from “{word}”", { word: readable(one.token).trim() }),
          onClick: view.isSaved || one.id === steps[index].id ? null : () => {
            prefix = [...before, one.id];
            focusAt = index;
            chosen = 0;
            step = null;
            update();
          },
        }))));
    }
  }

  // A space is “▁”, so that it can be seen; the end has a name.
  function readable(token) {
    return token === "</s>" ? say("the end") : token;
  }
}
