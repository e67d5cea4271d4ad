#!/usr/bin/env python3
"""How far estimates from weights alone follow measured interference: rank correlations, as docs/interference.md quotes them.

    python3 Fixtures/suites/estimates.py [--tool .build/release/untangle] [SUITE-FOLDER ...]

Over pairs of experts: each estimate against the mean of what either expert does to the other's task (`--matrix`, symmetrised).
Over merges of all experts by several methods and coefficients: each estimate against the interference of the merge, and against the
share of inputs on which it agrees with its experts. Spearman's rank correlation with an interval of 95 %, from 2000 resamples (seed 0) of the
pairs or merges. Needs nothing but Python 3.
"""
import argparse
import json
import pathlib
import random
import subprocess

ESTIMATES = ["cosine", "sign_conflict", "subspace_overlap", "svc", "counted_twice"]
DISTANCES = ["kl", "reverse_kl", "cross_entropy", "mse"]
MERGES = (
    [("average", None)]
    + [("task_arithmetic", x) for x in (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1)]
    + [("ties", x) for x in (0.3, 0.5, 0.75, 1, 1.5)]
    + [("tsv_m", x) for x in (0.25, 0.5, 0.75, 1, 1.25)]
    + [("iso_c", x) for x in (0.25, 0.5, 0.75, 1, 1.5)]
    + [("iso_cts", x) for x in (0.5, 1)]
    + [("consensus_ta", x) for x in (0.2, 0.3, 0.5)]
    + [("breadcrumbs", x) for x in (0.3, 0.6)]
    + [("sce", x) for x in (0.5, 1)]
)


def measure(tool, folder, method, coefficient, *options):
    """The document of `untangle interference` for a merge of all experts of a suite."""
    tasks = json.loads((folder / "config.json").read_text())["tasks"]
    command = [tool, "interference", "--base", folder / "base.safetensors", "--method", method]
    for task in tasks:
        command += ["--expert", f"{task}={folder}/expert_{task}.safetensors"]
        command += ["--head", f"{task}={folder}/heads_{task}.safetensors"]
        command += ["--data", f"{task}={folder}/test_{task}.npz"]
    for distance in DISTANCES:
        command += ["--distance", distance]
    if coefficient is not None:
        command += ["--set", f"lambda={coefficient}"]
    command += ["--estimates", "--json", "--quiet", *options]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{method} {coefficient}: {done.stderr}")
    return json.loads(done.stdout)


def ranks(values):
    """Ranks from 0, the mean of them for equal values."""
    order = sorted(range(len(values)), key=values.__getitem__)
    result = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            result[place] = (start + end - 1) / 2
        start = end
    return result


def spearman(a, b):
    """The correlation of ranks; None when all values of one side are equal."""
    a, b = ranks(a), ranks(b)
    mean = (len(a) - 1) / 2
    product = sum((x - mean) * (y - mean) for x, y in zip(a, b))
    norm = (sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b)) ** 0.5
    return product / norm if norm else None


def interval(a, b, resamples=2000):
    """The middle 95 % of the correlations of resampled points."""
    generator = random.Random(0)
    found = []
    for _ in range(resamples):
        places = [generator.randrange(len(a)) for _ in a]
        value = spearman([a[place] for place in places], [b[place] for place in places])
        if value is not None:
            found.append(value)
    found.sort()
    tail = round(0.025 * len(found))
    return found[tail], found[-1 - tail]


def pairs(document):
    """Estimates of each pair of experts, and what either does to the other's task by each distance."""
    names = document["matrix"]["rows"]
    points = []
    for pair in document["estimates"]["pairs"]:
        i, j = names.index(pair["a"]), names.index(pair["b"])
        measured = {
            entry["distance"]: (entry["matrix"]["values"][i][j] + entry["matrix"]["values"][j][i]) / 2
            for entry in document["distances"]
        }
        points.append((pair, measured))
    return points, DISTANCES


def merge(document):
    """Estimates of a merged model, and what was measured of it."""
    measured = {entry["distance"]: entry["total"] for entry in document["distances"]}
    return document["estimates"]["merge"], measured | {"agreement": document["mean_agreement"]}


def correlation(points, estimate, figure):
    """The rank correlation of an estimate and a figure over points, with its interval."""
    # Rounded, so that what differs in rounding alone has one rank, as sign conflicts do where only a coefficient changes.
    a, b = [round(point[0][estimate], 4) for point in points], [point[1][figure] for point in points]
    value = spearman(a, b)
    if value is None:
        return "-"
    low, high = interval(a, b)
    return f"{value:+.2f} ({low:+.2f} .. {high:+.2f})"


def show(title, points, figures):
    print(f"\n{title}: {len(points)} points\n")
    print("| estimate | " + " | ".join(figures) + " |")
    print("|---|" + "---|" * len(figures))
    for estimate in ESTIMATES:
        cells = []
        for figure in figures:
            cells.append(correlation(points, estimate, figure))
        print(f"| {estimate} | " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", default=".build/release/untangle")
    parser.add_argument("folders", nargs="*", type=pathlib.Path, metavar="SUITE-FOLDER")
    arguments = parser.parse_args()
    here = pathlib.Path(__file__).parent
    for folder in arguments.folders or [here / "tiny", here / "eight-tasks"]:
        document = measure(arguments.tool, folder, "task_arithmetic", 0.3, "--matrix")
        points, figures = pairs(document)
        show(f"{folder.name}, pairs of experts", points, figures)
        points = [merge(measure(arguments.tool, folder, *item)) for item in MERGES]
        show(f"{folder.name}, merges", points, DISTANCES + ["agreement"])
        few = [point for point, item in zip(points, MERGES) if item[0] == "task_arithmetic"]
        show(f"{folder.name}, task arithmetic alone", few, DISTANCES + ["agreement"])
        ones = [point for point, item in zip(points, MERGES) if item in DEFAULTS]
        show(f"{folder.name}, one coefficient for each method", ones, DISTANCES + ["agreement"])


DEFAULTS = [
    ("average", None), ("task_arithmetic", 0.3), ("ties", 1), ("tsv_m", 1), ("iso_c", 1), ("iso_cts", 1), ("consensus_ta", 0.3),
    ("breadcrumbs", 0.3), ("sce", 1),
]

if __name__ == "__main__":
    main()
