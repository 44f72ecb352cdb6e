// The page's buttons: paste, draw, or send a table.
import { draw, openEditor } from "./editor.js";
import { ask, sendTable } from "./ask.js";
import { predicted, showPredictions } from "./show.js";
import { element } from "./words.js";

const part = (id) => document.getElementById(id);
const main = document.querySelector("main");
const model = JSON.parse(main.dataset.model);
const coverage = () => Number(part("coverage")?.value ?? 0.9);

function tell(text, bad = false) {
  part("status").textContent = text;
  part("status").classList.toggle("bad", bad);
}

function open(name) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const here = tab.getAttribute("aria-controls") === name;
    tab.setAttribute("aria-selected", here);
    part(tab.getAttribute("aria-controls")).hidden = !here;
  }
  part("answer").hidden = name === "send" || !predicted().length;
  tell("");
  if (name === "draw") openEditor(part("editor"), (smiles) => { part("drawn").value = smiles; }).catch((error) => tell(`the editor cannot be loaded: ${error.message}`, true));
}
for (const tab of document.querySelectorAll("[role=tab]")) tab.addEventListener("click", () => open(tab.getAttribute("aria-controls")));

// SMILES and names of the lines that hold something.
function pasted() {
  return part("smiles").value.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
    const [smiles] = line.split(/\s/, 1);
    return { smiles, name: line.slice(smiles.length).trim() };
  });
}

async function predict(molecules, button) {
  const most = Number(main.dataset.most);
  if (!molecules.length) return tell("Give at least one SMILES.", true);
  if (molecules.length > most) return tell(`${molecules.length.toLocaleString("en")} molecules are more than the ${most.toLocaleString("en")} that fit here; send them as a table.`, true);
  const asked = coverage();
  button.disabled = true;
  tell(`Predicting ${molecules.length.toLocaleString("en")} molecule${molecules.length > 1 ? "s" : ""} \u2026`);
  try {
    const answer = await ask("api/predict", { smiles: molecules.map((one) => one.smiles), coverage: asked });
    const bad = answer.results.filter((result) => result.error).length;
    model.coverage = asked;
    showPredictions(model, answer, molecules.map((one) => one.name));
    part("notes").textContent = answer.notes.join("; ");
    tell(`${(molecules.length - bad).toLocaleString("en")} predicted${bad ? `, ${bad.toLocaleString("en")} cannot be` : ""}.`);
  } catch (error) {
    tell(error.message, true);
  } finally {
    button.disabled = false;
  }
}

part("paste").addEventListener("submit", (event) => { event.preventDefault(); predict(pasted(), part("go")); });
part("smiles").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) part("paste").requestSubmit(); });
part("examples").addEventListener("click", () => { part("smiles").value = part("examples").dataset.text; part("paste").requestSubmit(); });
part("coverage")?.addEventListener("change", () => { if (!part("answer").hidden) predict(predicted(), part("go")); });
part("clear").addEventListener("click", () => { part("smiles").value = ""; part("answer").hidden = true; tell(""); part("smiles").focus(); });

part("draw").addEventListener("submit", (event) => {
  event.preventDefault();
  const smiles = part("drawn").value.trim();
  predict(smiles ? [{ smiles, name: "" }] : [], part("go-drawn"));
});
part("drawn").addEventListener("change", async () => {
  try {
    await draw(part("drawn").value.trim());
    tell("");
  } catch {
    tell("The editor cannot draw this SMILES.", true);
  }
});
part("add-drawn").addEventListener("click", () => {
  const smiles = part("drawn").value.trim();
  if (!smiles) return tell("Nothing is drawn yet.", true);
  part("smiles").value = `${part("smiles").value.trimEnd()}\n${smiles}\n`.trimStart();
  tell("It is in the list under Paste.");
});

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name }, name);
  link.click();
  return link;
}

const cell = (text) => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
part("download").addEventListener("click", async () => {
  const lines = ["smiles,name", ...predicted().map((one) => `${cell(one.smiles)},${cell(one.name)}`)];
  try {
    const { blob } = await sendTable(new File([lines.join("\n") + "\n"], "molecules.csv"), coverage(), (share, text) => tell(text));
    save(blob, "predictions.csv");
    tell("");
  } catch (error) {
    tell(error.message, true);
  }
});

part("file").addEventListener("change", () => { part("go-file").disabled = !part("file").files.length; });
for (const kind of ["dragover", "dragleave", "drop"]) {
  part("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    part("drop").classList.toggle("over", kind === "dragover");
    if (kind !== "drop") return;
    part("file").files = event.dataTransfer.files;
    part("go-file").disabled = !part("file").files.length;
  });
}

part("send").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [file] = part("file").files, [bar, words] = part("progress").children;
  if (file.size > Number(main.dataset.upload)) return tell(`${file.name} is larger than the ${Math.round(Number(main.dataset.upload) / 2 ** 20)} MB that are taken here.`, true);
  tell("");
  part("go-file").disabled = true;
  part("progress").hidden = false;
  part("returned").hidden = true;
  try {
    const { blob, name, notes } = await sendTable(file, coverage(), (share, text) => { bar.value = share; words.textContent = text; });
    part("returned").replaceChildren(element("p", {}, "Done: ", save(blob, name), ` (${(blob.size / 1024).toLocaleString("en", { maximumFractionDigits: 0 })} kB)`), ...notes.map((note) => element("p", { className: "quiet" }, note)));
    part("returned").hidden = false;
  } catch (error) {
    tell(error.message, true);
  } finally {
    part("go-file").disabled = false;
    part("progress").hidden = true;
  }
});
