"""The JSON API of `molmp serve`: answers in order, sentences for what is refused, nothing that brings it down."""

import gzip
import json
import re
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tiny import SMILES, tiny_bundle, with_trust

import molmp
from molmp.chem import pool
from molmp.chem.options import GraphOptions
from molmp.errors import ConfigError, MissingExtraError
from molmp.inference.columns import Columns
from molmp.inference.predictor import Predictor
from molmp.inference.tables import predict_table
from molmp.serve import server
from molmp.serve.app import make_app
from molmp.serve.limits import BusyError, Limits, Seats
from molmp.serve.uploads import safe_stem
from molmp.training.bundle import Bundle

HERE = "http://127.0.0.1"
LIMITS = Limits(max_molecules=50, max_rows=1_000, max_upload=1, max_body=20_000)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(with_trust(tiny_bundle(members=2)), "cpu")


@pytest.fixture(scope="module")
def client(predictor):
    with TestClient(make_app(predictor, limits=LIMITS), base_url=HERE) as client:
        yield client


def detail(answer) -> str:
    assert "Traceback" not in answer.text
    return answer.json()["detail"]


def send(client, content: bytes, name: str = "my table.csv", **more):
    return client.post("/api/table", files={"file": (name, content)}, **more)


def renamed(bundle: Bundle, name: str) -> Bundle:
    first, *others = bundle.targets.items
    return replace(bundle, targets=replace(bundle.targets, items=(replace(first, name=name), *others)))


def test_predictions_are_those_of_python_in_order(client, predictor):
    texts = [*SMILES, "C1CC", "", None, "CCO"]
    found = client.post("/api/predict", json={"smiles": texts}).json()
    assert [result["smiles"] for result in found["results"]] == texts
    readable = [text for text in texts if text and text != "C1CC"]
    (answer,) = predictor.stream([readable], trust=True)
    wanted = Columns.of(predictor.bundle).values(answer)
    names = [column["name"] for column in found["columns"]]
    assert names == [name for name in wanted if name != "error"]
    assert {"logS_pred", "logS_low", "nearest", "similarity", "in_domain"} < set(names)
    values = [result["values"] for result in found["results"] if result["error"] is None]
    for name in names:
        told = [value[name] for value in values]
        assert told == (wanted[name] if isinstance(wanted[name][0], str) else pytest.approx(wanted[name], rel=1e-4))
    errors = [result["error"] and result["error"]["code"] for result in found["results"]]
    assert errors == [*[None] * len(SMILES), "syntax", "empty", "empty", None]
    assert all((result["values"] is None) != (result["error"] is None) for result in found["results"])
    assert client.post("/api/predict", json={"smiles": []}).json()["results"] == []


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes(task):
    with TestClient(make_app(Predictor(with_trust(tiny_bundle(task)), "cpu")), base_url=HERE) as client:
        found = client.post("/api/predict", json={"smiles": ["CCO"]}).json()
        assert set(found["results"][0]["values"]) == {column["name"] for column in found["columns"]}
        for body in ({}, {"target": "taste", "of_class": "sour"} if task == "multiclass" else {"target": "toxic"}):
            explained = client.post("/api/explain", json={"smiles": "CCO", **body}).json()
            assert explained["target"].startswith("probability of")
        assert "to choose" in detail(client.post("/api/explain", json={"smiles": "C", "of_class": "pink"}))
        assert "&#34;of_class&#34;: &#34;sweet&#34;" in client.get("/").text or task == "binary"


def test_explanations_add_up_and_are_drawn(client):
    found = client.post("/api/explain", json={"smiles": "OCC", "target": "mp"}).json()
    parts = sum(part["contribution"] for part in found["atoms"] + found["bonds"])
    assert parts == pytest.approx(found["prediction"] - found["baseline"], rel=1e-6)
    assert [part["symbol"] for part in found["atoms"]] == ["O", "C", "C"]
    assert [part["atoms"] for part in found["bonds"]] == [[0, 1], [1, 2]]
    assert "<svg" in found["svg"]
    bad = client.post("/api/explain", json={"smiles": "C1CC"}).json()
    assert bad["error"] == {"code": "syntax", "reason": "ring 1 is not closed"}
    assert bad["svg"] is None
    large = {"smiles": "C" * 200, "method": "occlusion"}
    assert client.post("/api/explain", json=large).json()["svg"] is None
    assert "more than 100 atoms" in detail(client.post("/api/explain", json={"smiles": "C" * 101}))
    assert "more than 300 atoms" in detail(client.post("/api/explain", json=large | {"smiles": "C" * 301}))
    assert "it has logS, mp" in detail(client.post("/api/explain", json={"smiles": "C", "target": "taste"}))


