"""Counts rows of a lake with readers that lakeloop had no part in: Python's deltalake, and DuckDB over its Arrow data.

Usage: python readers.py LAKE_FOLDER   (deltalake and duckdb from PyPI); prints JSON
"""
import json
import sys

import duckdb
from deltalake import DeltaTable

lake = sys.argv[1]
decisions = DeltaTable(f"{lake}/decisions").to_pyarrow_table()
models = DeltaTable(f"{lake}/models").to_pyarrow_table()
outcomes = DeltaTable(f"{lake}/outcomes").to_pyarrow_table()
vegetarians = sum(dict(row)["vegetarian"] == 1.0 for row in decisions["numeric"].to_pylist())
connection = duckdb.connect()
for name, table in {"decisions": decisions, "models": models, "outcomes": outcomes}.items():
    connection.register(name, table)
queries = {
    "decisions": "SELECT COUNT(*) FROM decisions",
    "models": "SELECT COUNT(*) FROM models",
    "outcomes": "SELECT COUNT(*) FROM outcomes",
    "vegetarians": "SELECT COUNT(*) FROM decisions WHERE numeric['vegetarian'] = 1.0",
}
answers = {
    "deltalake": {
        "decisions": decisions.num_rows, "models": models.num_rows, "outcomes": outcomes.num_rows,
        "vegetarians": vegetarians,
    },
    "duckdb": {name: connection.execute(query).fetchone()[0] for name, query in queries.items()},
}
print(json.dumps(answers))
