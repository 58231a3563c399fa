"""Sends tables to a lakeloop server with Arrow's C++ implementation, and reads its answers with it.

Usage: python tables.py URL EXPECTED_JSON   (pyarrow from PyPI); prints the decision ids as JSON

The server has the strategies `dish` (choose, without a model) and `late` (yes/no, with the model that EXPECTED_JSON has
rows and predictions of).
"""
import json
import math
import sys
import urllib.error
import urllib.request

import pyarrow

STREAM = "application/vnd.apache.arrow.stream"
url, expected = sys.argv[1:]


def written(table):
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        # Small batches, so that there are several.
        writer.write_table(table, max_chunksize=7)
    return sink.getvalue().to_pybytes()


def post(path, body, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{url}{path}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers["content-type"], answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["content-type"], error.read()


def read(answer):
    status, content_type, body = answer
    assert (status, content_type) == (200, STREAM), (status, content_type, body)
    return pyarrow.ipc.open_stream(body).read_all()


# Scores equal those of XGBoost, with narrow numbers as with wide ones.
with open(expected) as file:
    golden = json.load(file)
names = [chr(ord("a") + position) for position in range(len(golden["rows"][0]))]
columns = {
    name: pyarrow.array([row[position] for row in golden["rows"]], pyarrow.float64() if position % 2 else pyarrow.float32())
    for position, name in enumerate(names)
}
rows = pyarrow.table(columns).replace_schema_metadata({"strategy": "late"})
scored = read(post("/v1/predict", written(rows), content_type=STREAM))
assert scored.schema.metadata == {b"model_version": b"1"}, scored.schema.metadata
for score, prediction in zip(scored["scores"].to_pylist(), golden["predictions"], strict=True):
    assert math.isclose(score[0], prediction[0], abs_tol=1e-6), (score, prediction)
status, content_type, body = post("/v1/predict", written(rows), content_type=STREAM, accept="application/json")
assert (status, content_type) == (200, "application/json")
assert json.loads(body)["scores"] == scored["scores"].to_pylist()

# Decisions: dictionaries, nulls, an id chosen by the caller, another strategy in the same table.
asked = pyarrow.table({
    "strategy": pyarrow.array(["dish", "dish", "late"]).dictionary_encode(),
    "unit": ["ada", "bob", "carl"],
    "decision_id": pyarrow.array(["mine", None, None], pyarrow.large_string()),
})
dish = asked.slice(0, 2).append_column("age", pyarrow.array([31, 54], pyarrow.int16()))
dish = dish.append_column("city", pyarrow.array(["lisbon", None]).dictionary_encode())
dish = dish.append_column("vegetarian", pyarrow.array([None, True]))
decided = read(post("/v1/decide/batch", written(dish), content_type=STREAM))
assert decided["strategy"].to_pylist() == ["dish", "dish"]
assert decided["decision_id"][0].as_py() == "mine"
assert set(decided["action"].to_pylist()) <= {"ramen", "tacos", "pizza", "sushi"}
assert decided["propensity"].to_pylist() == [0.25, 0.25]
assert decided["scores"].to_pylist() == [[], []] and decided["value"].null_count == 2
late = asked.slice(2).append_column("a", pyarrow.array([0.5]))
by_model = read(post("/v1/decide/batch", written(late), content_type=STREAM))
assert by_model["model_version"].to_pylist() == [1] and len(by_model["scores"][0].as_py()) == 1
body = json.dumps({"decisions": [{"strategy": "dish", "unit": "ada", "decision_id": "mine", "context": {"age": 1}}]})
repeated = read(post("/v1/decide/batch", body.encode(), content_type="application/json", accept=STREAM))
assert repeated.to_pylist() == decided.slice(0, 1).to_pylist(), "a repeat"

# What is wrong is named by row and column, and refuses all. (A repeat would get its first answer.)
dish = dish.drop_columns(["decision_id"])
at = pyarrow.array([31, 54], pyarrow.int64())
for status, said, table in [
    (422, "row 1, column age", dish.set_column(2, "age", pyarrow.array([31, None], pyarrow.int16()))),
    (422, "row 0, column age", dish.set_column(2, "age", pyarrow.array([math.inf, 1.0]))),
    (422, "row 0, column ages", dish.rename_columns(["strategy", "unit", "ages", "city", "vegetarian"])),
    (422, "row 0, column city", dish.set_column(3, "city", at)),
    (422, "column age", dish.set_column(2, "age", pyarrow.array([[1], [2]]))),
    (422, "row 0, column unit", dish.drop_columns(["unit"])),
    (422, "row 0, column event_time", dish.append_column("event_time", pyarrow.array([1, 2], pyarrow.timestamp("us")))),
    (404, "there is no strategy", dish.set_column(0, "strategy", pyarrow.array(["dish", "fish"]))),
]:
    found, content_type, body = post("/v1/decide/batch", written(table), content_type=STREAM)
    problem = json.loads(body)
    assert (found, content_type) == (status, "application/problem+json"), (said, found, problem)
    assert said in f"{problem.get('field')}: {problem['detail']}", (said, problem)

compressed = pyarrow.BufferOutputStream()
options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
with pyarrow.ipc.new_stream(compressed, dish.schema, options=options) as writer:
    writer.write_table(dish)
status, _, body = post("/v1/decide/batch", compressed.getvalue().to_pybytes(), content_type=STREAM)
assert status == 400 and b"compressed" in body, body
print(json.dumps(decided["decision_id"].to_pylist() + by_model["decision_id"].to_pylist()))
