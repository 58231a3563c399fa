"""Plays a stream of visits with Vowpal Wabbit's contextual bandit, and prints its mean reward.

    vw.py STREAM SEED [VW options]

STREAM has a JSON object a line: `context` (numbers, booleans, texts), `actions` (their names) and `rewards` (what each
action would bring). Options are added to `--cb_explore_adf`, whose exploration is its default: epsilon_greedy with 0.05.
Every decision is learned from before the next one.
"""

import json
import random
import sys

from vowpalwabbit import Workspace


def example(visit, label=None):
    """The visit as VW's text: shared features, then one line an action, the chosen one with its label."""
    words = []
    for name, value in visit["context"].items():
        if isinstance(value, bool) or isinstance(value, str):
            words.append(f"{name}={str(value).lower()}")
        else:
            words.append(f"{name}:{value}")
    lines = ["shared |u " + " ".join(words)]
    for idx, action in enumerate(visit["actions"]):
        prefix = f"{label[0]}:{label[1]}:{label[2]} " if label and label[0] == idx else ""
        lines.append(f"{prefix}|a dish={action}")
    return lines


def main(stream, seed, options):
    vw = Workspace(" ".join(["--cb_explore_adf", "--quiet", "--random_seed", seed, *options]))
    rng = random.Random(int(seed))
    total = n = 0
    for line in open(stream, encoding="utf-8"):
        visit = json.loads(line)
        probabilities = vw.predict(example(visit))
        chosen = rng.choices(range(len(probabilities)), probabilities)[0]
        reward = visit["rewards"][chosen]
        vw.learn(example(visit, (chosen, -reward, probabilities[chosen])))
        total += reward
        n += 1
    print(total / n)


main(sys.argv[1], sys.argv[2], sys.argv[3:])
