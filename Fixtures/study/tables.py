"""The tables of the study: what each compares, as rows of Markdown with a verdict in words."""
import pathlib

import numpy as np

import shifted
from bootstrap import difference, mean, signed
from lab import Method
from tool import Unsupported

AVERAGE = Method("average", "average")
TASK_ARITHMETIC = Method("task arithmetic, 0.3", "task_arithmetic", (("lambda", 0.3),))
TIES = Method("TIES, density 0.2 of the model", "ties", (("density", 0.2), ("trim_scope", "model")))
TSV_M = Method("TSV-M", "tsv_m")
ISO_C = Method("Iso-C", "iso_c")
FOUR = {"task arithmetic": TASK_ARITHMETIC, "TIES": TIES, "TSV-M": TSV_M, "Iso-C": ISO_C}
METHODS = [
    AVERAGE, TASK_ARITHMETIC, TIES, Method("TIES, density 1", "ties"), TSV_M, ISO_C, Method("Iso-CTS", "iso_cts"),
    Method("consensus TA, 0.3", "consensus_ta", (("lambda", 0.3),)),
    Method("SCE", "sce"),
    Method("KnOTS-TIES, density 0.2", "knots_ties", (("density", 0.2),)), Method("Model Stock", "model_stock"),
    Method("WUDI, closed form", "wudi", (("form", "closed"),)), Method("DC-Merge", "dc_merge"), Method("SWUDI", "swudi"),
]
COEFFICIENTS = {
    "task arithmetic": (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1), "TIES": (0.3, 0.5, 0.75, 1, 1.5),
    "TSV-M": (0.3, 0.5, 0.75, 1, 1.5), "Iso-C": (0.3, 0.5, 0.75, 1, 1.5),
}
SEEDS = (0, 1, 2)


class Table:
    """Markdown under a name, which stands between markers in a document."""

    def __init__(self, name, head):
        self.name, self.head, self.rows, self.words = name, head, [], []

    def row(self, *cells):
        self.rows.append([str(cell) for cell in cells])

    def say(self, sentence):
        self.words.append(sentence)

    @property
    def text(self):
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        text = "\n".join("| " + " | ".join(line) + " |" for line in lines) if self.rows else "(nothing was measured)"
        return "\n".join([text, *(f"\n{sentence}" for sentence in self.words)])


def number(value, places=1):
    return f"{value:.{places}f}"


def shown(measured):
    return f"{measured.accuracy:.1f} ({measured.interference:.2f})"


def attempts(lab, items, make):
    """What `make` gives for each item; where something is missing, nothing but a note."""
    for item in items:
        try:
            yield item, make(item)
        except Unsupported as lack:
            lab.note(str(lack))


def listed(words):
    words = list(words)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "none"


def gains(lab, before, after, methods=FOUR, rows=slice(None), polish=()):
    """The gain of each method by its title."""
    found = {}
    for title, method in methods.items():
        without = lab.measure(before, method).rows(rows)
        found[title] = difference(without, lab.measure(after, method, polish=polish).rows(rows))
    return found


def fall(lab, before, after):
    """By how much the interference of the four methods falls, in the mean."""
    return mean([
        difference(lab.measure(before, method), lab.measure(after, method), "distances") for method in FOUR.values()
    ])


# What RI does at defaults


def methods(lab, suite):
    """Merge methods at defaults, with and without RI at defaults."""
    table = Table(f"methods-{suite.name}", ["method", "without RI", "with RI", "gain [95 %]"])
    before, after = lab.experts(suite), lab.resolved(suite)
    gained, not_gained = [], []
    for method, (without, with_ri) in attempts(
            lab, [method for method in METHODS if method.name in lab.methods], lambda method: (lab.measure(before, method), lab.measure(after, method))):
        gain = difference(without, with_ri)
        (gained if gain.interval[0] > 0 else not_gained).append(f"{method.title} ({signed(gain.value)})")
        table.row(method.title, shown(without), shown(with_ri), gain)
    table.say("RI gains beyond the interval with: " + "; ".join(gained or ["none"]) + ". Not beyond it with: "
              + "; ".join(not_gained or ["none"]) + ".")
    sure = lab.measure(before, AVERAGE)
    table.say(f"Experts, each on its own task: {number(sure.expert_accuracy)} %.")
    return table


