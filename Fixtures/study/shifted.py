"""Shifted test sets of the eight tasks: the same classes from elsewhere.

Fonts: letters of the four alphabets, and digits, in fonts that the suite was not made with (it has Noto, FreeFont and DejaVu), drawn in the style of the
task, 300 of each. Debian's packages of fonts are fetched with `apt-get download` and unpacked into the study's folder: nothing is installed.
The other shifts change the suite's own test pictures. All from fixed seeds.
"""
import pathlib
import subprocess
import zlib

import numpy as np

LETTERS = {
    "digits": "0123456789",
    "latin_lower": "abcdefghij",
    "greek": "αβγδεζηθικ",
    "cyrillic": "абвгдежзий",
    "devanagari": "कखगघङचछजझञ",
}
EUROPEAN = {
    "fonts-liberation2": ["LiberationSans-Regular", "LiberationSerif-Regular", "LiberationMono-Regular", "LiberationSans-Bold",
                          "LiberationSerif-Italic"],
    "fonts-linuxlibertine": ["LinLibertine_R", "LinLibertine_RB", "LinBiolinum_R"],
    "fonts-roboto-unhinted": ["Roboto-Regular", "Roboto-Light", "Roboto-BoldItalic"],
    "fonts-open-sans": ["OpenSans-Regular", "OpenSans-Bold"],
}
INDIC = {
    "fonts-lohit-deva": ["Lohit-Devanagari"],
    "fonts-gargi": ["gargi", "Gargi"],
    "fonts-samyak-deva": ["Samyak-Devanagari"],
    "fonts-sarai": ["Sarai"],
    "fonts-deva-extra": ["chandas1-2", "samanata", "kalimati"],
}
SHIFTS = ["noise", "low contrast", "inverted", "blur", "moved"]
SIDE = 28


def fetch(folder, packages):
    """The files of fonts of Debian packages, in a fixed order."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for package, names in packages.items():
        place = folder / package
        if not place.exists():
            subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=True, capture_output=True)
            archive = next(folder.glob(f"{package}_*.deb"))
            subprocess.run(["dpkg", "-x", archive, place.with_suffix(".part")], check=True)
            place.with_suffix(".part").rename(place)
        found = {file.stem: file for file in sorted(place.rglob("*")) if file.suffix in (".ttf", ".otf")}
        files += [found[name] for name in names if name in found]
    return files


def letter(character, file, size, generator):
    """A letter [28, 28] from 0 to 1, turned, moved and sized a little, drawn four times as large and averaged."""
    from PIL import Image, ImageDraw, ImageFont

    large = 4 * SIDE
    font = ImageFont.truetype(str(file), int(generator.uniform(*size) * large))
    picture = Image.new("L", (large, large))
    pen = ImageDraw.Draw(picture)
    left, top, right, bottom = pen.textbbox((0, 0), character, font=font)
    across, down = generator.uniform(-0.07, 0.07, 2) * large
    pen.text(((large - left - right) / 2 + across, (large - top - bottom) / 2 + down), character, font=font, fill=255)
    picture = picture.rotate(generator.uniform(-12, 12), resample=Image.Resampling.BICUBIC)
    return np.asarray(picture, float).reshape(SIDE, 4, SIDE, 4).mean((1, 3)) / 255


def smooth(generator, cells):
    """Noise of cells x cells numbers, enlarged bilinearly, [28, 28] from 0 to 1."""
    grid = generator.uniform(0, 1, (cells + 1, cells + 1))
    place = (np.arange(SIDE) + 0.5) / SIDE * cells
    cell = place.astype(int)
    part = place - cell
    rows = grid[cell] * (1 - part)[:, None] + grid[cell + 1] * part[:, None]
    return rows[:, cell] * (1 - part) + rows[:, cell + 1] * part


def blurred(images):
    """Means over 3 x 3 pixels with weights 1 2 1, edges repeated."""
    wide = np.pad(images, [(0, 0)] * (images.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    rows = (wide[..., :-2, :] + 2 * wide[..., 1:-1, :] + wide[..., 2:, :]) / 4
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4


def styled(task, mark, generator):
    """A letter as the pictures of its task show it, judged by eye from the suite's own."""
    noise = generator.normal(0, 1, (SIDE, SIDE))
    if task == "digits":
        return blurred(mark) * generator.uniform(0.8, 1) + 0.04 * noise
    if task == "latin_lower":
        y, x = np.mgrid[:SIDE, :SIDE] / SIDE
        turn, waves = generator.uniform(0, 2 * np.pi), generator.uniform(4, 8)
        ground = 0.5 + 0.5 * np.sin(2 * np.pi * (waves * (x * np.cos(turn) + y * np.sin(turn)) + generator.uniform()))
        return np.maximum(0.35 * ground, mark * generator.uniform(0.6, 0.9)) + 0.03 * noise
    if task == "greek":
        return np.maximum(0.15 + 0.35 * smooth(generator, 6), mark * generator.uniform(0.6, 1)) + 0.03 * noise
    if task == "cyrillic":
        rim = np.abs(mark - blurred(blurred(mark)))
        return np.clip(2.5 * rim, 0, 1) * generator.uniform(0.6, 1) + 0.05 * noise
    return np.where(generator.uniform(0, 1, (SIDE, SIDE)) < 0.06, 1, (mark > 0.4) * 1.0)


