// A pasted table: a prediction for each row, to sort, to save as TSV, and to open above.

import { element, errorBox, isReplaced, notice, percent, say } from "explorer/page.js";

export const koreanTable = {
  "Many texts: paste a table": "여러 글: 표 붙여넣기",
  "Rows": "행",
  "Lines of text, or a table (TSV, CSV, JSON) whose first line names the columns, such as text and label; at most {n} rows.":
    "한 줄에 글 하나씩, 또는 첫 줄에 text, label 같은 열 이름이 있는 표(TSV, CSV, JSON). 최대 {n}행입니다.",
  "Predict": "예측하기",
  "Save as TSV": "TSV로 저장",
  "{right} of {all} agree with the table's label ({p}).": "표의 레이블이 있는 {all}개 중 {right}개가 일치합니다({p}).",
  "{n} rows": "{n}행",
  "{n} of them cannot be used": "그중 {n}행은 쓸 수 없음",
  "Line": "행",
  "Text": "글",
  "Prediction": "예측",
  "Confidence": "확신도",
  "Score": "점수",
  "Label": "레이블",
  "Agrees": "일치",
  "Open above": "위에서 열기",
  "line {n}: text empty": "{n}행: 글이 비어 있음",
  "yes": "예",
  "no": "아니요",
  "none": "없음",
  "The table was cut after {n} rows.": "표가 너무 길어 {n}행에서 잘랐습니다.",
  "Labels that the model does not know are not compared: {names}": "모델이 모르는 레이블은 비교하지 않습니다: {names}",
  "The table could not be sent: it has more than {n} MB.": "표가 {n}MB를 넘어 보낼 수 없습니다.",
};

// Make the part of a view that predicts tables.
//   names    the texts of an input, in order: ["text", "text_b"]
//   open     called with the input of a row that is clicked
export function tablePart(view, names, open) {
  const area = element("textarea", { rows: 4, spellcheck: "false", "aria-label": say("Rows"), placeholder: "text\tlabel\n…\t…" });
  const results = element("div", { class: "results" });
  const button = element("button", { type: "button", class: "icon", onclick: predict }, say("Predict"));
  const part = element("details", { class: "table-part" },
    element("summary", {}, say("Many texts: paste a table")),
    element("div", { class: "results" },
      element("p", { class: "hint" }, say("Lines of text, or a table (TSV, CSV, JSON) whose first line names the columns, such as text and label; at most {n} rows.", { n: view.about.max_rows })),
      area, element("div", { class: "row" }, button), results));
  return part;

  async function predict() {
    results.classList.add("is-busy");
    button.disabled = true;
    try {
      showTable(await view.ask({ do: "table", table: area.value }));
    } catch (error) {
      if (!isReplaced(error)) results.replaceChildren(errorBox(error));
    } finally {
      results.classList.remove("is-busy");
      button.disabled = false;
    }
  }

  function showTable(answer) {
    const rows = answer.rows.map((row, index) => ({ ...row, index }));
    const usable = rows.filter((row) => row.error === null);
    const compared = usable.filter((row) => row.agrees !== null);
    const right = compared.reduce((sum, row) => sum + row.agrees, 0);
    const isScore = usable.some((row) => row.number !== null);
    const columns = [
      { name: "Line", value: (row) => row.line ?? row.index + 1, show: (row) => String(row.line ?? row.index + 1), isNumber: true },
      { name: "Text", value: (row) => shortText(row), show: openButton },
      { name: "Prediction", value: (row) => row.predicted ?? "", show: (row) => row.error ? say(row.error) : row.predicted || say("none") },
      isScore ? { name: "Score", value: (row) => row.number ?? -Infinity, show: (row) => row.number?.toFixed(2) ?? "", isNumber: true } : { name: "Confidence", value: (row) => row.confidence ?? -Infinity, show: (row) => row.error ? "" : percent(row.confidence), isNumber: true },
    ];
    if (usable.some((row) => row.gold !== null)) columns.push({ name: "Label", value: (row) => row.gold ?? "", show: (row) => row.gold ?? "" });
    if (compared.length) {
      columns.push({ name: "Agrees", value: (row) => row.agrees ?? 2, show: (row) => row.agrees === null || row.error ? ""
        : row.agrees === 1 ? `✓ ${say("yes")}` : row.agrees === 0 ? `✗ ${say("no")}` : percent(row.agrees) });
    }
    const failed = rows.length - usable.length;
    const count = [say("{n} rows", { n: rows.length }), failed ? say("{n} of them cannot be used", { n: failed }) : null].filter(Boolean).join(", ");
    const share = compared.length ? ` ${say("{right} of {all} agree with the table's label ({p}).", {
      right: Number(right.toFixed(1)), all: compared.length, p: percent(right / compared.length),
    })}` : "";
    results.replaceChildren(...[
      notice(answer.notice),
      element("div", { class: "row spread" },
        element("p", { role: "status" }, `${count}.${share}`),
        element("button", { type: "button", class: "icon", onclick: () => save(rows, columns) }, say("Save as TSV"))),
      sortable(rows, columns),
    ].filter(Boolean));
  }

  function openButton(row) {
    return element("button", { type: "button", class: "cell-link", title: say("Open above"), onclick: () => open(row.input) }, shortText(row));
  }

  function shortText(row) {
    return names.map((name) => row.input[name]).filter(Boolean).join(" · ") || "…";
  }
}

// Make a table whose headers sort it; the first click on a number sorts from the smallest.
function sortable(rows, columns) {
  const body = element("tbody");
  let [by, sign] = [null, 1];
  const heads = columns.map((column, i) => element("th", { scope: "col", class: column.isNumber ? "is-number" : null },
    element("button", { type: "button", onclick: () => {
      sign = by === i ? -sign : 1;
      by = i;
      fill();
    } }, say(column.name), element("span", { class: "sort-sign", "aria-hidden": "true" }))));
  fill();
  return element("div", { class: "table-frame", tabindex: "0" },
    element("table", {}, element("thead", {}, element("tr", {}, heads)), body));

  function fill() {
    const sorted = [...rows];
    if (by !== null) {
      const value = columns[by].value;
      sorted.sort((a, b) => sign * (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) || a.index - b.index);
    }
    heads.forEach((head, i) => {
      head.setAttribute("aria-sort", by !== i ? "none" : sign > 0 ? "ascending" : "descending");
      head.querySelector(".sort-sign").textContent = by !== i ? "" : sign > 0 ? " ▲" : " ▼";
    });
    body.replaceChildren(...sorted.map((row) => element("tr", { class: row.error ? "is-bad" : row.agrees === 0 ? "is-wrong" : null },
      columns.map((column) => element("td", { class: column.isNumber ? "is-number" : null }, column.show(row))))));
  }
}

function save(rows, columns) {
  const cell = (value) => String(value === null || value === -Infinity ? "" : value).replace(/\s+/g, " ");
  const value = (row, column) => column.name === "Agrees" ? row.agrees : row.error && column.name === "Prediction" ? `error: ${row.error}` : column.value(row);
  const lines = [columns.map((column) => column.name.toLowerCase()), ...rows.map((row) => columns.map((column) => value(row, column)))];
  const text = lines.map((line) => line.map(cell).join("\t")).join("\n");
  const address = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/tab-separated-values" }));
  element("a", { href: address, download: "predictions.tsv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
