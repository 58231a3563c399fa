"""Writes what the ranking benchmark needs into a folder: a blueprint, settings, a model and a request.

Usage: python rank.py FOLDER   (xgboost from PyPI)
"""

import json
import pathlib
import sys

import numpy
import xgboost

N_SHARED, N_OWN, N_CANDIDATES = 30, 20, 100
folder = pathlib.Path(sys.argv[1])
shared = [f"s{i:02}" for i in range(N_SHARED)]
own = [f"c{i:02}" for i in range(N_OWN)]
fields = lambda names: "\n".join(f'{name} = "number"' for name in names)

(folder / "blueprints").mkdir(parents=True)
(folder / "blueprints" / "rank.toml").write_text(f"""name = "rank"
unit = "query"
[decision]
kind = "rank"
[context]
{fields(shared)}
[candidates]
{fields(own)}
[outcome]
event = "clicked"
aggregation = "any"
window = "10m"
[policy]
kind = "greedy"
""")
(folder / "lakeloop.toml").write_text('[server]\nlisten = "127.0.0.1:0"\nsql_listen = "off"\n')

rng = numpy.random.default_rng(7)
rows = rng.normal(size=(20_000, N_SHARED + N_OWN)).astype(numpy.float32)
score = rows[:, 0] * rows[:, N_SHARED] + rows[:, N_SHARED + 1] + 0.5 * rows[:, 1]
labels = rng.random(len(rows)) < 1 / (1 + numpy.exp(-score))
matrix = xgboost.DMatrix(rows, labels, feature_names=shared + own)
parameters = {"objective": "binary:logistic", "max_depth": 6, "tree_method": "hist", "seed": 7, "nthread": 2}
xgboost.train(parameters, matrix, 200).save_model(folder / "model.ubj")

numbers = lambda names: {name: round(float(rng.normal()), 4) for name in names}
request = {
    "strategy": "rank",
    "unit": "query-1",
    "context": numbers(shared),
    "candidates": [{"id": f"item-{i}", "context": numbers(own)} for i in range(N_CANDIDATES)],
}
(folder / "request.json").write_text(json.dumps(request))
