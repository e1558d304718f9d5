// Vectors: a word in several sentences on a plane, its senses as clusters, and nearest words.

import { bars, choices, element, errorBox, isReplaced, notice, refill, rove, say, textBox } from "explorer/page.js";

export const korean = {
  "Vectors": "벡터",
  "Sentences, one a line": "문장 (한 줄에 하나씩)",
  "Word": "단어",
  "Layer {n} of {all}": "{all}개 층 가운데 {n}층",
  "Embeddings, before any context": "임베딩, 문맥을 읽기 전",
  "Layer": "층",
  "The word on a plane": "평면 위의 단어",
  "Every point is the word in one sentence; points that are close mean alike to the model. The plane keeps {p} of how the vectors differ (PCA).":
    "점 하나가 한 문장 속의 단어입니다. 가까운 점은 모델에게 비슷한 뜻입니다. 이 평면에는 벡터들이 다른 정도의 {p}가 남아 있습니다(PCA).",
  "No sentence has a word that begins with “{word}”.": "“{word}”(으)로 시작하는 단어가 있는 문장이 없습니다.",
  "Group A": "무리 가",
  "Group B": "무리 나",
  "Mean similarity within the groups {within}, between them {between}.": "무리 안의 평균 유사도 {within}, 무리 사이 {between}.",
  "The further these two are apart, the better two senses part. The groups are always two, also where the word has one sense.":
    "두 값의 차이가 클수록 두 뜻이 잘 갈립니다. 뜻이 하나뿐이어도 무리는 늘 둘로 나눕니다.",
  "Your sentences": "문장들",
  "Click a word to see its nearest words.": "단어를 누르면 가장 가까운 단어를 보여 줍니다.",
  "Nearest to “{word}”": "“{word}”와 가까운 단어",
  "In your sentences": "쓴 문장들에서",
  "Vectors of this layer, by cosine. Compare the numbers with each other: in one layer all words are somewhat alike.":
    "이 층의 벡터를 코사인으로 비교합니다. 한 층의 단어들은 모두 어느 정도 비슷하므로 숫자끼리 견주어 보십시오.",
  "In the vocabulary": "어휘에서",
  "Embeddings, before the model has read the sentence, by cosine.": "문장을 읽기 전의 임베딩을 코사인으로 비교합니다.",
  "In its place": "그 자리에 올 수 있는 말",
  "What the model would put there if not this word: the last layer, read by its masked-LM head.":
    "이 단어가 아니라면 모델이 그 자리에 놓을 말입니다. 마지막 층을 MLM 헤드로 읽은 것입니다.",
  "The word has {n} pieces ({pieces}); the head expects one piece at a time.": "이 단어는 조각 {n}개({pieces})입니다. 헤드는 한 번에 한 조각만 예상합니다.",
  "This model has no masked-LM head; its last vectors are in another space than the vocabulary's.":
    "이 모델에는 MLM 헤드가 없고, 마지막 벡터는 어휘의 임베딩과 다른 공간에 있습니다.",
  "Similarities": "유사도",
  "Only the first {n} sentences are read.": "처음 {n}문장만 읽습니다.",
  "Sentences are cut after {n} characters.": "문장은 {n}자까지만 읽습니다.",
  "The word occurs more than {n} times; the first are shown.": "단어가 {n}번 넘게 나와 처음 것만 보여 줍니다.",
  "sentence {n}": "문장 {n}",
};

const [WIDTH, HEIGHT, MARGIN, RADIUS] = [640, 400, 46, 12];
const MAX_TABLE = 12; // occurrences whose cosines fit a table

