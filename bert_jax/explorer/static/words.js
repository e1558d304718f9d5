// Words that decided, for and against: signed colors that also work without color, and a legend.
//
// An explanation is { label, words: [{ start, end, part, value }], output, baseline, sum }, as
// bert_jax/explorer/explaining.py makes it; start and end count code points, as Python does.

import { element, say } from "explorer/page.js";

export const koreanWords = {
  "Words that decided": "판단을 이끈 단어",
  "Method": "방법",
  "Integrated gradients": "적분 기울기",
  "Gradient × input": "기울기 × 입력",
  "Integrated gradients: how much each word moves the output on the way from a text of [MASK]s to this one, step by step. The words add up to the whole change.":
    "적분 기울기: 모두 [MASK]인 글에서 이 글까지 조금씩 옮겨 가며 각 단어가 출력을 얼마나 움직이는지 더한 값입니다. 단어들의 값을 합하면 전체 변화가 됩니다.",
  "Gradient × input: each word's vector times the slope of the output at it. One quick look, in no unit; where the model is certain it says little.":
    "기울기 × 입력: 각 단어의 벡터에 그 자리에서 출력의 기울기를 곱한 값입니다. 빠르지만 단위가 없고, 모델이 확신할 때는 알려 주는 것이 적습니다.",
  "speaks for it": "찬성하는 단어",
  "speaks against it": "반대하는 단어",
  "All [MASK]: {from}; this text: {to}; the words add up to {sum}.":
    "모두 [MASK]일 때 {from}, 이 글은 {to}, 단어들의 합은 {sum}입니다.",
  "In log-odds: +0.7 doubles the odds, −0.7 halves them.":
    "단위는 로그 오즈입니다. +0.7이면 오즈가 두 배, −0.7이면 절반이 됩니다.",
  "In the unit of the score.": "단위는 점수의 단위입니다.",
  "The rest was not read: it is beyond the model's longest input.": "나머지는 모델이 읽을 수 있는 길이를 넘어 읽지 않았습니다.",
  "only here": "이쪽에만 있음",
};

const METHODS = {
  integrated_gradients: ["Integrated gradients", "Integrated gradients: how much each word moves the output on the way from a text of [MASK]s to this one, step by step. The words add up to the whole change."],
  gradient_x_input: ["Gradient × input", "Gradient × input: each word's vector times the slope of the output at it. One quick look, in no unit; where the model is certain it says little."],
};

export function methodOptions() {
  return Object.entries(METHODS).map(([method, [name]]) => [method, say(name)]);
}

export function methodText(method) {
  return say(METHODS[method][1]);
}

export function isMethod(method) {
  return method in METHODS;
}

// Return a number with its sign, and a true minus: +1.3, −0.2, 0.0.
export function signed(value, digits = 1) {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : `${value < 0 ? "−" : "+"}${text}`;
}

// Return the largest contribution of a word in some explanations, the end of their common scale.
export function scaleOf(explanations) {
  return Math.max(1e-9, ...explanations.flatMap((found) => found ? found.words.map((word) => Math.abs(word.value)) : []));
}

export function legend() {
  const sample = (value, text) => element("span", { class: "row" }, feltWord("abc", value, 1), text);
  return element("div", { class: "row legend", "aria-hidden": "true" },
    sample(0.7, say("speaks for it")), sample(-0.7, say("speaks against it")));
}

// Show a text with its words in signed colors: a solid line below is for, a dashed one against.
// Spans [[start, end], …] in `different` are marked as well.
export function signedWords(text, words, scale, different = []) {
  const characters = [...text];
  const parts = [];
  let end = 0;
  const put = (until) => { if (until > end) parts.push(characters.slice(end, until).join("")); };
  for (const word of words) {
    put(word.start);
    const isDifferent = different.some(([start, stop]) => start < word.end && word.start < stop);
    parts.push(feltWord(characters.slice(word.start, word.end).join(""), word.value, scale, isDifferent));
    end = word.end;
  }
  if (characters.slice(end).join("").trim()) {
    parts.push(element("span", { class: "unread", title: say("The rest was not read: it is beyond the model's longest input.") },
      characters.slice(end).join("")));
  }
  return element("p", { class: "felt-text" }, parts);
}

function feltWord(text, value, scale, isDifferent = false) {
  const share = Math.min(1, Math.abs(value) / scale);
  const kind = share < 0.02 ? "" : value < 0 ? " is-against" : " is-for";
  const node = element("span", {
    class: `felt${kind}${isDifferent ? " is-different" : ""}`,
    title: signed(value, 2) + (isDifferent ? ` · ${say("only here")}` : ""),
  }, element("span", { class: "felt-word" }, text),
    element("small", { class: "felt-value" }, share < 0.08 ? "" : signed(value, scale < 0.5 ? 2 : 1)));
  node.style.setProperty("--share", share.toFixed(3));
  return node;
}

// Say from where to where an output went, and what the words add up to.
export function sumText(found, method, isScore) {
  const digits = Math.max(Math.abs(found.output), Math.abs(found.baseline)) < 1 ? 2 : 1;
  const unit = say(isScore ? "In the unit of the score." : "In log-odds: +0.7 doubles the odds, −0.7 halves them.");
  if (method !== "integrated_gradients") return "";
  return `${say("All [MASK]: {from}; this text: {to}; the words add up to {sum}.", {
    from: signed(found.baseline, digits), to: signed(found.output, digits), sum: signed(found.sum, digits),
  })} ${unit}`;
}

// Return the words, [start, end] in code points, that one of two texts has and the other has not.
export function differences(first, second) {
  const words = [first, second].map((text) => {
    const found = [];
    let start = null;
    [...text, " "].forEach((character, i) => {
      if (/\s/u.test(character)) {
        if (start !== null) found.push([start, i, [...text].slice(start, i).join("")]);
        start = null;
      } else start ??= i;
    });
    return found.slice(0, 600);
  });
  const [a, b] = words;
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      longest[i][j] = a[i][2] === b[j][2] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  const only = [[], []];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i][2] === b[j][2]) { i++; j++; }
    else if (j >= b.length || (i < a.length && longest[i + 1][j] >= longest[i][j + 1])) only[0].push(a[i++]);
    else only[1].push(b[j++]);
  }
  return only;
}
