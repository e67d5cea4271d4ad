"""Writes documents.json: small YAML documents and what PyYAML's own scanner, parser and resolver, which are not libyaml's, make of them.

Run from this folder: python make_documents.py      (Python 3.11, PyYAML 6.0.3, seed 20; 6.0.4 merges in another order: yaml/pyyaml#953)

[{"text": ..., "documents": [NODE, ...]}, ...], where a NODE is one of

    [line, column, style, text, value]     a scalar; value is "null", "merge", "text", "other", or ["bool" or "number", value]
    [line, column, "sequence", [NODE, ...]]
    [line, column, "mapping", [[NODE, NODE], ...], MERGED]

Lines and columns count from 1. An alias is the node that it names; as a key it has its own place. MERGED is there where the mapping has
a key <<: key, line and column of all values, those taken in included, sorted by key.
"""
import copy, json, math, random, yaml

random.seed(20)
STYLES = {None: "plain", "'": "singleQuoted", '"': "doubleQuoted", "|": "literal", ">": "folded"}


class Loader(yaml.SafeLoader):
    """Notes where keys stand, which the composer forgets of aliases."""

    def compose_node(self, parent, index):
        place = self.peek_event().start_mark
        if isinstance(parent, yaml.MappingNode) and index is None:
            parent.places = getattr(parent, "places", []) + [place]
        return super().compose_node(parent, index)


def value(node):
    kind = node.tag.rsplit(":", 1)[-1]
    if kind in ("null", "merge"):
        return kind
    if kind == "str":
        return "text"
    if kind not in ("bool", "int", "float"):
        return "other"
    result = yaml.constructor.SafeConstructor().construct_object(node)
    if kind == "bool":
        return ["bool", result]
    return ["number", result if math.isfinite(result) else str(result)]


def tree(node, place=None):
    place = place or node.start_mark
    at = [place.line + 1, place.column + 1]
    if isinstance(node, yaml.ScalarNode):
        return at + [STYLES[node.style], node.value, value(node)]
    if isinstance(node, yaml.SequenceNode):
        return at + ["sequence", [tree(item) for item in node.value]]
    places = getattr(node, "places", [])
    form = at + ["mapping", [[tree(k, place), tree(v)] for place, (k, v) in zip(places, node.value)]]
    if any(k.tag.endswith(":merge") for k, _ in node.value):
        # A copy, since mappings are changed in place.
        whole = copy.deepcopy(node)
        yaml.constructor.SafeConstructor().flatten_mapping(whole)
        merged = {k.value: [v.start_mark.line + 1, v.start_mark.column + 1] for k, v in whole.value}
        form.append([[key] + merged[key] for key in sorted(merged)])
    return form


PLAIN = """
null Null NULL ~ true True TRUE false False yes Yes YES no No on On ON off OFF y n tRUE
0 1 -1 +12 007 010 0o17 0x1F 0b101 1_000 190:20:30 99999999999999999999 08
0.5 .5 1. -0.25 1e3 1e-3 1.5e+3 1.5e3 1.0e-08 1_0.5 .inf -.inf .Inf .nan nan inf 1:30.5 3.
text a.b.c a:b a#b http://x/y?z=1 org/model-7b-v0.1 self_attn -x ?x :x ~x x~ é 日本 =  2001-12-14 a'b a"b 100% 1.2.3 v1 -- <<<
""".split()