export function show(container, view) {
  const { num_layers: numLayers, examples, has_head: hasHead } = view.about;
  const saved = view.isSaved ? savedState(view) : null;
  let text = saved?.text ?? view.state.text ?? examples[0].text;
  let word = saved?.word ?? view.state.word ?? examples[0].word;
  let layer = Math.min(numLayers, Math.max(0, Number.parseInt(view.state.layer ?? numLayers, 10) || 0));
  let chosen = readPair(view.state.chosen);
  let isTableOpen = false;

  const box = textBox(say("Sentences, one a line"), text, (value) => { text = value; chosen = null; update(); }, { rows: 6 });
  const input = element("input", { type: "text", class: "line", value: word, autocapitalize: "off", spellcheck: "false" });
  input.addEventListener("input", () => { word = input.value; update(); });
  const slider = element("input", { type: "range", min: 0, max: numLayers, step: 1, value: layer, "aria-label": say("Layer") });
  const layerName = element("output", { class: "label" });
  slider.addEventListener("input", () => { layer = Number(slider.value); update(); });
  const results = element("div", { class: "results" });
  container.append(...[
    view.isSaved ? null : box,
    view.isSaved ? null : choices(say("Try"), examples.map((example) => example.word), (name) => {
      ({ text, word } = examples.find((example) => example.word === name));
      chosen = null;
      box.setText(text);
      input.value = word;
      update();
    }),
    element("div", { class: "row" },
      view.isSaved ? null : element("label", { class: "row" }, element("span", { class: "label" }, say("Word")), input),
      element("label", { class: "row" }, slider, layerName)),
    results,
  ].filter(Boolean));
  update();

  async function update() {
    layerName.textContent = layer ? say("Layer {n} of {all}", { n: layer, all: numLayers }) : say("Embeddings, before any context");
    slider.setAttribute("aria-valuetext", layerName.textContent);
    if (!view.isSaved) view.remember({ text, word, layer: layer === numLayers ? null : layer, chosen: chosen?.join("-") ?? null });
    results.classList.add("is-busy");
    let answer;
    try {
      answer = await view.ask({ text, word, layer, chosen });
    } catch (error) {
      if (isReplaced(error)) return;
      results.classList.remove("is-busy");
      results.replaceChildren(errorBox(error));
      return;
    }
    results.classList.remove("is-busy");
    refill(results,
      notice(answer.notice),
      answer.found ? plane(answer) : word.trim() ? element("p", { class: "hint" }, say("No sentence has a word that begins with “{word}”.", { word: word.trim() })) : null,
      sentenceList(answer),
      answer.chosen ? neighbors(answer) : null,
      answer.found && answer.found.occurrences.length > 1 && answer.found.occurrences.length <= MAX_TABLE ? cosineTable(answer) : null);
  }

  // --- The plane ------------------------------------------------------------------------------------

  function plane(answer) {
    const { occurrences, shares, within, between } = answer.found;
    const places = spread(occurrences);
    const taken = places.map(([x, y]) => ({ x: x - RADIUS, y: y - RADIUS, width: 2 * RADIUS, height: 2 * RADIUS }));
    const points = occurrences.map((one, i) => {
      const [x, y] = places[i];
      const label = snippet(answer, one);
      const at = placeLabel(label, x, y, taken);
      return element("g", {
        class: `point group-${one.cluster}`, role: view.isSaved ? null : "button", "data-key": `point ${i}`,
        "aria-label": `${one.sentence + 1}: ${answer.sentences[one.sentence].text}`,
        onmouseenter: () => light(one.sentence, true), onmouseleave: () => light(one.sentence, false),
        onfocus: () => light(one.sentence, true), onblur: () => light(one.sentence, false),
        onclick: () => choose(answer, one),
        onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(answer, one); } },
      },
        one.cluster ? element("rect", { x: x - RADIUS, y: y - RADIUS, width: 2 * RADIUS, height: 2 * RADIUS, rx: 3 }) : element("circle", { cx: x, cy: y, r: RADIUS }),
        element("text", { class: "point-number", x, y: y + 4.5, "text-anchor": "middle" }, String(one.sentence + 1)),
        at ? element("text", { class: "point-label", x: at.x, y: at.y, "text-anchor": at.anchor }, label) : null);
    });
    const isTwo = between !== null;
    const p = `${Math.round(100 * (shares[0] + shares[1]))} %`;
    const picture = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group", class: "plane", "aria-label": say("The word on a plane") }, points);
    if (!view.isSaved) rove(picture, ".point");
    return element("section", { class: "card", "aria-label": say("The word on a plane") },
      element("h2", {}, say("The word on a plane")), picture,
      isTwo ? element("div", { class: "row legend" }, [0, 1].map((cluster) => element("span", { class: `row group-name group-${cluster}` },
        element("span", { class: "group-mark", "aria-hidden": "true" }), say(cluster ? "Group B" : "Group A"),
        `: ${[...new Set(occurrences.filter((one) => one.cluster === cluster).map((one) => one.sentence + 1))].join(", ")}`))) : null,
      isTwo ? element("p", {}, say("Mean similarity within the groups {within}, between them {between}.", { within: number(within), between: number(between) })) : null,
      element("p", { class: "hint" }, say("Every point is the word in one sentence; points that are close mean alike to the model. The plane keeps {p} of how the vectors differ (PCA).", { p }),
        isTwo ? ` ${say("The further these two are apart, the better two senses part. The groups are always two, also where the word has one sense.")}` : ""));
  }

  function light(sentence, isLit) {
    results.querySelectorAll(".sentence-line")[sentence]?.classList.toggle("is-lit", isLit);
  }

  function choose(answer, one) {
    if (view.isSaved) return;
    const index = answer.sentences[one.sentence].words.findIndex(([start]) => start === one.start);
    chosen = [one.sentence, index];
    update();
  }

  // --- Sentences ------------------------------------------------------------------------------------

  function sentenceList(answer) {
    const lines = answer.sentences.map((sentence, number) => {
      const characters = [...sentence.text];
      const parts = [];
      let end = 0;
      sentence.words.forEach(([start, stop], i) => {
        if (start > end) parts.push(characters.slice(end, start).join(""));
        const found = answer.found?.occurrences.find((one) => one.sentence === number && one.start < stop && start < one.end);
        const isChosen = answer.chosen?.sentence === number && answer.chosen.start === start;
        const kind = `word${found ? ` is-found group-${found.cluster}` : ""}${isChosen ? " is-chosen" : ""}`;
        const label = characters.slice(start, stop).join("");
        parts.push(view.isSaved ? element("span", { class: kind }, label) : element("button", {
          type: "button", class: kind, "data-key": `${number}-${i}`, "aria-pressed": String(isChosen),
          onclick: () => { chosen = isChosen ? null : [number, i]; update(); },
        }, label));
        end = stop;
      });
      parts.push(characters.slice(end).join(""));
      return element("li", { class: "sentence-line" }, parts);
    });
    const list = element("ol", { class: "sentence-lines" }, lines);
    if (!view.isSaved) rove(list, ".word");
    return element("section", { class: "card", "aria-label": say("Your sentences") },
      element("h2", {}, say("Your sentences")), list,
      view.isSaved ? null : element("p", { class: "hint" }, say("Click a word to see its nearest words.")));
  }

  function neighbors(answer) {
    const { chosen: about, sentences } = answer;
    const name = (one) => [...sentences[one.sentence].text].slice(one.start, one.end).join("");
    const cosines = (pairs) => bars(pairs.map(([label, value]) => ({ label, value: Math.max(0, value), detail: number(value) })));
    const expected = about.expected ? bars(about.expected.map(([label, value]) => ({ label, value })))
      : element("p", { class: "hint" }, hasHead
        ? say("The word has {n} pieces ({pieces}); the head expects one piece at a time.", { n: about.pieces.length, pieces: about.pieces.join(" ") })
        : say("This model has no masked-LM head; its last vectors are in another space than the vocabulary's."));
    const card = (title, hint, body) => element("div", { class: "card" }, element("h2", {}, say(title)), body, hint ? element("p", { class: "hint" }, say(hint)) : null);
    return element("section", { class: "results", "aria-label": say("Nearest to “{word}”", { word: name(about) }) },
      element("h2", {}, say("Nearest to “{word}”", { word: name(about) })),
      element("div", { class: "cards" },
        card("In your sentences", "Vectors of this layer, by cosine. Compare the numbers with each other: in one layer all words are somewhat alike.",
          cosines(about.in_sentences.map((one) => [`${name(one)} (${say("sentence {n}", { n: one.sentence + 1 })})`, one.value]))),
        card("In the vocabulary", "Embeddings, before the model has read the sentence, by cosine.", cosines(about.in_vocabulary)),
        card("In its place", about.expected ? "What the model would put there if not this word: the last layer, read by its masked-LM head." : null, expected)));
  }

  function cosineTable(answer) {
    const { occurrences, cosines } = answer.found;
    const flat = cosines.flatMap((row, i) => row.filter((_, j) => i !== j));
    const [least, most] = [Math.min(...flat), Math.max(...flat)];
    const names = occurrences.map((one) => String(one.sentence + 1));
    return element("details", {
      class: "table-part", open: isTableOpen, ontoggle: (event) => { isTableOpen = event.target.open; },
    }, element("summary", { "data-key": "table" }, {}, say("Similarities")),
      element("div", { class: "table-frame", tabindex: 0 }, element("table", { class: "cosines" },
        element("thead", {}, element("tr", {}, element("td"), names.map((name) => element("th", { scope: "col" }, name)))),
        element("tbody", {}, cosines.map((row, i) => element("tr", {}, element("th", { scope: "row" }, `${names[i]} ${snippet(answer, occurrences[i])}`),
          row.map((value, j) => {
            const cell = element("td", { class: "is-number" }, i === j ? "" : number(value));
            if (i !== j) cell.style.setProperty("--share", ((value - least) / Math.max(1e-6, most - least)).toFixed(2));
            return cell;
          })))))));
  }
}

