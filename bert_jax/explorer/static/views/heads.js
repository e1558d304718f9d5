// Heads: a sequence for a Neural Turing Machine, its answer, and where its heads stood at each step.

import { korean as viewer, showAttention } from "explorer/attention.js";
import { element, errorBox, isReplaced, say, switcher } from "explorer/page.js";

export const korean = {
  ...viewer,
  "Heads": "헤드",
  "Vectors to copy": "복사할 벡터 수",
  "Items to recall from": "기억할 항목 수",
  "Repeats": "반복 횟수",
  "Choose a step: where did the head stand? Choose a slot: when was it there?":
    "단계를 고르면 헤드가 있던 칸이, 칸을 고르면 헤드가 그 칸에 있던 때가 나타납니다.",
  "Another sequence": "다른 수열",
  "Saved sizes": "저장된 길이",
  "trained on up to {n}": "학습한 길이는 {n}까지",
  "All {n} bits are right.": "{n}비트가 모두 맞습니다.",
  "{wrong} of {n} bits are wrong.": "{n}비트 가운데 {wrong}비트가 틀렸습니다.",
  "Answer, step by step": "단계별 답",
  "Expected": "정답",
  "Answered": "대답",
  "Step {n}: expected {expected}, answered {answered}": "{n}단계: 정답 {expected}, 대답 {answered}",
  "Rows are steps, from the top; columns are slots of the memory, those that were used. ■ and □ are bits: first those that are given, then, after the mark, those that the machine answered. ✗ counts wrong bits.":
    "행은 위에서부터 단계, 열은 메모리 칸(쓰인 것만)입니다. ■와 □는 비트로, 표시 앞은 주어진 것이고 뒤는 기계가 답한 것입니다. ✗는 틀린 비트 수입니다.",
  "This model is an LSTM without a memory: it has no heads, and keeps all in its state.":
    "이 모델은 메모리가 없는 LSTM입니다. 헤드가 없고 모든 것을 상태에 담습니다.",
};

const HINT = "Choose a step: where did the head stand? Choose a slot: when was it there?";

export function show(container, view) {
  const { about } = view;
  const given = (name, fallback) => Math.max(0, parseInt(view.state[name], 10) || fallback);
  let size = given("size", about.sizes[0]);
  let repeats = given("repeats", about.repeats);
  let seed = given("seed", 0);
  const problem = element("div", {});
  const result = element("div", { class: "results" });
  const viewer = element("div", { class: "results" });
  const isRecall = about.task === "associative_recall";
  const controls = view.isSaved
    ? switcher(say("Saved sizes"), [...new Set(about.sizes)].map((value) => [value, String(value)]), size, (value) => {
      size = value;
      update();
    })
    : element("div", { class: "row" },
      number(say(isRecall ? "Items to recall from" : "Vectors to copy"), size, about.min_size, about.largest, (value) => { size = value; }),
      element("span", { class: "hint" }, say("trained on up to {n}", { n: about.trained_size })),
      about.max_repeats > 1 ? number(say("Repeats"), repeats, 1, about.max_repeats, (value) => { repeats = value; }) : null,
      element("button", {
        type: "button", class: "icon",
        onclick: () => {
          seed += 1;
          update();
        },
      }, say("Another sequence")));
  container.append(controls, problem, result, viewer, element("p", { class: "hint" }, say(
    "Rows are steps, from the top; columns are slots of the memory, those that were used. ■ and □ are bits: first those that are given, then, after the mark, those that the machine answered. ✗ counts wrong bits.")));
  update();

  function number(label, value, min, max, set) {
    const input = element("input", {
      type: "number", min, max, step: 1, value, inputmode: "numeric",
      onchange: () => {
        const wanted = Math.round(Number(input.value)) || min;
        input.value = Math.min(max, Math.max(min, wanted));
        set(Number(input.value));
        update();
      },
    });
    return element("label", { class: "number" }, element("span", { class: "label" }, label), input);
  }

  async function update() {
    view.remember({
      size: size === about.sizes[0] ? null : size, repeats: repeats === about.repeats ? null : repeats,
      seed: seed || null,
    });
    viewer.classList.add("is-busy");
    try {
      const answer = await view.ask({ size, repeats, seed });
      problem.replaceChildren();
      showAnswer(answer);
      showAttention(viewer, answer.picture, { state: view.state, remember: view.remember, as: "heat", hint: HINT });
    } catch (error) {
      if (isReplaced(error)) return;
      problem.replaceChildren(errorBox(error));
      for (const part of [result, viewer]) part.replaceChildren();
    }
    viewer.classList.remove("is-busy");
  }

  // Two strips of bits, as in figures 3 and 4 of the paper: time runs to the right.
  function showAnswer(answer) {
    const steps = answer.steps.map((step, index) => ({ ...step, number: index + 1 })).filter((step) => step.expected);
    const summary = answer.num_wrong === 0 ? say("All {n} bits are right.", { n: answer.num_bits })
      : say("{wrong} of {n} bits are wrong.", { wrong: answer.num_wrong, n: answer.num_bits });
    const cell = (bit, kind) => element("span", { class: `bit${bit ? " is-on" : ""}${kind}` });
    const strip = (label, column) => [
      element("span", { class: "label" }, say(label)),
      element("div", { class: "strip" }, steps.map((step) => element("div", {
        class: "bit-column", title: say("Step {n}: expected {expected}, answered {answered}", {
          n: step.number, expected: squares(step.expected), answered: squares(step.answer.map((p) => p > 0.5)),
        }),
      }, column(step)))),
    ];
    result.replaceChildren(
      element("p", { class: answer.num_wrong ? "is-wrong" : "is-right", role: "status" }, summary),
      element("div", { class: "strips", tabindex: "0", role: "img", "aria-label": `${say("Answer, step by step")}: ${summary}` },
        strip("Expected", (step) => step.expected.map((bit) => cell(bit, ""))),
        strip("Answered", (step) => step.answer.map((p, i) => cell(p > 0.5, (p > 0.5) === Boolean(step.expected[i]) ? "" : " is-wrong")))));
  }
}

function squares(bits) {
  return bits.map((bit) => bit ? "■" : "□").join("");
}
