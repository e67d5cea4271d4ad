"""Makes the tokenizers of this folder and golden.json, what the library makes of lines that have something for each of them.

    python3 make.py        # written with tokenizers 0.23.3 and sentencepiece 0.2.1

The vocabularies are tiny, so that unknown pieces, bytes and merges all occur.
"""

import base64
import json
import struct

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers as N, pre_tokenizers as P, processors as PP

LINES = [
    "", " ", "\t \u00a0", "Hello, world!", "  hello   World  ", "na\u00efve caf\u00e9 CAFE\u0301", "\u0130stanbul \u1e9e \u03a3\u03c2",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab", "\u4e16\u754c hello\u4e16", "a\u0000b\u0007\u200bc\ufeff\ufffd", "s\u0323\u0307 s\u0307\u0323 \u1e69",
    "12345 \u00bd \u2167 \u0663", "I'll we've DON'T", "x\u3000y\u00a0z", "[CLS] hello [MASK]", "say [MASK]  now</s>", "unmask mask masks",
    "\uff21\u0301\uff22 \ufb01 \u3392", "\U0001f469\u200d\U0001f469 \U0001f44d\U0001f3fd", "e\u0301\r\nf", "\u0e01\u0e33 \u0915\u094d\u0937", "hellohellohellohello",
    "a.b,c;d!", "\u2581hello \u2581", "hell\u00f6 \u00e5", "helo wold", "x" * 60, "lo, lo; lo lo lo lo lo lo lo lo lo lo lo",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
made = {}


def bert_pieces():
    pieces = SPECIAL + list("abcdefghilmnoprstuwxyz,.!;'[]12345") + ["hello", "world", "mask", "cafe", "naive", "is", "\u4e16", "\uc5b4", "\u1112\u1161"]
    pieces += ["##" + c for c in "abcdefghilmnoprstuwxyz12345"] + ["##llo", "##ld", "##s", "##tan", "##bul", "##\u0323", "hel"]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def bpe(words, alphabet, prefix="", suffix="", first=()):
    """Merges that build the words from the left, and the vocabulary that they need."""
    vocabulary = list(first) + list(alphabet)
    merges = []
    for word in words:
        parts = list(word)
        parts = [p if i == 0 else prefix + p for i, p in enumerate(parts)]
        parts[-1] += suffix
        vocabulary += parts
        while len(parts) > 1:
            left, right = parts[0], parts[1]
            merges.append((left, right))
            parts[:2] = [left + right[len(prefix):]]
            vocabulary.append(parts[0])
    merges = list(dict.fromkeys(merges))
    return {piece: number for number, piece in enumerate(dict.fromkeys(vocabulary))}, merges


def charsmap(table):
    """A double array as SentencePiece writes it: found by trying offsets."""
    texts, at = b"", {}
    for value in dict.fromkeys(table.values()):
        at[value] = len(texts)
        texts += value.encode() + b"\0"
    trie = {}
    for key, value in table.items():
        node = trie
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = at[value]
    units, used = {0: 0}, {0}

    def place(node, position):
        base = 1
        while True:
            offset = base ^ position
            if offset < 1 << 21 and all((base ^ c) not in used for c in node):
                break
            base += 1
        units[position] = units.get(position, 0) | offset << 10 | (0 in node) << 8
        used.update(base ^ c for c in node)
        for c, child in node.items():
            units[base ^ c] = child | 1 << 31 if c == 0 else c
        for c, child in node.items():
            if c:
                place(child, base ^ c)

    place(trie, 0)
    size = max(units) + 1
    size += -size % 256
    array = b"".join(struct.pack("<I", units.get(i, 0)) for i in range(size))
    return base64.b64encode(struct.pack("<I", len(array)) + array + texts).decode()


def save(name, tokenizer):
    made[name] = tokenizer
    text = json.loads(tokenizer.to_str())
    open(name + ".json", "w", encoding="utf-8").write(json.dumps(text, ensure_ascii=False, separators=(",", ":")) + "\n")


def token(content, **options):
    return AddedToken(content, **options)


t = Tokenizer(models.WordPiece(bert_pieces(), unk_token="[UNK]", max_input_chars_per_word=50))
t.normalizer, t.pre_tokenizer = N.BertNormalizer(), P.BertPreTokenizer()
t.post_processor = PP.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
t.add_special_tokens(SPECIAL)
save("wordpiece", t)

t = Tokenizer(models.WordPiece(bert_pieces(), unk_token="[UNK]", max_input_chars_per_word=9))
t.normalizer = N.Sequence([N.Nmt(), N.NFKD(), N.StripAccents(), N.Lowercase(), N.Strip()])
t.pre_tokenizer = P.Sequence([P.Whitespace(), P.Punctuation("removed"), P.Digits(True)])
t.post_processor = PP.TemplateProcessing("[CLS]:2 $A:1 [SEP]", "[CLS] $A [SEP] $B", [("[CLS]", 2), ("[SEP]", 3)])
t.add_special_tokens(SPECIAL)
t.add_tokens([token("mask", single_word=True, normalized=False), token("[MASK]", lstrip=True, rstrip=True, normalized=False), token("LO", normalized=True)])
t.enable_truncation(8, direction="left")
t.enable_padding(direction="left", pad_id=0, pad_type_id=3, pad_to_multiple_of=5)
save("template", t)

alphabet = [chr(c) for c in list(range(33, 127)) + list(range(161, 173)) + list(range(174, 324))]
v, m = bpe(["hello", "\u0120hello", "\u0120world", "lo", "\u0120lo", "\u010a", "\u00c3\u00a9", "12"], alphabet, first=["<s>", "<pad>", "</s>", "<unk>", "[MASK]"])
t = Tokenizer(models.BPE(v, m))
t.pre_tokenizer, t.post_processor = P.ByteLevel(add_prefix_space=True), PP.RobertaProcessing(("</s>", 2), ("<s>", 0))
t.add_special_tokens(["<s>", "</s>", token("[MASK]", lstrip=True)])
t.enable_truncation(12)
t.enable_padding(pad_id=1, length=10)
save("bytelevel", t)

v, m = bpe(["hello", "hell", "\u2581hello", "\u2581world", "lo"], "\u2581helowrd", first=["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)])
t = Tokenizer(models.BPE(v, m, unk_token="<unk>", byte_fallback=True, fuse_unk=True, ignore_merges=True))
t.pre_tokenizer = P.Metaspace(prepend_scheme="first", split=False)
t.post_processor = PP.Sequence([PP.ByteLevel(), PP.TemplateProcessing("<s> $A", "<s> $A $B", [("<s>", 1)])])
t.add_special_tokens(["</s>", token("[MASK]", rstrip=True)])
save("metaspace", t)

v, m = bpe(["hello", "world", "lo", "mask"], "abc", prefix="##", suffix="</w>", first=["<unk>"])
t = Tokenizer(models.BPE(v, m, unk_token="<unk>", continuing_subword_prefix="##", end_of_word_suffix="</w>"))
t.normalizer = N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Replace("x", ""), N.Lowercase()])
t.pre_tokenizer = P.Sequence([P.Split(Regex(r"'s|'t|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True), P.FixedLength(20)])
save("prefix", t)

v = [("<unk>", 0.0), ("</s>", 0.0), ("\u2581", -2.0), ("\u2581hello", -3.5), ("hello", -4.25), ("lo", -3.0), ("hel", -3.25), ("he", -3.0), ("l", -3.25)]
v += [("o", -3.0), ("\u2581world", -5.4000000953674316), ("fi", -6.0), ("A", -6.5), ("e", -3.7349998950958252)] + [(c, -7.0) for c in "abcdw,.!"]
t = Tokenizer(models.Unigram(v, 0))
t.normalizer = N.Sequence([N.Precompiled(base64.b64decode(charsmap({"\uff21": "A", "\uff22": "B", "\ufb01": "fi", "e\u0301": "\u00e9", "\t": " ", "\r": " ", "\n": " ", "\u00a0": " ", "\u3000": " ", "\u0007": "", "\u200b": " "}))), N.Replace(Regex(" {2,}"), " ")])
t.pre_tokenizer = P.Sequence([P.WhitespaceSplit(), P.Metaspace()])
t.post_processor = PP.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
t.add_special_tokens(["</s>"])
save("unigram", t)

t = Tokenizer(models.WordLevel({"<unk>": 0, "hello": 1, "lo": 2, " ": 3, "a": 4, ",": 5, "hell": 6}, unk_token="<unk>"))
t.normalizer = N.Sequence([N.Prepend(" "), N.NFKC()])
t.pre_tokenizer = P.Sequence([P.CharDelimiterSplit(";"), P.Split(" ", "merged_with_next"), P.Split(Regex("o"), "contiguous"), P.Split(" ", "isolated"), P.Punctuation("merged_with_previous")])
save("wordlevel", t)

golden = {name: [[e.ids, e.type_ids, e.attention_mask] for e in map(tokenizer.encode, LINES)] for name, tokenizer in made.items()}
short = {n: [[" ".join(map(str, p)) for p in (e if any(e[1]) or 0 in e[2] else e[:1])] for e in es] for n, es in golden.items()}
document = {"lines": LINES, "encodings": short}
open("golden.json", "w", encoding="ascii").write(json.dumps(document, separators=(",", ":")).replace("],[", "],\n[") + "\n")
