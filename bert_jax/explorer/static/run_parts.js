// Parts of the view of runs: the list with their states, and the reports of one.

import { element, say } from "explorer/page.js";
import { swatch } from "explorer/chart.js";
import { count } from "explorer/metrics.js";

export const koreanParts = {
  "running": "진행 중", "finished": "끝남", "stopped": "멈춤", "silent": "소식 없음",
  "step {n}": "스텝 {n}",
  "step {n} of {all} ({p} %)": "스텝 {n} / {all} ({p} %)",
  "{n} tokens/s": "초당 토큰 {n}개",
  "{time} left": "{time} 남음",
  "{n} s ago": "{n}초 전", "{n} min ago": "{n}분 전", "{n} h ago": "{n}시간 전", "{n} d ago": "{n}일 전",
  "no records yet": "아직 기록이 없음",
  "Runs": "실행",
  "At most {n} runs over each other.": "한꺼번에 {n}개까지 겹쳐 볼 수 있습니다.",
  "There are more runs than are listed.": "목록에 없는 실행이 더 있습니다.",
  "Warnings": "경고",
  "Evaluation": "평가",
  "Evaluation at step {n}": "스텝 {n}의 평가",
  "The whole report": "전체 보고서",
  "Data report": "데이터 보고서",
  "Log": "로그",
  "Command": "명령",
  "and {n} more": "그 밖에 {n}개",
  "{n} of its records have a loss that is NaN or Inf.": "손실이 NaN이나 Inf인 기록이 {n}개 있습니다.",
  "To go on, run its command again.": "이어서 하려면 명령을 다시 실행하십시오.",
  "Text": "글", "Rows": "행", "Left out": "빠진 것", "Confusion": "혼동 행렬", "By class": "분류별", "By length": "길이별",
  "all": "전체", "train": "학습", "eval": "검증", "documents": "문서", "lines": "줄", "sentences": "문장",
  "characters": "글자", "bytes": "바이트", "tokens": "토큰", "vocabulary": "어휘", "characters per token": "토큰당 글자",
  "tokens never seen": "나오지 않은 토큰", "[UNK]": "[UNK]", "duplicate documents": "중복 문서 비율",
  "duplicate lines": "중복 줄 비율", "unigram entropy, nats": "유니그램 엔트로피 (nat)", "unigram loss, nats": "유니그램 손실 (nat)",
  "rows": "행", "texts": "글", "fill": "채움", "cut off": "잘림", "most frequent NSP label": "가장 흔한 NSP 레이블",
  "count": "개수", "data ↓ prediction →": "데이터 ↓ 예측 →", "examples": "예제",
};

// Show the runs: `entries` is [{ name, slot or null, isLocked }]; `showStates` shows how far they are.
export function runList(entries, onChoose, hint) {
  return element("fieldset", { class: "runs" },
    element("legend", { class: "label" }, say("Runs")),
    element("ul", { class: "run-list" }, entries.map(({ name, slot, isLocked }) => element("li", { class: "run-row" },
      element("label", { class: "run-name" },
        element("input", {
          type: "checkbox", checked: slot !== null, disabled: isLocked, "data-key": `run ${name}`,
          onchange: (event) => onChoose(name, event.target.checked),
        }),
        slot === null ? element("span", { class: "swatch" }) : swatch(slot), element("span", {}, name)),
      element("span", { class: "run-state" })))),
    hint ? element("p", { class: "hint" }, hint) : null);
}

export function showStates(list, runs) {
  list.querySelectorAll(".run-state").forEach((place, i) => place.replaceChildren(...(runs[i]?.state ? stateOf(runs[i]) : [])));
}

function stateOf({ state, last }) {
  const { name, step, total, age, eta } = state;
  const share = total ? Math.min(1, step / total) : null;
  const texts = [
    step === 0 ? say("no records yet") : share === null ? say("step {n}", { n: count(step) })
      : say("step {n} of {all} ({p} %)", { n: count(step), all: count(total), p: Math.floor(100 * share) }),
    name === "running" && last.train?.tokens_per_second ? say("{n} tokens/s", { n: count(last.train.tokens_per_second) }) : null,
    eta ? say("{time} left", { time: duration(eta) }) : null,
    age === null ? null : ago(age),
  ];
  const bar = element("span", { class: "run-progress", "aria-hidden": "true" });
  bar.style.setProperty("--share", share ?? 0);
  return [
    element("span", { class: `state is-${name}` }, say(name)), ` · ${texts.filter(Boolean).join(" · ")}`,
    name === "running" && share !== null ? bar : "",
  ];
}

