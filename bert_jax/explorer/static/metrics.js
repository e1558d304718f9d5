// The metrics of runs: their names for people, how they are written, and which are shown first.

import { language, say } from "explorer/page.js";

export const koreanMetrics = {
  "MLM loss": "MLM 손실",
  "NSP loss": "NSP 손실",
  "Loss": "손실",
  "Loss without label smoothing": "레이블 스무딩을 뺀 손실",
  "Cross-entropy of a bit": "비트당 교차 엔트로피",
  "Accuracy on [MASK]": "[MASK] 정확도",
  "NSP accuracy": "NSP 정확도",
  "Accuracy": "정확도",
  "Macro F1": "매크로 F1",
  "Matthews correlation": "매튜스 상관계수",
  "Pearson correlation": "피어슨 상관계수",
  "Spearman correlation": "스피어먼 상관계수",
  "Accuracy of tokens": "토큰 정확도",
  "Exact translations": "정확히 맞은 번역",
  "Wrong bits": "틀린 비트",
  "Share of wrong bits": "틀린 비트의 비율",
  "Learning rate": "학습률",
  "Tokens/s": "초당 토큰",
  "Examples/s": "초당 예제",
  "Steps/s": "초당 스텝",
  "Norm of the gradient": "기울기 노름",
  "Accuracy on all predictions": "전체 예측 정확도",
  "Accuracy on words left as they are": "그대로 둔 단어의 정확도",
  "Accuracy on words that were replaced": "바꿔치기한 단어의 정확도",
  "Perplexity": "퍼플렉시티",
  "Tokens in a row": "한 줄의 토큰",
  "unigram model": "유니그램 모델",
  "all tokens alike": "모든 토큰이 같은 확률",
  "label frequencies": "레이블 빈도만",
  "most frequent label": "가장 흔한 레이블",
  "most frequent class": "가장 흔한 분류",
  "random bits": "무작위 비트",
  "{n} s": "{n}초",
  "{n} min": "{n}분",
  "{n} h": "{n}시간",
  "{n} d": "{n}일",
};

// name → [title, format, true to begin at 0]; in the order of the page. Others follow as they are.
const MAIN = {
  mlm_loss: ["MLM loss", "number"],
  loss: ["Loss", "number"],
  nll: ["Loss without label smoothing", "number"],
  nsp_loss: ["NSP loss", "number"],
  mlm_accuracy_mask: ["Accuracy on [MASK]", "share", true],
  nsp_accuracy: ["NSP accuracy", "share"],
  accuracy: ["Accuracy", "share"],
  f1_macro: ["Macro F1", "number"],
  mcc: ["Matthews correlation", "number"],
  pearson: ["Pearson correlation", "number"],
  spearman: ["Spearman correlation", "number"],
  token_accuracy: ["Accuracy of tokens", "share"],
  exact: ["Exact translations", "share", true],
  wrong_bits: ["Wrong bits", "number", true],
  bit_error: ["Share of wrong bits", "share", true],
};
const SPEED = {
  learning_rate: ["Learning rate", "number", true],
  tokens_per_second: ["Tokens/s", "count", true],
  examples_per_second: ["Examples/s", "count", true],
};
const MORE = {
  mlm_accuracy: ["Accuracy on all predictions", "share", true],
  mlm_accuracy_kept: ["Accuracy on words left as they are", "share", true],
  mlm_accuracy_random: ["Accuracy on words that were replaced", "share", true],
  mlm_perplexity: ["Perplexity", "number"],
  cross_entropy: ["Cross-entropy of a bit", "number"],
  steps_per_second: ["Steps/s", "number", true],
  mfu: ["MFU", "share", true],
  grad_norm: ["Norm of the gradient", "number", true],
  tokens_per_row: ["Tokens in a row", "number"],
};
const HIDDEN = ["step", "time", "tokens", "eta_seconds", "nsp_majority"];

// Return the metrics to show, [main, more], of the sets of names that the runs have.
export function arrange(sets) {
  const names = new Set(sets.flatMap((set) => [...set]));
  const has = (name) => names.has(name);
  // a loss that is the sum of others is not the first thing to look at
  const sums = has("loss") && sets.every((set) => !set.has("loss") || set.has("mlm_loss")) ? ["loss"] : [];
  const own = [...names].filter((name) => ![MAIN, SPEED, MORE].some((part) => Object.hasOwn(part, name)) && !HIDDEN.includes(name));
  const main = Object.keys(MAIN).filter((name) => has(name) && !sums.includes(name));
  const speed = Object.keys(SPEED).filter(has);
  if (speed.length < 2 && has("steps_per_second")) speed.push("steps_per_second");
  const more = [...sums, ...Object.keys(MORE).filter((name) => has(name) && !speed.includes(name))];
  return [[...main, ...own.sort(), ...speed], more];
}

export function about(name) {
  const [title, format = "number", fromZero = false] = [MAIN, SPEED, MORE]
    .map((part) => Object.hasOwn(part, name) ? part[name] : null).find(Boolean) ?? [name];
  return { title: title === name ? title : say(title), format: FORMATS[format], fromZero, isSetting: Object.hasOwn(SPEED, name) };
}

// Formats take a value, and true for one on an axis.
const FORMATS = {
  number: (value, isTick) => {
    const size = Math.abs(value);
    if (size >= 1e5 || (size > 0 && size < (isTick ? 1e-4 : 1e-3))) return value.toExponential(isTick ? undefined : 2);
    if (size >= 1000) return count(value);
    return isTick ? String(value) : value.toFixed(size < 0.1 ? 5 : size < 100 ? 3 : 1);
  },
  share: (value, isTick) => `${isTick ? Number((100 * value).toPrecision(6)) : (100 * value).toFixed(1)} %`,
  count: (value, isTick) => (isTick ? brief(value) : count(value)),
};

export function count(value) {
  return Math.round(value).toLocaleString(language());
}

// 1200 → "1,200", 1200000 → "1.2M"
function brief(value) {
  for (const [size, unit] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e4, "k"]]) {
    if (Math.abs(value) >= size) return `${Number((value / (unit === "k" ? 1e3 : size)).toPrecision(4))}${unit}`;
  }
  return value < 10 ? String(Number(value.toPrecision(4))) : count(value);
}

const [MINUTE, HOUR, DAY] = [60, 3600, 86400];

function clock(seconds) {
  const parts = [Math.floor(seconds / HOUR), Math.floor(seconds / MINUTE) % 60, Math.floor(seconds) % 60];
  return parts.map((part, i) => (i ? String(part).padStart(2, "0") : part)).join(":");
}

function timeTick(seconds) {
  const [size, text] = [[DAY, "{n} d"], [HOUR, "{n} h"], [MINUTE, "{n} min"]].find(([unit]) => seconds >= unit) ?? [1, "{n} s"];
  if (seconds === 0) return "0";
  return Number.isInteger((2 * seconds) / size) ? say(text, { n: seconds / size }) : clock(seconds);
}

// The axes: column of the records, title, format, and distances of its ticks.
export const AXES = {
  step: { title: "Steps", place: "step {n}", format: count, tick: brief },
  tokens: { title: "Tokens", place: "{n} tokens", format: brief, tick: brief },
  time: {
    title: "Time", place: "after {n}", format: clock, tick: timeTick,
    units: [1, 2, 5, 10, 20, 30, ...[1, 2, 5, 10, 20, 30].map((n) => n * MINUTE), ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
      ...[1, 2, 5, 10, 20, 50].map((n) => n * DAY)],
  },
};
