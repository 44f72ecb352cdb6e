"""The catalogue is complete and consistent; sets are fetched from folders and servers, verified, converted."""

import gzip
import hashlib
import http.server
import re
import threading
import zipfile
from dataclasses import replace
from functools import partial

import pytest

from molmp.errors import ColumnError, ConfigError, DataError, FileFormatError
from molmp.tables import fetch
from molmp.tables.catalogue import Entry, RemoteFile, catalogue, find_entry
from molmp.tables.fetch import fetch_dataset
from molmp.tables.labels import TASKS
from molmp.tables.splits import SPLITS

MOLECULENET = ["esol", "freesolv", "lipo", "bbbp", "bace", "tox21", "clintox", "sider", "hiv", "muv", "toxcast", "qm7",
               "qm8", "qm9"]  # fmt: skip
ADMET = ["caco2_wang", "hia_hou", "pgp_broccatelli", "bioavailability_ma", "lipophilicity_astrazeneca",
         "solubility_aqsoldb", "bbb_martins", "ppbr_az", "vdss_lombardo", "cyp2c9_veith", "cyp2d6_veith",
         "cyp3a4_veith", "cyp2c9_substrate_carbonmangels", "cyp2d6_substrate_carbonmangels",
         "cyp3a4_substrate_carbonmangels", "half_life_obach", "clearance_hepatocyte_az", "clearance_microsome_az",
         "ld50_zhu", "herg", "ames", "dili"]  # fmt: skip

METRICS = {"rmse", "mae", "pearson", "spearman", "roc_auc", "pr_auc"}

ESOL = "Compound ID,smiles,measured log solubility in mols per litre\nx, CCO ,-0.5\ny,CC,NA\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mirror").mkdir()
    return tmp_path / "mirror"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.csv"


# What it says


def test_the_sets_that_people_ask_for():
    assert {*MOLECULENET, "sulfonamides", "fang2023_all"} <= set(catalogue())
    assert {name.removeprefix("tdc_") for name in catalogue() if name.startswith("tdc_")} == set(ADMET)


@pytest.mark.parametrize("entry", catalogue().values(), ids=catalogue())
def test_every_entry_is_complete(entry):
    assert re.fullmatch(r"[a-z0-9_]+", entry.name)
    assert entry.title
    assert entry.licence
    assert re.search(r"\d{4}$", entry.citation), "a citation ends with its year"
    assert entry.task in TASKS
    assert entry.metric in METRICS
    assert entry.split in (*SPLITS, "column")
    assert (entry.split == "column") == (entry.split_column is not None or entry.files[0].split is not None)
    assert entry.doi is None or re.fullmatch(r"10\.\d{4,}/\S+", entry.doi)
    for file in entry.files:
        assert file.url.startswith(("https://", "molmp:"))
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.split in (None, "train", "test")
    if isinstance(entry.targets, dict):
        names = list(entry.targets.values())
        assert len(set(names)) == len(names)
        assert all(entry.unit_of(name) for name in names)
        assert set(entry.units) <= set(names)
        assert not {"smiles", "split"} & set(names)
    else:
        assert entry.targets == "*"
        assert entry.unit


def test_an_unknown_name():
    with pytest.raises(ConfigError, match="no data set 'freesolve'; did you mean freesolv"):
        find_entry("freesolve")
    with pytest.raises(ConfigError, match="did you mean tdc_herg"):
        find_entry("herg")
    with pytest.raises(ConfigError, match=r"no data set 'xyz'; `molmp data list` shows all \d+"):
        find_entry("xyz")


# Converting


def test_from_a_folder(folder, out):
    (folder / "delaney-processed.csv").write_text(ESOL)
    fetched = fetch_dataset(find_entry("esol"), out, mirror=str(folder))
    assert out.read_text() == "smiles,logs\nCCO,-0.5\nCC,\n"
    assert (fetched.rows, fetched.targets) == (2, ["logs"])
    assert fetched.notes == [
        f"{folder / 'delaney-processed.csv'} is not the published file: its sha256 is another",
        "2 rows, where the catalogue has 1,128",
    ]


def test_from_a_folder_with_our_own_form(folder, out):
    (folder / "esol.csv").write_text("smiles,logs,split\nCCO,-0.5,test\n")
    fetch_dataset(find_entry("esol"), out, mirror=str(folder))
    assert out.read_text() == "smiles,logs,split\nCCO,-0.5,test\n"


