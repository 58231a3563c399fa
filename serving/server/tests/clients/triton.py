"""Asks a lakeloop server for scores with Triton's own HTTP client, by every form of tensors that it knows.

Usage: python triton.py HOST:PORT MODEL EXPECTED_JSON   (tritonclient[http] from PyPI)

EXPECTED_JSON holds `rows`, one list of numbers a row (null where missing), and `predictions`, as XGBoost made them. The
inputs of the model are the fields a, b, c, …
"""
import json
import math
import sys

import numpy
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

address, model, expected = sys.argv[1:]
with open(expected) as file:
    golden = json.load(file)
rows = numpy.array([[math.nan if value is None else value for value in row] for row in golden["rows"]])
predictions = numpy.array(golden["predictions"])
names = [chr(ord("a") + position) for position in range(rows.shape[1])]

client = triton.InferenceServerClient(address)
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready(model) and client.is_model_ready(model, "1")
assert not client.is_model_ready(model, "9") and not client.is_model_ready("nothing")
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
metadata = client.get_model_metadata(model)
assert metadata["versions"] == ["1"], metadata
assert metadata["inputs"] == [{"name": name, "datatype": "FP64", "shape": [-1]} for name in names], metadata
assert metadata["outputs"] == [{"name": "scores", "datatype": "FP64", "shape": [-1, 1]}], metadata


def columns(datatype, kind, binary, shape):
    inputs = []
    for position, name in enumerate(names):
        tensor = triton.InferInput(name, shape, datatype)
        tensor.set_data_from_numpy(rows[:, position].astype(kind).reshape(shape), binary_data=binary)
        inputs.append(tensor)
    return inputs


def check(what, inputs, tolerance=1e-6, **options):
    answer = client.infer(model, inputs, request_id="r-1", **options)
    scores = answer.as_numpy("scores")
    assert scores.shape == predictions.shape, (what, scores.shape)
    worst = numpy.abs(scores - predictions).max()
    assert worst <= tolerance, (what, worst)
    response = answer.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("r-1", model, "1"), response


n_rows = len(rows)
check("FP64 in bytes", columns("FP64", numpy.float64, True, [n_rows]))
check("FP32 in bytes, [n, 1]", columns("FP32", numpy.float32, True, [n_rows, 1]))
matrix = triton.InferInput("input-0", list(rows.shape), "FP32")
matrix.set_data_from_numpy(rows.astype(numpy.float32), binary_data=True)
check("a matrix", [matrix])
check("a matrix, this version", [matrix], model_version="1")
check("compressed", [matrix], request_compression_algorithm="gzip")
as_json = [triton.InferRequestedOutput("scores", binary_data=False)]
check("bytes in, JSON out", [matrix], outputs=as_json)

# JSON has no NaN, so this form is asked only for rows that are whole.
whole = ~numpy.isnan(rows).any(axis=1)
rows, predictions = rows[whole], predictions[whole]
assert len(rows) > 0
check("FP64 in JSON, JSON out", columns("FP64", numpy.float64, False, [len(rows)]), outputs=as_json)
check("FP32 in JSON, bytes out", columns("FP32", numpy.float32, False, [len(rows), 1]))

for what, inputs, options, said in [
    ("another version", [matrix], {"model_version": "9"}, "the live version is 1"),
    ("an unknown output", [matrix], {"outputs": [triton.InferRequestedOutput("scors")]}, "there is one, `scores`"),
    ("a matrix that is too narrow", None, {}, "expected 5"),
]:
    if inputs is None:
        narrow = triton.InferInput("input-0", [1, 4], "FP32")
        narrow.set_data_from_numpy(numpy.zeros((1, 4), dtype=numpy.float32))
        inputs = [narrow]
    try:
        client.infer(model, inputs, **options)
    except InferenceServerException as error:
        assert said in error.message(), (what, error)
    else:
        raise AssertionError(f"{what} was not refused")
try:
    client.get_model_metadata("nothing")
except InferenceServerException as error:
    assert "there is no strategy `nothing`" in error.message() and error.status() == "404", error
else:
    raise AssertionError("an unknown model was not refused")
print("ok")
