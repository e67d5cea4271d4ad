"""Prints what kohya's trainer and diffusers call the modules of the UNet of Stable Diffusion XL, a module on each line.

    pip install torch diffusers
    python names.py > names.tsv

diffusers 0.42.1. The test `ImageAdapterTests` folds an adapter with the names of the first column into a base with those of the second.
"""

from types import SimpleNamespace

from diffusers.loaders.lora_conversion_utils import _convert_unet_lora_key, _maybe_map_sgm_blocks_to_diffusers

residual = ["in_layers_2", "out_layers_3", "emb_layers_1", "skip_connection"]
attention = ["proj_in", "proj_out"] + [
    f"transformer_blocks_{block}_{layer}"
    for block, layer in [(0, "attn1_to_q"), (1, "attn2_to_out_0"), (3, "ff_net_0_proj"), (9, "ff_net_2")]
]
names = ["input_blocks_0_0", "out_2", "time_embed_0", "time_embed_2", "label_emb_0_0", "label_emb_0_2"]
names += [f"input_blocks_{n}_0_op" for n in (3, 6)]
names += [f"input_blocks_{n}_0_{layer}" for n in (1, 2, 4, 5, 7, 8) for layer in residual]
names += [f"input_blocks_{n}_1_{layer}" for n in (4, 5, 7, 8) for layer in attention]
names += [f"middle_block_{n}_{layer}" for n in (0, 2) for layer in residual]
names += [f"middle_block_1_{layer}" for layer in attention]
names += [f"output_blocks_{n}_0_{layer}" for n in range(9) for layer in residual]
names += [f"output_blocks_{n}_1_{layer}" for n in range(6) for layer in attention]
names += [f"output_blocks_{n}_2_conv" for n in (2, 5)]

for name in names:
    key = f"lora_unet_{name}.lora_down.weight"
    (mapped,) = _maybe_map_sgm_blocks_to_diffusers({key: None}, SimpleNamespace(layers_per_block=2))
    print(name, _convert_unet_lora_key(mapped.split(".")[0]).replace(".processor", ""), sep="\t")
