"""Writes a lakeloop home for the HTTP benchmark: a yes/no strategy with 50 numbers as context, a history to train it on,
a request, and a script for wrk.

Usage: python3 blueprint.py FOLDER
"""
import csv
import json
import os
import random
import sys

folder = sys.argv[1]
names = [f"f{i}" for i in range(50)]
rng = random.Random(7)
os.makedirs(f"{folder}/blueprints", exist_ok=True)
with open(f"{folder}/blueprints/bench.toml", "w") as file:
    file.write('name = "bench"\nunit = "user"\n[decision]\nkind = "yes_no"\ndefault = false\n[context]\n')
    file.writelines(f'{name} = "number"\n' for name in names)
    file.write('[outcome]\nevent = "clicked"\naggregation = "any"\nwindow = "30m"\nabsent = 0\n[schedule]\ntrials = 4\n')
with open(f"{folder}/lakeloop.toml", "w") as file:
    file.write('[journal]\nmax_size = "16GiB"\nsegment_size = "64MiB"\n[server]\nworkers = 2\nsql_listen = "off"\n')
with open(f"{folder}/history.toml", "w") as file:
    file.write('target = "decisions"\nstrategy = "bench"\ndecision_id = { prefix = "history-", row = true }\nunit = "user"\n'
               'event_time = { column = "second", unit = "s" }\naction = "action"\npropensity = { value = 1.0 }\n[context]\n')
    file.writelines(f'{name} = "{name}"\n' for name in names)
    file.write('[outcome]\nevent = "clicked"\nvalue = "clicked"\n')
with open(f"{folder}/history.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["user", "second", "action", "clicked", *names])
    for n in range(20_000):
        values = [rng.gauss(0, 1) for _ in names]
        score = values[0] * values[1] + values[2] - (values[3] > 0.5) + sum(values[4:12]) * 0.3 + rng.gauss(0, 1)
        rows.writerow([f"user-{n}", 1_767_571_200 + n, "no", int(score > 0), *(f"{value:.6f}" for value in values)])
request = {"strategy": "bench", "unit": "user-17", "context": {name: round(rng.gauss(0, 1), 6) for name in names}}
with open(f"{folder}/request.json", "w") as file:
    json.dump(request, file)
with open(f"{folder}/post.lua", "w") as file:
    file.write(f"wrk.method = 'POST'\nwrk.headers['content-type'] = 'application/json'\nwrk.body = [[{json.dumps(request)}]]\n")
