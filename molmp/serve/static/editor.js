// The editor of molecules; it is loaded when it is first looked at, for it is a megabyte.
const code = () => import("./openchemlib/openchemlib.js");
let editor;

// Put an editor into an element; `changed` hears the SMILES of what is drawn.
export async function openEditor(box, changed) {
  if (editor) return;
  const { CanvasEditor } = await code();
  editor = new CanvasEditor(box);
  editor.setOnChangeListener((event) => { if (event.type === "molecule" && event.isUserEvent) changed(drawnSmiles()); });
}

export const drawnSmiles = () => editor.getMolecule().toIsomericSmiles();

// Draw a SMILES. Throws where it is none.
export async function draw(smiles) {
  const { Molecule } = await code();
  editor.setMolecule(Molecule.fromSmiles(smiles));
}
