"""Awkward chemistry and many ways to write it."""

import random
import re
from collections.abc import Iterator

from rdkit import Chem
from rdkit.Chem.EnumerateStereoisomers import EnumerateStereoisomers, StereoEnumerationOptions

MOLECULES = [
    *r"""
    C [Na+].[Cl-] [H][H] [H+] [2H]C([2H])([2H])O [13CH3][14CH3] [235U] [999C] *C * [*:1]CC C[CH2:7]O N->[Fe]<-N C~C
    C$C C:C [CH3] [CH2] [O][O] O=[N+]([O-])c1ccccc1 C[N+](C)(C)C [O-]Cl(=O)(=O)=O F[P-](F)(F)(F)(F)F FS(F)(F)(F)(F)F
    FI(F)(F)(F)F [Fe+2] [Fe-4](C#N)(C#N)(C#N)(C#N)(C#N)C#N CC[Hg]Cl Cl[Pt@SP1](Cl)(N)N Cl[Pt@SP1](F)(Br)N
    [NH3][Co@OH1]([NH3])([NH3])(Cl)(Cl)Cl C[As](C)(=O)O [Xe] O=[Os](=O)(=O)=O B1OB1 [SiH3][SiH3] C[S@](=O)c1ccccc1
    C[S@@](=O)CC C[P@](=O)(O)CC C[N@+](CC)(CCC)c1ccccc1 C[C@H]1CC[C@@H](C)CC1 C[C@H]1CC[C@H](C)CC1
    C[C@H]1C[C@@H](O)C1.C[S@](=O)c1ccccc1 OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O C/C=C/C C/C=C\C=C\C F/N=N/F
    C/C(F)=C(/C)Cl CC=C=CC CC=[C@]=CC C[C@H](O)[C@@H](O)[C@H](C)O C[C@H](F)[C@@H](O)[C@@H](C)F C1CC1
    C12C3C4C1C5C2C3C45 C1C2CC3CC1CC(C2)C3 C1CC2(C1)CCC2 c1ccc2ccccc2c1 c1ccc2c(c1)[nH]c1ccccc12 C1CCCCCCCCCCCCCCC1
    C1CC2CCC1C2 c1cc2ccc3cccc4ccc(c1)c2c34 c1cnc2[nH]cnc2n1 O=c1cc[nH]cc1 c1ccsc1 c1cc[se]c1 c1ccn[nH]1
    Cn1cnc2c1c(=O)n(C)c(=O)n2C c1cc[o+]cc1 [cH-]1cccc1.[cH-]1cccc1.[Fe+2] CC(=O)Oc1ccccc1C(=O)O CN1CCC[C@H]1c1cccnc1
    C#N [C-]#[O+] N#N CC#CC C=C=C O=C=O [N-]=[N+]=NC C[Si](C)(C)C OB(O)c1ccccc1 [O-][n+]1ccccc1 S(=O)(=O)(N)c1ccccc1
    P(c1ccccc1)(c1ccccc1)c1ccccc1 [2H]/C=C/C [H]/N=C(\C)N C[C@@]([2H])(O)F Br I [K+].[I-] O N [NH4+] [OH-]
    N[C@@H](CS)C(=O)N1CCC[C@H]1C(=O)N[C@@H](Cc1c[nH]c2ccccc12)C(=O)O
    CC1(C)S[C@@H]2[C@H](NC(=O)Cc3ccccc3)C(=O)N2[C@H]1C(=O)O
    C[C@]12CC[C@H]3[C@@H](CCC4=CC(=O)CC[C@]34C)[C@@H]1CC[C@@H]2O
    CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C@H]1C5 [H]C([H])([H])[C@]([H])(O)F [#1]OC [1H]C [H]O[H] [H]F
    [H]Cl [256C] [258H]C Cl[C@H]1[C@H](Cl)[C@@H](Cl)[C@H](Cl)[C@H](Cl)[C@H]1Cl C[C@H]1CC[C@]2(CC1)CC[C@@H](C)CC2
    O[C@H]1[C@H](O)[C@@H](O)[C@H](O)[C@@H](O)[C@H]1O CC[C@]1(C)CC[C@H](C)CC1 CC(=O)N[C@H]1CC[C@H](CCN2CCN(C)CC2)CC1
    """.split(),  # noqa: SIM905
    "C" * 300,
    "N[C@@H](C)C(=O)" * 30 + "O",
    "C1CC1" * 60,
]

CAGE = "C12C3C4C1C5C2C3C45"
ENDLESS = "C" * 6 + "%(515)" + "C" * 77 + CAGE * 4 + "C" * 33 + "%(515)" + "C" * 87
"""A cage whose bridgeheads RDKit never ends counting; a graph in no time, without descriptors."""


def spellings(smiles: str, rng: random.Random) -> Iterator[str]:
    """Other ways to write one molecule, and relatives of it: stereoisomers, marks in odd places."""
    mol = Chem.MolFromSmiles(smiles)
    yield smiles
    yield Chem.MolToSmiles(mol)
    yield Chem.MolToSmiles(mol, doRandom=True)
    yield Chem.MolToSmiles(mol, allHsExplicit=True, doRandom=True)
    yield Chem.MolToSmiles(mol, allBondsExplicit=True)
    yield Chem.MolToSmiles(Chem.AddHs(mol), doRandom=True)
    kekule = Chem.Mol(mol)
    Chem.Kekulize(kekule, clearAromaticFlags=True)
    yield Chem.MolToSmiles(kekule, kekuleSmiles=True, doRandom=True)
    options = StereoEnumerationOptions(maxIsomers=4, onlyUnassigned=False, rand=1)
    for isomer in EnumerateStereoisomers(mol, options=options):
        yield Chem.MolToSmiles(isomer, doRandom=True)
    yield re.sub(r"C(?=\()", lambda _: rng.choice(["C", "[C@]", "[C@@H]", "[CH]"]), smiles)
    yield re.sub(r"=", lambda _: rng.choice(["=", "/=", "=/"]), smiles)
    yield smiles.replace("C=C", "/C=C\\")


def awkward_spellings(seed: int = 0) -> list[str]:
    """Every spelling of every molecule here, each once; some cannot be read, which is part of it."""
    rng = random.Random(seed)
    return list(dict.fromkeys(text for smiles in MOLECULES for text in spellings(smiles, rng)))
