// A chart: lines over one axis, with baselines, and values by mouse, finger or keyboard.
//
// A line is { run, name, kind: "train" | "eval", slot, x, y, low, high }: columns of equal length,
// x ascending, y without nulls; low and high are null, or the range that a point stands for. A slot
// is a color with its dashes, so that lines can be told apart without color.

import { element, say } from "explorer/page.js";

const [LEFT, RIGHT, TOP, BOTTOM] = [54, 14, 12, 26];
const MAX_DOTS = 60; // points of a line that are drawn as dots too

// Make a chart; `onCursor(x)` is called when a person points at a place of the axis, or null.
// `update` draws it: { title, lines, baselines: [{ name, value }], format, formatX, units, fromZero,
// isLog, smoothing, cursor }.
export function makeChart(onCursor) {
  const heading = element("h2");
  const place = element("p", { class: "chart-place label" });
  const drawing = element("div", { class: "chart-drawing", tabindex: "0", role: "group" });
  const values = element("ul", { class: "chart-values" });
  const node = element("section", { class: "card chart" },
    element("div", { class: "row spread" }, heading, place), drawing, values);
  let spec = null;
  let scale = null;
  const resized = new ResizeObserver(() => { if (spec && drawing.clientWidth !== scale?.width) draw(); });
  resized.observe(drawing);

  drawing.addEventListener("pointermove", point);
  drawing.addEventListener("pointerdown", point);
  drawing.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") onCursor(null); });
  drawing.addEventListener("keydown", (event) => {
    const stops = [...new Set(spec.lines.flatMap((line) => line.x))].sort((a, b) => a - b);
    const at = spec.cursor === null ? stops.length - 1 : nearest(stops, spec.cursor);
    const page = Math.max(1, Math.round(stops.length / 10));
    const to = {
      ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - page, PageDown: at + page, Home: 0, End: stops.length - 1,
    }[event.key];
    if (event.key === "Escape") onCursor(null);
    if (to === undefined || !stops.length) return;
    event.preventDefault();
    onCursor(stops[Math.max(0, Math.min(to, stops.length - 1))]);
  });

  function point(event) {
    if (!scale) return;
    const share = (event.clientX - drawing.getBoundingClientRect().left - LEFT) / (scale.width - LEFT - RIGHT);
    onCursor(scale.xLow + Math.max(0, Math.min(1, share)) * (scale.xHigh - scale.xLow));
  }

  function draw() {
    heading.textContent = spec.title;
    drawing.setAttribute("aria-label", `${spec.title}. ${say("Arrow keys: values along the axis.")}`);
    scale = makeScale(spec, drawing.clientWidth || 320);
    drawing.replaceChildren(element("svg", {
      viewBox: `0 0 ${scale.width} ${scale.height}`, width: scale.width, height: scale.height, "aria-hidden": "true",
    }, axes(spec, scale), spec.lines.map((line) => drawLine(line, spec, scale)), baselines(spec, scale),
    element("g", { class: "chart-cursor" })));
    showCursor();
  }

  function showCursor() {
    const { lines, cursor } = spec;
    const found = lines.map((line) => (cursor === null ? line.x.length - 1 : nearest(line.x, cursor)));
    place.textContent = cursor === null ? say("newest values") : spec.formatX(cursor);
    const runs = [...new Set(lines.map((line) => line.run))];
    values.replaceChildren(...runs.map((run) => {
      const own = lines.map((line, i) => [line, found[i]]).filter(([line]) => line.run === run);
      return element("li", {}, swatch(own[0][0].slot), element("span", { class: "chart-run" }, run),
        own.map(([line, i]) => element("span", { class: `chart-value is-${line.kind}` },
          element("span", { class: "label" }, say(line.kind === "train" ? "training" : "held-out")), " ",
          reaches(line, cursor) ? spec.format(line.y[i]) : "–")));
    }));
    const marks = cursor === null ? [] : [
      element("line", { x1: scale.x(cursor), x2: scale.x(cursor), y1: TOP, y2: scale.height - BOTTOM, class: "chart-at" }),
      ...lines.map((line, i) => (reaches(line, cursor) ? element("circle", {
        cx: scale.x(line.x[found[i]]), cy: scale.y(line.y[found[i]]), r: 4.5, class: `slot-${line.slot} chart-mark`,
      }) : [])),
    ];
    drawing.querySelector(".chart-cursor")?.replaceChildren(...marks);
  }

  return {
    node,
    update: (next) => { spec = next; draw(); },
    moveCursor: (cursor) => { spec.cursor = cursor; showCursor(); },
    close: () => resized.disconnect(),
  };
}

// A short piece of a slot's line, for legends.
export function swatch(slot) {
  return element("svg", { class: "swatch", viewBox: "0 0 36 10", width: 36, height: 10, "aria-hidden": "true" },
    element("line", { x1: 1, x2: 35, y1: 5, y2: 5, class: `chart-line is-eval slot-${slot}` }));
}

