"""The peer of the HTTP benchmark: FastAPI with XGBoost's in-place predict, and the training of the model that both serve.

Usage: python3 peer.py train HISTORY.csv MODEL.ubj      200 trees of depth 6 on the benchmark's history
       python3 peer.py serve MODEL.ubj WORKERS          prints its address and serves POST /v1/decide
"""
import os
import socket
import sys

import numpy as np
import xgboost

N_FEATURES = 50


def train(history, model):
    rows = np.genfromtxt(history, delimiter=",", skip_header=1)
    data = xgboost.DMatrix(rows[:, 4:], rows[:, 3], feature_names=[f"f{i}" for i in range(N_FEATURES)])
    parameters = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.05, "seed": 7}
    xgboost.train(parameters, data, 200).save_model(model)


def app():
    from fastapi import FastAPI, Request
    from fastapi.responses import ORJSONResponse

    booster = xgboost.Booster(model_file=os.environ["PEER_MODEL"])
    booster.set_param({"nthread": 1})
    booster.feature_names = None
    names = [f"f{i}" for i in range(N_FEATURES)]
    served = FastAPI(default_response_class=ORJSONResponse)

    @served.post("/v1/decide")
    async def decide(request: Request):
        asked = await request.json()
        context = asked["context"]
        row = np.array([[context[name] for name in names]], dtype=np.float32)
        score = float(booster.inplace_predict(row)[0])
        return {"unit": asked["unit"], "action": "yes" if score >= 0.5 else "no", "scores": [score]}

    return served


def serve(model, workers):
    import uvicorn

    os.environ["PEER_MODEL"] = model
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    uvicorn.run("peer:app", factory=True, port=port, workers=int(workers), access_log=False, log_level="warning")


if __name__ == "__main__":
    {"train": train, "serve": serve}[sys.argv[1]](*sys.argv[2:])
