PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin

.PHONY: demo test lint clean

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q $(if $(strip $(TORCH_INDEX)),--index-url $(TORCH_INDEX)) $$(grep '^torch==' constraints.txt)
	$(BIN)/pip install -q -c constraints.txt -e '.[report]'
	touch $@

.venv/.dev: .venv/.ready
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

demo: .venv/.ready
	$(BIN)/molmp train data/sulfonamides.csv -o demo-run --force
	$(BIN)/molmp predict data/new_molecules.csv --model demo-run -o demo-run/new_molecules.csv
	@echo; head -n 6 demo-run/new_molecules.csv; echo ...
	@echo; echo "predictions: demo-run/new_molecules.csv   metrics: demo-run/metrics.json   page: demo-run/report.html"

test: .venv/.dev lint
	$(BIN)/python -m pytest -p no:randomly -n 2 --dist loadfile

lint: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: fuzz readers slowest shuffle chaos soak
fuzz: .venv/.dev
	$(BIN)/python tests/fuzz.py strings --count 1000000 $(if $(SEED),--seed $(SEED))
	$(BIN)/python tests/fuzz.py files --count 100000 $(if $(SEED),--seed $(SEED))

readers: .venv/.dev
	MOLMP_READERS=100000 $(BIN)/python -m pytest -p no:cacheprovider tests/test_readers.py

slowest: .venv/.dev
	$(BIN)/python tests/slowest.py
	$(BIN)/python tests/slowest.py --features descriptors+morgan

shuffle: .venv/.dev
	$(BIN)/python tests/shuffle.py $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED))

chaos: .venv/.dev
	MOLMP_CHAOS=1 $(BIN)/python -m pytest -s -p no:cacheprovider -p no:randomly -k chaos tests/test_resume_predict.py tests/test_resume_train.py

soak: .venv/.dev
	$(BIN)/python tests/soak.py $(if $(ROWS),--rows $(ROWS))

BENCHES := bench-readers bench-featurize bench-store bench-step bench-train bench-members bench-predict bench-memory bench-gpu bench-neighbours
.PHONY: $(BENCHES) bench-report
$(BENCHES): .venv/.dev
	@test -n "$(DATA)" || { echo "make $@ DATA=folder: the folder with the data sets; see benchmarks/README.md"; exit 2; }
	TORCH_INDEX="$(TORCH_INDEX)" $(BIN)/python -m benchmarks.$(@:bench-%=%) --data $(DATA)

bench-report: .venv/.dev
	$(BIN)/python -m benchmarks.report

.PHONY: bench-operators bench-operators-report
bench-operators: .venv/.dev
	@test -n "$(DATA)" || { echo "make $@ DATA=folder: the folder with the data sets; see benchmarks/README.md"; exit 2; }
	$(BIN)/python -m benchmarks.operators --data $(DATA) $(if $(SETS),--sets $(SETS)) $(if $(SEEDS),--seeds $(SEEDS))

bench-operators-report: .venv/.dev
	$(BIN)/python -m benchmarks.operators_report

.PHONY: bench-accuracy bench-accuracy-report
bench-accuracy: .venv/.dev
	@test -n "$(DATA)" || { echo "make $@ DATA=folder [SETS=...] [METHODS=...] [SEEDS=...] [SPLIT=column|scaffold]"; exit 2; }
	TORCH_INDEX="$(TORCH_INDEX)" $(BIN)/python -m benchmarks.accuracy --data $(DATA) $(if $(SETS),--sets $(SETS)) $(if $(METHODS),--methods $(METHODS)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SPLIT),--split $(SPLIT))

bench-accuracy-report: .venv/.dev
	$(BIN)/python -m benchmarks.accuracy_report

.PHONY: bench-variants
bench-variants: .venv/.dev
	@test -n "$(DATA)" || { echo "make $@ DATA=folder [SETS=...] [VARIANTS=...] [SEEDS=...]"; exit 2; }
	$(BIN)/python -m benchmarks.variants --data $(DATA) $(if $(SETS),--sets $(SETS)) $(if $(VARIANTS),--variants "$(VARIANTS)") $(if $(SEEDS),--seeds $(SEEDS))

.PHONY: encoders
encoders: .venv/.dev
	@test -n "$(DATA)" || { echo "make $@ DATA=folder: the folder with hiv.csv.gz, muv.csv.gz and qm9_subset.csv.gz"; exit 2; }
	$(BIN)/python -m benchmarks.encoders --data $(DATA)

.PHONY: bench-trust bench-trust-report
bench-trust: .venv/.dev
	@test -n "$(DATA)" || { echo "make $@ DATA=folder [SETS=...] [SEEDS=...]: the folder with the data sets"; exit 2; }
	$(BIN)/python -m benchmarks.trust --data $(DATA) $(if $(SETS),--sets $(SETS)) $(if $(SEEDS),--seeds $(SEEDS))

bench-trust-report: .venv/.dev
	$(BIN)/python -m benchmarks.trust_report

clean:
	rm -rf .venv demo-run benchmarks/.envs benchmarks/.graphs.pt