function number(value) {
  return value === null ? "–" : value.toFixed(2).replace("-", "−");
}

// Return a word with its neighbors: "to the bank and".
function snippet(answer, one) {
  const { text, words } = answer.sentences[one.sentence];
  const characters = [...text];
  const inside = words.map(([start, end], i) => start < one.end && one.start < end ? i : -1).filter((i) => i >= 0);
  const [first, last] = [Math.max(0, inside[0] - 1), Math.min(words.length - 1, inside.at(-1) + 1)];
  const found = characters.slice(words[first][0], words[last][1]).join("");
  return found.length > 28 ? `${found.slice(0, 27)}…` : found;
}

// Return places in the picture, in one scale for both axes.
function spread(occurrences) {
  const [xs, ys] = [occurrences.map((one) => one.x), occurrences.map((one) => one.y)];
  const middle = (values) => (Math.min(...values) + Math.max(...values)) / 2;
  const range = (values) => Math.max(...values) - Math.min(...values);
  const scale = Math.min((WIDTH - 2 * MARGIN) / Math.max(range(xs), 1e-6), (HEIGHT - 2 * MARGIN) / Math.max(range(ys), 1e-6), 1e4);
  const isPoint = range(xs) + range(ys) < 1e-5; // one vector, or all the same
  return occurrences.map((one) => isPoint ? [WIDTH / 2, HEIGHT / 2]
    : [WIDTH / 2 + (one.x - middle(xs)) * scale, HEIGHT / 2 - (one.y - middle(ys)) * scale]);
}