def summary(lab, suites):
    """What RI gains at defaults, in one table."""
    table = Table("summary", ["method", *(f"{suite.name}, {len(suite.tasks)} tasks" for suite in suites)])
    for title, method in {"average": AVERAGE, **FOUR}.items():
        table.row(title, *(gains(lab, lab.experts(suite), lab.resolved(suite), {title: method})[title] for suite in suites))
    return table


def own_tasks(lab, suites):
    """What adapted experts lose on their own task, without any merging."""
    table = Table("own-tasks", ["suite", "experts", "adapted experts", "difference [95 %]"])
    for suite in suites:
        after = lab.resolved(suite)
        parts, before_all, after_all = [], [], []
        for task in suite.tasks:
            alone = type(after)(suite, (task,), {task: after.files[task]}, f"{after.key}-{task}")
            measured = lab.measure(alone, Method("itself", "average"))
            parts.append(difference(type(measured)(measured.expert_hits, measured.expert_hits, measured.distances), measured))
            before_all.append(measured.expert_accuracy)
            after_all.append(measured.accuracy)
        table.row(suite.name, number(np.mean(before_all)), number(np.mean(after_all)), mean(parts))
    return table


# Number of tasks


def subsets(tasks):
    """Groups of 2 and 4 tasks that hold every task equally often, and all of them."""
    tasks = list(tasks)
    if len(tasks) >= 8:
        pairs = [tuple(tasks[i:i + 2]) for i in range(0, 8, 2)]
        return {2: pairs, 4: [tuple(tasks[:4]), tuple(tasks[4:8]), tuple(tasks[0:8:2]), tuple(tasks[1:8:2])]}
    pairs = [tuple(tasks[i:i + 2]) for i in range(0, len(tasks) - 1, 2)]
    return {2: pairs, 4: [tuple(tasks[:4]), tuple(tasks[-4:])] if len(tasks) > 4 else []}


def number_of_tasks(lab, suite):
    table = Table(f"tasks-{suite.name}", ["experts", "groups", *FOUR])
    for count, groups in [*subsets(suite.tasks).items(), (len(suite.tasks), [tuple(suite.tasks)])]:
        if not groups or (count == len(suite.tasks) and len(groups[0]) != count):
            continue
        found = [gains(lab, lab.experts(suite, group), lab.resolved(suite, tasks=group)) for group in groups]
        table.row(count, len(groups), *(mean([gain[title] for gain in found]) for title in FOUR))
    return table


# Auxiliary inputs


def sources(lab, suite):
    """Where the auxiliary inputs come from."""
    table = Table(f"auxiliary-{suite.name}", ["auxiliary inputs", *FOUR, "mean gain", "share of the gain", "fall of interference"])
    before, best = lab.experts(suite), lab.resolved(suite)
    reference = mean(list(gains(lab, before, best).values()))
    reference_fall = fall(lab, before, best)
    wanted = [suite.made, suite.related] if suite.is_text else ["noise", suite.made, suite.related]
    kinds = {"noise": "`noise`", suite.made: f"`{suite.made}`, mean of seeds 0, 1, 2", "mixed": "`mixed`: unrelated glyphs and scribbles",
             "emoji": "`emoji`: names of emoji"}

    def adapted(source):
        if source == suite.made:
            return [lab.resolved(suite, source, ["--seed", seed]) for seed in SEEDS]
        return [lab.resolved(suite, source)]

    for source, experts in attempts(lab, wanted, adapted):
        found = [gains(lab, before, one) for one in experts]
        each = {title: mean([gain[title] for gain in found]) for title in FOUR}
        overall = mean(list(each.values()))
        fallen = mean([fall(lab, before, one) for one in experts])
        share = overall.over(reference)
        text = "1" if source == suite.related else f"{share.value:.2f} [{', '.join(f'{end:.2f}' for end in share.interval)}]"
        table.row(kinds.get(source, f"`{source}`"), *each.values(), overall, text.replace("-", "−"),
                  f"{fallen.value / reference_fall.value:.2f}")
        if source == suite.made:
            enough = "keeps at least two thirds" if share.value >= 2 / 3 else "keeps less than two thirds"
            table.say(f"`{source}`, made from nothing, {enough} of the gain of `{suite.related}`: {text}; of the fall of "
                      f"interference {fallen.value / reference_fall.value:.2f}.")
    half = _halves(lab, suite)
    found = gains(lab, before, lab.resolved(suite, half), rows=slice(1, None, 2))
    rest = gains(lab, before, best, rows=slice(1, None, 2))
    overall = mean(list(found.values()))
    table.row("inputs of the tasks: every second test input, measured on the others", *found.values(), overall,
              f"{overall.value / mean(list(rest.values())).value:.2f}", "")
    return table


