// Tags of words, marked in the text; a word shows which words decided its tag.

import { element, percent, rove, say } from "explorer/page.js";
import { koreanPredictions, predictionView } from "explorer/predictions.js";

export const korean = {
  ...koreanPredictions,
  "Tag": "태그",
  "Your text": "글",
  "Click a word to see what decided its tag.": "단어를 누르면 그 태그의 근거를 보여 줍니다.",
  "{tag} of “{word}”": "“{word}”의 {tag}",
  "no entity": "개체 아님",
  "{n} words have another tag.": "태그가 다른 단어가 {n}개입니다.",
  "Tags": "태그",
};

const NUM_COLORS = 6;

export function show(container, view) {
  const types = [...new Set(view.about.labels.map(typeOf))].filter((type) => type !== "O");
  let words = [];
  let current = null; // the word that is explained
  predictionView(container, view, {
    fields: [{ name: "text", label: "Your text", rows: 3 }],
    examples: view.about.examples.map((text) => ({ text })),
    explainsOne: true,
    show: showTags,
    target: (prediction, chosen) => {
      const word = chosenWord(prediction, chosen);
      return word === null ? null : { word };
    },
    title: (explanation) => say("{tag} of “{word}”", { tag: explanation.label, word: words[current] }),
    compare: (first, second) => [...new Set([...first.tags, ...second.tags])].filter((tag) => tag !== "O").map((tag) => {
      const count = (prediction) => prediction.words.filter((_, i) => prediction.tags[i] === tag).join(" ") || "–";
      return [tag, count(first), count(second)];
    }),
  });

  // Return the word that is explained: the one that was clicked, or the first with a tag.
  function chosenWord(prediction, chosen) {
    words = prediction.words;
    const first = Math.max(0, prediction.tags.findIndex((tag) => tag !== "O"));
    current = Number.isInteger(chosen) && chosen < words.length ? chosen : words.length ? first : null;
    return current;
  }

  function showTags(prediction, input, chosen, choose) {
    const characters = [...input.text];
    const target = chosenWord(prediction, chosen);
    const parts = [];
    let end = 0;
    prediction.words.forEach((word, i) => {
      const [start, stop] = [prediction.start[i], prediction.end[i]];
      if (start > end) parts.push(characters.slice(end, start).join(""));
      parts.push(tagButton(word, prediction.tags[i], prediction.probabilities[i], i, i === target, () => choose(i)));
      end = stop;
    });
    const found = types.filter((type) => prediction.tags.some((tag) => typeOf(tag) === type));
    const marked = element("p", { class: "tagged-text" }, parts);
    rove(marked, ".tagged");
    return element("section", { class: "card", "aria-label": say("Prediction") }, marked,
      element("div", { class: "row legend", role: "group", "aria-label": say("Tags") }, (found.length ? found : types).map((type) =>
        element("span", { class: `tag-name ${colorOf(type)}` }, type))),
      element("p", { class: "hint" }, say("Click a word to see what decided its tag.")));
  }

  function tagButton(word, tag, probability, i, isChosen, onclick) {
    const isOutside = tag === "O";
    return element("button", {
      type: "button", class: `tagged ${isOutside ? "is-outside" : colorOf(typeOf(tag))}`, onclick, "data-key": i,
      "aria-pressed": String(isChosen), title: `${isOutside ? say("no entity") : tag} · ${percent(probability)}`,
    }, element("span", {}, word), isOutside ? null : element("small", { class: "tag-label" }, tag));
  }

  function colorOf(type) {
    return `tag-${types.indexOf(type) % NUM_COLORS}`;
  }
}

// Return the type of a tag: PER of B-PER and I-PER.
function typeOf(tag) {
  return /^[BIES]-./.test(tag) ? tag.slice(2) : tag;
}
