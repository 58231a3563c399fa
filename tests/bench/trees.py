"""serving/trees next to onnxruntime, lleaves and xgboost: one row, and a million rows, one thread each.

    trees.py MODEL.ubj ROWS.npy

The model is one of XGBoost; onnxruntime evaluates it converted by onnxmltools, and lleaves a LightGBM model of the same
shape, which is trained here on the model's own predictions. Each is called as its users call it, from Python; what the
call costs without trees is shown by a model of one stump. Rounds alternate between all of them. Prints a line `figure NAME
VALUE UNIT` for each result (medians over the rounds) and every round on standard error.
"""

import importlib.metadata
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"
warnings.filterwarnings("ignore")

import lightgbm
import lleaves
import numpy as np
import onnxruntime
import xgboost
from onnxmltools.convert import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

ROUNDS = int(os.environ.get("ROUNDS", 5))
N_MANY = 1_000_000
MODEL, ROWS = sys.argv[1:3]


def bench():
    """The Rust side, compiled; the path of its program."""
    command = ["cargo", "bench", "--quiet", "-p", "lakeloop-trees", "--bench", "trees", "--no-run"]
    built = subprocess.run([*command, "--message-format", "json"], check=True, stdout=subprocess.PIPE, text=True)
    artifacts = (json.loads(line) for line in built.stdout.splitlines())
    return next(a["executable"] for a in artifacts if a.get("executable") and a["target"]["name"] == "trees")


def ours(program):
    answer = subprocess.run([program, MODEL, ROWS, "quick"], check=True, stdout=subprocess.PIPE, text=True)
    fields = (line.split() for line in answer.stdout.splitlines())
    return {name: float(value) for name, value, _ in fields}


def median_us(predict, rows, n_calls=3000):
    """The median of calls with one row each, in turns."""
    rows = [np.ascontiguousarray(rows[i : i + 1]) for i in range(len(rows))]
    times = []
    for call in range(n_calls):
        row = rows[call % len(rows)]
        start = time.perf_counter_ns()
        predict(row)
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1e3


def onnx_session(booster, n_features):
    inputs = [("rows", FloatTensorType([None, n_features]))]
    model = convert_xgboost(booster, initial_types=inputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name, outputs = session.get_inputs()[0].name, [session.get_outputs()[1].name]
    return lambda rows: session.run(outputs, {name: rows})[0]


def lleaves_model(folder, n_features, n_trees, max_depth, rows, probabilities):
    """A LightGBM model of the same shape, compiled."""
    rng = np.random.default_rng(7)
    params = {"objective": "binary", "max_depth": max_depth, "num_leaves": 2**max_depth, "min_data_in_leaf": 5}
    params |= {"num_threads": 1, "verbosity": -1, "seed": 7, "learning_rate": 0.1}
    labels = (rng.random(len(rows)) < probabilities).astype(np.float32)
    booster = lightgbm.train(params, lightgbm.Dataset(rows, labels), n_trees)
    file = folder / f"lightgbm_{n_trees}.txt"
    booster.save_model(file)
    n_leaves = statistics.mean(t["num_leaves"] for t in booster.dump_model()["tree_info"])
    print(f"lightgbm: {booster.num_trees()} trees, {n_leaves:.1f} leaves each", file=sys.stderr)
    model = lleaves.Model(model_file=str(file))
    model.compile()
    return lambda rows: model.predict(rows, n_jobs=1)


def stump(rows, probabilities):
    """An XGBoost model of one split."""
    matrix = xgboost.DMatrix(rows, label=probabilities > 0.5)
    return xgboost.train({"objective": "binary:logistic", "max_depth": 1, "nthread": 1}, matrix, 1)


def main():
    rows = np.load(ROWS)
    n_features = rows.shape[1]
    booster = xgboost.Booster({"nthread": 1}, model_file=MODEL)
    booster.set_param({"nthread": 1})
    train = np.random.default_rng(1).normal(size=(20_000, n_features)).astype(np.float32)
    labels = booster.inplace_predict(train)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        peers = {
            "onnxruntime": onnx_session(booster, n_features),
            "lleaves": lleaves_model(folder, n_features, booster.num_boosted_rounds(), 6, train, labels),
            "xgboost": booster.inplace_predict,
        }
        stumps = {
            "onnxruntime": onnx_session(stump(train, labels), n_features),
            "lleaves": lleaves_model(folder, n_features, 1, 1, train, labels),
        }
    found = peers["onnxruntime"](rows)[:, 1]
    assert np.abs(found - booster.inplace_predict(rows)).max() < 1e-5, "the converted model predicts otherwise"

    many = np.tile(rows, (N_MANY // len(rows), 1))
    program = bench()
    rounds = []
    for round_idx in range(ROUNDS):
        result = ours(program)
        for name, predict in peers.items():
            result[f"{name}_us"] = median_us(predict, rows, 500 if name == "xgboost" else 3000)
        for name, predict in stumps.items():
            result[f"{name}_stump_us"] = median_us(predict, rows)
        start = time.perf_counter()
        booster.inplace_predict(many)
        result["xgboost_rows_per_s"] = len(many) / (time.perf_counter() - start)
        print(f"round {round_idx + 1}: " + ", ".join(f"{k} {v:.4g}" for k, v in result.items()), file=sys.stderr)
        rounds.append(result)

    def figure(name, unit, of_round):
        values = sorted(map(of_round, rounds))
        print(f"figure {name} {statistics.median(values):.4g} {unit}")
        print(f"{name}: {values[0]:.4g} to {values[-1]:.4g}", file=sys.stderr)

    packages = ("xgboost-cpu", "onnxruntime", "onnxmltools", "lightgbm", "lleaves")
    print(", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages), file=sys.stderr)
    figure("tree_row_us", "us", lambda r: r["row_p50"])
    figure("tree_row_vs_onnxruntime", "ratio", lambda r: r["onnxruntime_us"] / r["row_p50"])
    figure("tree_row_vs_lleaves", "ratio", lambda r: r["lleaves_us"] / r["row_p50"])
    figure("tree_row_vs_onnxruntime_without_call", "ratio", lambda r: (r["onnxruntime_us"] - r["onnxruntime_stump_us"]) / r["row_p50"])
    figure("tree_row_vs_lleaves_without_call", "ratio", lambda r: (r["lleaves_us"] - r["lleaves_stump_us"]) / r["row_p50"])
    figure("tree_batch_rows_per_s", "1/s", lambda r: r["batch_rows_per_s"])
    figure("tree_batch_vs_xgboost", "ratio", lambda r: r["batch_rows_per_s"] / r["xgboost_rows_per_s"])


main()