function duration(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return `${hours}:${String(minutes).padStart(2, "0")}:${String(Math.floor(seconds) % 60).padStart(2, "0")}`;
}

function ago(seconds) {
  const [size, text] = [[86400, "{n} d ago"], [3600, "{n} h ago"], [60, "{n} min ago"]].find(([unit]) => seconds >= 2 * unit)
    ?? [1, "{n} s ago"];
  return say(text, { n: count(Math.floor(seconds / size)) });
}

// Put new parts in the place of old ones; a fold that is there stays, and stays open or closed.
export function renew(container, parts) {
  const old = new Map([...container.querySelectorAll("[data-fold]")].map((node) => [node.dataset.fold, node]));
  const nodes = parts.map((part) => {
    const before = old.get(part.dataset.fold);
    if (!before) return part;
    const [from, to] = [part, before].map((node) => node.querySelector(".fold"));
    if (from.textContent !== to.textContent) to.replaceChildren(...from.childNodes);
    return before;
  });
  const isSame = nodes.length === container.children.length && nodes.every((node, i) => node === container.children[i]);
  if (!isSame) container.replaceChildren(...nodes);
}

// Show the reports of a run; `isSaved` leaves out what only the server has.
export function reports(name, run, isSaved) {
  const { details, state } = run;
  const alerts = [
    ...(run.numNotFinite ? [say("{n} of its records have a loss that is NaN or Inf.", { n: count(run.numNotFinite) })] : []),
    ...details.alerts,
  ];
  return [
    alerts.length ? fold("Warnings", say("Warnings"), true, lines(alerts, "alerts")) : null,
    ...details.evaluations.map((evaluation, index) => fold(`evaluation ${evaluation.name}`,
      evaluation.name ? say("Evaluation at step {n}", { n: evaluation.name }) : say("Evaluation"), index === 0,
      evaluation.page && !isSaved ? element("p", {}, element("a", {
        href: `/pages/run/${[name, evaluation.page].join("/").split("/").map(encodeURIComponent).join("/")}`,
        target: "_blank", rel: "noopener",
      }, say("The whole report"))) : null,
      evaluation.parts.map((part) => [part.name ? element("h3", {}, part.name) : null, block(part.block)]))),
    details.data ? fold("Data report", say("Data report"), false, element("p", { class: "hint" }, details.data.name), block(details.data.block)) : null,
    details.command ? fold("Command", say("Command"), state.name === "stopped",
      state.name === "stopped" ? element("p", { class: "hint" }, say("To go on, run its command again.")) : null,
      lines([details.command], "log")) : null,
    details.log.length ? fold("Log", say("Log"), false, lines(details.log, "log")) : null,
  ].filter(Boolean);
}

function fold(key, title, isOpen, ...children) {
  return element("details", { class: "table-part", open: isOpen, "data-fold": key },
    element("summary", {}, title), element("div", { class: "fold" }, children));
}

function lines(texts, kind) {
  return element("ul", { class: kind }, texts.map((text) => element("li", {}, text)));
}

// Texts of reports are said in the page's language where it knows them; they are never patterns.
function word(text) {
  return Object.hasOwn(koreanParts, text) ? say(text) : text;
}

function block({ facts, tables, warnings }) {
  return [
    warnings.length ? lines(warnings, "alerts") : null,
    facts.length ? element("dl", { class: "facts" }, facts.map(([name, value]) => element("div", {},
      element("dt", {}, word(name)), element("dd", {}, value)))) : null,
    element("div", { class: "report-tables" }, tables.map(table)),
  ];
}

function table({ title, columns, rows, num_more, is_confusion }) {
  const largest = Math.max(1, ...rows.flatMap((row) => row.slice(1).map(toNumber)));
  return element("div", { class: "report-table" }, element("h3", {}, word(title)),
    element("div", { class: "table-frame", tabindex: "0", role: "group", "aria-label": word(title) }, element("table", {},
      element("thead", {}, element("tr", {}, columns.map((column) => element("th", { scope: "col" }, word(column))))),
      element("tbody", {}, rows.map((row) => element("tr", {}, row.map((cell, i) => {
        if (i === 0) return element("th", { scope: "row" }, word(cell));
        const shown = element("td", { class: "is-number" }, cell);
        if (is_confusion) shown.style.setProperty("--share", toNumber(cell) / largest);
        return shown;
      })))))),
    num_more ? element("p", { class: "hint" }, say("and {n} more", { n: count(num_more) })) : null);
}

function toNumber(text) {
  return Number(text.replaceAll(",", "")) || 0;
}
