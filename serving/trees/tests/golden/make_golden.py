"""Makes the models and expected values of this folder with XGBoost's own predictor.

Run it once for each version of XGBoost that wrote files here; it makes the cases of the version that it finds, or
only those that are named:

    pip install numpy scipy xgboost-cpu==3.4.1  (then the others)
    python make_golden.py [CASE...]

The files here were made on Linux x86-64 with one thread, with xgboost-cpu 3.4.1, 3.2.0, 3.1.3, 3.0.5 and 2.1.4 and
xgboost 1.7.6 (Python 3.13 and 3.11), and with xgboost 1.6.2, 1.5.2, 1.3.3 and 1.0.2 (Python 3.9). Every case has a seed
of its own: the CRC-32 of its name.

<case>.ubj or <case>.json is the saved model. <case>.expected.json holds rows (null is missing), margins
(output_margin) and predictions, one list a row; each number is the shortest text that reads back as the same f32.
"""

import json
import pathlib
import sys
import tempfile
import zlib

import numpy as np
import xgboost as xgb

HERE = pathlib.Path(__file__).parent
VERSION = tuple(int(part) for part in xgb.__version__.split(".")[:2])
N_FEATURES = 5
N_ROWS = 30


class Case:
    """Seeded inputs of one case, and a way to keep what comes of them."""

    def __init__(self, name):
        self.name = name
        self.seed = zlib.crc32(name.encode())
        self.rng = np.random.default_rng(self.seed)

    def rows(self, n_rows, missing=0.15):
        rows = self.rng.normal(size=(n_rows, N_FEATURES)).astype(np.float32)
        rows[:, 4] = np.round(rows[:, 4])  # many values that equal a threshold
        rows[self.rng.random(rows.shape) < missing] = np.nan
        return rows

    def signal(self, rows):
        x = np.nan_to_num(rows, nan=0.7)
        return x[:, 0] + 0.5 * x[:, 1] * x[:, 2] - 0.8 * (x[:, 3] > 0.3) + 0.3 * x[:, 4]

    def train(self, params, rows, label, n_rounds=4, types=None, group=None):
        matrix = as_matrix(rows, types, label=label)
        if group is not None:
            matrix.set_group(group)
        seed = self.seed if VERSION > (1, 0) else self.seed % 2**31  # 1.0 takes no larger one
        defaults = {"max_depth": 3, "eta": 0.4, "nthread": 1, "seed": seed, "tree_method": "hist"}
        return xgb.train({**defaults, **params}, matrix, n_rounds)

    def named(self):
        """Whether this case is to be written."""
        return self.name in (sys.argv[1:] or [self.name])

    def keep(self, booster, rows, formats=("ubj",), types=None, predictor=None):
        if not self.named():
            return
        matrix = as_matrix(rows, types)
        margins = booster.predict(matrix, output_margin=True)
        predictions = (predictor or booster).predict(matrix)
        for extension in formats:
            (HERE / f"{self.name}.{extension}").write_bytes(saved(booster, extension))
        text = {
            "made_by": f"xgboost {xgb.__version__}",
            "seed": self.seed,
            "rows": table(rows),
            "margins": table(margins),
            "predictions": table(predictions),
        }
        body = ",\n".join(f'"{key}": {as_text(value)}' for key, value in text.items())
        (HERE / f"{self.name}.expected.json").write_text("{\n" + body + "\n}\n")


def as_matrix(rows, types, **labels):
    """Versions before 1.3 know no categories, and no parameter for them."""
    if types is None:
        return xgb.DMatrix(rows, **labels)
    return xgb.DMatrix(rows, feature_types=types, enable_categorical=True, **labels)


