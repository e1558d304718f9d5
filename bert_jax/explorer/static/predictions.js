// What the views of predictions share: texts above, the prediction, the words that decided, two
// inputs side by side, and a table.
//
// A view gives its `parts`:
//   fields      the texts of an input: [{ name, label, rows, isOptional }]
//   examples    inputs, such as [{ text }]
//   show        (prediction, input, chosen, choose) → element
//   standard    (prediction) → what is explained until something is chosen, the same for both sides
//   target      (prediction, chosen) → what the explanation is of: { label }, { word }, { span }; null: nothing
//   title       (explanation) → what was explained, in words
//   compare     (first, second) → rows [name, from, to] of two predictions
//   isScored    whether those rows end with a change
//   isScore     whether outputs are scores

import { choices, element, errorBox, isReplaced, notice, refill, say, switcher, textBox } from "explorer/page.js";
import { koreanTable, tablePart } from "explorer/table.js";
import {
  differences, isMethod, koreanWords, legend, methodOptions, methodText, scaleOf, signedWords, sumText,
} from "explorer/words.js";

export const koreanPredictions = {
  ...koreanWords, ...koreanTable,
  "Compare with another text": "다른 글과 비교하기",
  "End the comparison": "비교 끝내기",
  "What differs": "달라진 점",
  "Only in the first": "첫째 글에만",
  "Only in the second": "둘째 글에만",
  "The texts have the same words.": "두 글의 단어가 같습니다.",
  "Looking for the words that decided …": "판단을 이끈 단어를 찾는 중 …",
  "Change": "변화",
  "First": "하나",
  "Second": "둘",
  "Type a text above.": "위에 글을 써 보십시오.",
  "The text is longer than the model reads; the end was left out.": "글이 모델이 읽는 길이보다 길어 끝을 뺐습니다.",
};

const EXPLAIN_DELAY = 250; // ms: words are explained once typing pauses

