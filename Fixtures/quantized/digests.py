"""Works out what small quantised weights stand for, with the libraries that store them so, and prints a digest of each as F32.

    pip install torch transformers compressed-tensors safetensors
    python digests.py [FOLDER]

transformers 5.24, compressed-tensors 0.20.1, torch 2.13. Where no library runs on a CPU, or it rounds to 16 bits, the formula of its source
stands here (AutoGPTQ's `qlinear_cuda_old`, AutoAWQ's `packing_utils`, bitsandbytes' `int8_vectorwise_dequant`). With FOLDER the
checkpoints are written there, too. The test `QuantizedWeightTests` makes the same parts and compares the digests.
"""

import hashlib
import json
import os
import sys

import numpy as np
import torch
from compressed_tensors.compressors.mxfp4.base import MXFP4PackedCompressor
from compressed_tensors.compressors.nvfp4.base import NVFP4PackedCompressor
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.lifecycle.forward import dequantize
from safetensors.torch import save_file
from transformers.integrations.finegrained_fp8 import Fp8Dequantize
from transformers.integrations.mxfp4 import convert_moe_packed_tensors


def raw(seed, count):
    i = np.arange(count, dtype=np.uint64)
    x = (i * 2654435761 + seed * 40503 + 12345) % (1 << 32)
    return ((x ^ (x >> np.uint64(13))) >> np.uint64(8) & np.uint64(255)).astype(np.uint8)


def codes(seed, shape, dtype=torch.uint8, nan=()):
    bytes = raw(seed, int(np.prod(shape)) * torch.empty(0, dtype=dtype).element_size())
    for code in nan:
        bytes[bytes == code] = 0
    return torch.from_numpy(bytes.copy()).view(dtype).reshape(shape)


def fp8(seed, shape, dtype=torch.float8_e4m3fn):
    nan = {torch.float8_e4m3fn: (0x7F, 0xFF), torch.float8_e5m2: tuple(range(0x7C, 0x80)) + tuple(range(0xFC, 0x100))}
    return codes(seed, shape, dtype, nan.get(dtype, (0x80,)))


def scales(seed, shape, dtype=torch.float32):
    """Whole numbers over 256, which 8 bits of a fraction hold."""
    numbers = (1.0 + raw(seed, int(np.prod(shape))).astype(np.float32)) / 256
    return torch.from_numpy(numbers).reshape(shape).to(dtype)


def powers(seed, shape):
    return torch.from_numpy((119 + raw(seed, int(np.prod(shape))) % 16).astype(np.uint8)).reshape(shape)


def args(**more):
    return QuantizationArgs(symmetric=more.pop("symmetric", True), dynamic=False, **more)


def scheme(weights):
    return QuantizationScheme(targets=["Linear"], weights=weights)


def expand(scale, block, shape):
    rows, columns = (torch.arange(size) // width for size, width in zip(shape, block))
    return scale[rows][:, columns]


def unpack(words, order=range(8), bits=4):
    """Integers of words along the last dimension."""
    mask = (1 << bits) - 1
    parts = [(words >> (bits * place)) & mask for place in order]
    return torch.stack(parts, dim=-1).reshape(*words.shape[:-1], -1)


CASES = {}


def case(name, parts, weight, config=None):
    CASES[name] = (parts, weight, config)


def fp8_config(**more):
    return {"quantization_config": {"quant_method": "fp8", **more}}


# Blocks with partial edges, and whole ones by transformers.
w, s = fp8(1, (10, 12)), scales(2, (3, 3))
case("fp8_blocks", {"weight": w, "weight_scale_inv": s}, w.float() * expand(s, (4, 5), w.shape),
     fp8_config(weight_block_size=[4, 5]))
w, s = fp8(3, (8, 12)), scales(4, (2, 3))
case("fp8_whole_blocks", {"weight": w, "weight_scale_inv": s}, Fp8Dequantize._dequantize_one(
    Fp8Dequantize(None), w, s, torch.float32), fp8_config(weight_block_size=[4, 4]))
w, s = fp8(5, (6, 8), torch.float8_e5m2), scales(6, ())
case("fp8_tensor", {"weight": w, "weight_scale": s}, w.float() * s)
w, s = fp8(7, (6, 8)), scales(8, (6, 1))
case("fp8_channel", {"weight": w, "weight_scale": s},
     dequantize(w, s, args=args(num_bits=8, type="float", strategy="channel")))
w, s = fp8(9, (6, 8), torch.float8_e4m3fnuz), scales(10, (6, 2), torch.bfloat16)
case("fp8_groups", {"weight": w, "weight_scale": s}, w.float() * expand(s.float(), (1, 4), w.shape))
w, s = fp8(11, (2, 6, 8), torch.float8_e5m2fnuz), scales(12, (2, 1, 8), torch.float16)
case("fp8_stack", {"gate_up_proj": w, "gate_up_proj_scale": s}, w.float() * s.float())
w, s = fp8(13, (6, 64)), powers(14, (6, 2))
case("mxfp8", {"weight": w, "weight_scale": s}, Fp8Dequantize._dequantize_one(
    Fp8Dequantize(None), w, s, torch.float32))
w, s = codes(15, (6, 32), torch.int8), powers(16, (6, 2)).view(torch.float8_e8m0fnu)
case("fp4_experts", {"weight": w, "scale": s}, Fp8Dequantize._dequantize_one(
    Fp8Dequantize(None), w, s, torch.float32))

w, s = codes(17, (2, 6, 2, 16)), powers(18, (2, 6, 2))
case("mxfp4_blocks", {"down_proj_blocks": w, "down_proj_scales": s},
     convert_moe_packed_tensors(w, s, dtype=torch.float32).contiguous())
four = args(num_bits=4, type="float", strategy="group", group_size=32)
w, s = codes(19, (6, 32)), powers(20, (6, 2))
case("mxfp4_packed", {"weight_packed": w, "weight_scale": s},
     MXFP4PackedCompressor.decompress({"weight_packed": w, "weight_scale": s}, scheme(four))["weight"].float())

w, s, g = codes(21, (6, 16)), fp8(22, (6, 2)).abs().float().to(torch.float8_e4m3fn), scales(23, (1,)) * 64
lut = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6])
four = lut[unpack(w, range(2)).long()]
case("nvfp4_packed", {"weight_packed": w, "weight_scale": s, "weight_global_scale": g},
     dequantize(four, s.float(), args=args(num_bits=4, type="float", strategy="tensor_group", group_size=16),
                global_scale=g, dtype=torch.float32))
