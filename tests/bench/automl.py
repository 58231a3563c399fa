"""AutoML side by side: ours and FLAML's on the same splits, with the same budget of wall-clock time on two cores.

Usage: automl.py BINARY SHARED OUT_DIR BUDGET SETS SEEDS

Run by `just bench-automl` with FLAML's own Python. For each set and seed the two take turns, and who begins changes with
the seed, so that whatever else the machine does meets both. Each run is a process of its own. FLAML is given the metric that is
reported (AUC, log loss or RMSE) and all its learners; ours searches by its own loss. Predictions of ours come from the serving
code; the model's bytes are those of a pickle: of FLAML's fitted estimator, and of the bytes that our registry keeps, which are
gzip. So that nobody is misled, the same ratio is told twice more: with ours unpacked, and with both compressed by gzip. For probabilities
of two classes it tells the expected calibration error too. Prints Markdown tables and lines `figure NAME VALUE UNIT`; writes every
run to OUT_DIR/runs.csv.
"""
import gzip, json, os, pickle, statistics, subprocess, sys, time

import numpy as np
import pandas as pd


def sets(shared, out):
    """name -> (task, metric, train, test), each frame with the label first, as `y`."""
    golden = f"{out}/splits"
    subprocess.run([sys.executable, f"{shared}/golden/automl_splits.py", f"{shared}/data", golden], check=True,
                   stdout=subprocess.DEVNULL)

    def parquet(name):
        parts = [pd.read_parquet(f"{golden}/{name}_{part}.parquet") for part in ("train", "test")]
        return [part[["y", *[c for c in part if c != "y"]]] for part in parts]

    def made(x, y, n_train):
        frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])])
        frame.insert(0, "y", y)
        frame = frame.sample(frac=1.0, random_state=7).reset_index(drop=True)
        return [frame[:n_train], frame[n_train:]]

    from sklearn.datasets import load_digits, make_friedman1, make_hastie_10_2
    digits = load_digits()
    x, y = make_hastie_10_2(n_samples=12_000, random_state=11)
    hastie = made(x, (y > 0).astype(int), 8_000)
    x, y = make_friedman1(n_samples=15_000, n_features=10, noise=1.0, random_state=12)
    friedman = made(x, y, 10_000)
    return {
        "adult": ("binary", "auc", *parquet("adult")),
        "flights": ("binary", "auc", *parquet("flights")),
        "hastie": ("binary", "auc", *hastie),
        "digits": ("classes", "log_loss", *made(digits.data, digits.target, 1_200)),
        "friedman": ("number", "rmse", *friedman),
    }


def is_text(column):
    return not pd.api.types.is_numeric_dtype(column)


def badness(metric, labels, scores):
    from sklearn.metrics import log_loss, roc_auc_score
    if metric == "auc":
        return -roc_auc_score(labels, scores)
    if metric == "log_loss":
        return log_loss(labels, scores, labels=sorted(set(labels)))
    return float(np.sqrt(np.mean((np.asarray(labels) - scores) ** 2)))


def calibration_error(labels, scores, n_bins=10):
    """Over bins of equal width, the mean over rows of |mean score - share of positives| in the row's bin."""
    bins = np.minimum((np.asarray(scores) * n_bins).astype(int), n_bins - 1)
    sums = [np.bincount(bins, weights, n_bins) for weights in (scores, labels)]
    return float(np.abs(sums[0] - sums[1]).sum() / len(bins))


def calibration(task, labels, scores):
    """The error of the scores, and the mean error of labels drawn with exactly their probabilities: what chance alone makes."""
    if task != "binary":
        return dict(ece=None, ece_chance=None)
    rng = np.random.default_rng(5)
    drawn = [calibration_error(rng.random(len(scores)) < scores, scores) for _ in range(100)]
    return dict(ece=calibration_error(labels, scores), ece_chance=statistics.mean(drawn))