def test_own_form_under_the_name_of_the_original(folder, out):
    (folder / "bace.csv").write_text("smiles,active,pic50,split\nCCO,1,7.5,train\n")
    fetch_dataset(find_entry("bace"), out, mirror=str(folder))
    assert out.read_text() == "smiles,active,split\nCCO,1,train\n"


def test_all_other_columns_are_targets(folder, out):
    (folder / "tox21.csv.gz").write_bytes(gzip.compress(b"NR-AR,SR-ATAD5,mol_id,smiles\n0,,TOX1,CCO\n1,1,TOX2,CC\n"))
    fetched = fetch_dataset(find_entry("tox21"), out, mirror=str(folder))
    assert out.read_text() == "smiles,nr_ar,sr_atad5\nCCO,0,\nCC,1,1\n"
    assert fetched.targets == ["nr_ar", "sr_atad5"]


def test_of_columns_with_one_name_the_first_counts(folder, out):
    entry = find_entry("qm8")
    names = [*list(entry.targets)[:8], *list(entry.targets)[4:]]
    header, row = ",".join(["smiles", *names]), ",".join(["C", *map(str, range(len(names)))])
    (folder / "qm8.csv").write_text(f"{header}\n{row}\n")
    fetch_dataset(entry, out, mirror=str(folder))
    assert out.read_text().splitlines()[1] == "C,0,1,2,3,4,5,6,7,12,13,14,15"


TRAIN, TEST = "Drug_ID,Drug,Y\na,CCO,1.5\n", "Drug_ID,Drug,Y\nb,CC,2.5\n"


def zip_of(path, name="caco2_wang"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"admet_group/{name}/train_val.csv", TRAIN)
        archive.writestr(f"admet_group/{name}/test.csv", TEST)


def test_parts_of_an_archive(folder, out):
    zip_of(folder / "admet_group.zip")
    fetch_dataset(find_entry("tdc_caco2_wang"), out, mirror=str(folder))
    assert out.read_text() == "smiles,caco2,split\nCCO,1.5,train\nCC,2.5,test\n"


def test_parts_of_an_archive_that_was_unpacked(folder, out):
    zip_of(folder / "admet_group.zip")
    with zipfile.ZipFile(folder / "admet_group.zip") as archive:
        archive.extractall(folder)
    (folder / "admet_group.zip").unlink()
    fetch_dataset(find_entry("tdc_caco2_wang"), out, mirror=str(folder))
    assert out.read_text() == "smiles,caco2,split\nCCO,1.5,train\nCC,2.5,test\n"


def test_parts_in_files(folder, out):
    (folder / "ADME_HLM_train.csv").write_text("smiles,activity\nCCO,1\n")
    (folder / "ADME_HLM_test.csv").write_text("smiles,activity\nCC,2\n")
    fetch_dataset(find_entry("fang2023_hlm"), out, mirror=str(folder))
    assert out.read_text() == "smiles,hlm_clint,split\nCCO,1,train\nCC,2,test\n"


def test_a_split_column(folder, out):
    (folder / "CHEMBL204_Ki.csv").write_text(
        "smiles,exp_mean [nM],y,cliff_mol,split,y [pEC50/pKi]\nCCO,1,-1,0,test,9\n"
    )
    fetch_dataset(find_entry("mace_chembl204_ki"), out, mirror=str(folder))
    assert out.read_text() == "smiles,pki,split\nCCO,9,test\n"


def test_the_set_that_ships(out):
    fetched = fetch_dataset(find_entry("sulfonamides"), out)
    assert (fetched.rows, fetched.notes) == (1017, [])
    assert out.read_text().startswith("smiles,p_activity\nO=S(=O)")


# Downloading


@pytest.fixture
def server(folder):
    """Serve the folder, on this machine only."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            if self.path != "/broken.csv":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            return self.wfile.write(b"smiles,y\n")

    handler = partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def tiny(url, **options):
    return Entry(
        name="tiny", title="t", task="regression", metric="rmse", split="random", smiles="smiles",
        targets={"y": "y"}, files=(RemoteFile(url=url, **options),), citation="2020", licence="none",
    )  # fmt: skip


@pytest.fixture
def direct(monkeypatch):
    """Reach this machine without a proxy, and do not wait long."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch, "_TIMEOUT", 5.0)


def test_a_download_is_verified(folder, out, server, direct):
    (folder / "t.csv").write_text("smiles,y\nCCO,1\n")
    digest = hashlib.sha256(b"smiles,y\nCCO,1\n").hexdigest()
    seen = []
    entry = tiny(f"{server}/t.csv", sha256=digest)
    fetch_dataset(entry, out, progress=lambda *args: seen.append(args))
    assert out.read_text() == "smiles,y\nCCO,1\n"
    assert seen[-1] == ("t.csv", 15, 15)
    with pytest.raises(FileFormatError, match=rf"its sha256 is {digest}, expected 000.*--from FOLDER"):
        fetch_dataset(tiny(f"{server}/t.csv", sha256="0" * 64), out, replace=True)
    assert out.read_text() == "smiles,y\nCCO,1\n"


