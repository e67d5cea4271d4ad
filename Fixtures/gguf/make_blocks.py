"""Writes blocks.json: SHA-256 of what the Python package gguf (0.19, numpy 2.4) makes of blocks and numbers of random bits.

The bits come from a generator that the tests have as well (`Noise` in SafetensorsTestFiles.swift), seeded with 1. Of each block type
there are 256 blocks, and every NaN counts as 0x7FC00000, as which of two NaN a sum keeps is the processor's business.
"""

import hashlib
import json
import pathlib

import numpy
from gguf import GGMLQuantizationType, quants


class Noise:
    def __init__(self, seed):
        self.state = seed

    def bytes(self, count):
        out = bytearray()
        for _ in range(count):
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
            number = (self.state >> 33) ^ (self.state << 31) % 2**64
            out.append(number >> 20 & 0xFF)
        return numpy.frombuffer(bytes(out), numpy.uint8)


def digest(array):
    return hashlib.sha256(array.tobytes()).hexdigest()


def plain(numbers):
    bits = numbers.view(numpy.uint32).copy()
    bits[numpy.isnan(numbers)] = 0x7FC00000
    return bits


expected = {}
with numpy.errstate(all="ignore"):
    for kind, coder in quants._type_traits.items():
        if kind == GGMLQuantizationType.BF16:
            continue
        blocks = Noise(1).bytes(256 * coder.type_size).reshape(256, coder.type_size)
        expected[kind.name] = digest(plain(quants.dequantize(blocks, kind).ravel()))

    noise = Noise(1)
    bits = noise.bytes(4 * 32 * 256).view(numpy.float32).copy()
    bits[numpy.isnan(bits)] = 1
    small = noise.bytes(32 * 256).view(numpy.int8).astype(numpy.float32)
    numbers = numpy.concatenate([bits, small * numpy.float32(0.037), small / numpy.float32(2)]).reshape(-1, 32)
    blocks = quants.quantize(numbers, GGMLQuantizationType.Q8_0)
    expected["quantized Q8_0"] = digest(blocks)

pathlib.Path(__file__).with_name("blocks.json").write_text(json.dumps(expected, indent=1) + "\n")
