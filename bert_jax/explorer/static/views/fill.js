// Fill the blank: the sentence as words to click on, and candidates for each blank as bars.
//
// Blanks are [start, end, pieces] in characters (code points, as Python counts); pieces is 0 for
// "as many as are hidden". The text keeps the words that are hidden.

import {
  bars, choices, element, errorBox, isReplaced, notice, percent, refill, rove, say, switcher, textBox,
} from "explorer/page.js";

export const korean = {
  "Fill the blank": "빈칸 채우기",
  "Your text": "글",
  "Click a word to hide it; the model says what it expects there.":
    "단어를 누르면 가려집니다. 모델이 그 자리에 예상하는 말을 보여 줍니다.",
  "A click hides": "누르면 가리는 단위",
  "Words": "단어",
  "Pieces": "조각",
  "Blank {n}": "빈칸 {n}",
  "Show it again": "다시 보이기",
  "Pieces of the blank": "빈칸의 조각 수",
  "One piece fewer": "조각 하나 적게",
  "One piece more": "조각 하나 많게",
  "1 piece": "조각 1개",
  "{n} pieces": "조각 {n}개",
  "Put in “{word}”": "“{word}” 넣기",
  "Hidden: {word}": "가린 말: {word}",
  "rank {rank}, {p}": "{rank}위, {p}",
  "Not in the vocabulary: the model sees [UNK]": "어휘에 없는 말: 모델에는 [UNK]로 보입니다",
  "A word is one or more pieces of the vocabulary. A blank stands for as many pieces as it hides; candidates have that many, found from left to right, with the product of their probabilities.":
    "단어는 어휘의 조각 하나 이상으로 이루어집니다. 빈칸은 가린 조각 수만큼의 자리이고, 후보도 같은 수의 조각을 왼쪽부터 찾은 것이며 확률은 조각 확률의 곱입니다.",
  "## continues the word before it.": "##는 앞말에 붙는 조각입니다.",
  "The model reads {n} pieces; the rest of the text is left out.": "모델은 조각 {n}개까지 읽습니다. 나머지는 뺐습니다.",
  "A blank has at most {n} pieces.": "빈칸 하나는 조각 {n}개까지입니다.",
  "A text has at most {n} blanks; the rest are left as they are.": "빈칸은 {n}개까지입니다. 나머지는 그대로 둡니다.",
  "Type a sentence above.": "위에 문장을 써 보십시오.",
  "Sentence": "문장",
};

