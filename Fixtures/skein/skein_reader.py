"""A reader of .skein files on one page of Python, written from docs/formats/skein.md alone.

Needs numpy, zstandard and xxhash. As a program it prints one line for each tensor:
name, dtype, shape and SHA-256 of the bytes, separated by tabs:

    python3 skein_reader.py FILE [--base BASE]

BASE is a .skein file that stands by itself; without it the recorded name is looked up beside FILE.
"""

import functools
import hashlib
import math
import os
import struct
import sys

import numpy
import xxhash
import zstandard

MAGIC = b"\x89SKN\r\n\x1a\n"


class SkeinError(Exception):
    pass


def check(condition, message):
    if not condition:
        raise SkeinError(message)


def tree(data):
    """XXH3-128 over the XXH3-128 digests of 64 KiB blocks."""
    digests = (xxhash.xxh3_128_digest(data[i:i + 65536]) for i in range(0, len(data), 65536))
    return xxhash.xxh3_128_digest(b"".join(digests))


def checksum(data):
    return int.from_bytes(tree(data)[8:], "big")


class Skein:
    def __init__(self, path, base=None):
        self.path, self.base_path, self.base = path, base, None
        with open(path, "rb") as file:
            self.data = memoryview(file.read())
        seal = self.seal(0, MAGIC) or self.seal(len(self.data) - 64, MAGIC[::-1])
        check(seal, "header and footer are damaged")
        length, second, total, digest = seal
        check(total == len(self.data), f"the file has {len(self.data)} bytes, not {total}")
        for start in (64, second):
            index = self.data[start:start + length]
            if xxhash.xxh3_64_intdigest(index) == digest:
                break
        else:
            raise SkeinError("both copies of the index are damaged")
        self.parse(index)

    def seal(self, at, magic):
        block = self.data[max(at, 0):at + 64]
        if len(block) < 64 or block[:8] != magic or xxhash.xxh3_64_intdigest(block[:56]) != int.from_bytes(block[56:], "little"):
            return None
        major, _, needed, _, _, length, second, total, digest = struct.unpack_from("<HHIIIQQQQ", block, 8)
        check(major == 1 and needed & ~1 == 0, "the file is of a later version")
        return length, second, total, digest

    def parse(self, index):
        size, tensors, entries, name = struct.unpack_from("<IIII", index, 0)
        self.base_identity = bytes(index[16:32])
        self.base_name = bytes(index[32:32 + name]).decode()
        at = 4 + size
        self.metadata, self.tensors, self.entries = {}, {}, []
        for _ in range(entries):
            key, value = struct.unpack_from("<II", index, at)
            text = bytes(index[at + 8:at + 8 + key + value])
            self.metadata[text[:key].decode()] = text[key:].decode()
            at += 8 + key + value
        for number in range(tensors):
            size, flags, dtype, bits, rank, name, _, step = struct.unpack_from("<IBBHIIIQ", index, at)
            content = bytes(index[at + 28:at + 44])
            shape = struct.unpack_from(f"<{rank}Q", index, at + 44)
            text = at + 44 + 8 * rank
            places = text + dtype + name
            count = bits
            for dimension in shape:
                count *= dimension
            count //= 8
            chunks = [struct.unpack_from("<QQQ", index, places + 24 * i) for i in range(-(-count // step))]
            dtype, name = bytes(index[text:text + dtype]).decode(), bytes(index[text + dtype:places]).decode()
            members = [(name, shape, count)]
            if flags & 8:
                members = list(self.members(index, places + 24 * len(chunks), bits))
                check(sum(member[2] for member in members) == count, "the members of a chunk do not fill it")
            self.entries.append((number, dtype, count, step, content, chunks, members))
            start = 0
            for name, shape, count in members:
                self.tensors[name] = (number, dtype, shape, start, count)
                start += count
            at += 4 + size

    def members(self, index, at, bits):
        """The tensors that share the chunks of an entry: name, shape, byte count."""
        size, stored = struct.unpack_from("<II", index, at)
        table = bytes(index[at + 8:at + 8 + stored])
        if stored < size:
            table = zstandard.ZstdDecompressor().decompress(table, max_output_size=size)
        check(len(table) == size, "a table of members is damaged")
        at = 0
        while at < size:
            rank, name = struct.unpack_from("<II", table, at)
            shape = struct.unpack_from(f"<{rank}Q", table, at + 8)
            at += 8 + 8 * rank + name
            yield table[at - name:at].decode(), shape, math.prod(shape) * bits // 8

    def bytes(self, name):
        """The little-endian row-major bytes of a tensor."""
        entry, _, _, start, count = self.tensors[name]
        return self.entry_bytes(entry)[start:start + count]

    @functools.lru_cache(maxsize=1)
    def entry_bytes(self, entry):
        """The bytes of an entry of the index, checked against its content hash."""
        _, _, count, _, content, chunks, members = self.entries[entry]
        out = bytearray()
        for number, place in enumerate(chunks):
            out += self.chunk(entry, number, out, *place)
        out = bytes(out)
        check(len(out) == count and tree(out) == content, f"the contents of {members[0][0]} are damaged")
        return out

    def chunk(self, entry, number, before, offset, stored, header_sum):
        """The bytes of a chunk; `before` are those of its tensor up to it."""
        tensor, _, _, step, _, _, members = self.entries[entry]
        name = members[0][0]
        data = self.data[offset:offset + stored]
        sync, owner, index, transform, planes, packing, raw, base_sum, payload_sum = struct.unpack_from("<4sIQBBB5xQQQ", data, 0)
        end = 56 + 8 * planes + (24 if packing else 0)
        check(xxhash.xxh3_64_intdigest(data[:end - 8]) == header_sum, f"a chunk header of {name} is damaged")
        check((sync, owner, index) == (b"SKCH", tensor, number), f"a chunk of {name} is another's")
        entries = list(struct.unpack_from(f"<{planes}Q", data, 48))
        sizes = [raw // planes] * planes
        if packing:
            entry_of_map, kept, map_size, row = struct.unpack_from("<QQII", data, 48 + 8 * planes)
            entries.append(entry_of_map)
            sizes = [kept] * planes + [map_size]
        # Behind the payload of a stored tensor come the hashes of its blocks, for those who read parts of it.
        payload = data[end:end + sum(entry & (1 << 56) - 1 for entry in entries)]
        check(checksum(payload) == payload_sum, f"a chunk of {name} is damaged")
        parts = []
        for plane, size in zip(entries, sizes):
            codec, length = plane >> 56, plane & (1 << 56) - 1
            part = bytes(data[end:end + length])
            end += length
            if codec == 1:
                part = zstandard.ZstdDecompressor().decompress(part, max_output_size=size)
            elif codec == 2:
                part = part * size
            else:
                check(codec == 0, f"codec {codec} is unknown")
            check(len(part) == size, f"a plane of {name} has the wrong size")
            parts.append(numpy.frombuffer(part, numpy.uint8))
        # Plane 0 holds the least significant bytes.
        words = numpy.stack(parts[:planes], axis=1).reshape(-1).view(f"<u{planes}")
        base = None
        if transform >= 2:
            base = self.base_bytes(members)[number * step:number * step + raw]
            check(checksum(base) == base_sum, "the base is another one")
            base = numpy.frombuffer(base, words.dtype)
        words = inverse(transform, words, base)
        if packing == 0:
            return words.tobytes()
        if packing == 1:
            whole = numpy.zeros(raw // planes, words.dtype)
            whole[numpy.unpackbits(parts[planes], bitorder="little")[:len(whole)] == 1] = words
            return whole.tobytes()
        check(packing == 2, f"packing {packing} is unknown")
        return repeated(words.tobytes(), parts[planes].view("<u4"), row, bytes(before), raw)

    def base_bytes(self, members):
        """The bytes of the base's tensors of the same names, one behind the other; zeros for those without a match."""
        if self.base is None:
            self.base = Skein(self.base_path or os.path.join(os.path.dirname(self.path), self.base_name))
        return b"".join(self.base_tensor(name, shape, count) for name, shape, count in members)

    def base_tensor(self, name, shape, count):
        _, dtype, there, *_ = self.base.tensors.get(name, (None, None, None))
        wanted = self.tensors[name][1]
        if there != shape or dtype not in ((wanted, "BF16", "F16") if wanted == "F32" else (wanted,)):
            return bytes(count)
        data = self.base.bytes(name)
        if dtype == wanted:
            return data
        # A base of a type whose numbers F32 holds.
        halves = numpy.frombuffer(data, "<u2")
        return ((halves.astype("<u4") << 16) if dtype == "BF16" else halves.view("<f2").astype("<f4")).tobytes()


def repeated(kept, distances, row, before, size):
    """The bytes of a chunk of rows, of which some stand so many rows before: in the chunk, or in the first 16 MiB of the tensor."""
    out, start, taken = bytearray(before), len(before), 0
    for distance in map(int, distances):
        at = len(out)
        length = min((at // row + 1) * row, start + size) - at
        source = at - distance * row
        if distance == 0:
            out += kept[taken:taken + length]
            taken += length
        else:
            check(0 <= source and (source >= start or source + length <= min(start, 1 << 24)), "a row repeats what it may not")
            out += out[source:source + length]
    check(taken == len(kept) and len(out) == start + size, "the rows do not fill their chunk")
    return out[start:]


def inverse(transform, words, base):
    """Undoes the transform of a chunk; all arithmetic is modulo two to the width of a word."""
    kind = words.dtype.type
    one, top = kind(1), kind(words.dtype.itemsize * 8 - 1)
    sign = one << top
    if transform == 0:
        return words
    if transform == 1:
        return words >> one | words << top
    if transform == 2:
        difference = words >> one ^ (words & one) * ~kind(0)
        total = difference + numpy.where(base & sign, ~base, base | sign)
        return numpy.where(total & sign, total ^ sign, ~total)
    check(transform == 3, f"transform {transform} is unknown")
    return words ^ base


def main(arguments):
    base = arguments[arguments.index("--base") + 1] if "--base" in arguments else None
    file = Skein(arguments[0], base)
    for name, (_, dtype, shape, *_) in file.tensors.items():
        digest = hashlib.sha256(file.bytes(name)).hexdigest()
        print(name, dtype, ",".join(map(str, shape)), digest, sep="\t")


if __name__ == "__main__":
    main(sys.argv[1:])