def drawn(task, files, count=300):
    """Pictures [count, 1, 28, 28] of a task in other fonts, and their labels."""
    generator = np.random.default_rng([1, zlib.crc32(task.encode())])
    labels = np.arange(count) % 10
    size = (0.8, 1.0) if task == "digits" else (0.6, 0.8)
    images = [
        styled(task, letter(LETTERS[task][label], files[generator.integers(len(files))], size, generator), generator)
        for label in labels
    ]
    return _bytes(np.stack(images)[:, None]), labels


def changed(shift, task, images):
    """Test pictures [N, 1, 28, 28] of 8 bits under one of SHIFTS."""
    generator = np.random.default_rng([2, zlib.crc32(f"{shift} {task}".encode())])
    values = images / 255
    if shift == "noise":
        values = values + generator.normal(0, 0.15, values.shape)
    if shift == "low contrast":
        values = 0.5 + 0.4 * (values - 0.5)
    if shift == "inverted":
        values = 1 - values
    if shift == "blur":
        values = blurred(values)
    if shift == "moved":
        steps = generator.integers(-3, 4, (len(values), 2))
        values = np.stack([np.roll(value, step, (-2, -1)) for value, step in zip(values, steps)])
    return _bytes(values)


def make(suite, folder):
    """The files of every shift by task, in a folder: {shift: {task: path}}. Fonts that cannot be fetched are left out."""
    folder = pathlib.Path(folder)
    sets = {shift: {} for shift in SHIFTS}
    for task in suite.tasks:
        own = np.load(suite.test[task])
        for shift in SHIFTS:
            sets[shift][task] = _save(
                folder / f"{shift.replace(' ', '-')}_{task}.npz", lambda: (changed(shift, task, own["images"]), own["labels"]))
    lettered = [task for task in suite.tasks if task in LETTERS]
    try:
        fonts = {task: fetch(folder / "fonts", INDIC if task == "devanagari" else EUROPEAN) for task in lettered}
    except (OSError, subprocess.CalledProcessError, StopIteration):
        return sets
    files = {
        task: _save(folder / f"fonts_{task}.npz", lambda: drawn(task, fonts[task])) for task in lettered if fonts[task]
    }
    return {"other fonts": files, **sets} if files else sets


def _save(path, made):
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        images, labels = made()
        part = path.with_suffix(".part.npz")
        np.savez(part, images=images, labels=labels)
        part.replace(path)
    return path


def _bytes(values):
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