export function show(container, view) {
  const examples = view.isSaved ? view.texts : view.about.examples;
  let text = view.state.text ?? examples[0] ?? "";
  let blanks = readBlanks(view.state.blanks) ?? [];
  let unit = view.state.unit === "piece" ? "piece" : "word";
  let isExample = view.state.text === undefined; // its longest word is hidden, to begin with

  const box = textBox(say("Your text"), text, (value) => {
    blanks = moveBlanks(blanks, text, value);
    text = value;
    isExample = false;
    update();
  });
  const sentence = element("div", { class: "sentence", role: "group", "aria-label": say("Sentence") });
  const results = element("div", { class: "results" });
  const spoken = element("p", { class: "spoken", role: "status" });
  let focusAt = null; // the character of the word that was put in
  container.append(...[
    view.isSaved ? null : box,
    choices(view.isSaved ? say("Texts") : say("Try"), examples, (example) => {
      text = example;
      blanks = [];
      isExample = true;
      box.setText(text);
      update();
    }),
    element("div", { class: "row spread" },
      element("p", { class: "hint" }, say("Click a word to hide it; the model says what it expects there.")),
      view.isSaved ? null : element("div", { class: "row" },
        element("span", { class: "label" }, say("A click hides")),
        switcher(say("A click hides"), [["word", say("Words")], ["piece", say("Pieces")]], unit, (value) => {
          unit = value;
          update();
        }))),
    sentence, spoken, results,
  ].filter(Boolean));
  update();

  async function update() {
    view.remember({
      text, blanks: blanks.length ? blanks.map((blank) => blank.join("-")).join(".") : null,
      unit: unit === "piece" ? unit : null,
    });
    results.classList.add("is-busy");
    try {
      const answer = await view.ask({ text, blanks });
      if (isExample && hideLongest(answer)) return;
      showSentence(answer);
      showResults(answer);
    } catch (error) {
      if (isReplaced(error)) return;
      refill(results, errorBox(error));
    }
    results.classList.remove("is-busy");
  }

  function hideLongest(answer) {
    isExample = false;
    const words = answer.words.slice(0, view.about.max_saved_words).map(span);
    if (!words.length || answer.blanks.length) return false;
    blanks = [[...words.reduce((best, word) => word[1] - word[0] > best[1] - best[0] ? word : best), 0]];
    update();
    return true;
  }

  function showSentence(answer) {
    const parts = [];
    let end = 0;
    const characters = [...text];
    for (const word of answer.words) {
      parts.push(characters.slice(end, word[0].start).join(""));
      const isUnknown = word.some((piece) => piece.unknown);
      for (const [start, stop] of unit === "piece" ? word.map((p) => [p.start, p.end]) : [span(word)]) {
        const number = answer.blanks.findIndex((blank) => blank.start < stop && start < blank.end);
        if (number < 0) {
          parts.push(wordButton(characters.slice(start, stop).join(""), start, stop, isUnknown));
        } else if (answer.blanks[number].start >= start) {
          parts.push(blankButton(answer.blanks[number], number));
          const rest = stop - answer.blanks[number].end; // of a word that is hidden in part
          if (rest > 0) parts.push(characters.slice(stop - rest, stop).join(""));
        }
      }
      end = word.at(-1).end;
    }
    refill(sentence, ...parts.filter((part) => part !== ""));
    if (!answer.words.length) {
      refill(sentence, element("span", { class: "hint" }, say("Type a sentence above.")));
    }
    rove(sentence, ".word");
    if (focusAt !== null) sentence.querySelector(`[data-key="${focusAt}"]`)?.focus();
    focusAt = null;
  }

  function wordButton(label, start, end, isUnknown) {
    return element("button", {
      type: "button", "data-key": start,
      class: `word${unit === "piece" ? " is-piece" : ""}${isUnknown ? " is-unknown" : ""}`,
      title: isUnknown ? say("Not in the vocabulary: the model sees [UNK]") : null,
      onclick: () => {
        const others = view.isSaved ? [] : blanks;
        blanks = [...others, [start, end, 0]].sort((a, b) => a[0] - b[0]);
        update();
      },
    }, label);
  }

  function blankButton(blank, number) {
    const again = blank.is_written ? "" : ` (${say("Show it again")})`;
    return element("button", {
      type: "button", class: "word is-blank", "data-key": blank.start, "aria-pressed": "true",
      title: blank.is_written ? null : `${say("Show it again")}: ${[...text].slice(blank.start, blank.end).join("")}`,
      "aria-label": `${say("Blank {n}", { n: number + 1 })}${again}`,
      onclick: () => {
        blanks = without(blank);
        update();
      },
    }, element("span", { class: "blank-number" }, String(number + 1)));
  }

  function without(blank) {
    return blanks.filter(([start, end]) => end <= blank.start || blank.end <= start);
  }

  function showResults(answer) {
    const best = answer.blanks.map((blank, i) => blank.candidates.slice(0, 1).map((candidate) =>
      `${say("Blank {n}", { n: i + 1 })}: ${candidate.text} ${percent(candidate.probability)}`)).flat();
    spoken.textContent = best.join(", ");
    refill(results,
      notice(answer.notice),
      element("div", { class: "cards" }, answer.blanks.map(card)),
      answer.blanks.length ? element("p", { class: "hint" },
        say("A word is one or more pieces of the vocabulary. A blank stands for as many pieces as it hides; candidates have that many, found from left to right, with the product of their probabilities."),
        " ", say("## continues the word before it.")) : null);
  }

  function card(blank, number) {
    const rows = blank.candidates.map((candidate) => ({
      label: candidate.text, value: candidate.probability,
      isMarked: blank.hidden?.text === candidate.text,
      title: view.isSaved ? null : say("Put in “{word}”", { word: candidate.text }),
      onClick: view.isSaved ? null : () => putIn(blank, candidate), key: `${number} ${candidate.text}`,
    }));
    const largest = Math.max(...rows.map((row) => row.value));
    const hidden = blank.hidden && element("p", { class: "hidden-word" },
      say("Hidden: {word}", { word: blank.hidden.text }), " · ",
      blank.hidden.rank === null ? percent(blank.hidden.probability)
        : say("rank {rank}, {p}", { rank: blank.hidden.rank, p: percent(blank.hidden.probability) }));
    return element("section", { class: "card", "aria-label": say("Blank {n}", { n: number + 1 }) },
      element("div", { class: "row spread" },
        element("h2", {}, element("span", { class: "blank-number" }, String(number + 1))),
        view.isSaved ? null : stepper(blank, number)),
      bars(rows, { max: Math.max(0.25, largest) }), hidden);
  }

  function stepper(blank, number) {
    const count = blank.pieces === 1 ? say("1 piece") : say("{n} pieces", { n: blank.pieces });
    const step = (change, sign, label) => element("button", {
      type: "button", class: "icon small", "aria-label": label, title: label, "data-key": `${number} ${sign}`,
      // Not "disabled", which would take the focus from who has just reached the end.
      "aria-disabled": String(blank.pieces + change < 1 || blank.pieces + change > view.about.max_pieces),
      onclick: (event) => {
        if (event.currentTarget.ariaDisabled === "true") return;
        blanks = [...without(blank), [blank.start, blank.end, blank.pieces + change]].sort((a, b) => a[0] - b[0]);
        update();
      },
    }, sign);
    return element("div", { class: "row stepper", role: "group", "aria-label": say("Pieces of the blank") },
      step(-1, "−", say("One piece fewer")), element("span", {}, count), step(1, "+", say("One piece more")));
  }

  function putIn(blank, candidate) {
    const characters = [...text];
    const value = characters.slice(0, candidate.start).join("") + candidate.insert
      + characters.slice(candidate.end).join("");
    blanks = moveBlanks(without(blank), text, value);
    text = value;
    focusAt = candidate.start + candidate.insert.length - candidate.insert.trimStart().length;
    box.setText(text);
    update();
  }
}

function span(word) {
  return [word[0].start, word.at(-1).end];
}

// Read blanks of the fragment: "4-8-0.12-15-2".
function readBlanks(value) {
  return value?.split(".").map((blank) => blank.split("-").map(Number))
    .filter((blank) => blank.length === 3 && blank.every(Number.isInteger));
}

// Move blanks along with an edit of the text; those that it touches are dropped.
export function moveBlanks(blanks, before, after) {
  const [old, fresh] = [[...before], [...after]];
  let start = 0;
  while (start < Math.min(old.length, fresh.length) && old[start] === fresh[start]) start++;
  let same = 0;
  while (same < Math.min(old.length, fresh.length) - start && old.at(-1 - same) === fresh.at(-1 - same)) same++;
  const [end, shift] = [old.length - same, fresh.length - old.length];
  return blanks.filter(([first, last]) => last <= start || first >= end)
    .map(([first, last, pieces]) => first >= end ? [first + shift, last + shift, pieces] : [first, last, pieces]);
}
