"""Makes lines and tokenizers, and compares what `untangle tokenize` and the tokenizers library make of them; see .ci/tokenizers."""

import json
import os
import random
import shutil
import sys
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers as N, pre_tokenizers as P, processors as PP, trainers

LINES = 10_000
SCRIPTS = [
    (0x61, 0x7A), (0xDF, 0xFF), (0x100, 0x17F), (0x3B1, 0x3C9), (0x430, 0x44F), (0x531, 0x556), (0x5D0, 0x5EA), (0x621, 0x64A), (0x905, 0x939),
    (0x985, 0x9A8), (0xB85, 0xBB5), (0xE01, 0xE30), (0x10D0, 0x10F0), (0x1E00, 0x1EFF), (0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x4FFF),
    (0x20000, 0x20100), (0xAC00, 0xADFF), (0xFF21, 0xFF5A),
]
EMOJI = "\U0001f600 \U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f1e9\U0001f1ea \u2764\ufe0f 1\ufe0f\u20e3".split(" ")
SPECIAL = "[CLS] [SEP] [PAD] [MASK] [UNK] [NEW] newword <s> </s> <pad> <mask> <unk> <|endoftext|> \u0120 \u2581 ##ing <0x0A>".split(" ")
CODE = [
    "def f(x):", "  return x**2 + 1e-4", "for (int i=0;i<n;++i){", "a[i]->b", "https://example.org/a?b=c&d=%20#x", "\t\tif (!ok)", "0xDEADBEEF", "1,234,567.89",
    "I'll we've don't she'd I'm THEY'RE", "snake_case camelCase", "\u00a9\u00ae\u2122 \u00bd \u00b2 \u2116 \ufb01 \u338f \u2167 \uff76\uff9e", "\u201cq\u201d \u2018x\u2019 \u2014 \u2026",
    "e\u0301 a\u0308\u0323 \u1e69 s\u0323\u0307 s\u0307\u0323", "\u0130stanbul I\u015eIK \u01c5 \u1e9e \u03c2 \u03a3", "\u0e01\u0e33\u0e40\u0e01\u0e34\u0e14", "\u0915\u094d\u0937\u093f",
    "x\u200by \u200c\u200d \ufeff \u2060", "\u1100\u1161\u11a8 \u1112\u1161\u11ab", "\ufdfa \u0644\u0627", "\uff21\u0301 \uff11\u0301 \uff76\u3099", "\u0344 \u0958 \u2126 \u212b", "\u0600\u0661",
]
EDGES = [
    "", " ", "  ", "\t", " \t ", "\u00a0", "\u3000", "\u200b", "a", "\u0301", ".", "...", "\u2581", "\u2581\u2581", "a" * 300, "1" * 200, " " * 50, "x" * 99, "y" * 100,
    "z" * 101, "\x00", "a\x00b", "\x7f", "\x85", "\ufffd", "\ufeffa", "  lead", "trail  ", "a  b   c    d", "\x0b\x0c", "\x1c\x1d", "\u2028", "\u180e", "a\r b",
]


def make_lines(rng):
    lexicon = [["".join(chr(rng.randint(*span)) for _ in range(rng.randint(1, 9))) for _ in range(150)] for span in SCRIPTS]
    known = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and c not in (10, 13) and unicodedata.category(chr(c)) not in ("Cn", "Co")]
    marks = [c for c in known if unicodedata.category(chr(c))[0] == "M"]

    def words(count):
        language = rng.choice(lexicon)
        # Frequent ones first, so that there is something to learn.
        return [language[min(int(rng.expovariate(0.05)), 149)] for _ in range(count)]

    lines = list(EDGES)
    for _ in range(5000):
        line = ("" if rng.random() < 0.1 else " ").join(words(rng.randint(1, 14)))
        line = rng.choice([str, str, str.title, str.upper])(line) + rng.choice(["", ".", "!?", "\u3002", "\u061f"])
        if rng.random() < 0.2:
            line = unicodedata.normalize(rng.choice(["NFD", "NFKD", "NFC", "NFKC"]), line)
        lines.append(line)
    for _ in range(2500):
        parts = [rng.choice([rng.choice(EMOJI), rng.choice(SPECIAL), rng.choice(CODE), " ".join(words(2))]) for _ in range(rng.randint(1, 6))]
        lines.append(rng.choice(["", " ", "  ", "   ", "\u00a0"]).join(parts))
    for _ in range(1200):
        lines.append("".join(chr(rng.choice(known)) for _ in range(rng.randint(1, 20))))
    for _ in range(500):
        lines.append("".join(rng.choice("abcde\u00e9\u00fc\u3042\ud55c\uac00") + "".join(chr(rng.choice(marks)) for _ in range(rng.randint(0, 4))) for _ in range(8)))
    while len(lines) < LINES:
        lines.append(" ".join(rng.choice([words(1)[0], str(rng.randrange(10 ** rng.randint(1, 9))), rng.choice('.,;:!?()[]{}"')]) for _ in range(40)))
    # Every code point that there is, assigned or not.
    strange = ["".join(chr(c) for c in range(first, first + 64) if not 0xD800 <= c < 0xE000 and c not in (10, 13)) for first in range(0, 0x30000, 64)]
    return lines, strange


