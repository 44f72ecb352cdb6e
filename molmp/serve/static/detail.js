// One molecule at large: its drawing in the colours of an explanation, what is predicted, and what it is like.
import { ask } from "./ask.js";
import { domain, element, picture, shown, told } from "./words.js";

let chosen = "0", method = "occlusion";
const asked = new Map();

// Ask once for each question; a failure may be asked again.
function once(path, body) {
  const key = path + JSON.stringify(body);
  if (!asked.has(key)) {
    asked.set(key, ask(path, body));
    asked.get(key).catch(() => asked.delete(key));
  }
  return asked.get(key);
}

export function showDetail(model, columns, row) {
  const frame = element("div", { className: "picture" });
  const text = element("div", {}, element("h2", {}, row.name || `Molecule ${row.number}`), element("code", {}, row.smiles ?? ""));
  if (row.error) {
    text.append(element("p", { className: "error" }, `No prediction. ${row.error.code}: ${row.error.reason}`));
  } else {
    text.append(figures(model, row.values), ...trust(row));
    text.append(element("details", {}, element("summary", {}, "All columns"),
      element("dl", {}, ...columns.flatMap((column) => [element("dt", {}, column.name), element("dd", {}, shown(row.values[column.name]))]))));
  }
  document.getElementById("detail").replaceChildren(element("div", {}, frame, row.error ? null : chooser(model, row, frame)), text);
  if (!row.error) explain(model, row, frame);
}

function figures(model, values) {
  const many = model.targets.length > 3;
  return element("div", { className: many ? "many" : "" }, ...model.targets.map((target) => {
    const { main, more } = told(target, values);
    return element("div", { className: "figure" }, element("span", {}, target.name),
      element("b", {}, main), target.unit ? ` ${target.unit}` : "", more ? element("span", {}, `${100 * model.coverage} %: ${more}`) : null);
  }));
}

function trust(row) {
  const badge = domain(row.values);
  if (!badge) return [];
  const likes = element("div", { className: "likes" });
  once("api/neighbours", { smiles: row.smiles, count: 3 }).then(({ neighbours }) => likes.replaceChildren(
    ...neighbours.map((one) => element("figure", {}, one.smiles ? picture(one.smiles) : null,
      element("figcaption", { title: one.name }, one.smiles ? "" : `${one.name}, `, `similarity ${one.similarity.toFixed(2)}`)))),
  ).catch((error) => likes.replaceChildren(element("p", { className: "error" }, error.message)));
  return [
    element("p", {}, badge, row.values.domain_reason ? ` ${row.values.domain_reason}` : ""),
    element("h3", {}, "Most similar molecules of the training data"), likes,
  ];
}

function chooser(model, row, frame) {
  const box = element("p", { className: "quiet" }, "Orange raises the prediction, blue lowers it. ");
  if (model.choices.length > 1) {
    const choice = element("select", { "aria-label": "What is explained" }, ...model.choices.map((one, i) => element("option", { value: i }, one.text)));
    choice.value = chosen;
    choice.addEventListener("change", () => { chosen = choice.value; explain(model, row, frame); });
    box.append(choice);
  }
  const ways = element("select", { "aria-label": "How it is explained" },
    element("option", { value: "occlusion" }, "by taking out each atom and bond"), element("option", { value: "gradients" }, "by gradients, which add up"));
  ways.value = method;
  ways.addEventListener("change", () => { method = ways.value; explain(model, row, frame); });
  box.append(" ", ways);
  return box;
}

async function explain(model, row, frame) {
  const { target, of_class } = model.choices[chosen];
  const question = frame.question = { smiles: row.smiles, target, of_class, method };
  frame.replaceChildren(element("p", { className: "quiet" }, "asking what each atom contributes \u2026"));
  let content;
  try {
    const found = await once("api/explain", question);
    content = found.svg
      ? element("img", { alt: `${row.smiles} with the contributions of its atoms to ${found.target}`, src: `data:image/svg+xml,${encodeURIComponent(found.svg)}`, width: 520, height: 400 })
      : element("p", { className: "quiet" }, found.error ? found.error.reason : "too large for a drawing");
  } catch (error) {
    content = element("p", { className: "error" }, error.message);
  }
  if (frame.question === question) frame.replaceChildren(content);
}
