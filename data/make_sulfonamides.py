"""Make data/sulfonamides.csv from the files that every RDKit wheel carries: `python data/make_sulfonamides.py`.

Nothing is computed or rounded: the text of SMILES, activities and names is RDKit's.
"""

import csv
from pathlib import Path

from rdkit import RDConfig

SOURCE = Path(RDConfig.RDContribDir, "FreeWilson", "data")
TARGET = Path(__file__).with_name("sulfonamides.csv")
COLUMNS = ("smiles", "p_activity", "compound_id")


def rows(source: Path = SOURCE) -> list[tuple[str, str, str]]:
    """Join molecules and activities by name, in the order of the molecules."""
    with open(source / "CHEMBL2321810_act.csv", newline="") as file:
        activity = {row["Name"]: row["Act"] for row in csv.DictReader(file)}
    molecules = [line.split() for line in (source / "CHEMBL2321810.smi").read_text().splitlines()]
    if len(activity) != len(molecules) or any(name not in activity for _, name in molecules):
        raise SystemExit("the two files of RDKit do not hold the same names")
    return [(smiles, activity[name], name) for smiles, name in molecules]


def main() -> None:
    with open(TARGET, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows())


if __name__ == "__main__":
    main()
