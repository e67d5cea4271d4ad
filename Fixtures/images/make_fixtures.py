"""Makes the files of this folder: small pictures of every kind, and what Pillow and the models' processors make of them.

Run with Python 3.11, numpy 2.4.6, Pillow 13.0.0 (libjpeg-turbo 3.2.0, libwebp 1.6.0), torchvision 0.29.2, transformers 5.24.0, timm 1.0.31 and
open_clip 3.3.0; `cjpeg` of libjpeg-turbo 2.1.5 writes what Pillow cannot. The output depends on nothing else:

    python make_fixtures.py [CJPEG]

`files/*` are the pictures. `decoded.tsv` has the sizes and CRC-32 of `ImageOps.exif_transpose(image).convert("RGB")`.

`resized.tsv` has the CRC-32 of `Image.resize` of pictures that a formula makes (`photo`), in grey and in RGB, planes one after the other.
`prepared.tsv` has that of processors which work on Pillow's pictures; `fast.npy` what transformers' default, which works on tensors,
makes of the same, a few sizes one after the other.
"""

import io
import pathlib
import struct
import subprocess
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
FILES = HERE / "files"
FILES.mkdir(exist_ok=True)
WIDTH, HEIGHT = 13, 9


def photo(width, height):
    """Something with slopes, edges and texture, that another language can make as well."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    slope = (x * (3 + c) + y * (5 - c)) % 211
    texture = ((x * x + 3 * y * y + 11 * c) // 16) % 61
    return ((slope + texture + 40 * ((x // 5 + y // 3) % 2)) % 256).astype(np.uint8)


def put(name, data):
    (FILES / name).write_bytes(data)


# PNG, written by hand for the depths and orders that Pillow does not write.

PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(values, depth, kind, interlaced=False, palette=None, transparency=None, before=b"", after=b""):
    height, width, _ = values.shape

    def rows(part):
        if 0 in part.shape:
            return b""
        out = b""
        for row in part:
            numbers = row.reshape(-1)
            if depth == 16:
                data = numbers.astype(">u2").tobytes()
            else:
                bits = (numbers[:, None] >> np.arange(depth - 1, -1, -1)) & 1
                data = np.packbits(bits.astype(np.uint8).reshape(-1)).tobytes()
            out += b"\0" + data
        return out

    data = b"".join(rows(values[y::dy, x::dx]) for x, y, dx, dy in PASSES) if interlaced else rows(values)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before
    if palette is not None:
        out += chunk(b"PLTE", palette)
    if transparency is not None:
        out += chunk(b"tRNS", transparency)
    return out + chunk(b"IDAT", zlib.compress(data, 9)) + after + chunk(b"IEND", b"")


def tiff(orientation, order=">", kind=3):
    """A directory with a width, which is passed over, and the orientation."""
    mark = b"MM" if order == ">" else b"II"
    value = struct.pack(order + "HH", orientation, 0) if kind == 3 else struct.pack(order + "I", orientation)
    return (
        mark + struct.pack(order + "HIH", 42, 8, 2) + struct.pack(order + "HHII", 0x100, 4, 1, WIDTH)
        + struct.pack(order + "HHI", 0x112, kind, 1) + value + b"\0\0\0\0")


def pngs():
    rgb = photo(WIDTH, HEIGHT).astype(int)
    grey = rgb[:, :, :1]
    alpha = 255 - rgb[:, :, 1:2]
    colours = photo(16, 16).reshape(-1, 3)
    for depth in (1, 2, 4, 8, 16):
        # 16 bits: some below 256, which Pillow keeps, and some above, which it cuts off.
        wide = np.where(grey % 3 == 0, grey * 257, grey)
        values = wide if depth == 16 else grey >> (8 - depth)
        put(f"grey{depth}.png", png(values, depth, 0))
        if depth in (1, 16):
            put(f"grey{depth}-interlaced.png", png(values, depth, 0, True))
    put("grey8-transparent.png", png(grey, 8, 0, transparency=struct.pack(">H", int(grey[0, 0, 0]))))
    for depth in (8, 16):
        factor = 1 if depth == 8 else 257
        odd = 0 if depth == 8 else 100
        put(f"rgb{depth}.png", png(rgb * factor - np.minimum(odd, rgb), depth, 2))
        put(f"grey-alpha{depth}.png", png(np.concatenate([grey, alpha], 2) * factor, depth, 4))
        put(f"rgba{depth}.png", png(np.concatenate([rgb, alpha], 2) * factor, depth, 6))
    put("rgb8-interlaced.png", png(rgb, 8, 2, True))
    put("rgb8-transparent.png", png(rgb, 8, 2, transparency=struct.pack(">HHH", *map(int, rgb[0, 0]))))
    for depth in (1, 2, 4, 8):
        palette = colours[: 2**depth].tobytes()
        put(f"palette{depth}.png", png(grey >> (8 - depth), depth, 3, palette=palette))
    palette = colours[:16].tobytes()
    put("palette4-interlaced.png", png(grey >> 4, 4, 3, True, palette=palette))
    put("palette4-transparent.png", png(grey >> 4, 4, 3, palette=palette, transparency=bytes(range(9))))
    put("palette4-short.png", png(grey >> 4, 4, 3, palette=colours[:9].tobytes()))
    put("one-pixel.png", png(rgb[:1, :1], 8, 2))
    put("wide.png", png((np.arange(4 * 30_000).reshape(4, 30_000, 1) // 977) % 2, 1, 0))
    for orientation in range(1, 10):
        place = {"after": chunk(b"eXIf", tiff(orientation))} if orientation == 5 else {
            "before": chunk(b"eXIf", tiff(orientation, "<>"[orientation % 2], 4 if orientation == 8 else 3))}
        put(f"orientation{orientation}.png", png(grey >> 4, 4, 3, palette=palette, **place))
    note = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    put("orientation-xmp.png", png(grey >> 4, 4, 3, palette=palette, before=chunk(b"iTXt", note)))


def jpegs(cjpeg):
    image = Image.fromarray(photo(WIDTH, HEIGHT))

    def saved(image, **options):
        out = io.BytesIO()
        image.save(out, "JPEG", **{"quality": 80, "optimize": True} | options)
        return out.getvalue()

    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        put(f"{name}.jpg", saved(image, subsampling=subsampling))
    put("progressive.jpg", saved(image, progressive=True))
    put("restarts.jpg", saved(image, restart_marker_blocks=1))
    put("rgb.jpg", saved(image, keep_rgb=True))
    put("grey.jpg", saved(image.convert("L")))
    put("one-pixel.jpg", saved(image.crop((0, 0, 1, 1))))
    put("orientation6.jpg", saved(image, exif=b"Exif\0\0" + tiff(6)))
    put("orientation-xmp.jpg", saved(image.convert("L"), xmp=b"<x><tiff:Orientation>3</tiff:Orientation></x>"))
    ink = Image.fromarray(np.concatenate([photo(WIDTH, HEIGHT), photo(HEIGHT, WIDTH).transpose(1, 0, 2)[:, :, :1]], 2), "CMYK")
    data = saved(ink)
    place = data.index(b"Adobe")
    put("cmyk.jpg", data)
    # The transform of the Adobe segment says that the four channels are YCCK.
    put("ycck.jpg", data[: place + 11] + b"\2" + data[place + 12:])
    image.save(HERE / "photo.ppm")
    for name, options in (("411", ["-sample", "4x1"]), ("440", ["-sample", "1x2"]), ("arithmetic", ["-arithmetic"]),
                          ("mixed", ["-sample", "2x2,1x2,2x1"])):
        command = [cjpeg, "-quality", "80", "-optimize"][: 3 if name == "arithmetic" else 4] + options
        put(f"{name}.jpg", subprocess.run(command + [HERE / "photo.ppm"], capture_output=True, check=True).stdout)
    (HERE / "photo.ppm").unlink()


def riff(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def webps():
    rgb = photo(WIDTH, HEIGHT)
    image = Image.fromarray(rgb)
    clear = Image.fromarray(np.concatenate([rgb, 255 - rgb[:, :, 1:2]], 2), "RGBA")

    def saved(image, **options):
        out = io.BytesIO()
        image.save(out, "WEBP", **options)
        return out.getvalue()

    put("lossy.webp", saved(image, quality=70))
    put("lossless.webp", saved(image, lossless=True))
    put("lossy-alpha.webp", saved(clear, quality=70))
    put("lossless-alpha.webp", saved(clear, lossless=True, exact=True))
    put("animated.webp", saved(image, save_all=True, append_images=[image.transpose(Image.Transpose.ROTATE_180)], duration=9))
    put("orientation6.webp", saved(image, lossless=True, exif=b"Exif\0\0" + tiff(6, "<")))
    put("orientation-xmp.webp", saved(image, lossless=True, xmp=b'<x tiff:Orientation="8"/>'))
    # A first frame of 10 x 6 at (2, 2) on a canvas of 13 x 9.
    def three(number):
        return struct.pack("<I", number)[:3]
    frame = three(1) + three(1) + three(9) + three(5) + three(9) + b"\0"
    frame += saved(image.crop((0, 0, 10, 6)), lossless=True)[12:]
    body = b"WEBP" + riff(b"VP8X", bytes([2, 0, 0, 0]) + three(WIDTH - 1) + three(HEIGHT - 1))
    body += riff(b"ANIM", bytes([9, 8, 7, 255, 0, 0])) + riff(b"ANMF", frame)
    put("small-frame.webp", riff(b"RIFF", body))


def checksum(pixels):
    return f"{zlib.crc32(np.ascontiguousarray(pixels).tobytes()):08x}"


def decode():
    table = ["name\twidth\theight\tchecksum"]
    for path in sorted(FILES.iterdir()):
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        table.append(f"{path.name}\t{image.width}\t{image.height}\t{checksum(np.asarray(image))}")
    (HERE / "decoded.tsv").write_text("\n".join(table) + "\n")


def planes(image):
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


SIZES = [(500, 375), (97, 131), (224, 224), (31, 200), (3, 2), (1, 1), (640, 64)]


def resize():
    filters = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}
    targets = [(224, 224), (97, 33), (31, 250), (1, 5), (500, 100), (640, 640)]
    table = ["width\theight\tto width\tto height\tfilter\tgrey\trgb"]
    for width, height in SIZES:
        image = Image.fromarray(photo(width, height))
        for name, number in filters.items():
            for target in targets:
                sums = [checksum(planes(i.resize(target, number))) for i in (image.convert("L"), image)]
                table.append("\t".join(map(str, (width, height, *target, name, *sums))))
    (HERE / "resized.tsv").write_text("\n".join(table) + "\n")


def prepare():
    from open_clip.transform import image_transform
    from timm.data import create_transform
    from transformers import BitImageProcessor, CLIPImageProcessor, DeiTImageProcessor, SiglipImageProcessor, ViTImageProcessor
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    def transformers(kind, **options):
        processor = kind(do_rescale=False, do_normalize=False, **options)
        return lambda image: np.asarray(processor(image, return_tensors="np")["pixel_values"][0]).astype(np.uint8)

    def timm(size, **options):
        transform = create_transform(size, normalize=False, **options)
        return lambda image: np.asarray(transform(image))

    def open_clip(size, **options):
        transform = image_transform(size, is_train=False, mean=(0, 0, 0), std=(1, 1, 1), **options)
        return lambda image: np.round(transform(image).numpy() * 255).astype(np.uint8)

    dino = {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}
    ways = {
        "CLIP": transformers(CLIPImageProcessorPil),
        "ViT": transformers(ViTImageProcessorPil),
        "DINOv2": transformers(BitImageProcessorPil, **dino),
        "SigLIP": transformers(SiglipImageProcessorPil),
        "DeiT": transformers(DeiTImageProcessorPil),
        "timm center": timm((3, 224, 224), crop_pct=0.9, interpolation="bicubic"),
        "timm default": timm((3, 224, 224), interpolation="bicubic"),
        "timm center 192 x 160": timm((3, 192, 160), crop_pct=0.95, interpolation="bilinear"),
        "timm squash": timm((3, 224, 224), crop_pct=0.95, crop_mode="squash", interpolation="bicubic"),
        "timm border": timm((3, 225, 224), crop_pct=1.0, crop_mode="border", interpolation="bicubic"),
        "OpenCLIP shortest": open_clip(224),
        "OpenCLIP shortest 96 x 130": open_clip((96, 130)),
        "OpenCLIP longest": open_clip(224, resize_mode="longest", fill_color=7, interpolation="bilinear"),
        "OpenCLIP squash": open_clip(224, resize_mode="squash"),
        # The pictures are smaller than the crop.
        "torchvision padding": transformers(CLIPImageProcessor, do_resize=False, crop_size={"height": 301, "width": 650}),
    }
    table = ["way\twidth\theight\tchecksum"]
    for name, way in ways.items():
        for width, height in SIZES[:4] + SIZES[6:]:
            table.append(f"{name}\t{width}\t{height}\t{checksum(way(Image.fromarray(photo(width, height))))}")
    (HERE / "prepared.tsv").write_text("\n".join(table) + "\n")

    small = {"size": {"shortest_edge": 16}, "crop_size": {"height": 14, "width": 14}}
    fast = [
        transformers(CLIPImageProcessor, **small), transformers(BitImageProcessor, **small),
        transformers(ViTImageProcessor, size={"height": 14, "width": 14}),
        transformers(SiglipImageProcessor, size={"height": 14, "width": 14}),
        transformers(DeiTImageProcessor, size={"height": 16, "width": 16}, crop_size={"height": 14, "width": 14}),
    ]
    images = [Image.fromarray(photo(width, height)) for width, height in SIZES[:2]]
    np.save(HERE / "fast.npy", np.stack([way(image) for way in fast for image in images]))


pngs()
jpegs(sys.argv[1] if len(sys.argv) > 1 else "cjpeg")
webps()
decode()
resize()
prepare()