def test_an_explanation_under_way_changes_no_prediction(client, monkeypatch):
    """Gradients are taken with embeddings that are scaled on the way; whoever predicts meanwhile must not see it."""
    question = {"smiles": ["CC(=O)Oc1ccccc1C(=O)O"]}
    before = client.post("/api/predict", json=question).json()
    meanwhile = []
    inner = client.app.state.house.service.explainer.models[0]
    forward = type(inner).forward

    def slow(self, *arguments, **more):
        meanwhile.append(client.post("/api/predict", json=question).json())
        return forward(self, *arguments, **more)

    monkeypatch.setattr(inner, "forward", slow.__get__(inner))
    client.post("/api/explain", json={"smiles": question["smiles"][0]})
    assert meanwhile
    assert all(found == before for found in meanwhile)


def test_drawings(client):
    answer = client.get("/api/drawing", params={"smiles": "CCO"})
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.text.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    for bad in ("C1CC", "C" * 200, ""):
        assert "cannot be drawn" in detail(client.get("/api/drawing", params={"smiles": bad}))


def test_what_the_model_is(client):
    assert client.get("/api/model").json()["targets"][0]["name"] == "logS"
    assert client.get("/api/health").json() == {"status": "ok", "version": molmp.__version__}


def test_more_coverage_makes_wider_intervals(client):
    ends = []
    for coverage in (0.5, 0.9, 0.99):
        found = client.post("/api/predict", json={"smiles": ["CCCO"], "coverage": coverage}).json()
        values = found["results"][0]["values"]
        ends.append((values["logS_low"], values["logS_high"]))
        notes = found["notes"]
    assert ends[1][0] < ends[0][0] < ends[0][1] < ends[1][1]
    assert ends[2] == (None, None)
    assert "calibration molecules are too few" in notes[0]
    for wrong in (0, 1, -1, "much", None):
        assert "coverage" in detail(client.post("/api/predict", json={"smiles": ["C"], "coverage": wrong}))
        assert send(client, TABLE, data={"coverage": str(wrong)}).status_code == 422


def test_the_coverage_of_a_table(client, predictor, tmp_path):
    (tmp_path / "my.csv").write_bytes(TABLE)
    predict_table(predictor, tmp_path / "my.csv", tmp_path / "out.csv", coverage=0.5)
    assert send(client, TABLE, data={"coverage": "0.5"}).content == (tmp_path / "out.csv").read_bytes()


def test_neighbours(client, predictor):
    found = client.post("/api/neighbours", json={"smiles": "OCCC", "count": 4}).json()["neighbours"]
    assert found[0] == {"name": "CCCO", "smiles": "CCCO", "similarity": 1.0}
    assert [one["similarity"] for one in found] == sorted((one["similarity"] for one in found), reverse=True)
    assert len(found) == 4
    told = client.post("/api/predict", json={"smiles": ["OCCC"]}).json()["results"][0]["values"]
    assert (told["nearest"], told["similarity"]) == ("CCCO", 1.0)
    assert client.post("/api/neighbours", json={"smiles": None}).json()["error"]["code"] == "empty"
    for count in (0, 21, "all"):
        assert client.post("/api/neighbours", json={"smiles": "C", "count": count}).status_code == 422
    with TestClient(make_app(Predictor(tiny_bundle(), "cpu")), base_url=HERE) as bare:
        assert "keeps no training molecules" in detail(bare.post("/api/neighbours", json={"smiles": "C"}))
        assert "<select id=" not in bare.get("/").text
    assert '<option value="0.9" selected>90 %</option>' in client.get("/").text


TABLE = b'id,SMILES,note\n007,CCO,"a, b"\nNA,C1CC,\nragged,C\n5,[Na+].[Cl-],=1+1\n'


@pytest.mark.parametrize(("name", "content"), [
    ("my.csv", TABLE), ("my.csv.gz", gzip.compress(TABLE, mtime=0)), ("my.tsv", TABLE.replace(b",", b"\t")),
    ("m.smi", b"CCO ethanol\nC1CC broken\n"), ("m.smi", b"CCO\tethanol\nCC\tx\n"), ("../../etc/passwd", TABLE),
    ("latin.csv", b"smiles,n\nCCO,\xe9\n"), ("crlf.csv", b"smiles\r\nC\r\n"),
], ids=["csv", "gz", "tsv", "smi", "smi with tabs", "a path", "latin", "crlf"])  # fmt: skip
def test_a_table_comes_back_as_molmp_predict_writes_it(client, predictor, tmp_path, name, content):
    path = tmp_path / name.rpartition("/")[2]
    path.write_bytes(content)
    outcome = predict_table(predictor, path, tmp_path / "out.csv")
    answer = send(client, content, name)
    assert answer.status_code == 200, answer.text
    assert answer.content == (tmp_path / "out.csv").read_bytes()
    assert json.loads(answer.headers["molmp-notes"])[-1] == str(outcome)
    assert re.search(r'filename="[A-Za-z0-9.-][A-Za-z0-9._-]*_predicted\.csv"$', answer.headers["content-disposition"])