def saved(booster, extension):
    """The bytes that save_model writes; versions before 1.6 write JSON to a file only."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / f"model.{extension}"
        booster.save_model(str(file))
        return file.read_bytes()


def table(values):
    return np.asarray(values, dtype=np.float32).reshape(len(values), -1)


def as_text(value):
    if not isinstance(value, np.ndarray):
        return json.dumps(value)
    row_texts = ("[" + ", ".join(number(x) for x in row) + "]" for row in value)
    return "[\n" + ",\n".join(row_texts) + "\n]"


def number(x):
    return "null" if np.isnan(x) else np.format_float_scientific(x, unique=True, trim="0", exp_digits=1)


def single_output(name, params, label_of, formats=("ubj",), n_rounds=4):
    case = Case(name)
    rows = case.rows(400)
    booster = case.train(params, rows, label_of(case, case.signal(rows)), n_rounds)
    case.keep(booster, case.rows(N_ROWS), formats)


def real(case, signal):
    return signal + case.rng.normal(scale=0.3, size=len(signal))


def positive(case, signal):
    return np.exp(0.5 * real(case, signal))


def share(case, signal):
    return 1 / (1 + np.exp(-real(case, signal)))


def yes_no(case, signal):
    return (real(case, signal) > 0).astype(np.float32)


def count(case, signal):
    return case.rng.poisson(np.exp(0.4 * signal))


def zero_or_more(case, signal):
    return np.where(case.rng.random(len(signal)) < 0.3, 0, positive(case, signal))


def with_objective(booster, name):
    """The same trees under another objective."""
    model = json.loads(saved(booster, "json"))
    model["learner"]["objective"]["name"] = name
    return loaded(model)


def loaded(model):
    booster = xgb.Booster({"nthread": 1})
    booster.load_model(bytearray(json.dumps(model).encode()))
    return booster


def classes(name, objective, params=None, formats=("ubj",)):
    case = Case(name)
    rows = case.rows(400)
    label = np.digitize(real(case, case.signal(rows)), [-0.6, 0.9])
    booster = case.train({"objective": objective, "num_class": 3, **(params or {})}, rows, label, 3)
    # multi:softmax predicts a class; its probabilities are those of multi:softprob.
    case.keep(booster, case.rows(N_ROWS), formats, predictor=with_objective(booster, "multi:softprob"))


def ranking(name, objective, formats=("ubj",)):
    case = Case(name)
    rows = case.rows(400)
    bounds = [0.2] if objective == "rank:map" else [-0.6, 0.9]  # rank:map knows relevant or not
    label = np.digitize(real(case, case.signal(rows)), bounds)
    booster = case.train({"objective": objective}, rows, label, 4, group=[8] * 50)
    case.keep(booster, case.rows(N_ROWS), formats)


def quantiles(name, alphas):
    case = Case(name)
    rows = case.rows(400)
    label = real(case, case.signal(rows))
    booster = case.train({"objective": "reg:quantileerror", "quantile_alpha": alphas}, rows, label, 3)
    case.keep(booster, case.rows(N_ROWS))


def targets(name):
    case = Case(name)
    rows = case.rows(400)
    signal = case.signal(rows)
    label = np.stack([real(case, signal), real(case, -2 * signal)], axis=1)
    booster = case.train({"objective": "reg:squarederror"}, rows, label, 4)
    case.keep(booster, case.rows(N_ROWS))


def categories(name, formats, params, unseen=True):
    """Codes of 12 and of 70 categories; rows to predict also bring codes that training never saw, which versions before
    1.7 sent elsewhere."""
    case = Case(name)
    types = ["c", "q", "c", "q", "q"]

    def with_codes(rows, n_small, n_large):
        missing = np.isnan(rows)
        rows[:, 0] = case.rng.integers(n_small, size=len(rows))
        rows[:, 2] = case.rng.integers(n_large, size=len(rows))
        rows[missing] = np.nan
        return rows

    rows = with_codes(case.rows(800), 12, 70)
    small, large = np.nan_to_num(rows[:, 0], nan=3), np.nan_to_num(rows[:, 2], nan=5)
    label = real(case, np.sin(5 * small) + np.cos(3 * large) + np.nan_to_num(rows[:, 1]))
    params = {"objective": "reg:squarederror", "max_depth": 4, **params}
    booster = case.train(params, rows, label, 4, types=types)
    if not unseen:
        case.keep(booster, with_codes(case.rows(N_ROWS), 12, 70), formats, types)
        return
    rows = with_codes(case.rows(N_ROWS), 16, 100)
    odd = np.array([2.5, 11.999, -0.0, 1e6, 16777214, 16777216, 2e9, 3e38], dtype=np.float32)
    rows[: len(odd), 0] = odd
    rows[len(odd) : 2 * len(odd), 2] = odd
    case.keep(booster, rows, formats, types)


def survival(name, objective):
    """Times of events, some of them censored: by a negative label for cox, by an open interval for aft."""
    case = Case(name)
    rows = case.rows(400)
    time = positive(case, case.signal(rows)).astype(np.float32)
    censored = case.rng.random(len(time)) < 0.2
    if objective == "survival:cox":
        booster = case.train({"objective": objective}, rows, np.where(censored, -time, time))
    else:
        matrix = as_matrix(rows, None)
        matrix.set_float_info("label_lower_bound", time)
        matrix.set_float_info("label_upper_bound", np.where(censored, np.inf, time).astype(np.float32))
        params = {"objective": objective, "max_depth": 3, "nthread": 1, "seed": case.seed, "tree_method": "hist"}
        booster = xgb.train(params, matrix, 4)
    case.keep(booster, case.rows(N_ROWS))


def missing_split(name):
    """Splits that only ask whether a value is missing. The trainer writes the threshold minus infinity when that is
    best; here it is put into every second tree."""
    case = Case(name)
    rows = case.rows(400)
    booster = case.train({"objective": "reg:squarederror"}, rows, real(case, case.signal(rows)), 4)
    model = json.loads(saved(booster, "json"))
    for tree in model["learner"]["gradient_booster"]["model"]["trees"][::2]:
        tree["split_conditions"][0] = -np.inf
        tree["split_conditions"][1] = np.inf
    booster = loaded(model)
    assert b"-Infinity" in booster.save_raw("json") and b",Infinity" in booster.save_raw("json")
    case.keep(booster, case.rows(N_ROWS), ("json", "ubj"))


def reached(tree, node=0):
    """The nodes from this one down."""
    left, right = tree["left_children"][node], tree["right_children"][node]
    return [node] + (reached(tree, left) + reached(tree, right) if left != -1 else [])


def pruned(name, formats=("ubj",)):
    """Trees that the pruner cut back, so that deleted nodes stand in the file."""
    case = Case(name)
    rows = case.rows(400)
    label = real(case, case.signal(rows))
    params = {"objective": "reg:squarederror", "tree_method": "exact", "gamma": 3.0, "max_depth": 5}
    booster = case.train(params, rows, label, 6)
    trees = json.loads(saved(booster, "json"))["learner"]["gradient_booster"]["model"]["trees"]
    assert any(len(reached(tree)) < len(tree["parents"]) for tree in trees), "the case needs deleted nodes"
    case.keep(booster, case.rows(N_ROWS), formats)


def dart(name, formats):
    params = {"booster": "dart", "objective": "binary:logistic", "rate_drop": 0.4, "skip_drop": 0.1}
    single_output(name, params, yes_no, formats, n_rounds=6)


def refused(name, params, label_of):
    """A model that is to be refused; nothing is expected of it but that."""
    case = Case(name)
    rows = case.rows(100)
    booster = case.train(params, rows, label_of(case, case.signal(rows)), 2)
    if case.named():
        (HERE / f"{name}.json").write_bytes(saved(booster, "json"))


def two_columns(case, signal):
    return np.stack([real(case, signal), real(case, signal)], axis=1)


def make_3_4():
    both = ("json", "ubj")
    single_output("binary_logistic", {"objective": "binary:logistic"}, yes_no, both)
    single_output("binary_logitraw", {"objective": "binary:logitraw"}, yes_no)
    single_output("reg_logistic", {"objective": "reg:logistic"}, share)
    single_output("reg_squarederror", {"objective": "reg:squarederror"}, real, both)
    single_output("reg_absoluteerror", {"objective": "reg:absoluteerror"}, real)
    single_output("reg_squaredlogerror", {"objective": "reg:squaredlogerror"}, positive)
    single_output("reg_pseudohubererror", {"objective": "reg:pseudohubererror"}, real)
    single_output("reg_gamma", {"objective": "reg:gamma"}, positive)
    single_output("reg_tweedie", {"objective": "reg:tweedie"}, zero_or_more)
    single_output("count_poisson", {"objective": "count:poisson"}, count)
    single_output("binary_hinge", {"objective": "binary:hinge"}, yes_no)
    survival("survival_cox", "survival:cox")
    survival("survival_aft", "survival:aft")
    single_output("base_score_given", {"objective": "binary:logistic", "base_score": 0.125}, yes_no, both, 3)
    single_output("base_score_edge", {"objective": "binary:logistic"}, lambda _, s: np.ones(len(s)), n_rounds=1)
    single_output("no_rounds", {"objective": "count:poisson", "base_score": 2.5}, count, n_rounds=0)
    forest = {"objective": "binary:logistic", "num_parallel_tree": 2, "subsample": 0.5}
    single_output("forest", forest, yes_no, n_rounds=2)
    leaf_wise = {"objective": "reg:squarederror", "grow_policy": "lossguide", "max_depth": 0, "max_leaves": 24}
    single_output("leaf_wise", leaf_wise, real)
    classes("multi_softprob", "multi:softprob", formats=both)
    classes("multi_softmax", "multi:softmax")
    ranking("rank_ndcg", "rank:ndcg")
    ranking("rank_pairwise", "rank:pairwise")
    ranking("rank_map", "rank:map")
    quantiles("quantile_one", [0.8])
    quantiles("quantile_two", [0.1, 0.9])
    quantiles("quantile_crossing", [0.45, 0.5, 0.55])
    targets("two_targets")
    categories("categorical_onehot", both, {"max_cat_to_onehot": 100})
    categories("categorical_partition", both, {"max_cat_to_onehot": 1})
    missing_split("missing_split")
    pruned("pruned")
    dart("dart", both)
    refused("refused_gblinear", {"booster": "gblinear", "tree_method": None, "max_depth": None}, real)
    refused("refused_vector_leaf", {"multi_strategy": "multi_output_tree"}, two_columns)
    refused("refused_objective", {"objective": "reg:expectileerror", "expectile_alpha": 0.5}, real)


def make_older(version):
    """What changed over time: how base scores, trees, categories and weights of dart are written, and by whom."""
    name = "{}_{}".format(*version)
    both = ("json", "ubj") if version >= (1, 6) else ("json",)
    single_output(f"binary_logistic_{name}", {"objective": "binary:logistic", "base_score": 0.25}, yes_no, both, 4)
    single_output(f"count_poisson_{name}", {"objective": "count:poisson"}, count, both[-1:], n_rounds=4)
    single_output(f"binary_logitraw_{name}", {"objective": "binary:logitraw"}, yes_no, both[-1:], n_rounds=4)
    classes(f"multi_softprob_{name}", "multi:softprob", {"max_depth": 2}, both[-1:])
    dart(f"dart_{name}", ("json",))
    if version >= (1, 5):
        # Version 1.5 splits on one category against all others, and only by this method.
        params = {"max_cat_to_onehot": 1} if version >= (1, 6) else {"tree_method": "approx"}
        categories(f"categorical_{name}", ("json",), params, unseen=version >= (1, 7))
    if version >= (1, 6):
        targets(f"two_targets_{name}")
    if version >= (2, 0):
        quantiles(f"quantile_{name}", [0.2, 0.9])
    if version < (1, 7):
        pruned(f"pruned_{name}", both)
        ranking(f"rank_pairwise_{name}", "rank:pairwise", both)


if VERSION == (3, 4):
    make_3_4()
else:
    make_older(VERSION)