def _halves(lab, suite):
    """Every second test input of all tasks, mixed, without labels."""
    path = lab.out / "inputs" / f"{suite.name}-{suite.digest}-even.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        loaded = [np.load(suite.test[task]) for task in suite.tasks]
        names = [name for name in loaded[0].files if name != "labels"]
        arrays = {name: np.concatenate([one[name][::2] for one in loaded]) for name in names}
        order = np.random.default_rng(0).permutation(len(next(iter(arrays.values()))))
        part = path.with_name("part.npz")
        np.savez(part, **{name: values[order] for name, values in arrays.items()})
        part.replace(path)
    return path


# Merge coefficients


def coefficients(lab, suite):
    """Accuracy over the merge coefficient, without -> with."""
    columns = sorted({value for values in COEFFICIENTS.values() for value in values})
    table = Table(f"coefficients-{suite.name}", ["method", *(f"{value:g}" for value in columns)])
    before, after = lab.experts(suite), lab.resolved(suite)
    for title, values in COEFFICIENTS.items():
        cells = []
        for value in columns:
            if value not in values:
                cells.append("")
                continue
            method = FOUR[title].scaled(value)
            cells.append(f"{lab.measure(before, method).accuracy:.1f} → {lab.measure(after, method).accuracy:.1f}")
        table.row(title, *cells)
    return table


def tuned(lab, suites):
    """Coefficients that were chosen with labels, against those that nobody chose."""
    table = Table("tuned", ["suite", "method", "default: gain [95 %]", "tuned, without RI", "tuned, with RI", "tuned: gain [95 %]"])
    chosen_on = set()
    for suite in suites:
        for title, method in FOUR.items():
            plain = gains(lab, lab.experts(suite), lab.resolved(suite), {title: method})[title]
            sides, names = [], []
            for experts in (lab.experts(suite), lab.resolved(suite)):
                measured, name, where = _tuned(lab, suite, experts, method, COEFFICIENTS[title])
                chosen_on.add(where)
                sides.append(measured)
                names.append(f"{measured.accuracy:.1f} ({name})")
            table.row(suite.name, title, plain, *names, difference(*sides))
    table.say("In brackets the coefficients that were chosen, by accuracy on " + listed(sorted(chosen_on)) + ".")
    return table


def _tuned(lab, suite, experts, method, values):
    """A merge with the coefficient that is best on other inputs with labels: validation data, or the other half of the test data."""
    tests = {value: lab.measure(experts, method.scaled(value)) for value in values}
    if all((suite.folder / f"val_{task}.npz").exists() for task in suite.tasks):
        data = {task: suite.folder / f"val_{task}.npz" for task in suite.tasks}
        best = max(values, key=lambda value: lab.measure(experts, method.scaled(value), data).accuracy)
        return tests[best], f"{best:g}", "validation inputs"
    even, odd = slice(0, None, 2), slice(1, None, 2)
    for_odd, for_even = (max(values, key=lambda value: tests[value].rows(places).accuracy) for places in (even, odd))

    def joined(first, second):
        both = {}
        for task in first:
            both[task] = first[task].copy()
            both[task][odd] = second[task][odd]
        return both

    a, b = tests[for_even], tests[for_odd]
    measured = type(a)(joined(a.hits, b.hits), a.expert_hits, joined(a.distances, b.distances))
    names = f"{for_even:g}" if for_even == for_odd else f"{for_even:g}, {for_odd:g}"
    return measured, names, "the other half of the test inputs, for each half"


# Steps, rates, variants


def steps(lab, suite):
    table = Table(f"steps-{suite.name}", ["steps", *FOUR, "mean gain"])
    before = lab.experts(suite)
    runs = [(str(count), ["--steps", count]) for count in (25, 50, 100)]
    runs += [("250, the default", []), ("500", ["--steps", 500]), ("500, `--patience 3`", ["--steps", 500, "--patience", 3])]
    for (title, _), after in attempts(lab, runs, lambda run: lab.resolved(suite, options=run[1])):
        found = gains(lab, before, after)
        kept = f": {after.steps:.0f} kept, on average" if "patience" in title else ""
        table.row(title + kept, *found.values(), mean(list(found.values())))
    return table