def test_names_and_classes_of_a_model_are_no_formulas_in_the_csv():
    bundle = renamed(tiny_bundle("binary"), "=HYPERLINK(1)")
    with TestClient(make_app(Predictor(bundle, "cpu")), base_url=HERE) as client:
        head = send(client, b"smiles\nC\n").text.splitlines()[0]
    assert all(cell.lstrip('"').startswith(("smiles", "'=", "error")) for cell in head.split(","))


BOMB = gzip.compress(b"smiles\n" + b"C\n" * 6_000_000, mtime=0)

REFUSED = {
    "nothing": (b"", 422, "the table is empty"),
    "blank lines": (b"\n\n\n", 422, "blank lines"),
    "no SMILES": (b"id,name\n1,water\n2,salt\n", 422, "has no column"),
    "only a header": (b"smiles,y\n", 422, "has no rows"),
    "a picture": (b"\x89PNG\r\n\x1a\n123", 422, "a picture"),
    "a zip": (b"PK\x03\x04" + b"0" * 99, 422, "zip archive"),
    "Parquet": (b"PAR1" + b"\0" * 100 + b"PAR1", 422, "Parquet files are not taken here"),
    "damaged": (gzip.compress(TABLE * 999)[:-20], 422, "damaged gzip data"),
    "binary": (b"smiles\n\0\0\0\n", 422, "binary data"),
    "a bomb": (BOMB, 413, "unpacks to more than 10,485,760 bytes"),
    "an endless line": (gzip.compress(b"smiles\n" + b"C" * (1 << 24)), 413, "unpacks to more than"),
    "many rows": (b"smiles\n" + b"C\n" * 1_001, 413, "more than 1,000 rows"),
    "many bytes": (b"smiles\n" + b"C" * (2 << 20), 413, "longer than 1,114,112 bytes"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_tables_that_are_refused(client, kind, tmp_path, monkeypatch):
    content, status, said = REFUSED[kind]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answer = send(client, content)
    assert (answer.status_code, said in detail(answer)) == (status, True), answer.text
    assert str(tmp_path) not in answer.text
    assert not list(tmp_path.iterdir())


def test_an_endless_line_within_the_limits(predictor):
    with TestClient(make_app(predictor, limits=Limits(max_upload=20)), base_url=HERE) as client:
        answer = send(client, b"smiles\n" + b"C" * ((1 << 24) + 1))
    assert (answer.status_code, "line 2 is longer than" in detail(answer)) == (422, True)


def test_no_file_stays_behind(client, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert send(client, TABLE).status_code == 200
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("content", "status", "said"), [
    (b"", 422, "Field required"),
    (b"{", 422, "JSON"),
    (b"[" * 15_000, 400, "parsing the body"),
    (b"[1, 2]", 422, ""),
    (b'{"smiles": "CCO"}', 422, "smiles: Input should be a valid list"),
    (b'{"smiles": [1]}', 422, "smiles.0: Input should be a valid string"),
    (b'{"smiles": ["C"], "file": "/etc/passwd"}', 422, "file: Extra inputs are not permitted"),
    (b'{"smiles": [' + b'"C",' * 50 + b'"C"]}', 413, "51 molecules are more than the 50"),
    (b'{"smiles": ["' + b"C" * 20_000 + b'"]}', 413, "longer than 20,000 bytes"),
])  # fmt: skip
def test_requests_that_are_refused(client, content, status, said):
    answer = client.post("/api/predict", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, said in detail(answer)) == (status, True), answer.text


def test_a_long_request_that_does_not_tell_its_length(client):
    chunks = (b"C" * 1_000 for _ in range(30))
    answer = client.post("/api/predict", content=chunks, headers={"content-type": "application/json"})
    assert (answer.status_code, detail(answer)) == (413, "the request is longer than 20,000 bytes")
    assert client.post("/api/predict", content=b"{}", headers={"content-type": "text/plain"}).status_code == 422


def test_awkward_molecules_are_values(client):
    texts = ["\0", "\u00e9", "C" * 15_000, "<script>", "[Fe+99]", "C" * 3_000, "CC>>C", "\u202eC"]
    results = client.post("/api/predict", json={"smiles": texts}).json()["results"]
    assert [result["smiles"] for result in results] == texts
    assert all(result["error"]["reason"] for result in results if result["values"] is None)
    half = client.post("/api/predict", content=b'{"smiles": ["\\ud800"]}', headers={"content-type": "application/json"})
    assert half.json()["results"][0]["error"]["reason"] == "it holds the character U+D800 at position 1"
    assert {result["error"]["code"] for result in results if result["error"]} >= {"non-ascii", "too-large", "reaction"}


@pytest.mark.parametrize(("deed", "code"), [("os.abort()", "crash"), ("[0 for _ in iter(int, 1)]", "timeout")])
def test_a_molecule_that_ends_its_worker_costs_its_own_row(predictor, monkeypatch, deed, code):
    """In the readers of molecules and of drawings alike, whatever the length of the text."""
    trap = (
        f"import os; from molmp.chem import clock; begin = clock.timed\n"
        f"def timed(rows):\n    for row, text in begin(rows):\n"
        f"        if text == 'BrBr':\n            {deed}\n        yield row, text\n"
        "clock.timed = timed; "
    )
    monkeypatch.setattr(
        pool, "PROGRAM", pool.PROGRAM.replace("from molmp.chem.worker", trap + "from molmp.chem.worker")
    )
    monkeypatch.setattr("molmp.serve.service.SECONDS", 0.2)
    bundle = replace(tiny_bundle(), options=GraphOptions(time_limit=0.2))
    with TestClient(make_app(Predictor(bundle, "cpu")), base_url=HERE) as client:
        results = client.post("/api/predict", json={"smiles": ["C", "BrBr", "CC"]}).json()["results"]
        assert [result["error"] and result["error"]["code"] for result in results] == [None, code, None]
        assert client.post("/api/explain", json={"smiles": "BrBr"}).json()["error"]["code"] == code
        assert "cannot be drawn" in detail(client.get("/api/drawing", params={"smiles": "BrBr"}))
        table = send(client, b"smiles\nC\nBrBr\nCC\n").text.splitlines()
        assert [code in line for line in table] == [False, False, True, False]
        assert client.get("/api/drawing", params={"smiles": "C"}).status_code == 200


def test_answers_at_the_same_time_are_those_one_after_the_other(client):
    questions = [{"smiles": [SMILES[i % len(SMILES)], "C" * (1 + i % 7), "C1CC"]} for i in range(16)]

    def ask(question):
        answers = [
            client.post("/api/predict", json=question),
            client.post("/api/explain", json={"smiles": question["smiles"][0]}),
            send(client, f"smiles\n{question['smiles'][0]}\n".encode()),
        ]
        return [(answer.status_code, answer.text) for answer in answers]

    serial = [ask(question) for question in questions]
    with TestClient(
        make_app(client.app.state.house.service.predictor, limits=Limits(max_uploads=16)), base_url=HERE
    ) as other:
        client = other
        with ThreadPoolExecutor(8) as threads:
            for together, alone in zip(threads.map(ask, questions), serial, strict=True):
                for now, before in zip(together, alone, strict=True):
                    assert now == before


def test_a_full_house_says_so(predictor):
    app = make_app(predictor, limits=Limits(max_waiting=1, max_uploads=1))
    with TestClient(app, base_url=HERE) as client:
        with app.state.house.seats.take():
            answer = client.post("/api/predict", json={"smiles": ["C"]})
            assert (answer.status_code, "try again" in detail(answer)) == (503, True)
        with app.state.house.uploads.begin("mine") as progress:
            progress.rows, progress.lines = 3, 9
            assert send(client, TABLE).status_code == 503
            assert client.get("/api/progress?job=mine").json() == {"rows": 3, "lines": 9}
        assert client.get("/api/progress?job=mine").json() is None
        assert client.post("/api/predict", json={"smiles": ["C"]}).status_code == 200
        assert send(client, TABLE).status_code == 200


def test_somebody_who_goes_away_stops_the_work(predictor, monkeypatch):
    """The stream of answers ends at the next batch, and its seat is free again."""
    app = make_app(predictor)
    stopped = threading.Event()
    with TestClient(app, base_url=HERE) as client:
        uploads = app.state.house.uploads

        def stop(self, batches, **more):
            uploads["mine"].stopped.set()
            stopped.set()
            yield from type(self).__mro__[1].stream(self, batches, **more)

        monkeypatch.setattr(type(app.state.house.service.predictor), "stream", stop)
        answer = send(client, TABLE, data={"job": "mine"})
    assert stopped.is_set()
    assert (answer.status_code, detail(answer)) == (503, "the request was given up")
    assert uploads["mine"] is None


@pytest.mark.parametrize(("host", "status"), [
    ("127.0.0.1:8000", 200), ("localhost", 200), ("[::1]:8000", 200), ("evil.example", 400), ("", 400), ("[", 400),
    ("127.0.0.1.evil.example", 400),
])  # fmt: skip
def test_only_its_own_names_are_answered(client, host, status):
    assert client.get("/api/health", headers={"host": host}).status_code == status


def test_any_name_where_that_is_wished(predictor):
    with TestClient(make_app(predictor, hosts=None), base_url="http://lab.example") as client:
        assert client.get("/api/health").status_code == 200


@pytest.mark.parametrize("headers", [
    {"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"}, {"origin": "http://127.0.0.1:81"},
])  # fmt: skip
def test_pages_of_other_sites_cannot_ask(client, headers):
    assert send(client, TABLE, headers=headers).status_code == 403
    assert client.post("/api/predict", json={"smiles": ["C"]}, headers=headers).status_code == 403
    ours = {"origin": HERE, "sec-fetch-site": "same-origin"}
    assert client.post("/api/predict", json={"smiles": ["C"]}, headers=ours).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/static/app.js", "/static/shared/style.css", "/api/health", "/nothing"]
)
def test_every_answer_keeps_the_browser_at_home(client, path):
    answer = client.get(path)
    assert answer.status_code == (404 if path == "/nothing" else 200)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?! (src|type))|\son\w+=|https?://", answer.text) or path.startswith("/static")


