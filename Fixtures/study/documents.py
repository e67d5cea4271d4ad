"""Tables in documents: what stands between `<!-- study:NAME -->` and `<!-- /study:NAME -->` is the study's."""
import re


def put(folder, tables):
    """Writes tables into the documents of a folder, and says which of them no document has a place for."""
    missing = set(tables)
    for path in sorted(folder.rglob("*.md")):
        text = path.read_text()
        places = re.findall(r"<!-- study:([\w-]+) -->", text)
        for name in places:
            if name not in tables:
                continue
            missing.discard(name)
            block = f"<!-- study:{name} -->\n{tables[name]}\n<!-- /study:{name} -->"
            text = re.sub(
                rf"<!-- study:{name} -->.*?<!-- /study:{name} -->", lambda _: block, text, count=1, flags=re.DOTALL)
        if text != path.read_text():
            path.write_text(text)
    return sorted(missing)
