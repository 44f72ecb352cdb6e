"""The page of `molmp serve` in a real browser, and its process: from the command to a prediction and back."""

import csv
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from browser import needs_browser
from driven import Tab, open_tab
from rdkit import Chem
from tiny import tiny_bundle, with_trust

from molmp.inference.model_file import save_bundle
from molmp.serve import server

MOLMP = [sys.executable, "-m", "molmp_cli"]
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}

TABLE = 'id,SMILES,note\n007,CCO,"a, b"\nNA,C1CC,=1+1\nragged,C\n5,[Na+].[Cl-],end\n' + "x,c1ccccc1O,\n" * 600


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "my run"
    data = {"file": "my.csv", "rows": 20, "split_rows": {"train": 16, "val": 2, "test": 2}}
    save_bundle(replace(with_trust(tiny_bundle(members=2)), data=data), folder)
    return folder


def start(run: Path) -> "tuple[subprocess.Popen[str], str]":
    command = [*MOLMP, "serve", str(run), "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ONE_THREAD)
    assert process.stderr is not None
    said = process.stderr.readline()
    found = re.search(r"at (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends\)", said)
    assert found, said + process.stderr.read()
    return process, found[1]


@pytest.fixture(scope="module")
def url(run: Path) -> Iterator[str]:
    process, url = start(run)
    yield url
    process.terminate()
    process.communicate()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with open_tab(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture
def tab(browser: Tab, url: str) -> Iterator[Tab]:
    """The page, just opened; at the end nothing has gone wrong in it, and nothing but the server was asked."""
    browser.errors.clear()
    browser.requests.clear()
    browser.resize(1200, 900)
    browser.open(url)
    yield browser
    assert not browser.errors
    assert [r[:200] for r in browser.requests if not r.startswith((url, "data:", f"blob:{url}"))] == []


def paste(tab: Tab, text: str) -> None:
    tab.run(f"document.querySelector('#smiles').value = {text!r}")
    tab.click("#go")
    tab.wait("/predicted|cannot|Give|more than/.test(document.querySelector('#status').textContent)")


def fits(tab: Tab) -> bool:
    return bool(tab.run("document.documentElement.scrollWidth <= window.innerWidth"))


@needs_browser
def test_paste(tab: Tab) -> None:
    paste(tab, "CCO ethanol\n\nC1CC <b>broken</b>\nc1ccccc1O")
    assert tab.run("document.querySelector('#status').textContent") == "2 predicted, 1 cannot be."
    rows = "[...document.querySelectorAll('#results tbody tr')]"
    heads = tab.run("[...document.querySelectorAll('#results th')].map((head) => head.textContent)")
    assert heads == ["#", "molecule", "logS [log10(mol/L)]", "mp", "domain", "similarity"]
    assert tab.run(f"{rows}.map((row) => row.cells.length)") == [6, 3, 6]
    assert tab.run(f"{rows}.map((row) => row.cells[4]?.textContent)") == ["in", None, "out"]
    assert "ring 1 is not closed" in tab.run(f"{rows}[1].textContent")
    assert "<b>broken</b>" in tab.run(f"{rows}[1].textContent")
    tab.wait("document.querySelector('#detail .picture img')?.complete")
    assert tab.run("[...document.images].every((image) => image.naturalWidth > 10)")
    assert "ethanol" in tab.run("document.querySelector('#detail').textContent")
    for name, value in (("What", "1"), ("How", "gradients")):
        tab.run(f"window.choice = document.querySelector('#detail select[aria-label^={name}]')")
        tab.run(f"choice.value = {value!r}; choice.dispatchEvent(new Event('change'))")
        tab.wait("document.querySelector('#detail .picture img')?.alt.endsWith('to mp')")
    tab.click("#results tbody tr:nth-child(3)")
    tab.wait("document.querySelector('#detail .picture img')?.alt.startsWith('c1ccccc1O')")
    tab.wait("document.querySelectorAll('#detail .likes figure').length === 3")
    said = tab.run("document.querySelector('#detail').innerText")
    assert "out of domain" in said
    assert re.search(r"90 %: -?[0-9.]+ to -?[0-9.]+", said)
    assert "logS_spread" in tab.run("document.querySelector('#detail dl').textContent")


@needs_browser
def test_coverage(tab: Tab) -> None:
    paste(tab, "CCO ethanol")
    before = tab.run("document.querySelector('#results td.figures span').textContent")
    tab.run("document.querySelector('#coverage').value = '0.5'")
    tab.run("document.querySelector('#coverage').dispatchEvent(new Event('change'))")
    tab.wait(f"document.querySelector('#results td.figures span').textContent !== {before!r}")
    assert "50 %:" in tab.run("document.querySelector('#detail').innerText")
    assert "ethanol" in tab.run("document.querySelector('#results').textContent")


@needs_browser
def test_the_table_of_predictions_sorts(tab: Tab) -> None:
    paste(tab, "CCCCCCO\nC\nCCC\n?")
    head = "[...document.querySelectorAll('#results th')].find((head) => head.textContent.startsWith('logS'))"
    column = tab.run(f"{head}.cellIndex")
    tab.run(f"{head}.querySelector('button').click()")
    cells = f"[...document.querySelectorAll('#results tbody tr')].map((row) => row.cells[{column}])"
    values = [
        float(text) for text in tab.run(f"{cells}.slice(0, 3).map((cell) => cell.querySelector('b').textContent)")
    ]
    assert values == sorted(values)


@needs_browser
def test_what_is_not_sent(tab: Tab) -> None:
    paste(tab, " \n ")
    assert tab.run("document.querySelector('#status').textContent") == "Give at least one SMILES."
    paste(tab, "C\n" * 1_001)
    assert "1,001 molecules are more than the 1,000" in tab.run("document.querySelector('#status').textContent")
    # Drawings that the page of the test before still asked for may arrive now.
    assert not [url for url in tab.requests if "api/" in url and "api/drawing" not in url]


DRAWN = [
    "CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "C/C=C/C", "C/C=C\\C", "[Na+].[Cl-]",
    "C[N+](C)(C)CC(=O)[O-]", "[13CH4]", "C#N", "O=S(=O)(N)c1ccc(N)cc1", "c1ccc2[nH]ccc2c1", "C1CC2CCC1C2",
    "F[C@](Cl)(Br)I", "[O-][n+]1ccccc1", "CN=[N+]=[N-]",
]  # fmt: skip


@needs_browser
def test_drawn_molecules_come_back_as_they_were(tab: Tab) -> None:
    tab.click("#tab-draw")
    tab.wait("document.querySelector('#editor').children.length")
    for smiles in DRAWN:
        back = tab.run(f"import('./static/editor.js').then((e) => e.draw({smiles!r}).then(() => e.drawnSmiles()))")
        assert Chem.CanonSmiles(back) == Chem.CanonSmiles(smiles), back


@needs_browser
def test_draw(tab: Tab) -> None:
    """A ring by hand, with the editor's own tools."""
    tab.click("#tab-draw")
    tab.wait("document.querySelector('#editor').children.length")
    tab.click("#go-drawn")
    assert tab.run("document.querySelector('#status').textContent") == "Give at least one SMILES."
    tab.click("#editor", 33, 201)  # the tool for benzene
    tab.click("#editor", 400, 200)
    tab.wait("document.querySelector('#drawn').value")
    assert Chem.CanonSmiles(tab.run("document.querySelector('#drawn').value")) == "c1ccccc1"
    tab.click("#go-drawn")
    tab.wait("document.querySelectorAll('#results tbody tr').length === 1")
    tab.wait("document.querySelector('#detail .picture img')?.complete")
    tab.click("#add-drawn")
    assert Chem.MolFromSmiles(tab.run("document.querySelector('#smiles').value").strip()).GetNumAtoms() == 6
    tab.run("document.querySelector('#drawn').value = 'C1CC'")
    tab.run("document.querySelector('#drawn').dispatchEvent(new Event('change'))")
    tab.wait("document.querySelector('#status').textContent === 'The editor cannot draw this SMILES.'")


def download(tab: Tab, folder: Path, name: str, click: str) -> bytes:
    tab.click(click)
    path = folder / name
    for _ in range(600):
        # The browser keeps the place with an empty file first.
        if path.exists() and path.stat().st_size and not list(folder.glob("*.crdownload")):
            return path.read_bytes()
        tab.run("new Promise((done) => setTimeout(done, 50))")
    raise AssertionError(f"{name} did not come: {tab.run('document.body.innerText')}")


@needs_browser
def test_a_table_goes_and_comes_back(tab: Tab, run: Path, tmp_path: Path, molmp) -> None:
    path = tmp_path / "my table.csv"
    path.write_text(TABLE)
    assert molmp("predict", path, "-m", run, "-o", tmp_path / "wanted.csv", "--device", "cpu").exit_code == 0
    tab.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    tab.click("#tab-send")
    assert tab.run("document.querySelector('#go-file').disabled")
    tab.choose("#file", path)
    got = download(tab, tmp_path, "my_table_predicted.csv", "#go-file")
    assert got == (tmp_path / "wanted.csv").read_bytes()
    tab.wait("!document.querySelector('#returned').hidden")
    told = tab.run("document.querySelector('#returned').textContent")
    assert "604 rows: 602 predicted, 2 without a prediction" in told
    assert "SMILES in column 'SMILES'" in told
    path.write_text("a,b\n1,2\n")
    tab.choose("#file", path)
    tab.click("#go-file")
    tab.wait("document.querySelector('#status').textContent.includes('has no column')")
    tab.errors[:] = [error for error in tab.errors if "422" not in error]  # the browser notes every refusal


@needs_browser
def test_pasted_molecules_as_a_file(tab: Tab, tmp_path: Path) -> None:
    tab.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    paste(tab, 'CCO my, "ethanol"\nC1CC')
    got = download(tab, tmp_path, "predictions.csv", "#download").decode()
    rows = list(csv.DictReader(got.splitlines()))
    assert [(row["smiles"], row["name"]) for row in rows] == [("CCO", 'my, "ethanol"'), ("C1CC", "")]
    assert rows[0]["logS_pred"]
    assert rows[1]["error"] == "syntax: ring 1 is not closed"


@needs_browser
def test_on_a_phone_nothing_hangs_over_the_edge(tab: Tab, url: str) -> None:
    tab.resize(360, 740, mobile=True)
    paste(tab, "CCO ethanol\nC1CC broken\n" + "C" * 90 + " " + "long" * 30)
    tab.wait("document.querySelector('#detail .picture img')?.complete")
    assert fits(tab)
    for name in ("draw", "send", "paste"):
        tab.click(f"#tab-{name}")
        tab.run("new Promise((done) => setTimeout(done, 100))")
        assert fits(tab), name
    tab.open(f"{url}docs")
    assert fits(tab)
    assert "curl http://127.0.0.1" in tab.run("document.querySelector('#predict_api_predict_post ~ pre').textContent")


@needs_browser
def test_dark_and_paper(tab: Tab) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    tab.media(prefers_color_scheme="dark")
    assert tab.run(paper) == "rgb(19, 26, 32)"
    tab.send("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert tab.run(paper) == "rgb(255, 255, 255)"
    assert not tab.run("document.querySelector('#paste').getClientRects().length")
    tab.send("Emulation.setEmulatedMedia", media="", features=[])


def test_an_interrupt_ends_the_server(run: Path) -> None:
    process, _ = start(run)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert said.split() == ["molmp:", "interrupted"]


def test_a_signal_ends_the_work_that_is_under_way(run: Path, tmp_path: Path) -> None:
    process, url = start(run)
    slow = {"file": ("big.csv", "SMILES\n" + "CC(=O)Oc1ccccc1C(=O)O\n" * 90_000)}
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(httpx2.post, f"{url}api/table", files=slow, data={"job": "mine"}, timeout=600)
        while not (httpx2.get(f"{url}api/progress?job=mine").json() or {"rows": 0})["rows"]:
            time.sleep(0.05)
        process.terminate()
        _, said = process.communicate(timeout=300)
        assert answer.result().json() == {"detail": "the request was given up"}
    assert process.returncode == 143
    assert said == ""


def test_the_editor_is_the_file_that_its_note_tells_of() -> None:
    folder = Path(server.__file__).parent / "static" / "openchemlib"
    found = hashlib.sha256((folder / "openchemlib.js").read_bytes()).hexdigest()
    assert found in (folder / "README.md").read_text()
    assert all("Redistribution" in path.read_text() for path in folder.glob("LICENSE-*"))
