"""Many small molecules without RDKit's help: fragments put in a row, each readable by itself."""

import random

MIDDLES = r"""
C CC N O S C(=O) C(=O)N C(=O)O S(=O)(=O) S(=O)(=O)N C(C) C(F)(F) [CH2] [13CH2] [13C@H](O) [C@H](C) [C@@H](N) [C@](F)(Cl)
[C@@](C)(O) [C@@]([2H])(C) C([2H])([H]) [N+](C)(C) [N@+](C)(CC) [NH2+] [O+](C) C(=N[O-]) C([N+](=O)[O-]) P(=O)([O-])O
[P@](=O)(C) [S@](=O) [Si](C)(C) [Se] B(O) [B-](F)(F) [CH] [C](C) N(O) N=N C=C C#C /C=C/ /C=C\ /C(F)=C(Cl)/ /N=N/
C(=C/C)\ C=C=C c1ccc(cc1) c1cccc(c1) c1cc(F)c(cc1) c1ccc2c(c1)cccc2 c1ccc2c(c1)[nH]cc2 c1cnc(nc1) c1csc(n1) c1cc(on1)
n1ccc(c1) n1cnc2c1ncnc2N c1c[nH]c(n1) c1cc[n+](cc1) c1ccc(o1) c1cc[se]c1 C1CC1 C1CCN(C1) N1CCN(CC1) C1CC(C1)
[C@H]1CC[C@@H](CC1) [C@H]1CC[C@H](CC1) [C@@H]1C[C@H](C1) [C@H]1O[C@@H](O)[C@@H](C1) C1CC2CC1C(C2) C12C3C4C1C5C2C3C45
C1CC2(C1)CC(C2) C1C2CC3CC1CC(C2)C3 C1CCCCCCCCCC1 [CH3:7] [C:1](C) [Pt] [Fe] [Hg] *
""".split()  # noqa: SIM905
"""What the next fragment can be written behind; some combinations cannot be read, which is part of it."""

ENDS = r"""
C N O F Cl Br I C#N [O-] [N-]C [NH3+] [N+](=O)[O-] N=[N+]=[N-] [2H] [3H] [18F] [125I] C(C)(C)C c1ccccc1 c1ccncc1 C(=O)O
S(=O)(=O)N [CH2] [O] O.[Na+] O.Cl N.OC(=O)C(F)(F)F [O-].[K+] C.C[N+](C)(C)C.[Br-] O.O.[Ca+2] C1CC1 OB(O)O [Si](C)(C)C
C(Cl)(Cl)Cl [C@H](C)O [C@@H](F)C /C=C/C \C=C/C N1CCOCC1 c1ccc(cc1)[N+](=O)[O-] C1=CCC=CC1 c1cc[nH]c1 [C@]12CC[C@H](C1)C2
""".split()  # noqa: SIM905


def generated(count: int, seed: int = 0) -> list[str]:
    """``count`` different texts of two to four fragments, always the same for a seed."""
    rng = random.Random(seed)
    texts: dict[str, None] = {}
    while len(texts) < count:
        text = "".join([*rng.choices(MIDDLES, k=rng.choice((1, 2, 2, 3))), rng.choice(ENDS)])
        texts[text] = None
    return list(texts)