def test_no_file_is_read_by_its_name(client):
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/shared/base.html"):
        assert client.get(path).status_code == 404
    fields = [name for path in client.get("/openapi.json").json()["paths"] for name in path.split("/")]
    assert "path" not in fields


def test_the_interface_is_told(client):
    page, document = client.get("/docs").text, client.get("/openapi.json").json()
    for path in document["paths"]:
        assert path in page
    names = ("health", "model", "predict", "neighbours", "explain", "drawing", "table", "progress")
    assert set(document["paths"]) == {f"/api/{name}" for name in names}
    assert client.get("/redoc").status_code == 404


def test_a_model_from_anywhere_writes_no_markup(predictor):
    bundle = renamed(tiny_bundle(), "<script>alert(1)</script>")
    with TestClient(make_app(Predictor(bundle, "cpu"), name="<b>run</b>"), base_url=HERE) as client:
        page = client.get("/").text
    assert "<script>alert" not in page
    assert "<b>run" not in page


def test_limits_are_whole_numbers():
    for wrong in (0, -1, 1.5, True, "9"):
        with pytest.raises(ConfigError, match="max_rows must be a whole number above 0"):
            Limits(max_rows=wrong)
    seats = Seats(1, "tables")
    with pytest.raises(KeyError), seats.take():
        raise KeyError
    with seats.take(), pytest.raises(BusyError), seats.take():
        pass


