"""Suites, and what is made of them once: adapted experts and measured merges, kept in a folder so that a second run goes on."""
import csv
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
import time

import numpy as np

from tool import Unsupported

# Words of `resolve --auxiliary`; everything else is `aux_SOURCE.npz` of the suite.
WORDS = {"noise", "shapes", "tokens"}


@dataclasses.dataclass(frozen=True)
class Method:
    """A merge method with its settings."""

    title: str
    name: str
    settings: tuple = ()

    def scaled(self, coefficient):
        settings = tuple(pair for pair in self.settings if pair[0] != "lambda")
        return dataclasses.replace(self, settings=settings + (("lambda", coefficient),))


class Suite:
    """A folder with base, experts, heads, auxiliary and test data, as Fixtures/suites has them."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.name = self.folder.name
        named = json.loads((self.folder / "config.json").read_text()).get("tasks")
        self.tasks = named or sorted(file.stem[len("expert_"):] for file in self.folder.glob("expert_*.*"))
        self.base = self.one("base.*")
        self.experts = {task: self.one(f"expert_{task}.*") for task in self.tasks}
        self.heads = {task: self.one(f"heads_{task}.*") for task in self.tasks}
        self.test = {task: self.one(f"test_{task}.npz") for task in self.tasks}
        self.is_text = "input_ids" in np.load(self.test[self.tasks[0]]).files
        self.digest = digest([self.base, *self.experts.values(), *self.heads.values(), *self.test.values()])

    def one(self, pattern):
        found = sorted(self.folder.glob(pattern))
        if not found:
            raise Unsupported(f"{self.folder} has no {pattern}")
        return found[0]

    @property
    def related(self):
        """The auxiliary inputs that people would take first: of the kind of the tasks, of no task."""
        found = [file.stem[len("aux_"):] for file in sorted(self.folder.glob("aux_*.npz"))]
        for source in ["emoji" if self.is_text else "mixed", *found]:
            if source in found:
                return source
        return self.made

    @property
    def made(self):
        """The auxiliary inputs that need no data."""
        return "tokens" if self.is_text else "shapes"


@dataclasses.dataclass(frozen=True)
class Adapted:
    """Experts of a suite, as they are or adapted."""

    suite: Suite
    tasks: tuple
    files: dict
    key: str
    seconds: float = 0
    rate: float = 0
    steps: float = 0


@dataclasses.dataclass(frozen=True)
class Measured:
    """How a merge does on each input of each task."""

    hits: dict
    expert_hits: dict
    distances: dict

    @property
    def accuracy(self):
        return 100 * float(np.mean([np.mean(hits) for hits in self.hits.values()]))

    @property
    def expert_accuracy(self):
        return 100 * float(np.mean([np.mean(hits) for hits in self.expert_hits.values()]))

    @property
    def interference(self):
        return float(sum(np.mean(values) for values in self.distances.values()))

    def rows(self, places):
        """The same on some of the inputs."""
        part = lambda values: {task: numbers[places] for task, numbers in values.items()}
        return Measured(part(self.hits), part(self.expert_hits), part(self.distances))


class Lab:
    def __init__(self, tool, out, say=print):
        self.tool, self.out, self.say = tool, pathlib.Path(out), say
        self.methods = tool.methods()
        self.notes = []
        # By record: the seconds that its work takes on a machine that does nothing else, as far as is known.
        self.expected = {}

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)
            self.say(f"  left out: {text}")

    # Adapted experts

    def experts(self, suite, tasks=None):
        """The experts as they came."""
        tasks = tuple(tasks or suite.tasks)
        return Adapted(suite, tasks, {task: suite.experts[task] for task in tasks}, "experts-" + "+".join(tasks))

    def auxiliary(self, suite, source):
        """The arguments for a source: a word of the tool, a file, the name of one of the suite's files, or `nothing`."""
        if source == "nothing":
            return []
        if isinstance(source, pathlib.Path):
            return ["--auxiliary", source]
        if source in WORDS:
            self.tool.needs("resolve", source)
            return ["--auxiliary", source]
        return ["--auxiliary", suite.one(f"aux_{source}.npz")]

    def resolved(self, suite, source=None, options=(), tasks=None):
        """Experts that were adapted by `untangle resolve`."""
        tasks = tuple(tasks or suite.tasks)
        options = [str(word) for word in options]
        self.tool.needs("resolve", *[word for word in options if word.startswith("--")])
        source = source or suite.related
        arguments = self.auxiliary(suite, source)
        key = _key(suite.digest, tasks, source if source in WORDS else digest(arguments[1:]), options)
        folder = self.out / "resolved" / f"{suite.name}-{key}"
        record = folder / "study.json"
        if not record.exists():
            self.say(f"  resolve {suite.name} {len(tasks)} tasks, {source} {' '.join(options)}")
            started = time.time()
            words = ["--base", suite.base, *self._experts(suite, tasks, suite.experts), *arguments, *options]
            done = self.tool.run(
                "resolve", *words, "--output", folder, "--format", "safetensors", "--save-every", 100, "--resume")
            experts = done["experts"]
            numbers = {
                "seconds": time.time() - started,
                "expected": sum(expert.get("expected_seconds") or expert.get("seconds") or 0 for expert in experts),
                "rate": float(np.mean([expert.get("learning_rate") or 0 for expert in experts])),
                "steps": float(np.mean([expert.get("kept_step", expert.get("steps") or 0) for expert in experts])),
                "command": " ".join(map(str, words)),
            }
            write(record, numbers)
        numbers = json.loads(record.read_text())
        self.expected[record] = numbers["expected"]
        files = {task: folder / f"{task}.safetensors" for task in tasks}
        return Adapted(suite, tasks, files, key, numbers["seconds"], numbers["rate"], numbers["steps"])

    # Measured merges

    def measure(self, adapted, method, data=None, polish=()):
        """A merge of experts, measured against the original ones.

        data: other inputs than the suite's, by task. polish: the arguments of a `distill` after merging.
        """
        suite = adapted.suite
        if method.name not in self.methods:
            raise Unsupported(f"this binary has no method {method.name}")
        data = data or suite.test
        key = _key(
            suite.digest, adapted.key, adapted.tasks, method.name, method.settings, digest(data.values()), list(map(str, polish)))
        record = self.out / "measured" / f"{suite.name}-{key}.json"
        if not record.exists():
            self._measure(adapted, method, data, polish, record)
        document = json.loads(record.read_text())
        self.expected[record] = document["seconds"]
        kept = document["tasks"]
        flags = lambda name: {task: np.array([c == "1" for c in kept[task][name]], float) for task in adapted.tasks}
        distances = {task: np.array(kept[task]["distances"]) for task in adapted.tasks}
        return Measured(flags("hits"), flags("expert_hits"), distances)

    def _measure(self, adapted, method, data, polish, record):
        suite, tasks, started = adapted.suite, adapted.tasks, time.time()
        scratch = self.out / "scratch" / str(os.getpid())
        scratch.mkdir(parents=True, exist_ok=True)
        merged, inputs = scratch / "merged.safetensors", scratch / "inputs.csv"
        settings = [word for name, value in method.settings for word in ("--set", f"{name}={value}")]
        self.tool.run(
            "merge", "--method", method.name, *settings, "--base", suite.base,
            *[adapted.files[task] for task in tasks], "--output", merged, "--force")
        if polish:
            polished = scratch / "polished.safetensors"
            self.tool.run(
                "distill", merged, "--base", suite.base, *self._experts(suite, tasks, suite.experts), *polish,
                "--output", polished, "--force")
            merged = polished
        self.tool.run(
            "interference", "--base", suite.base, *self._experts(suite, tasks, suite.experts),
            *[word for task in tasks for word in ("--data", f"{task}={data[task]}")],
            "--merged", merged, "--per-input", inputs, "--force")
        kept = {task: {"hits": "", "expert_hits": "", "distances": []} for task in tasks}
        with open(inputs, newline="") as file:
            for row in csv.DictReader(file):
                task = kept[row["task"]]
                task["hits"] += "1" if float(row["accuracy_merged"]) == 1 else "0"
                task["expert_hits"] += "1" if float(row["accuracy_expert"]) == 1 else "0"
                task["distances"].append(round(float(row["kl"]), 6))
        shutil.rmtree(scratch)
        names = {"method": method.name, "settings": method.settings, "experts": adapted.key}
        write(record, {**names, "seconds": time.time() - started, "tasks": kept})

    def _experts(self, suite, tasks, files):
        words = []
        for task in tasks:
            words += ["--expert", f"{task}={files[task]}", "--head", f"{task}={suite.heads[task]}"]
        return words


def digest(files):
    """What files hold, in a few letters."""
    sums = hashlib.sha256()
    for file in files:
        sums.update(_digest(file, file.stat().st_mtime_ns))
    return sums.hexdigest()[:12]


@functools.cache
def _digest(file, _):
    return hashlib.sha256(file.read_bytes()).digest()


def _key(*parts):
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:12]


def write(path, document):
    """By a rename, so that a file is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document))
    part.replace(path)
