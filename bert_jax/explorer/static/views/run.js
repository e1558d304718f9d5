// Runs: their curves over each other while they go, and the reports of each.
//
// The page asks again every few seconds, with what it has of each run; the server answers with the
// points that are new.

import { element, errorBox, isReplaced, notice, refill, say, switcher } from "explorer/page.js";
import { makeChart } from "explorer/chart.js";
import { about, arrange, AXES, count, koreanMetrics } from "explorer/metrics.js";
import { koreanParts, renew, reports, runList, showStates } from "explorer/run_parts.js";

export const korean = {
  ...koreanMetrics, ...koreanParts,
  "Run": "실행",
  "Horizontal axis": "가로축",
  "Steps": "스텝", "Tokens": "토큰", "Time": "시간",
  "{n} tokens": "토큰 {n}개",
  "after {n}": "{n} 뒤",
  "Smoothing": "평활",
  "Logarithmic": "로그 눈금",
  "training": "학습", "held-out": "검증",
  "newest values": "가장 새로운 값",
  "Arrow keys: values along the axis.": "화살표 키로 축을 따라 값을 봅니다.",
  "Thin lines: training. Thick lines with dots: held-out data. Dotted: baselines.":
    "가는 선은 학습, 점이 있는 굵은 선은 검증 데이터, 점선은 기준값입니다.",
  "A point stands for up to {n} steps; the band is from the least to the largest value.":
    "점 하나가 최대 {n}스텝을 나타내며, 띠는 최솟값에서 최댓값까지입니다.",
  "More curves": "곡선 더 보기",
  "Reports of": "보고서",
  "Choose a run.": "실행을 고르십시오.",
  "There are no records yet: the curves begin with the first one.": "아직 기록이 없습니다. 첫 기록부터 곡선이 그려집니다.",
  "Reading a long file …": "긴 파일을 읽는 중 …",
  "The object store is looked into every {n} s.": "오브젝트 저장소는 {n}초마다 확인합니다.",
  "There is no such run.": "그런 실행이 없습니다.",
  "{name}: {state}": "{name}: {state}",
};

const [SOON, OFTEN, SELDOM] = [50, 2000, 10000]; // milliseconds until the next question
const SPLITS = ["train", "eval"];
const SEPARATOR = "//"; // between names in the address: no name has it