function makeScale(spec, width) {
  const height = Math.round(Math.max(190, Math.min(330, width * 0.48)));
  const xs = spec.lines.flatMap((line) => [line.x[0], line.x.at(-1)]);
  const ys = spec.lines.flatMap((line) => [...extent(line.low ?? line.y), ...extent(line.high ?? line.y)])
    .concat(spec.baselines.map((baseline) => baseline.value));
  if (spec.fromZero && !spec.isLog) ys.push(0);
  const positive = ys.filter((y) => y > 0);
  const isLog = spec.isLog && positive.length > 0;
  const [low, high] = extent(isLog ? positive : ys.length ? ys : [0, 1]);
  const yTicks = isLog ? logTicks(low, high) : ticks(low, high, Math.max(3, Math.round(height / 55)));
  const [yLow, yHigh] = isLog ? [low / 1.05, high * 1.05] : [yTicks[0], yTicks.at(-1)];
  const [xLow, last] = [0, Math.max(...xs, 0)];
  const xHigh = last > 0 ? last : 1;
  const of = (y) => (isLog ? Math.log(Math.max(y, yLow)) : y);
  return {
    width, height, xLow, xHigh, yTicks: yTicks.filter((y) => y >= yLow && y <= yHigh), isLog,
    xTicks: ticks(xLow, xHigh, Math.max(2, Math.round(width / 130)), spec.units).filter((x) => x <= xHigh),
    x: (x) => round(LEFT + ((width - LEFT - RIGHT) * (x - xLow)) / (xHigh - xLow)),
    y: (y) => round(TOP + ((height - TOP - BOTTOM) * (of(yHigh) - of(y))) / (of(yHigh) - of(yLow))),
  };
}

function axes(spec, scale) {
  const bottom = scale.height - BOTTOM;
  return [
    ...scale.yTicks.flatMap((y) => [
      element("line", { x1: LEFT, x2: scale.width - RIGHT, y1: scale.y(y), y2: scale.y(y), class: "chart-grid" }),
      element("text", { x: LEFT - 7, y: scale.y(y) + 4, "text-anchor": "end" }, spec.format(y, true)),
    ]),
    ...scale.xTicks.map((x, i) => element("text", {
      x: scale.x(x), y: bottom + 18, "text-anchor": i === 0 ? "start" : scale.x(x) > scale.width - 30 ? "end" : "middle",
    }, spec.formatX(x, true))),
  ];
}

function drawLine(line, spec, scale) {
  const kind = `chart-line is-${line.kind} slot-${line.slot}`;
  const raw = line.x.map((x, i) => [scale.x(x), scale.y(line.y[i])]);
  const isSmooth = spec.smoothing > 0 && line.kind === "train" && raw.length > 2;
  const parts = [];
  if (line.low) {
    const edge = (column, other) => line.x.map((x, i) => `${scale.x(x)},${scale.y(column[i] ?? other[i])}`);
    const points = [...edge(line.low, line.y), ...edge(line.high, line.y).reverse()].join(" ");
    parts.push(element("polygon", { points, class: `chart-band slot-${line.slot}` }));
  }
  parts.push(polyline(raw, isSmooth ? `${kind} is-raw` : kind));
  if (isSmooth) parts.push(polyline(smooth(line.y, spec.smoothing).map((y, i) => [raw[i][0], scale.y(y)]), kind));
  if (raw.length === 1 || (line.kind === "eval" && raw.length <= MAX_DOTS)) {
    parts.push(...raw.map(([cx, cy]) => element("circle", { cx, cy, r: 3, class: `chart-dot slot-${line.slot}` })));
  }
  return element("g", {}, parts);
}

function baselines(spec, scale) {
  let last = -Infinity;
  const sorted = [...spec.baselines].sort((a, b) => b.value - a.value);
  return sorted.map(({ name, value }) => {
    const y = scale.y(value);
    const isAbove = y - 5 - last > 14 && y - 16 > 0;
    last = isAbove ? y - 5 : y + 14;
    return [
      element("line", { x1: LEFT, x2: scale.width - RIGHT, y1: y, y2: y, class: "chart-base" }),
      element("text", { x: scale.width - RIGHT, y: isAbove ? y - 5 : y + 14, "text-anchor": "end", class: "chart-base-name" },
        `${say(name)} ${spec.format(value)}`),
    ];
  });
}

function polyline(points, kind) {
  return element("polyline", { points: points.map((point) => point.join(",")).join(" "), class: kind });
}

// Exponential moving average without the bias towards its start (Kingma and Ba 2015, section 3).
export function smooth(values, share) {
  let [mean, weight] = [0, 0];
  return values.map((value) => {
    mean = share * mean + (1 - share) * value;
    weight = share * weight + (1 - share);
    return mean / weight;
  });
}

// About `count` round numbers around a range, 1, 2 or 5 times a power of ten apart, or of `units`.
export function ticks(low, high, count, units = null) {
  const span = high > low ? high - low : Math.max(Math.abs(high), 1e-12);
  const power = 10 ** Math.floor(Math.log10(span / count));
  const gaps = (units ?? []).concat([1, 2, 5, 10].map((m) => m * power));
  const gap = (units ?? []).find((unit) => unit >= span / count) ?? gaps.find((g) => g >= (span / count) * 0.999);
  const first = Math.floor(low / gap + 1e-9);
  const last = Math.max(Math.ceil(high / gap - 1e-9), first + 1);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * gap).toPrecision(12)));
}

function logTicks(low, high) {
  const found = [];
  const fine = high / low < 50 ? [1, 2, 5] : [1];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    found.push(...fine.map((m) => Number((m * 10 ** power).toPrecision(3))));
  }
  return found;
}

// The index of the nearest of ascending numbers.
export function nearest(sorted, value) {
  let [low, high] = [0, sorted.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle;
    else high = middle;
  }
  return Math.abs(sorted[low] - value) <= Math.abs(sorted[high] - value) ? low : high;
}

// Whether a line has a value at a place: its points are so far apart that the next may be to come.
function reaches({ x }, place) {
  const [first, last] = [x[0], x.at(-1)];
  const gap = x.length > 1 ? (last - first) / (x.length - 1) : Infinity;
  return place === null || (place >= first - gap / 2 && place <= last + gap);
}

function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === null) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [];
}

function round(value) {
  return Math.round(value * 10) / 10;
}