// Find room for a label beside its point; null if there is none.
function placeLabel(label, x, y, taken) {
  const width = [...label].reduce((sum, character) => sum + (/[\u1100-\uffdc]/u.test(character) ? 13 : 7), 0);
  const gap = RADIUS + 5;
  const tries = [
    { x: x + gap, y: y + 4, anchor: "start", left: x + gap }, { x: x - gap, y: y + 4, anchor: "end", left: x - gap - width },
    { x, y: y - gap, anchor: "middle", left: x - width / 2 }, { x, y: y + gap + 9, anchor: "middle", left: x - width / 2 },
  ];
  for (const at of tries) {
    const box = { x: at.left, y: at.y - 11, width, height: 14 };
    const isInside = box.x > 0 && box.x + width < WIDTH && box.y > 0 && box.y + 14 < HEIGHT;
    const isFree = taken.every((other) => box.x > other.x + other.width || other.x > box.x + box.width || box.y > other.y + other.height || other.y > box.y + box.height);
    if (isInside && isFree) {
      taken.push(box);
      return at;
    }
  }
  return null;
}

function readPair(value) {
  const pair = value?.split("-").map(Number);
  return pair?.length === 2 && pair.every(Number.isInteger) ? pair : null;
}

// Return the one text and word that a saved page has, as vectors_view's to_save makes them.
function savedState(view) {
  const [{ text, word }] = view.requests;
  return { text, word };
}
