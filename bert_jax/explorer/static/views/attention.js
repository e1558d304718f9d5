// Attention of a BERT: every head of every layer over a text, or over a pair of texts.

import { korean as viewer, showAttention } from "explorer/attention.js";
import { choices, element, errorBox, isReplaced, say, textBox } from "explorer/page.js";

export const korean = {
  ...viewer,
  "Your text": "글",
  "Second text, for a pair": "둘째 글 (쌍일 때)",
  "Each row is a word that looks, each column one that is looked at. “##” continues the word before it. BERT adds [CLS] and [SEP]; heads often rest on them when they have nothing to do.":
    "행은 보는 단어, 열은 보이는 단어입니다. “##”은 앞말에 붙는 조각입니다. [CLS]와 [SEP]는 BERT가 붙인 것이고, 할 일이 없는 헤드는 흔히 그곳을 봅니다.",
};

export function show(container, view) {
  const examples = view.isSaved ? view.texts : view.about.examples;
  let [text, textB] = view.state.text === undefined ? split(examples[0] ?? "") : [view.state.text, view.state.second ?? ""];
  const box = textBox(say("Your text"), text, (value) => {
    text = value;
    update();
  });
  const second = textBox(say("Second text, for a pair"), textB, (value) => {
    textB = value;
    update();
  }, { rows: 1 });
  const problem = element("div", {});
  const viewer = element("div", { class: "results" });
  container.append(...[
    view.isSaved ? null : element("div", { class: "pair" }, box, view.about.takes_pairs ? second : null),
    choices(view.isSaved ? say("Texts") : say("Try"), examples, (example) => {
      [text, textB] = split(example);
      box.setText(text);
      second.setText(textB);
      update();
    }),
    problem, viewer,
    element("p", { class: "hint" }, say(
      "Each row is a word that looks, each column one that is looked at. “##” continues the word before it. BERT adds [CLS] and [SEP]; heads often rest on them when they have nothing to do.")),
  ].filter(Boolean));
  update();

  async function update() {
    view.remember({ text, second: textB || null });
    viewer.classList.add("is-busy");
    try {
      const picture = await view.ask({ text, text_b: textB });
      problem.replaceChildren();
      showAttention(viewer, picture, { state: view.state, remember: view.remember });
    } catch (error) {
      if (isReplaced(error)) return;
      problem.replaceChildren(errorBox(error));
      viewer.replaceChildren();
    }
    viewer.classList.remove("is-busy");
  }

  function split(example) {
    if (!view.about.takes_pairs) return [example, ""];
    const [first, ...rest] = example.split(view.about.separator);
    return [first, rest.join(view.about.separator)];
  }
}