export function show(container, view) {
  const asked = view.isSaved ? view.requests[0].runs.map((run) => run.name) : view.about.first;
  const given = view.isSaved ? null : view.state.runs?.split(SEPARATOR).filter(Boolean);
  const runs = new Map(); // of those that were chosen: what is known of them
  const slots = new Map((given ?? asked).slice(0, view.about.max_chosen).map((name, slot) => [name, slot]));
  const firstNames = [...slots.keys()]; // at the head of the list, where they stay
  let names = view.isSaved ? asked : [...slots.keys()];
  let hasMore = false;
  let axis = Object.hasOwn(AXES, view.state.x ?? "") ? view.state.x : "step";
  let smoothing = Math.min(0.99, Math.max(0, Number(view.state.smooth) || 0));
  let isLog = view.state.log === "1";
  let cursor = null;
  let reported = null; // the run whose reports are shown
  let timer = null;

  const list = element("div");
  const settings = element("div", { class: "row run-settings" });
  const problem = element("div", { class: "results" });
  const hints = element("div", { class: "results" });
  const [main, more] = [element("div", { class: "charts" }), element("div", { class: "charts" })];
  const rest = element("details", { class: "table-part", hidden: true, ontoggle: () => drawCharts() },
    element("summary", {}, say("More curves")), more);
  const which = element("div", { class: "row" });
  const blocks = element("div", { class: "results" });
  const spoken = element("p", { class: "spoken", role: "status" });
  const charts = new Map();
  container.append(list, settings, problem, main, rest, hints, which, blocks, spoken);
  showSettings();
  showList();
  document.addEventListener("visibilitychange", wake);
  poll();

  function wake() {
    if (!container.isConnected) document.removeEventListener("visibilitychange", wake);
    else if (!document.hidden && !view.isSaved) poll();
  }

  async function poll() {
    clearTimeout(timer);
    if (!container.isConnected) {
      for (const chart of charts.values()) chart.close();
      return;
    }
    let wait = SELDOM;
    try {
      const answer = await view.ask(view.isSaved ? view.requests[0] : { runs: [...slots.keys()].map(known) });
      problem.replaceChildren();
      wait = take(answer);
    } catch (error) {
      if (isReplaced(error)) return;
      problem.replaceChildren(errorBox(error)); // the curves stay, and the page goes on asking
    }
    clearTimeout(timer);
    if (!view.isSaved && !document.hidden) timer = setTimeout(poll, wait);
  }

  function known(name) {
    const run = runs.get(name);
    if (!run?.curves) return { name };
    const counts = Object.fromEntries(SPLITS.map((split) => [split, run.curves[split].mean.step?.length ?? 0]));
    return { name, curves: [run.version, counts], details: run.detailsVersion };
  }

  // Take in an answer; return when to ask again.
  function take(answer) {
    names = view.isSaved ? asked : answer.runs;
    hasMore = answer.has_more;
    let [wait, isChanged] = [SELDOM, false];
    for (const part of answer.chosen) {
      const run = runs.get(part.name) ?? {};
      runs.set(part.name, run);
      run.error = part.error ?? null;
      if (part.error) continue;
      if (run.state && run.state.name !== part.state.name) {
        spoken.textContent = say("{name}: {state}", { name: part.name, state: say(part.state.name) });
      }
      const isSame = run.version === part.curves.version && !part.details && run.isBehind === part.is_behind
        && JSON.stringify(run.last) === JSON.stringify(part.last);
      isChanged ||= !isSame;
      Object.assign(run, { state: part.state, last: part.last, isBehind: part.is_behind });
      takeCurves(run, part.curves);
      if (part.details) Object.assign(run, { details: part.details, detailsVersion: part.version });
      if (part.state.name === "running") wait = Math.min(wait, OFTEN);
      if (part.is_behind) wait = SOON;
    }
    showList();
    if (isChanged || !answer.chosen.length) drawCharts();
    showReports();
    return wait;
  }

  function choose(name, isChosen) {
    if (isChosen) {
      let slot = 0;
      while ([...slots.values()].includes(slot)) slot++;
      slots.set(name, slot);
    } else slots.delete(name);
    remember();
    showList();
    drawCharts();
    showReports();
    if (!view.isSaved) poll();
  }

  function remember() {
    const chosen = [...slots.keys()].join(SEPARATOR);
    view.remember({
      runs: chosen === asked.join(SEPARATOR) ? null : chosen, x: axis === "step" ? null : axis,
      smooth: smoothing ? String(smoothing) : null, log: isLog ? "1" : null,
    });
  }

  function showList() {
    const isFull = slots.size >= view.about.max_chosen;
    const entries = [...new Set([...firstNames, ...names])].map((name) => ({
      name, slot: slots.get(name) ?? null, isLocked: isFull && !slots.has(name),
    }));
    const hint = isFull && names.length > slots.size ? say("At most {n} runs over each other.", { n: view.about.max_chosen })
      : hasMore ? say("There are more runs than are listed.")
        : view.about.is_stored && !view.isSaved ? say("The object store is looked into every {n} s.", { n: view.about.store_seconds }) : null;
    const key = JSON.stringify([entries, hint]);
    if (list.dataset.of !== key) { // a list that is the same stays: a person may be about to click
      const scroll = list.querySelector(".run-list")?.scrollTop ?? 0;
      list.dataset.of = key;
      refill(list, runList(entries, choose, hint));
      list.querySelector(".run-list").scrollTop = scroll;
    }
    showStates(list, entries.map(({ name }) => (slots.has(name) ? runs.get(name) : null)));
  }

  function showSettings() {
    const axes = Object.entries(AXES).map(([name, { title }]) => [name, say(title)]);
    const slider = element("input", {
      type: "range", min: 0, max: 0.99, step: 0.01, value: smoothing,
      oninput: (event) => { smoothing = Number(event.target.value); remember(); drawCharts(); },
    });
    const log = element("input", {
      type: "checkbox", checked: isLog, onchange: (event) => { isLog = event.target.checked; remember(); drawCharts(); },
    });
    settings.replaceChildren(
      switcher(say("Horizontal axis"), axes, axis, (name) => { axis = name; cursor = null; remember(); drawCharts(); }),
      element("label", { class: "row label" }, say("Smoothing"), slider),
      element("label", { class: "row label" }, log, say("Logarithmic")));
  }

  function drawCharts() {
    const chosen = [...slots].filter(([name]) => runs.get(name)?.curves).map(([name, slot]) => [name, slot, runs.get(name)]);
    const [first, others] = arrange(chosen.map(([, , run]) =>
      new Set(SPLITS.flatMap((split) => Object.keys(run.curves[split].mean)))));
    place(main, first, chosen);
    rest.hidden = !others.length;
    if (rest.open) place(more, others, chosen);
    const width = Math.max(0, ...chosen.map(([, , run]) => run.width));
    refill(hints,
      chosen.some(([, , run]) => run.isBehind) ? notice("Reading a long file …") : null,
      first.length ? element("p", { class: "hint" }, say("Thin lines: training. Thick lines with dots: held-out data. Dotted: baselines."),
        width > 1 ? ` ${say("A point stands for up to {n} steps; the band is from the least to the largest value.", { n: count(width) })}` : null)
        : element("p", { class: "hint" }, say(slots.size ? "There are no records yet: the curves begin with the first one." : "Choose a run.")));
  }

  function place(body, metrics, chosen) {
    const wanted = metrics.map((metric) => {
      if (!charts.has(metric)) charts.set(metric, makeChart(moveCursor));
      return charts.get(metric);
    });
    const nodes = wanted.map((chart) => chart.node);
    if (nodes.length !== body.children.length || nodes.some((node, i) => node !== body.children[i])) body.replaceChildren(...nodes);
    metrics.forEach((metric, i) => wanted[i].update(specOf(metric, chosen)));
  }

  function specOf(metric, chosen) {
    const { place: text, format, tick, units } = AXES[axis];
    const { isSetting, ...shown } = about(metric);
    const lines = chosen.flatMap(([run, slot, { curves }]) => SPLITS.map((kind) => ({ run, slot, kind, ...columns(curves[kind], metric) })));
    const baselines = new Map(chosen.flatMap(([, , run]) => (run.details?.baselines[metric] ?? [])
      .map((baseline) => [`${baseline.name} ${baseline.value.toPrecision(3)}`, baseline])));
    return {
      ...shown, lines: lines.filter((line) => line.x.length), baselines: [...baselines.values()].slice(0, 4),
      units, isLog: isLog && !isSetting, smoothing: isSetting ? 0 : smoothing, cursor,
      formatX: (x, isTick) => (isTick ? tick(x) : say(text, { n: format(x) })),
    };
  }

  // The columns of a metric over the axis, without the points that have no value.
  function columns({ mean, low, high }, metric) {
    const [x, y] = [mean[axis] ?? [], mean[metric] ?? []];
    const kept = y.flatMap((value, i) => (value === null || x[i] === null || x[i] === undefined ? [] : [i]));
    const of = (column) => (column ? kept.map((i) => column[i]) : null);
    return { x: of(x), y: of(y), low: of(low[metric]), high: of(high[metric]) };
  }

  function moveCursor(x) {
    cursor = x;
    for (const chart of charts.values()) if (chart.node.isConnected) chart.moveCursor(x);
  }

  function showReports() {
    const chosen = [...slots.keys()].filter((name) => runs.get(name)?.details || runs.get(name)?.error);
    const before = reported;
    if (!chosen.includes(reported)) reported = chosen[0] ?? null;
    const run = runs.get(reported);
    const key = chosen.join(SEPARATOR);
    if (which.dataset.of !== key) {
      which.dataset.of = key;
      refill(which, ...(chosen.length > 1 ? [element("span", { class: "label" }, say("Reports of")),
        switcher(say("Reports of"), chosen.map((name) => [name, name]), reported, (name) => { reported = name; blocks.replaceChildren(); showReports(); })] : []));
    }
    if (before !== reported) blocks.replaceChildren();
    if (run?.error) refill(blocks, errorBox({ lines: run.error }));
    else renew(blocks, run?.details ? reports(reported, run, view.isSaved) : []);
  }
}

// Put new points where they belong: from a number on, or in the place of all.
function takeCurves(run, sent) {
  const old = run.version === sent.version ? run.curves : null;
  run.curves = Object.fromEntries(SPLITS.map((split) => [split, join(old?.[split], sent.start[split], sent.splits[split])]));
  Object.assign(run, { version: sent.version, width: sent.width, numNotFinite: sent.num_not_finite });
}

function join(old, start, sent) {
  const joined = {};
  const length = sent.mean.step?.length ?? 0;
  for (const kind of ["mean", "low", "high"]) {
    const all = new Set([...Object.keys(old?.[kind] ?? {}), ...Object.keys(sent[kind])]);
    joined[kind] = Object.fromEntries([...all].map((name) => [name, [
      ...(old?.[kind][name]?.slice(0, start) ?? Array(start).fill(null)), ...(sent[kind][name] ?? Array(length).fill(null)),
    ]]));
  }
  return joined;
}
