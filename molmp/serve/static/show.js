// Predictions as a table of molecules, and one of them at large.
import { ask } from "./ask.js";

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value; else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const shown = (value) => value === null || value === undefined ? "\u2013"
  : typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);
const picture = (smiles) => element("img", {
  className: "molecule", loading: "lazy", alt: "", src: `api/drawing?smiles=${encodeURIComponent(smiles)}`, width: 200, height: 130,
});

let columns = [], rows = [], targets = [], chosen = "";
const explained = new Map();

export const predicted = () => rows;

export function setTargets(list) { targets = list; chosen = list[0]?.key ?? ""; }

export function showPredictions(answer, names) {
  columns = answer.columns;
  rows = answer.results.map((result, i) => ({ ...result, name: names[i], number: i + 1 }));
  const table = document.getElementById("results");
  table.replaceChildren(
    element("thead", {}, element("tr", {}, element("th", { className: "n" }, "#"), element("th", {}, "molecule"),
      ...columns.map((column) => element("th", { className: column.type === "number" ? "n" : "" }, column.name)))),
    element("tbody", {}, ...rows.map(line)));
  makeSortable(table);
  document.getElementById("answer").hidden = rows.length === 0;
  if (rows.length) select(rows.find((row) => !row.error) ?? rows[0]);
}

function line(row) {
  const cells = row.error
    ? [element("td", { className: "error", colSpan: Math.max(columns.length, 1) }, `${row.error.code}: ${row.error.reason}`)]
    : columns.map((column) => element("td", { className: column.type === "number" ? "n" : "", title: String(row.values[column.name] ?? "") }, shown(row.values[column.name])));
  const made = element("tr", { tabIndex: 0, "data-number": row.number },
    element("td", { className: "n" }, String(row.number)),
    element("td", { className: "molecule", "data-value": row.name || row.smiles },
      row.error ? null : picture(row.smiles),
      element("div", {}, row.name ? element("b", {}, row.name) : null, element("code", {}, row.smiles ?? ""))),
    ...cells);
  made.addEventListener("click", () => select(row));
  made.addEventListener("keydown", (event) => { if (event.key === "Enter") select(row); });
  return made;
}

function select(row) {
  for (const other of document.querySelectorAll("#results tbody tr")) other.setAttribute("aria-selected", other.dataset.number === String(row.number));
  const values = row.error
    ? [element("p", { className: "error" }, `No prediction. ${row.error.code}: ${row.error.reason}`)]
    : [element("dl", {}, ...columns.flatMap((column) => [element("dt", {}, column.name),
        element("dd", { className: column.name.endsWith("_pred") ? "value" : "" }, shown(row.values[column.name]))]))];
  const frame = element("div", { className: "picture" });
  document.getElementById("detail").replaceChildren(
    element("div", {}, frame, row.error ? null : chooser(row, frame)),
    element("div", {}, element("h2", {}, row.name || `Molecule ${row.number}`), element("code", {}, row.smiles ?? ""), ...values));
  if (!row.error) explain(row, frame);
}

function chooser(row, frame) {
  const box = element("p", { className: "quiet" }, "Orange raises the prediction, blue lowers it. ");
  if (targets.length > 1) {
    const choice = element("select", { "aria-label": "What is explained" }, ...targets.map((target) => element("option", { value: target.key }, target.text)));
    choice.value = chosen;
    choice.addEventListener("change", () => { chosen = choice.value; explain(row, frame); });
    box.append(choice);
  }
  return box;
}

async function explain(row, frame) {
  const key = `${chosen}\n${row.smiles}`, wanted = targets.find((target) => target.key === chosen);
  frame.dataset.key = key;
  if (!explained.has(key)) {
    frame.replaceChildren(element("p", { className: "quiet" }, "asking what each atom contributes \u2026"));
    const asked = ask("api/explain", { smiles: row.smiles, target: wanted.target, of_class: wanted.of_class });
    explained.set(key, asked);
    asked.catch(() => explained.delete(key));
  }
  let content;
  try {
    const found = await explained.get(key);
    content = found.svg
      ? element("img", { alt: `${row.smiles} with the contributions of its atoms to ${found.target}`, src: `data:image/svg+xml,${encodeURIComponent(found.svg)}`, width: 520, height: 400 })
      : element("p", { className: "quiet" }, found.error ? found.error.reason : "too large for a drawing");
  } catch (error) {
    content = element("p", { className: "error" }, error.message);
  }
  if (frame.dataset.key === key) frame.replaceChildren(content);
}
