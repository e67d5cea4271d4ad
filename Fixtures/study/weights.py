"""How far estimates from weights alone follow measured interference: the tables that Fixtures/suites/estimates.py computes."""
import json

import estimates
from lab import write
from tables import Table

TITLES = {
    "cosine": "cosine", "sign_conflict": "sign conflict", "subspace_overlap": "overlap", "svc": "SVC",
    "counted_twice": "counted twice",
}
# Which points a table has, and the figures of each suite that they are compared with.
TABLES = {
    "estimates-pairs": ("pairs", {"tiny": ["kl"], "eight-tasks": ["kl", "mse"]}),
    "estimates-merges": ("merges", {
        "tiny": ["kl", "reverse_kl", "mse", "agreement"], "eight-tasks": ["kl", "reverse_kl", "mse", "agreement"]}),
    "estimates-methods": ("methods", {
        "tiny": ["kl", "reverse_kl", "mse"], "eight-tasks": ["kl", "reverse_kl", "mse", "agreement"]}),
}


def table(lab, suites, name):
    kind, figures = TABLES[name]
    columns = [(suite, figure) for suite in suites for figure in figures.get(suite.name, ["kl", "agreement"][:len(figures)])]
    made = Table(name, ["estimate", *(f"{suite.name}, {figure}" for suite, figure in columns)])
    found = {suite.name: points(lab, suite)[kind] for suite, _ in columns}
    for estimate, title in TITLES.items():
        made.row(title, *(estimates.correlation(found[suite.name], estimate, figure) for suite, figure in columns
                          if figure in found[suite.name][0][1]))
    return made


def points(lab, suite):
    """For pairs, merges and one merge a method: estimates and what was measured."""
    record = lab.out / "estimates" / f"{suite.name}-{suite.digest}.json"
    if not record.exists():
        lab.say(f"  estimates of {suite.name}")
        matrix = estimates.measure(lab.tool.path, suite.folder, "task_arithmetic", 0.3, "--matrix")
        merges = [estimates.merge(estimates.measure(lab.tool.path, suite.folder, *item)) for item in estimates.MERGES]
        methods = [point for point, item in zip(merges, estimates.MERGES) if item in estimates.DEFAULTS]
        write(record, {"pairs": estimates.pairs(matrix)[0], "merges": merges, "methods": methods})
    return json.loads(record.read_text())
