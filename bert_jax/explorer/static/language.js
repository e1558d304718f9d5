// The languages of the page: English as it is written, and Korean by dictionaries.

const KOREAN = {
  "Light or dark": "밝게 또는 어둡게",
  "Try": "예문",
  "Texts": "글",
  "Saved page: it has the answers for these texts.": "저장된 페이지입니다. 아래 글에 대한 결과만 들어 있습니다.",
  "This saved page has no answer to that.": "이 저장된 페이지에는 그 결과가 없습니다.",
  "one of its texts": "저장된 글 가운데 하나",
  "run explore.py for the model itself": "explore.py로 모델을 직접 여십시오",
  "The server does not answer.": "서버가 응답하지 않습니다.",
  "explore.py at work": "실행 중인 explore.py",
  "start it again, and open its new address": "다시 실행하고 새 주소를 여십시오",
  "Still computing. The first text of about its length takes longer: its program is being compiled.":
    "계산하고 있습니다. 이만한 길이의 글은 처음이라 프로그램을 컴파일하느라 시간이 더 걸립니다.",
  "Expected": "필요한 것",
  "Do": "할 일",
  "Views": "보기",
  "Skip to the view": "본문으로 건너뛰기",
  "The text was cut after {n} characters.": "글이 너무 길어 {n}자에서 잘랐습니다.",
  "{name}: {l} layers of {d}, {h} heads, {p} parameters, {v} tokens":
    "{name}: {d}차원 {l}층, 헤드 {h}개, 매개변수 {p}개, 토큰 {v}개",
  "a translation model ({kind})": "번역 모델 ({kind})",
  "a network with a memory": "기억 장치가 있는 신경망",
  "{model} has no checkpoint yet": "아직 체크포인트가 없습니다",
  "a folder of runs": "여러 실행이 든 폴더",
  "This view failed to load.": "이 보기를 불러오지 못했습니다.",
  "the script of the view": "이 보기의 스크립트",
  "reload the page": "페이지를 다시 불러오십시오",
};

let dictionary = KOREAN;

// Add a view's dictionary; the one before it is dropped.
export function useDictionary(korean) {
  dictionary = { ...KOREAN, ...korean };
}

// Return a text in the page's language; {name} in it becomes values.name.
export function say(text, values = {}) {
  return (language() === "ko" ? translate(text) : text).replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}

function translate(text) {
  return (Object.hasOwn(dictionary, text) ? dictionary[text] : fromPattern(text)) ?? text;
}

// Translate a text of the server, whose numbers are filled in, by the pattern that it follows.
function fromPattern(text) {
  for (const [pattern, translation] of Object.entries(dictionary)) {
    if (!pattern.includes("{")) continue;
    const names = [...pattern.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    const parts = pattern.split(/\{\w+\}/).map((part) => part.replace(/[.*+?^$()|[\]\\{}]/g, "\\$&"));
    const match = new RegExp(`^${parts.join("(.+?)")}$`, "s").exec(text);
    if (match) {
      const values = Object.fromEntries(names.map((name, i) => [name, match[i + 1]]));
      return translation.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
    }
  }
  return null;
}

export function language() {
  return document.documentElement.lang === "ko" ? "ko" : "en";
}
