#!/usr/bin/env python3
"""Measures what Resolving Interference gains, and writes the tables of docs/study.md and docs/interference.md.

    make study                                       # all of it: under an hour on two idle cores
    python3 Fixtures/study/study.py --only tasks-text
    python3 Fixtures/study/study.py --suite FOLDER   # the same defaults on a suite of your own; documents are left alone
    python3 Fixtures/study/study.py --costs          # seconds per expert on real models: costs.py says what it needs

Everything is made by the built `untangle`, by its public commands. What is finished stays in --out, so that a run that was stopped, even
killed, goes on when it is started again, in the middle of an adaptation; --fresh begins anew. Seeds are fixed. Needs NumPy, and Pillow for other fonts.
"""
import argparse
import hashlib
import json
import pathlib
import shutil
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Fixtures" / "suites"))

import costs
import documents
import tables
import weights
from lab import Lab, Suite, write
from tool import Tool, Unsupported


def pieces(suites):
    """The tables in the order in which they are made, by their names."""
    large = [suite for suite in suites if len(suite.tasks) > 4]
    found = {f"methods-{suite.name}": (lambda lab, suite=suite: tables.methods(lab, suite)) for suite in suites}
    found["summary"] = lambda lab: tables.summary(lab, suites)
    found["own-tasks"] = lambda lab: tables.own_tasks(lab, suites)
    found |= {f"auxiliary-{suite.name}": (lambda lab, suite=suite: tables.sources(lab, suite)) for suite in suites}
    for name, make in (("coefficients", tables.coefficients), ("tasks", tables.number_of_tasks), ("steps", tables.steps),
                       ("variants", tables.variants)):
        found |= {f"{name}-{suite.name}": (lambda lab, suite=suite, make=make: make(lab, suite)) for suite in large}
    found["tuned"] = lambda lab: tables.tuned(lab, large)
    lettered = [suite for suite in suites if "gratings" in suite.tasks]
    if lettered:
        found["unseen"] = lambda lab: tables.unseen(lab, lettered[0])
    found["learning-rate"] = lambda lab: tables.rates(lab, suites)
    images = [suite for suite in suites if not suite.is_text]
    if images:
        for name in weights.TABLES:
            found[name] = lambda lab, name=name: weights.table(lab, images, name)
    return found


def budget(spent):
    table = tables.Table("budget", ["table", "adaptations", "merges", "minutes"])
    for name, (adaptations, merges, seconds) in spent.items():
        table.row(name, adaptations, merges, f"{seconds / 60:.1f}")
    totals = [sum(column) for column in zip(*spent.values())]
    table.row("all", totals[0], totals[1], f"{totals[2] / 60:.1f}")
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", type=pathlib.Path, default=ROOT / ".build/release/untangle")
    parser.add_argument("--suite", action="append", type=pathlib.Path, help="a folder like those of Fixtures/suites; repeatable")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "out/study", help="what is finished")
    parser.add_argument("--docs", type=pathlib.Path, help="documents with places for tables (default: docs, without --suite)")
    parser.add_argument("--only", action="append", metavar="TABLE", help="make this table alone; repeatable")
    parser.add_argument("--list", action="store_true", help="print the names of the tables, and stop")
    parser.add_argument("--fresh", action="store_true", help="forget what is finished")
    parser.add_argument("--threads", type=int)
    costs.add_arguments(parser)
    arguments = parser.parse_args()
    tool = Tool(arguments.tool, arguments.threads)
    docs = arguments.docs or (None if arguments.suite else ROOT / "docs")
    if arguments.fresh:
        shutil.rmtree(arguments.out, ignore_errors=True)
    made = {}
    if arguments.costs:
        made["costs"] = costs.table(tool, arguments)
    else:
        folders = arguments.suite or [ROOT / "Fixtures/suites" / name for name in ("tiny", "eight-tasks", "text")]
        try:
            wanted = pieces([Suite(folder) for folder in folders])
        except (Unsupported, OSError) as lack:
            raise SystemExit(f"no suite: {lack}") from None
        if arguments.list:
            raise SystemExit("\n".join(wanted))
        unknown = [name for name in arguments.only or [] if name not in wanted]
        if unknown:
            raise SystemExit(f"no table {', '.join(unknown)}; there are: {', '.join(wanted)}")
        made = measure(Lab(tool, arguments.out), wanted, arguments.only)
    texts = {name: table.text for name, table in made.items()}
    for name, text in texts.items():
        path = arguments.out / "tables" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    if docs:
        for name in documents.put(docs, texts):
            print(f"no document has a place for the table {name}: it is in {arguments.out}/tables")


def measure(lab, wanted, only):
    """The tables by name, and what they take."""
    same_binary(lab)
    started = time.time()
    made, spent = {}, {}
    for name, make in wanted.items():
        if only and name not in only:
            continue
        known = set(lab.expected)
        print(f"{name} ({(time.time() - started) / 60:.1f} min)", flush=True)
        try:
            made[name] = make(lab)
        except Unsupported as lack:
            lab.note(str(lack))
            continue
        records = [record for record in lab.expected if record not in known]
        adaptations = sum(record.name == "study.json" for record in records)
        spent[name] = (adaptations, len(records) - adaptations, sum(lab.expected[record] for record in records))
        print("\n" + made[name].text + "\n", flush=True)
    if not only:
        made["budget"] = budget(spent)
        print(made["budget"].text)
    if lab.notes:
        print("left out:\n  " + "\n  ".join(lab.notes))
    return made


def same_binary(lab):
    """Says when what is finished was made by another binary."""
    record = lab.out / "binary.json"
    digest = hashlib.sha256(pathlib.Path(lab.tool.path).read_bytes()).hexdigest()
    if not record.exists():
        write(record, {"sha256": digest})
    elif json.loads(record.read_text())["sha256"] != digest:
        print(f"note: what is finished in {lab.out} was made by another build of the tool; --fresh makes everything again")


if __name__ == "__main__":
    main()