def test_from_a_mirror_on_a_server(folder, out, server, direct):
    (folder / "delaney-processed.csv").write_text(ESOL)
    esol = find_entry("esol")
    with pytest.raises(FileFormatError, match="is not the file that the catalogue describes"):
        fetch_dataset(esol, out, mirror=server)
    unchecked = replace(esol, files=(RemoteFile(url=esol.files[0].url),))
    fetch_dataset(unchecked, out, mirror=f"{server}/")
    assert out.read_text() == "smiles,logs\nCCO,-0.5\nCC,\n"


def test_an_archive_is_downloaded_once(folder, out, server, direct):
    zip_of(folder / "admet_group.zip")
    starts = []
    fetch_dataset(find_entry("tdc_caco2_wang"), out, mirror=server, progress=lambda *args: starts.append(args[0]))
    assert starts == ["admet_group.zip"]


def test_what_a_server_can_get_wrong(folder, out, server, direct):
    with pytest.raises(DataError, match=r"cannot download http.*/none\.csv: .*404.*say --from FOLDER"):
        fetch_dataset(tiny(f"{server}/none.csv"), out)
    with pytest.raises(DataError, match=r"the connection broke after 9 of 1,000 bytes|IncompleteRead"):
        fetch_dataset(tiny(f"{server}/broken.csv"), out)
    (folder / "page.csv").write_text("<!DOCTYPE html><html>sign in</html>")
    with pytest.raises(FileFormatError, match="HTML page"):
        fetch_dataset(tiny(f"{server}/page.csv"), out)
    assert not out.exists()


def test_without_a_connection(out, direct):
    with pytest.raises(DataError, match=r"cannot download http://127\.0\.0\.1:9/t\.csv: .*say --from FOLDER"):
        fetch_dataset(tiny("http://127.0.0.1:9/t.csv"), out)


@pytest.mark.parametrize("mirror", ["file:///etc", "ftp://example.org"])
def test_other_addresses_are_refused(out, mirror):
    with pytest.raises(ConfigError, match="only http and https"):
        fetch_dataset(tiny("https://example.org/t.csv"), out, mirror=mirror)


# Wrong folders and files


def test_what_a_folder_can_lack(folder, out, tmp_path):
    esol = find_entry("esol")
    with pytest.raises(DataError, match="there is no folder"):
        fetch_dataset(esol, out, mirror=str(tmp_path / "none"))
    (folder / "other.csv").touch()
    with pytest.raises(DataError, match=r"has no delaney-processed\.csv or esol\.csv; it has other\.csv"):
        fetch_dataset(esol, out, mirror=str(folder))
    (folder / "delaney-processed.csv").write_text("smiles,y\nC,1\n")
    with pytest.raises(ColumnError, match=r"has no column 'logs'; it has smiles, y"):
        fetch_dataset(esol, out, mirror=str(folder))
    (folder / "delaney-processed.csv").write_text(ESOL + "z,CCC\n")
    with pytest.raises(DataError, match="line 4: the row has 2 cells"):
        fetch_dataset(esol, out, mirror=str(folder))
    assert not out.exists()


def test_what_an_archive_can_lack(folder, out):
    zip_of(folder / "admet_group.zip", name="other")
    with pytest.raises(DataError, match=r"admet_group\.zip has no file admet_group/caco2_wang/train_val\.csv; it has"):
        fetch_dataset(find_entry("tdc_caco2_wang"), out, mirror=str(folder))
    (folder / "admet_group.zip").write_text("no zip")
    with pytest.raises(FileFormatError, match="is not a zip archive"):
        fetch_dataset(find_entry("tdc_caco2_wang"), out, mirror=str(folder))


def test_a_file_that_exists_is_kept(folder, out):
    out.write_text("mine")
    (folder / "esol.csv").write_text("smiles,logs\nCCO,-0.5\n")
    with pytest.raises(ConfigError, match="exists already; --force replaces it"):
        fetch_dataset(find_entry("esol"), out, mirror=str(folder))
    assert out.read_text() == "mine"
    fetch_dataset(find_entry("esol"), out, mirror=str(folder), replace=True)
    assert out.read_text() == "smiles,logs\nCCO,-0.5\n"