class Writer:
    def __init__(self):
        self.anchors, self.count = [], 0

    def anchor(self, kind):
        if random.random() > 0.12:
            return ""
        self.count += 1
        self.anchors.append((f"a{self.count}", kind))
        return f"&a{self.count} "

    def alias(self, *kinds):
        known = [name for name, kind in self.anchors if kind in kinds]
        return f"*{random.choice(known)}" if known and random.random() < 0.35 else None

    def scalar(self, flow=False):
        alias = self.alias("scalar")
        if alias:
            return alias
        head = self.anchor("scalar") + (random.choice(["!!str ", "!!int ", "!!float "]) if random.random() < 0.04 else "")
        form = random.random()
        word = random.choice(PLAIN)
        if "!!int" in head or "!!float" in head:
            return head + random.choice(["3", "'4'", "12"])
        if form < 0.62:
            return head + (word if random.random() < 0.85 else f"{word} {random.choice(['and more', 'b c', '1', 'x # y'])}")
        if form < 0.76:
            return head + "'" + random.choice([word.replace("'", "''"), "it''s", "", "a: b # c", "* & !", "[x]", "\\n"]) + "'"
        return head + '"' + random.choice(
            [word.replace('"', ""), "", "a\\nb", "\\t\\x41\\u00e9\\\\ \\\"", "a: b # c", "\\0\\a\\e\\N\\_", "\\U0001F600", "\\/ x"]) + '"'

    def flow(self, depth):
        alias = self.alias("scalar", "mapping", "sequence")
        if alias:
            return alias
        pick = random.random()
        if depth == 0 or pick < 0.45:
            return self.scalar(flow=True)
        items = []
        for number in range(random.randrange(4)):
            if pick < 0.75:
                key = self.alias("scalar") if random.random() < 0.3 else None
                key = f"{key} " if key else random.choice([f"k{number}", f"'q {number}'", f'"d{number}"', f"{number}"])
                items.append(f"{key}: {self.flow(depth - 1)}" if random.random() < 0.9 else f"{key}")
            else:
                items.append(self.flow(depth - 1))
        inside = random.choice([", ", ",", " , ", ",\n      "]).join(items)
        ends = "{}" if pick < 0.75 else "[]"
        # Only now: nothing within may name it.
        return self.anchor("mapping" if pick < 0.75 else "sequence") + ends[0] + random.choice(["", " "]) + inside + random.choice(["", " "]) + ends[1]

    def block_scalar(self, indent):
        head = random.choice("|>") + random.choice(["", "-", "+"])
        lines = [random.choice(["text", "  more", "a: b", "- c", "# no comment", "", "é 日本", "x   "]) for _ in range(random.randrange(1, 5))]
        if not lines[0].strip() or lines[0].startswith(" "):
            lines[0] = "first"
        return self.anchor("scalar") + head + random.choice(["", "  # comment"]) + "".join(
            "\n" + (" " * indent + line if line else "") for line in lines)

    def plain_lines(self, indent):
        return "one" + "".join("\n" + " " * indent + word for word in ["two", "three", "# no"][: random.randrange(1, 3)])

    def node(self, indent, depth):
        """What stands behind `key:` or `-`, with the space or line break before it."""
        pick = random.random()
        if depth == 0 or pick < 0.3:
            return random.choice(["", " " + self.scalar(), " " + self.scalar(), " " + self.scalar() + "  # comment"])
        if pick < 0.45:
            return " " + self.flow(2)
        if pick < 0.55:
            return " " + self.block_scalar(indent)
        if pick < 0.6:
            return " " + self.plain_lines(indent)
        kind = "mapping" if pick < 0.82 else "sequence"
        content = self.block(kind, indent, depth - 1)
        head = self.anchor(kind)
        return (" " + head.rstrip() if head else "") + "\n" + content

    def block(self, kind, indent, depth):
        lines = []
        for number in range(random.randrange(1, 5)):
            if random.random() < 0.08:
                lines.append(random.choice(["", "# comment", " " * indent + "# comment: *a &b"]))
            deeper = indent + random.choice([1, 2, 2, 4])
            if kind == "sequence":
                if depth > 0 and random.random() < 0.15:
                    lines.append(" " * indent + "- " + self.block("mapping", indent + 2, depth - 1).lstrip(" "))
                else:
                    lines.append(" " * indent + "-" + self.node(deeper, depth))
                continue
            alias = self.alias("scalar") if random.random() < 0.15 else None
            key = f"{alias} " if alias else random.choice(
                [f"key{number}"] * 4 + [f"'k {number}'", f'"k{number}"', f"{number}.5", f"? key{number}\n" + " " * indent])
            lines.append(" " * indent + f"{key}:" + self.node(deeper, depth))
        return "\n".join(line if line.strip() else "# comment" for line in lines)

    def merges(self):
        """Mappings that take in others, some of which do so, too."""
        lines, names = [], []
        for number in range(random.randrange(2, 6)):
            entries = [f"{key}: {self.scalar()}" for key in random.sample("abcdef", random.randrange(4))]
            if names and random.random() < 0.7:
                several = ", ".join(f"*{random.choice(names)}" for _ in range(random.randrange(1, 4)))
                source = f"[{several}]" if random.random() < 0.5 else random.choice([f"*{names[-1]}", "{ b: 1, z: 2 }"])
                entries.insert(random.randrange(len(entries) + 1), f"<<: {source}")
            names.append(f"m{number}")
            if random.random() < 0.5:
                lines.append(f"k{number}: &m{number} {{ {', '.join(entries)} }}")
            else:
                lines += [f"k{number}: &m{number}"] + [f"  {entry}" for entry in entries or ["e: 5"]]
        return "\n".join(lines)


def unique(node):
    """Whether no mapping has a key twice, which PyYAML does not mind."""
    if isinstance(node, yaml.ScalarNode):
        return True
    if isinstance(node, yaml.SequenceNode):
        return all(map(unique, node.value))
    keys = [k.value if isinstance(k, yaml.ScalarNode) else None for k, _ in node.value]
    return None not in keys and len(set(keys)) == len(keys) and all(unique(v) for _, v in node.value)


cases, texts = [], [word + "\n" for word in PLAIN] + [f"k: {word}\n" for word in PLAIN[:30]]
while len(cases) < 350:
    if texts:
        text = texts.pop()
    else:
        parts = []
        for number in range(random.choice([1, 1, 1, 2, 3])):
            writer = Writer()
            kind = random.choice(["mapping", "mapping", "sequence", "merges"])
            parts.append(writer.merges() if kind == "merges" else writer.block(kind, 0, random.randrange(1, 4)))
            parts[-1] += "\n"
        text = random.choice(["", "", "---\n", "%YAML 1.1\n---\n", "# comment\n"]) + random.choice(["---\n", "--- # next\n", "...\n---\n"]).join(parts)
    if len(text) > 400:
        continue
    try:
        nodes = list(yaml.compose_all(text, Loader=Loader))
        assert all(unique(node) for node in nodes if node)
        cases.append({"text": text, "documents": [tree(node) for node in nodes]})
    except (yaml.YAMLError, AssertionError, ValueError):
        pass

with open("documents.json", "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases) + "\n]\n")