def rates(lab, suites):
    """The learning rate as multiples of what `auto` chooses, one for all experts."""
    table = Table("learning-rate", ["c", "rate", "", *FOUR])
    for suite in suites:
        before, automatic = lab.experts(suite), lab.resolved(suite)
        table.row("without RI", "", suite.name, *(shown(lab.measure(before, method)) for method in FOUR.values()))
        for factor in (0.3, 1, 3, 10):
            rate = float(f"{factor * automatic.rate:.2g}")
            after = lab.resolved(suite, options=["--learning-rate", f"{rate:g}"])
            table.row(f"{0.01 * factor:g}", f"{rate:.1e}", "", *(shown(lab.measure(after, method)) for method in FOUR.values()))
    return table


def variants(lab, suite):
    """Options beside the default, each with the same auxiliary inputs."""
    frozen = ["*word_embeddings*"] if suite.is_text else ["pos_embed", "patch_embed.*"]
    freeze = [word for pattern in frozen for word in ("--freeze", pattern)]
    distac = ["--alpha", 0, "--start-scale", 0.5, "--student-temperature", 2, "--weight-decay", 0, "--clip-norm", 1]
    related = suite.related
    runs = [
        ("the default", related, []),
        ("`--distance reverse_kl`", related, ["--distance", "reverse_kl"]),
        ("`--distance cross_entropy`", related, ["--distance", "cross_entropy"]),
        ("`--distance mse`", related, ["--distance", "mse"]),
        ("`--alpha 0.3`", related, ["--alpha", 0.3]),
        ("`--alpha 3`", related, ["--alpha", 3]),
        ("embeddings frozen, `--freeze`", related, freeze),
        ("`--student-temperature 2`", related, ["--student-temperature", 2]),
        ("DisTaC ([variants.md](variants.md))", related, [*distac, "--schedule", "cosine"]),
        ("without heads, `--match features`", related, ["--match", "features"]),
        ("closed form without data, `--solver gram`", "nothing", ["--solver", "gram"]),
        ("closed form with auxiliary inputs, `--solver ridge`", related, ["--solver", "ridge"]),
    ]
    table = Table(f"variants-{suite.name}", ["variant", *FOUR, "mean gain", "seconds"])
    before = lab.experts(suite)

    def adapted(run):
        _, source, options = run
        lab.tool.needs("resolve", *[word for word in options if word in ("gram", "ridge", "features")])
        return lab.resolved(suite, source, options)

    for (title, _, _), after in attempts(lab, runs, adapted):
        found = gains(lab, before, after)
        table.row(title, *found.values(), mean(list(found.values())), f"{after.seconds:.0f}")
    auxiliary = lab.auxiliary(suite, suite.related)
    polishes = [("`distill` after merging, without RI", before), ("RI, then `distill` after merging", lab.resolved(suite))]

    def polished(run):
        lab.tool.needs("distill", "--auxiliary", "--steps")
        return gains(lab, before, run[1], polish=[*auxiliary, "--steps", 200])

    for (title, _), found in attempts(lab, polishes, polished):
        table.row(title, *found.values(), mean(list(found.values())), "")
    return table


# Unseen domains


def unseen(lab, suite):
    """The classes of the suite from elsewhere; experts, merges and RI never saw them."""
    table = Table("unseen", ["test inputs", "tasks", "experts", "task arithmetic, without RI", *(f"{title}: gain" for title in FOUR)])
    before, after = lab.experts(suite), lab.resolved(suite)
    sets = {"the suite's own": suite.test, **shifted.make(suite, lab.out / "shifted")}
    if "other fonts" not in sets:
        lab.note("other fonts need Debian's apt-get and its packages")
    for title, files in sets.items():
        tasks = tuple(task for task in suite.tasks if task in files)
        data = {**suite.test, **files}
        part = lambda measured: type(measured)(
            *({task: values[task] for task in tasks} for values in (measured.hits, measured.expert_hits, measured.distances)))
        without = {name: part(lab.measure(before, method, data)) for name, method in FOUR.items()}
        with_ri = {name: part(lab.measure(after, method, data)) for name, method in FOUR.items()}
        first = without["task arithmetic"]
        table.row(title, len(tasks), number(first.expert_accuracy), number(first.accuracy),
                  *(difference(without[name], with_ri[name]) for name in FOUR))
    return table
