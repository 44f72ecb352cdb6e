// Predictions as a table of molecules.
import { showDetail } from "./detail.js";
import { domain, element, picture, told } from "./words.js";

let columns = [], rows = [];

export const predicted = () => rows;

export function showPredictions(model, answer, names) {
  columns = answer.columns;
  rows = answer.results.map((result, i) => ({ ...result, name: names[i], number: i + 1 }));
  const judged = columns.some((column) => column.name === "in_domain");
  const table = document.getElementById("results");
  table.replaceChildren(
    element("thead", {}, element("tr", {}, element("th", { className: "n" }, "#"), element("th", {}, "molecule"),
      ...model.targets.map((target) => element("th", { className: "n" }, target.name + (target.unit ? ` [${target.unit}]` : ""))),
      ...judged ? [element("th", {}, "domain"), element("th", { className: "n" }, "similarity")] : [])),
    element("tbody", {}, ...rows.map((row) => line(model, judged, row))));
  makeSortable(table);
  document.getElementById("answer").hidden = rows.length === 0;
  if (rows.length) select(model, rows.find((row) => !row.error) ?? rows[0]);
}

function line(model, judged, row) {
  const cells = row.error
    ? [element("td", { className: "error", colSpan: model.targets.length + (judged ? 2 : 0) }, `${row.error.code}: ${row.error.reason}`)]
    : [...model.targets.map((target) => figure(target, row.values)), ...judged
      ? [element("td", {}, domain(row.values, "in", "out")), element("td", { className: "n" }, row.values.similarity?.toFixed(2) ?? "\u2013")] : []];
  const made = element("tr", { tabIndex: 0, "data-number": row.number },
    element("td", { className: "n" }, String(row.number)),
    element("td", { "data-value": row.name || row.smiles }, element("div", { className: "molecule" },
      row.error ? null : picture(row.smiles),
      element("div", {}, row.name ? element("b", {}, row.name) : null, element("code", {}, row.smiles ?? "")))),
    ...cells);
  made.addEventListener("click", () => select(model, row));
  made.addEventListener("keydown", (event) => { if (event.key === "Enter") select(model, row); });
  return made;
}

function figure(target, values) {
  const { main, more, key } = told(target, values);
  return element("td", { className: "n figures", "data-value": key ?? "" }, element("b", {}, main), more ? element("span", {}, more) : null);
}

function select(model, row) {
  for (const other of document.querySelectorAll("#results tbody tr")) other.setAttribute("aria-selected", other.dataset.number === String(row.number));
  showDetail(model, columns, row);
}