def make(folder, extra):
    rng = random.Random(7)
    lines, strange = make_lines(rng)
    for name, texts in [("lines.txt", lines), ("strange.txt", strange)]:
        with open(os.path.join(folder, name), "w", encoding="utf-8", newline="") as file:
            file.write("".join(text + "\n" for text in texts))
    corpus = lines[:5500]
    for path in extra:
        shutil.copy(path, os.path.join(folder, "real.json"))

    def train(name, model, trainer, normalizer, pre_tokenizer, post_processor=None, change=None):
        tokenizer = Tokenizer(model)
        if normalizer:
            tokenizer.normalizer = normalizer
        if pre_tokenizer:
            tokenizer.pre_tokenizer = pre_tokenizer
        if isinstance(trainer, list):
            tokenizer.add_special_tokens(trainer)
        else:
            tokenizer.train_from_iterator(corpus, trainer)
        if post_processor:
            tokenizer.post_processor = post_processor
        if change:
            change(tokenizer)
        tokenizer.save(os.path.join(folder, name + ".json"))

    bert = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    around = PP.BertProcessing(("[SEP]", 3), ("[CLS]", 2))

    def word_piece(name, normalizer, post_processor=around, change=None):
        trainer = trainers.WordPieceTrainer(vocab_size=4000, special_tokens=bert, show_progress=False)
        train(name, models.WordPiece(unk_token="[UNK]"), trainer, normalizer, P.BertPreTokenizer(), post_processor, change)

    def shorten(tokenizer):
        tokenizer.add_tokens([AddedToken("newword", single_word=True), AddedToken("[NEW]", lstrip=True, rstrip=True, normalized=False)])
        tokenizer.enable_truncation(12, direction="left")
        tokenizer.enable_padding(direction="left", pad_id=0, pad_type_id=3, pad_to_multiple_of=8)

    word_piece("bert-uncased", N.BertNormalizer())
    word_piece("bert-cased", N.BertNormalizer(lowercase=False))
    word_piece("bert-raw", N.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False))
    template = PP.TemplateProcessing("[CLS]:1 $A:0 [SEP]:1", "$A $B", [("[CLS]", 2), ("[SEP]", 3)])
    word_piece("bert-short", N.Sequence([N.NFD(), N.Lowercase(), N.StripAccents()]), template, shorten)

    gpt = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"]
    llama = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

    def byte_level(name, pre_tokenizer, normalizer=None, post_processor=None, change=None, **options):
        trainer = trainers.BpeTrainer(vocab_size=3000, special_tokens=gpt, initial_alphabet=P.ByteLevel.alphabet(), show_progress=False)
        train(name, models.BPE(**options), trainer, normalizer, pre_tokenizer, post_processor, change)

    byte_level(
        "roberta", P.ByteLevel(add_prefix_space=False), post_processor=PP.RobertaProcessing(("</s>", 2), ("<s>", 0)),
        change=lambda t: t.add_special_tokens([AddedToken("<mask>", lstrip=True)]))
    byte_level("gpt2-prefix", P.ByteLevel(add_prefix_space=True), post_processor=PP.ByteLevel())
    begin = PP.TemplateProcessing("<s> $A", "<s> $A $B", [("<s>", 0)])
    byte_level(
        "llama3", P.Sequence([P.Split(Regex(llama), "isolated"), P.ByteLevel(add_prefix_space=False, use_regex=False)]),
        post_processor=PP.Sequence([PP.ByteLevel(), begin]), ignore_merges=True)
    byte_level("byte-normalizer", P.Split(Regex(r"\w+|\s"), "merged_with_next", invert=True), N.Sequence([N.NFKC(), N.ByteLevel()]))

    byte_pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]

    def bpe(name, normalizer, pre_tokenizer, special=byte_pieces, trainer={}, **options):
        settings = trainers.BpeTrainer(vocab_size=2500, special_tokens=special, limit_alphabet=400, show_progress=False, **trainer)
        train(name, models.BPE(unk_token="<unk>", **options), settings, normalizer, pre_tokenizer)

    bpe("llama2", N.Sequence([N.Prepend("\u2581"), N.Replace(" ", "\u2581")]), None, byte_fallback=True, fuse_unk=True)
    bpe("llama2-first", None, P.Metaspace(prepend_scheme="first", split=False), byte_fallback=True, fuse_unk=True)
    bpe("gemma", N.Replace(" ", "\u2581"), P.Split(" ", "merged_with_previous"), byte_fallback=True)
    bpe("unknown", N.Sequence([N.Strip(), N.Nmt(), N.NFKD()]), P.Metaspace(), ["<unk>"])
    bpe("fused", None, P.Sequence([P.WhitespaceSplit(), P.Punctuation("contiguous"), P.Digits(True)]), ["<unk>"], fuse_unk=True)
    clip = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    bpe(
        "clip", N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()]),
        P.Sequence([P.Split(Regex(clip), "removed", invert=True), P.ByteLevel(add_prefix_space=False)]), ["<unk>"],
        {"end_of_word_suffix": "</w>"}, end_of_word_suffix="</w>")
    bpe("prefix", N.NFKC(), P.Whitespace(), ["<unk>"], {"continuing_subword_prefix": "##"}, continuing_subword_prefix="##")

    for behavior in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]:
        steps = [P.Split("e", behavior), P.Split(Regex(r"\s|[aeiou]|\b"), behavior, invert=True), P.CharDelimiterSplit("x"), P.Punctuation(behavior)]
        trainer = trainers.WordLevelTrainer(vocab_size=2000, special_tokens=["<unk>"], show_progress=False)
        train("split-" + behavior, models.WordLevel(unk_token="<unk>"), trainer, None, P.Sequence(steps + [P.FixedLength(3)]))

    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    with open(os.path.join(folder, "corpus.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(corpus))
    end = PP.TemplateProcessing("$A </s>", "$A $B", [("</s>", 2)])
    for name, rule in [("xlm-r", "nmt_nfkc"), ("t5", "nmt_nfkc_cf"), ("bytes", "identity")]:
        prefix = os.path.join(folder, name)
        sentencepiece.SentencePieceTrainer.train(
            input=folder + "/corpus.txt", model_prefix=prefix, vocab_size=2500, character_coverage=0.98, model_type="unigram", minloglevel=2,
            normalization_rule_name=rule, hard_vocab_limit=False, byte_fallback=name == "bytes")
        proto = sentencepiece_model_pb2.ModelProto()
        with open(prefix + ".model", "rb") as file:
            proto.ParseFromString(file.read())
        model = models.Unigram([(p.piece, p.score) for p in proto.pieces], 0, name == "bytes")
        charsmap = proto.normalizer_spec.precompiled_charsmap
        steps = [N.Precompiled(charsmap)] if charsmap else []
        if name == "xlm-r":
            pre_tokenizer = P.Sequence([P.WhitespaceSplit(), P.Metaspace()])
        else:
            steps += [N.Strip(left=False, right=True), N.Replace(Regex(" {2,}"), "\u2581")]
            pre_tokenizer = P.Metaspace(prepend_scheme="first")
        train(name, model, ["<s>", "</s>", "<unk>"], N.Sequence(steps), pre_tokenizer, end)


def compare(folder):
    def read(name):
        with open(os.path.join(folder, name), encoding="utf-8", newline="") as file:
            return file.read().split("\n")[:-1]

    lines, strange = read("lines.txt"), read("strange.txt")
    names = sorted(name[:-4] for name in os.listdir(folder) if name.endswith(".out"))
    wrong, newer = 0, {}
    for name in names:
        tokenizer = Tokenizer.from_file(os.path.join(folder, name + ".json"))
        with open(os.path.join(folder, name + ".out"), encoding="utf-8") as file:
            found = [text["ids"] for text in json.load(file)["texts"]]
        wanted = [encoding.ids for encoding in tokenizer.encode_batch(lines + strange)]
        assert len(found) == len(wanted), name
        has_pattern = any(word in tokenizer.to_str() for word in ('"Regex"', '"ByteLevel"'))
        for number, (ours, theirs) in enumerate(zip(found, wanted)):
            if ours == theirs:
                continue
            # Oniguruma of the system may not know what is newer than its tables.
            if number >= len(lines) and has_pattern:
                newer[name] = newer.get(name, 0) + 1
                continue
            wrong += 1
            if wrong <= 5:
                print(f"{name}: {(lines + strange)[number]!r}\n  library  {theirs}\n  untangle {ours}", file=sys.stderr)
    print(f"{len(names)} tokenizers, {len(lines):,} lines and {len(strange):,} of all code points: {wrong} differ")
    if newer:
        print(f"characters newer than the system's Oniguruma: at most {max(newer.values())} of {len(strange):,} lines of code points differ")
    sys.exit(1 if wrong else 0)


if sys.argv[1] == "make":
    make(sys.argv[2], sys.argv[3:])
else:
    compare(sys.argv[2])