def flaml(task, metric, train, test, budget, seed):
    """One run of FLAML, in a process of its own: predictions, pickled estimator, what it chose."""
    from flaml import AutoML
    train, test = train.copy(), test.copy()
    for name in train.columns[1:]:
        if is_text(train[name]):
            train[name], test[name] = train[name].astype("category"), test[name].astype("category")
    automl = AutoML()
    automl.fit(
        train.drop(columns="y"), train.y, task="regression" if task == "number" else "classification",
        metric={"auc": "roc_auc", "log_loss": "log_loss", "rmse": "rmse"}[metric], time_budget=budget, n_jobs=2,
        seed=seed, verbose=0, log_file_name="",
    )
    features = test.drop(columns="y")
    if task == "number":
        scores = automl.predict(features)
    else:
        scores = automl.predict_proba(features)
        scores = scores[:, 1] if task == "binary" else scores
    return scores, pickle.dumps(automl.model.estimator), str(automl.best_estimator)


def run_flaml(name, split, budget, seed, out):
    task, metric, train, test = split
    job = f"{out}/{name}_{seed}_flaml"
    pickle.dump((task, metric, train, test, budget, seed), open(f"{job}.in", "wb"))
    begun = time.time()
    # Two threads for what parallelises by OpenMP too, as the other side has.
    subprocess.run([sys.executable, __file__, "--flaml", job], check=True, stdout=subprocess.DEVNULL,
                   stderr=open(f"{job}.log", "w"), env={**os.environ, "OMP_NUM_THREADS": "2"})
    seconds = time.time() - begun
    scores, model, chose = pickle.load(open(f"{job}.out", "rb"))
    return dict(value=badness(metric, test.y, scores), bytes=len(model), unpacked=len(model),
                gzip=len(gzip.compress(model)), seconds=seconds, p99_us=None, chose=chose,
                ece_raw=None, **calibration(task, test.y, scores))


def run_ours(binary, name, split, budget, seed, out):
    task, metric, train, test = split
    for part, frame in (("train", train), ("test", test)):
        file = f"{out}/{name}_{part}.csv"
        if not os.path.exists(file):
            marked = frame.rename(columns={c: f"{c}:c" for c in frame.columns[1:] if is_text(frame[c])})
            marked.to_csv(file, index=False)
    to = f"{out}/{name}_{seed}_ours.csv"
    begun = time.time()
    subprocess.run([binary, f"{out}/{name}_train.csv", f"{out}/{name}_test.csv", task, str(budget), str(seed), to],
                   check=True)
    seconds = time.time() - begun
    scores = pd.read_csv(to, header=None).values
    told = json.load(open(to.replace(".csv", ".json")))
    if task == "classes":
        # Columns come in the order of the classes as texts.
        order = np.argsort([float(c) for c in told["classes"]])
        scores = scores[:, order] / scores.sum(axis=1, keepdims=True)
    else:
        scores, raw = scores[:, 0], scores[:, -1]
    kept = open(to.replace(".csv", ".model"), "rb").read()
    saved = pickle.dumps(gzip.decompress(kept))
    return dict(value=badness(metric, test.y, scores), bytes=len(pickle.dumps(kept)), unpacked=len(saved),
                gzip=len(gzip.compress(saved)),
                seconds=seconds, p99_us=told["p99_us"], chose=f"{told['trials']} trials: {told['parameters']}",
                searched=told["seconds"], ece_raw=calibration_error(test.y, raw) if task == "binary" else None,
                **calibration(task, test.y, scores))


def main():
    binary, shared, out, budget, names, n_seeds = sys.argv[1:7]
    budget, n_seeds = int(budget), int(n_seeds)
    os.makedirs(out, exist_ok=True)
    splits = sets(shared, out)
    names = list(splits) if names == "all" else names.split(",")
    runs = []
    for seed in range(1, n_seeds + 1):
        for name in names:
            sides = ["ours", "flaml"] if seed % 2 else ["flaml", "ours"]
            for side in sides:
                if side == "ours":
                    found = run_ours(binary, name, splits[name], budget, seed, out)
                else:
                    found = run_flaml(name, splits[name], budget, seed, out)
                runs.append(dict(set=name, seed=seed, side=side, **found))
                print(f"{name} seed {seed} {side}: {abs(found['value']):.5f}, {found['bytes']} bytes, "
                      f"{found['seconds']:.0f} s, {found['chose'][:140]}", file=sys.stderr, flush=True)
    runs = pd.DataFrame(runs)
    runs.to_csv(f"{out}/runs.csv", index=False)
    report(runs, splits, names)