export function predictionView(container, view, parts) {
  const names = parts.fields.map((field) => field.name);
  const examples = view.isSaved ? view.texts.map((text) => splitText(text, names)) : parts.examples;
  let inputs = [readInput(""), readInput("other_")].filter(Boolean);
  if (!inputs.length) inputs = [examples[0] ?? { [names[0]]: "" }];
  let method = isMethod(view.state.method) ? view.state.method : "integrated_gradients";
  let chosen = readChosen(view.state.chosen);
  let timer = null;
  let round = 0;

  const editors = element("div", { class: "sides" });
  const results = element("div", { class: "sides results" });
  const changes = element("div", { class: "results" });
  const reasons = element("section", { class: "results", "aria-label": say("Words that decided") });
  const compareButton = element("button", { type: "button", class: "icon", "data-key": "compare", onclick: toggleComparison });
  container.append(...[
    view.isSaved ? null : editors,
    choices(view.isSaved ? say("Texts") : say("Try"), examples.map((input) => nameOf(input)), (name) => {
      inputs[0] = examples.find((input) => nameOf(input) === name);
      chosen = null;
      showEditors();
      update();
    }),
    results, changes, reasons,
    view.isSaved ? null : tablePart(view, names, (input) => {
      inputs = [input];
      chosen = null;
      showEditors();
      update();
      container.scrollIntoView({ block: "start" });
      editors.querySelector("textarea").focus({ preventScroll: true });
    }),
  ].filter(Boolean));
  showEditors();
  update();

  function nameOf(input) {
    return names.map((name) => input[name]).filter(Boolean).join(" · ");
  }

  function readInput(prefix) {
    const found = names.filter((name) => view.state[prefix + name] !== undefined);
    return found.length ? Object.fromEntries(found.map((name) => [name, view.state[prefix + name]])) : null;
  }

  function showEditors() {
    editors.classList.toggle("are-two", inputs.length === 2);
    results.classList.toggle("are-two", inputs.length === 2);
    compareButton.textContent = say(inputs.length === 2 ? "End the comparison" : "Compare with another text");
    refill(editors, inputs.map((input, side) => {
      const shown = parts.fields.filter((field) => !field.isOptional || input[field.name] !== undefined);
      const title = inputs.length === 2 ? say(side ? "Second" : "First") : null;
      const button = side === 0 ? compareButton : null;
      const boxes = shown.map((field) => textBox([title, say(field.label)].filter(Boolean).join(": "), input[field.name] ?? "", (value) => {
        inputs[side] = { ...inputs[side], [field.name]: value };
        chosen = parts.keepsChoice ? chosen : null;
        update();
      }, { rows: field.rows }));
      const optional = parts.fields.filter((field) => field.isOptional && (inputs.length === 1 || input[field.name] !== undefined));
      const toggles = optional.map((field) => element("button", {
        type: "button", class: "icon", "data-key": `${side} ${field.name}`, onclick: () => {
          const next = { ...inputs[side] };
          const isNew = next[field.name] === undefined;
          if (isNew) next[field.name] = ""; else delete next[field.name];
          inputs[side] = next;
          showEditors();
          update();
          if (isNew) [...editors.children[side].querySelectorAll("textarea")].at(-1).focus();
        },
      }, say(input[field.name] === undefined ? field.add : field.remove)));
      return element("div", { class: "side" }, boxes, element("div", { class: "row" }, button, toggles));
    }));
  }

  function toggleComparison() {
    inputs = inputs.length === 2 ? [inputs[0]] : [inputs[0], { ...inputs[0] }];
    showEditors();
    update();
    if (inputs.length === 2) editors.querySelectorAll(".side")[1].querySelector("textarea").focus();
  }

  function remember() {
    const state = { method: method === "integrated_gradients" ? null : method, chosen: chosen === null ? null : JSON.stringify(chosen) };
    for (const name of names) {
      state[name] = inputs[0][name] ?? null;
      state[`other_${name}`] = inputs[1]?.[name] ?? null;
    }
    view.remember(state);
  }

  async function update() {
    clearTimeout(timer);
    remember();
    const number = ++round;
    for (const part of [results, reasons]) part.classList.add("is-busy");
    let answer;
    try {
      answer = await view.ask({ do: "predict", inputs });
    } catch (error) {
      if (!isReplaced(error)) showError(error);
      return;
    }
    if (number !== round) return;
    showPredictions(answer);
    timer = setTimeout(() => explain(answer, number), view.isSaved ? 0 : EXPLAIN_DELAY);
  }

  function showError(error) {
    for (const part of [results, reasons]) part.classList.remove("is-busy");
    results.replaceChildren(errorBox(error));
    for (const part of [changes, reasons]) part.replaceChildren();
  }

  function showPredictions(answer) {
    results.classList.remove("is-busy");
    const standard = answer.predictions[0] && !answer.predictions[0].error ? parts.standard?.(answer.predictions[0]) ?? null : null;
    refill(results, answer.predictions.map((prediction, side) => {
      const body = !prediction ? element("p", { class: "hint" }, say("Type a text above."))
        : prediction.error ? errorBox(new Error(prediction.error))
          : parts.show(prediction, inputs[side], chosen ?? standard, (value) => { chosen = value; update(); });
      return element("div", { class: "side" }, ...[
        side === 0 ? notice(answer.notice) : null,
        prediction?.truncated ? notice("The text is longer than the model reads; the end was left out.") : null,
        body,
      ].filter(Boolean));
    }));
    showChanges(answer.predictions);
  }

  function showChanges(predictions) {
    if (inputs.length !== 2 || predictions.some((prediction) => !prediction || prediction.error)) {
      changes.replaceChildren();
      return;
    }
    const [first, second] = differences(nameOf(inputs[0]), nameOf(inputs[1]));
    const list = (title, words) => words.length ? element("p", {}, `${say(title)}: `, words.flatMap(([, , word], i) => [
      i ? " " : "", element("mark", { class: "different" }, word),
    ])) : null;
    changes.replaceChildren(element("section", { class: "card", "aria-label": say("What differs") },
      element("h2", {}, say("What differs")),
      ...[first.length + second.length ? null : element("p", { class: "hint" }, say("The texts have the same words.")),
        list("Only in the first", first), list("Only in the second", second)].filter(Boolean),
      element("div", { class: "table-frame" }, element("table", {}, element("thead", {}, element("tr", {},
        ["", "First", "Second", parts.isScored ? "Change" : null].filter((name) => name !== null).map((name) =>
          element("th", { scope: "col", class: name ? "is-number" : null }, name ? say(name) : "")))), element("tbody", {}, parts.compare(...predictions).map(([name, ...values]) =>
        element("tr", {}, element("th", { scope: "row" }, name), values.map((value) => element("td", { class: "is-number" }, value)))))))));
  }

  async function explain(predicted, number) {
    const target = predicted.predictions[0] && !predicted.predictions[0].error ? parts.target(predicted.predictions[0], chosen) : null;
    if (target === null) {
      reasons.classList.remove("is-busy");
      reasons.replaceChildren();
      return;
    }
    if (!reasons.childElementCount) {
      reasons.replaceChildren(element("p", { class: "hint" }, say("Looking for the words that decided …")));
    }
    const given = parts.explainsOne ? inputs.slice(0, 1) : inputs;
    let answer;
    try {
      answer = await view.ask({ do: "explain", inputs: given, method, ...target });
    } catch (error) {
      if (isReplaced(error) || number !== round) return;
      reasons.classList.remove("is-busy");
      reasons.replaceChildren(errorBox(error));
      return;
    }
    if (number === round) showReasons(answer.explanations.filter(Boolean));
  }

  function showReasons(found) {
    reasons.classList.remove("is-busy");
    if (!found.length) return reasons.replaceChildren();
    const scale = scaleOf(found);
    const isTwo = found.length === 2;
    refill(reasons,
      element("div", { class: "row spread" },
        element("h2", {}, `${say("Words that decided")}: ${parts.title(found[0])}`),
        switcher(say("Method"), methodOptions(), method, (value) => { method = value; update(); })),
      element("div", { class: isTwo ? "sides are-two" : "sides" }, found.map((explanation, side) =>
        element("div", { class: "card side" }, names.map((name, part) => {
          const text = inputs[side][name];
          if (text === undefined) return null;
          const other = inputs[1 - side]?.[name];
          const different = isTwo && other !== undefined ? differences(text, other)[0] : [];
          return signedWords(text, explanation.words.filter((word) => word.part === part), scale, different);
        }), element("p", { class: "hint" }, sumText(explanation, method, parts.isScore))))),
      legend(), element("p", { class: "hint" }, methodText(method)));
  }
}

// Return a text of a saved page as an input: a tab is between its parts.
function splitText(text, names) {
  const parts = text.split("\t");
  const last = parts.slice(names.length - 1).join("\t");
  const values = names.length > 1 && parts.length > 1 ? [...parts.slice(0, names.length - 1), last] : [text];
  return Object.fromEntries(values.map((value, i) => [names[i], value]));
}

function readChosen(text) {
  try { return text === undefined ? null : JSON.parse(text); } catch { return null; }
}