case("nvfp4_modelopt", {"weight": w, "weight_scale": s, "weight_scale_2": g[0]},
     four * expand(s.float() * g[0], (1, 16), four.shape))

w, s = codes(24, (6, 8), torch.int8), scales(25, (6, 1))
case("int8_channel", {"weight": w, "weight_scale": s},
     dequantize(w, s, args=args(num_bits=8, type="int", strategy="channel")))
z = codes(26, (6, 2), torch.int8)
s = scales(27, (6, 2))
case("int8_zero_point", {"weight": w, "weight_scale": s, "weight_zero_point": z},
     dequantize(w, s, z, args=args(num_bits=8, type="int", strategy="group", group_size=4, symmetric=False)))
s = scales(28, (6,)) * 2
case("bitsandbytes", {"weight": w, "SCB": s, "weight_format": torch.tensor(0, dtype=torch.uint8)},
     w.float() * s.view(-1, 1) * 7.874015718698502e-3)

shape = torch.tensor([12, 12])
w, s = codes(29, (12, 2), torch.int32), scales(30, (12, 3))
four = args(num_bits=4, type="int", strategy="group", group_size=4)
case("packed", {"weight_packed": w, "weight_scale": s, "weight_shape": shape},
     PackedQuantizationCompressor.decompress(
         {"weight_packed": w, "weight_scale": s, "weight_shape": shape}, scheme(four))["weight"],
     {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {
         "group_0": {"weights": {"num_bits": 4, "group_size": 4}}}}})
z = codes(31, (2, 3), torch.int32)
four = args(num_bits=4, type="int", strategy="group", group_size=4, symmetric=False)
parts = {"weight_packed": w, "weight_scale": s, "weight_shape": shape, "weight_zero_point": z}
case("packed_zero_point", parts, PackedQuantizationCompressor.decompress(parts, scheme(four))["weight"])

# AutoGPTQ: 16 inputs, 8 outputs, groups in any order.
w, z, s = codes(32, (2, 8), torch.int32), codes(33, (4, 1), torch.int32), scales(34, (4, 8), torch.float16)
g = (torch.arange(16) * 7 % 16 // 4).to(torch.int32)
down = unpack(w.T).T  # [inputs, outputs]
zero = unpack(z)
case("gptq", {"qweight": w, "qzeros": z, "scales": s, "g_idx": g},
     ((down - ((zero + 1) & 15)[g.long()]).float() * s.float()[g.long()]).T.contiguous(),
     {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 4, "desc_act": True}})
case("gptq_v2", {"qweight": w, "qzeros": z, "scales": s},
     ((down - zero.repeat_interleave(4, 0)).float() * s.float().repeat_interleave(4, 0)).T.contiguous(),
     {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 4, "checkpoint_format": "gptq_v2"}})
w, z = codes(35, (4, 8), torch.int32), codes(36, (2, 2), torch.int32)
s = scales(37, (2, 8), torch.float16)
case("gptq_8_bits", {"qweight": w, "qzeros": z, "scales": s},
     ((unpack(w.T, range(4), 8).T - ((unpack(z, range(4), 8) + 1) & 255).repeat_interleave(8, 0)).float()
      * s.float().repeat_interleave(8, 0)).T.contiguous())
# AutoAWQ: AWQ_REVERSE_ORDER.
order = [0, 4, 1, 5, 2, 6, 3, 7]
w, z, s = codes(38, (16, 2), torch.int32), codes(39, (4, 2), torch.int32), scales(40, (4, 16), torch.float16)
case("awq", {"qweight": w, "qzeros": z, "scales": s},
     ((unpack(w, order) - unpack(z, order).repeat_interleave(4, 0)).float()
      * s.float().repeat_interleave(4, 0)).T.contiguous(),
     {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 4, "version": "gemm"}})

for name, (parts, weight, config) in CASES.items():
    weight = weight.to(torch.float32).contiguous()
    digest = hashlib.sha256(weight.numpy().tobytes()).hexdigest()
    print(f'("{name}", {list(weight.shape)}, "{digest}"),')
    if len(sys.argv) > 1:
        folder = os.path.join(sys.argv[1], name)
        os.makedirs(folder, exist_ok=True)
        save_file({f"l.0.q.{leaf}": part.contiguous() for leaf, part in parts.items()}, f"{folder}/model.safetensors")
        save_file({f"l.0.q.{'gate_up_proj' if 'stack' in name else 'down_proj' if 'blocks' in name and 'mx' in name else 'weight'}": weight}, f"{folder}/expected.safetensors")
        with open(f"{folder}/config.json", "w") as file:
            json.dump({"model_type": "llama", "torch_dtype": "bfloat16", **(config or {})}, file)
