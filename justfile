# Recipes for people and scripts. On a fresh machine call them through ./dev, which installs what is missing.

set positional-arguments

export RUST_BACKTRACE := "1"
shared := env("LAKELOOP_SHARED", justfile_directory() / ".." / "shared")

# list the recipes
default:
    @{{ just_executable() }} --list --unsorted

# the whole loop in a few minutes: a simulated product, decided, logged, learned (--keep leaves the server up)
demo *args:
    cargo run --quiet --bin lakeloop -- demo menu "$@"

# the same on real flights: replays a year of departures through the HTTP endpoints (DATA: folder with flights.csv and weather.csv)
flights data=(shared / "data" / "rdu_flights17") *args:
    cargo run --quiet --bin lakeloop -- demo flights --data "$@"

# format, clippy with warnings as errors, and every test
test: lint readers clients
    cargo test --workspace --quiet

# format and clippy, warnings are errors
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --quiet -- -D warnings

# Python's deltalake and DuckDB, for the test that reads the tables with other programs
readers:
    test -x .deps/readers/bin/python || { python3 -m venv .deps/readers && .deps/readers/bin/pip install --quiet --disable-pip-version-check deltalake pyarrow duckdb; }

# Triton's, OpenFeature's and the Personalizer's clients, pyarrow and schemathesis, for the tests that call a server with them
clients:
    test -x .deps/clients/bin/schemathesis || { python3 -m venv .deps/clients && .deps/clients/bin/pip install --quiet --disable-pip-version-check 'tritonclient[http]' openfeature-sdk openfeature-provider-ofrep azure-cognitiveservices-personalizer pyarrow schemathesis; }

# only those tests: other people's clients, unchanged, against a running server
test-clients: clients
    cargo test --quiet -p lakeloop-server --test http clients -- --nocapture

# kill -9 under load, 200 times; counts acknowledged rows against the tables
test-crash rounds="200":
    LAKELOOP_CRASH_ROUNDS={{ rounds }} cargo test --quiet --test crash -- --nocapture --exact killed_at_any_point_nothing_is_lost_or_doubled

# kill -9 under load against caps that are asked for more than they allow; counts what exceeds them, and what they leave unused
test-caps rounds="100":
    LAKELOOP_CAPS_ROUNDS={{ rounds }} cargo test --quiet --test caps -- --nocapture

# damaged and made-up model files against serving/trees, under AddressSanitizer (needs nightly Rust and cargo-fuzz); what finds new paths is kept under target/
fuzz-trees seconds="180":
    #!/usr/bin/env bash
    set -euo pipefail
    cd serving/trees
    mkdir -p fuzz/target/found
    cargo +nightly fuzz run model fuzz/target/found fuzz/corpus/model tests/golden -- -max_total_time="$1" -max_len=16384 -timeout=10 -print_final_stats=1

# one decision next to libxgboost, and HTTP decide next to an empty handler (needs wrk)
bench-decide:
    tests/bench/run

# off-policy values next to obp's and to a known truth; rewards next to Vowpal Wabbit's; logged decisions made again, bit for bit
bench-policies decisions="100000": vw
    #!/usr/bin/env bash
    set -euo pipefail
    cargo bench --quiet -p lakeloop-stats --bench policies
    LAKELOOP_VW_PYTHON="$PWD/.deps/vw/bin/python" cargo test --quiet -p lakeloop-pipeline --lib next_to_vw -- --ignored --nocapture
    LAKELOOP_REPLAY_DECISIONS={{ decisions }} cargo test --quiet --test replay -- --nocapture | grep '^figure'

# Vowpal Wabbit, to compare with
vw:
    test -x .deps/vw/bin/python || { python3 -m venv .deps/vw && .deps/vw/bin/pip install --quiet --disable-pip-version-check vowpalwabbit; }

# HTTP: decide next to an empty handler and next to FastAPI, its latency at half of its rate, outcomes by the batch (needs wrk)
bench-serve:
    tests/bench/serve
    tests/bench/rank

# serving/trees next to onnxruntime, lleaves and xgboost on the same rows (MODEL and ROWS: 200 trees of depth 6, 50 features)
bench-trees model=(shared / "golden" / "trees_200x6x50.ubj") rows=(shared / "golden" / "trees_rows.npy"): tree-peers
    .deps/tree-peers/bin/python tests/bench/trees.py "{{ model }}" "{{ rows }}"

# Python's evaluators of trees, to compare with
tree-peers:
    test -x .deps/tree-peers/bin/python || { python3 -m venv .deps/tree-peers && .deps/tree-peers/bin/pip install --quiet --disable-pip-version-check xgboost-cpu onnxruntime onnxmltools skl2onnx lightgbm lleaves 'llvmlite<0.45'; }

# a thousand strategies in one process, 10,000 hot swaps under load, and feature lookups in ten million entities (ARTIFACT: a model of 50 features)
bench-hosting artifact=(shared / "golden" / "trees_200x6x50.ubj"):
    tests/bench/hosting "$1"

# AutoML next to FLAML with all its learners: five sets, the same seconds on two cores (SETS: all, or names with commas between them)
bench-automl budget="60" sets="all" seeds="3": flaml
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --quiet -p lakeloop -p lakeloop-pipeline --example automl
    binary=${CARGO_TARGET_DIR:-target}/debug/examples/automl
    .deps/flaml/bin/python tests/bench/automl.py "$binary" "{{ shared }}" target/automl {{ budget }} {{ sets }} {{ seeds }}

# FLAML with its learners, and scikit-learn's sets, to compare AutoML with
flaml:
    test -x .deps/flaml/bin/python || { python3 -m venv .deps/flaml && .deps/flaml/bin/pip install --quiet --disable-pip-version-check 'flaml[automl]' pyarrow; }