def report(runs, splits, names):
    print("| set | metric | ours: median (least–most) | FLAML: median (least–most) | bytes ours | bytes FLAML | ratio "
          "| ours unpacked | both gzip | p99 µs |\n|---|---|---|---|---|---|---|---|---|---|")
    ranks, ratios = {"ours": [], "flaml": []}, {"bytes": [], "unpacked": [], "gzip": []}
    for name in names:
        of = {side: runs[(runs.set == name) & (runs.side == side)].sort_values("seed") for side in ("ours", "flaml")}
        for ours, other in zip(of["ours"].value, of["flaml"].value):
            first, second = (1, 2) if ours < other else (2, 1) if ours > other else (1.5, 1.5)
            ranks["ours"].append(first)
            ranks["flaml"].append(second)
        for which, found in ratios.items():
            found.append(float(np.median(of["ours"][which].values / of["flaml"][which].values)))
        spread = {side: f"{abs(rows.value.median()):.4f} ({rows.value.abs().min():.4f}–{rows.value.abs().max():.4f})"
                  for side, rows in of.items()}
        print(f"| {name} | {splits[name][1]} | {spread['ours']} | {spread['flaml']} | {of['ours'].bytes.median():.0f} | "
              f"{of['flaml'].bytes.median():.0f} | {ratios['bytes'][-1]:.2f} | {ratios['unpacked'][-1]:.2f} | "
              f"{ratios['gzip'][-1]:.2f} | {of['ours'].p99_us.max():.1f} |")
    binary = [name for name in names if splits[name][0] == "binary"]
    if binary:
        print("\n| set | calibration error ours | without calibration | by chance alone | FLAML |\n|---|---|---|---|---|")
    for name in binary:
        of = {side: runs[(runs.set == name) & (runs.side == side)] for side in ("ours", "flaml")}
        cells = [of["ours"].ece, of["ours"].ece_raw, of["ours"].ece_chance, of["flaml"].ece]
        cells = [cell.astype(float) for cell in cells]
        print(f"| {name} | " + " | ".join(f"{c.median():.4f} ({c.min():.4f}–{c.max():.4f})" for c in cells) + " |")
    print()
    print(f"figure mean_rank_ours {statistics.mean(ranks['ours']):.2f} rank")
    print(f"figure mean_rank_flaml {statistics.mean(ranks['flaml']):.2f} rank")
    sides = [runs[runs.side == side].sort_values(["set", "seed"]) for side in ("ours", "flaml")]
    for which, name in (("bytes", "bytes"), ("unpacked", "unpacked_bytes"), ("gzip", "gzip_bytes")):
        print(f"figure {name}_vs_flaml {np.median(sides[0][which].values / sides[1][which].values):.3f} ratio")
        print(f"figure {name}_vs_flaml_by_sets {statistics.median(ratios[which]):.3f} ratio")
    ours = runs[runs.side == "ours"]
    for name in ("adult", "flights"):
        if name in names:
            print(f"figure {name}_auc {-ours[ours.set == name].value.median():.4f} AUC")
    for name in binary:
        print(f"figure {name}_calibration_error {ours[ours.set == name].ece.astype(float).median():.4f} probability")
    print(f"figure chosen_p99_us {ours.p99_us.max():.2f} us")


if sys.argv[1] == "--flaml":
    job = sys.argv[2]
    arguments = pickle.load(open(f"{job}.in", "rb"))
    pickle.dump(flaml(*arguments), open(f"{job}.out", "wb"))
else:
    main()