@pytest.mark.parametrize("name", ["", "..", "/", "a\nb.csv", 'x".csv', "\u202e.csv", "C:\\x\\y.csv", "a" * 300])
def test_names_of_downloads_are_harmless(name):
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", safe_stem(name))


def test_the_command_refuses(molmp, tiny_model, monkeypatch, tmp_path):
    assert molmp("serve", tmp_path / "none").exit_code == 1
    assert "max_rows must be" in molmp("serve", tiny_model, "--max-rows", "0").stderr
    assert molmp("serve", tiny_model, "--port", "70000").exit_code == 2
    with server.open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        result = molmp("serve", tiny_model, "--port", port, "--device", "cpu")
        assert result.exit_code == 1
        assert f"cannot listen at 127.0.0.1 port {port}: Address already in use" in result.stderr
    result = molmp("serve", tiny_model, "--host", "no.such.host.invalid", "--device", "cpu")
    assert (result.exit_code, "cannot listen at no.such.host.invalid" in result.stderr) == (1, True)
    monkeypatch.setattr(server.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(MissingExtraError, match=r"molmp serve needs fastapi: pip install 'molmp\[serve\]'"):
        server.check_extra()


def test_pages_find_their_files():
    """Every file that a page or a script names is there."""
    static = Path(server.__file__).parent / "static"
    for script in static.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', script.read_text()):
            assert (static / name).exists(), name
