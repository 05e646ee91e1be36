"""Keyed input transforms: the files of the program and of the package agree bit by bit (spec: 15).
Speaks TAP."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

import lmodel
from lib import mkimage
from lib.pytap import done, equal, ok, raises, same
from lmodel.errors import UnsupportedError
from lmodel.protect.transform import InputTransform, KeyFileError, TransformError

SHAPES = {  # method, block, channels -> images
    ("shf", 4, 1): (3, 1, 8, 12), ("shf", 4, 3): (5, 3, 8, 12), ("shf", 3, 2): (2, 2, 9, 6),
    ("shf", 16, 3): (2, 3, 32, 16), ("np", 2, 1): (3, 1, 4, 4), ("np", 4, 3): (5, 3, 8, 12),
    ("np", 3, 1): (2, 1, 9, 3), ("ffx", 4, 1): (3, 1, 8, 12), ("ffx", 4, 3): (5, 3, 8, 12),
}


def program(*arguments, status=0):
    """Runs lmodel; gives standard error."""
    run = subprocess.run(["lmodel", *map(str, arguments)], capture_output=True, text=True)
    if run.returncode != status:
        ok(False, f"lmodel {arguments} exits {status}: {run.returncode} {run.stderr}")
    return run.stderr


def through_program(images, *options):
    """The same by the program."""
    np.save("in.npy", images)
    program("transform", "-f", "-k", "key.json", *options, "in.npy", "out.npy")
    return np.load("out.npy")


def check_arrays():
    draw = np.random.default_rng(1)
    for (method, block, channels), shape in SHAPES.items():
        name = f"{method}, {block} x {block}, {channels} channels"
        if os.path.exists("key.json"):
            os.unlink("key.json")
        program("keygen", "-q", "--transform", method, "--block", block, "--channels", channels,
                "-o", "key.json")
        transform = InputTransform.from_file("key.json")
        for images in (draw.integers(0, 256, shape, np.uint8),
                       draw.random(shape, np.float32)):
            made = transform(images)
            same(made, through_program(images, "--layout", "nchw"), f"{name}, {images.dtype}")
            back = transform.inverse(made)
            same(back, through_program(made, "--layout", "nchw", "--inverse"), "... inverse")
            if images.dtype == np.uint8 or method == "shf":
                same(back, images, "... gives the images again")
            tensor = transform(torch.from_numpy(images))
            ok(isinstance(tensor, torch.Tensor) and np.array_equal(tensor.numpy(), made),
               "... of a tensor")
            same(transform(images[0]), made[0], "... of one image")


def check_pictures():
    for method in ("shf", "np", "ffx"):
        key = Path(f"{method}.json")
        transform = InputTransform.new(method, 4, 3)
        transform.save(key)
        equal(stat.S_IMODE(key.stat().st_mode), 0o600, f"{method}: a key file of its owner's")
        raises(FileExistsError, lambda: transform.save(key), "", "... never replaced")
        mkimage.png("rgb", 24, 16, "in.png")
        program("transform", "-f", "-k", key, "in.png", "out.png")
        images = []
        for path in ("in.png", "out.png"):
            colour, bits, width, height, _, rows = mkimage.decode(path)
            raw = np.frombuffer(b"".join(rows), ">u2" if bits == 16 else np.uint8)
            images.append(raw.astype(raw.dtype.newbyteorder("=")).reshape(height, width, 3))
        same(transform(images[0].transpose(2, 0, 1)), images[1].transpose(2, 0, 1),
             "... a PNG file of the program")


def check_refused():
    for text in ("", "{}", "[]", "[" * 2000, "{\"lmodel\": \"input-transform\"}", "x" * 5000,
                 Path("shf.json").read_text().replace("shf", "rot13"),
                 Path("shf.json").read_text().replace("{", "{\"version\": 1, ", 1)):
        try:
            InputTransform.parse(text)
            ok(False, f"{text[:30]!r} is no key file")
        except (KeyFileError, TransformError) as error:
            ok("key\"" not in str(error), f"{text[:30]!r} is no key file")
    newer = Path("shf.json").read_text().replace("1", "2", 1)
    raises(UnsupportedError, lambda: InputTransform.parse(newer), "another version",
           "a newer key file is unsupported")
    key = InputTransform.new("np", 4, 3)
    raises(TransformError, lambda: key(np.zeros((1, 3, 6, 8), np.uint8)), "4 x 4", "blocks")
    raises(TransformError, lambda: key(np.zeros((1, 1, 8, 8), np.uint8)), "channels", "channels")
    raises(TransformError, lambda: key(np.full((1, 3, 8, 8), np.nan, np.float32)), "0 to 1", "NaN")
    raises(TransformError, lambda: key(np.full((1, 3, 8, 8), -0.5, np.float32)), "normalised",
           "normalised images")
    raises(TransformError, lambda: key(np.zeros((1, 3, 8, 8))), "float64", "doubles")
    raises(TransformError, lambda: InputTransform("np", 4, 3, b"short"), "32", "a short key")
    raises(TransformError, lambda: InputTransform("np", 1, 1, bytes(32)), "blocks", "one sample")
    ffx = InputTransform.new("ffx", 4, 3)
    raises(TransformError, lambda: ffx.inverse(np.full((1, 3, 8, 8), 1000, np.uint16)),
           "no value", "a value of no key")
    ok(str(key._key.hex()) not in repr(key), "the key is not shown")


def check_fold():
    torch.manual_seed(2)
    for kernel, blocks in ((4, (4,)), (8, (4, 8, 2))):
        layer = torch.nn.Conv2d(3, 5, kernel, kernel)
        images = torch.rand(4, 3, 16, 24)
        scales = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])
        for block in blocks:
            for method in ("shf", "np"):
                for mean, std in (([0.0], [1.0]), scales):
                    key = InputTransform.new(method, block, 3)
                    weight, bias = key.fold(layer.weight, layer.bias, list(map(float, mean)),
                                            list(map(float, std)))
                    wide = [torch.as_tensor(v).view(-1, 1, 1) for v in (mean, std)]
                    got = F.conv2d((key(images) - wide[0]) / wide[1], weight, bias, kernel)
                    plain = layer((images - wide[0]) / wide[1])
                    wrong = layer((key(images) - wide[0]) / wide[1])
                    close = float((got - plain).abs().max())
                    ok(close < 2e-5 < 1e-2 < float((wrong - plain).abs().max()),
                       f"{method}, block {block} folded into a kernel of {kernel}: {close:.1e}")
    shf, ffx = InputTransform.new("shf", 4, 3), InputTransform.new("ffx", 4, 3)
    weight, bias = shf.fold(np.ones((2, 3, 4, 4), np.float32))
    ok(bias is None and weight.dtype == np.float32, "no bias is made where none is needed")
    raises(TransformError, lambda: ffx.fold(weight), "linear", "ffx does not fold")
    raises(TransformError, lambda: shf.fold(np.ones((2, 3, 6, 6), np.float32)), "blocks",
           "a kernel that blocks do not divide")
    raises(TransformError, lambda: shf.fold(np.ones((2, 3), np.float32)), "embedding",
           "no patch embedding")


def check_archive():
    program("keygen", "-q", "-o", "owner.key")
    program("keygen", "-q", "-o", "other.key")
    owner = subprocess.run(["lmodel", "keygen", "-y", "owner.key"], capture_output=True,
                           text=True).stdout.strip()
    from lmodel import safetensors
    safetensors.save("m.safetensors", {"w": np.arange(4096, dtype=np.float32).reshape(64, 64)})
    program("pack", "-q", "--tier", "full=0", "--owner", owner, "--attach",
            "shf.json=input-transform.json@full", "-o", "m.lmodel", "m.safetensors")
    images = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8)
    wanted = InputTransform.from_file("shf.json")(images)
    same(InputTransform.from_archive("m.lmodel", "owner.key")(images), wanted,
         "the key out of an archive")
    with lmodel.open("m.lmodel", "owner.key") as archive:
        same(InputTransform.from_archive(archive)(images), wanted, "... that is open")
    raises(lmodel.NoKeyError, lambda: InputTransform.from_archive("m.lmodel", "other.key"), "",
           "... not with another key")


def tool(*arguments):
    """Runs the tool of the package."""
    return subprocess.run([sys.executable, "-m", "lmodel.protect", "transform", *arguments],
                          capture_output=True, text=True)


def check_tool():
    from lmodel import safetensors
    images = np.random.default_rng(3).integers(0, 256, (2, 3, 8, 8), np.uint8)
    np.save("in.npy", images)
    run = tool("--key", "shf.json", "in.npy", "made.npy")
    equal((run.returncode, run.stdout, run.stderr), (0, "", ""), "the tool runs")
    same(np.load("made.npy"), InputTransform.from_file("shf.json")(images), "... and transforms")
    run = tool("--archive", "m.lmodel", "-i", "owner.key", "--inverse", "made.npy", "back.npy")
    equal(run.returncode, 0, "... with the key of an archive")
    same(np.load("back.npy"), images, "... and back")
    equal(tool("--key", "shf.json", "in.npy", "made.npy").returncode, 1, "it replaces nothing")
    run = tool("--key", "m.safetensors", "in.npy", "x.npy")
    equal((run.returncode, run.stderr.count("\n")), (4, 1), "no key file: one line, status 4")
    equal(tool("in.npy", "x.npy").returncode, 2, "no key: status 2")
    layer = torch.nn.Conv2d(3, 5, 4, 4)
    safetensors.save_torch("vit.safetensors", {"embed.weight": layer.weight.detach(),
                                               "embed.bias": layer.bias.detach()}, {"a": "b"})
    run = tool("--key", "shf.json", "--fold", "embed", "vit.safetensors", "folded.safetensors")
    equal((run.returncode, run.stderr), (0, ""), "the tool folds")
    tensors, metadata = safetensors.load_torch("folded.safetensors")
    x = torch.rand(1, 3, 8, 8)
    got = F.conv2d(InputTransform.from_file("shf.json")(x), tensors["embed.weight"],
                   tensors["embed.bias"], 4)
    ok(torch.allclose(got, layer(x), atol=1e-5) and metadata == {"a": "b"}, "... rightly")
    equal(tool("--key", "shf.json", "--fold", "no", "vit.safetensors", "x.st").returncode, 2,
          "a layer that is not there: status 2")


check_arrays()
check_pictures()
check_refused()
check_fold()
check_archive()
check_tool()
done()
