"""Data sets to measure networks with, and small made-up ones for where there are none.

Files are looked for in the folder that $LMODEL_DATA names, then in `../shared/data` beside the
repository; Fashion-MNIST also where Debian's package dataset-fashion-mnist puts it. Below such a
folder lie `data/cifar10_train_*.npz` and `data/gtsrb32_train_*.npz` (x: uint8 N x H x W x C,
y: labels; `test` alike), `data/Set12/*.png`, `data/train400/*.png`, and `models/`.
"""

import functools
import gzip
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lmodel.protect import madeup
from lmodel.errors import UsageError

IMAGES = ("fmnist", "cifar10", "gtsrb", "synthetic")
PICTURES = ("set12", "train400", "synthetic")
STORIES = ("stories", "synthetic")
_DEBIAN_FMNIST = Path("/usr/share/datasets/fashion-mnist")
_PLACES = {"cifar10": "data/cifar10_*.npz", "gtsrb": "data/gtsrb32_*.npz", "set12": "data/Set12",
           "train400": "data/train400", "stories": "models/stories260K.safetensors",
           "fmnist": "data/fashion-mnist"}
# Mean and standard deviation, by channel, that published networks were trained with.
_SCALES = {"cifar10": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}


class DataError(UsageError):
    """A data set is unknown or not on this machine."""


def folders() -> list[Path]:
    """The folders that are searched, in order."""
    given = os.environ.get("LMODEL_DATA")
    beside = Path(__file__).resolve().parents[4] / "shared" / "data"
    return ([Path(given)] if given else []) + [beside]


def find(name: str) -> Path:
    """Where a data set, or a file such as "models/x.safetensors", lies. DataError if nowhere.

    A data set of several files is told by the first of them.
    """
    if "/" not in name and name not in _PLACES:
        raise DataError(f"no data set is called {name!r}; known are "
                        f"{', '.join(sorted(_PLACES))} and synthetic")
    pattern = _PLACES.get(name, name)
    for folder in folders():
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    if name == "fmnist" and _DEBIAN_FMNIST.is_dir():
        return _DEBIAN_FMNIST
    hint = "install the package dataset-fashion-mnist" if name == "fmnist" else \
        "set LMODEL_DATA to the folder that holds " + pattern
    raise DataError(f"{name} is not on this machine: {hint}, or use the made-up data "
                    "(synthetic)")


def available(*names: str) -> bool:
    """Whether find() finds all of these."""
    try:
        return all(find(name) for name in names)
    except DataError:
        return False


def images(name: str, split: str, count: int | None = None) -> tuple[Tensor, Tensor]:
    """The first `count` images of "train" or "test": N x C x H x W, as networks were trained.

    In an order that mixes the classes, the same at every call.
    Values are grey levels / 255 less 0.5; for CIFAR-10 less the mean and over the standard
    deviation of the channel, as published networks expect. Labels are int64. DataError.
    """
    if split not in ("train", "test"):
        raise DataError(f"a split is train or test, not {split!r}")
    if name == "synthetic":
        return madeup.images(split, count)
    if name not in IMAGES:
        raise DataError(f"no data set of images is called {name!r}; known are "
                        f"{', '.join(IMAGES)}")
    raw, labels = _fmnist(split) if name == "fmnist" else _arrays(name, split)
    raw, labels = raw[:count], labels[:count]
    mean, deviation = (torch.tensor(v)[:, None, None] for v in scale(name))
    x = (torch.from_numpy(raw.astype(np.float32)) / 255 - mean) / deviation
    return x, torch.from_numpy(labels.astype(np.int64))


def scale(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What images() takes from grey levels / 255 and then divides by, by channel or for all."""
    return _SCALES.get(name, ((0.5,), (1.0,)))


def _fmnist(split: str) -> tuple[np.ndarray, np.ndarray]:
    folder = find("fmnist")
    prefix = "train" if split == "train" else "t10k"
    pixels = _idx(folder / f"{prefix}-images-idx3-ubyte.gz", 16)
    return pixels.reshape(-1, 1, 28, 28), _idx(folder / f"{prefix}-labels-idx1-ubyte.gz", 8)


def _idx(path: Path, header: int) -> np.ndarray:
    with gzip.open(path) as stream:
        return np.frombuffer(stream.read(), np.uint8, offset=header)


def _arrays(name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    folder = find(name).parent
    stem = Path(_PLACES[name]).name.replace("*", f"{split}_*")
    found = sorted(folder.glob(stem))
    if not found:
        raise DataError(f"{name}: {folder / stem} is not there")
    with np.load(found[0], allow_pickle=False) as arrays:
        x, y = arrays["x"].transpose(0, 3, 1, 2), arrays["y"]
    # The files are in the order of classes; the first so many are to be of all of them.
    order = np.random.default_rng(0).permutation(len(y))
    return x[order], y[order]


def pictures(name: str, count: int | None = None) -> list[Tensor]:
    """The first `count` grey pictures, each 1 x H x W in 0 to 1. DataError."""
    if name == "synthetic":
        return madeup.pictures(count)
    if name not in PICTURES:
        raise DataError(f"no data set of pictures is called {name!r}; known are "
                        f"{', '.join(PICTURES)}")
    from matplotlib import image

    files = sorted(find(name).glob("*.png"))[:count]
    return [torch.from_numpy(np.atleast_3d(image.imread(file))[:, :, 0].copy()).float()[None]
            for file in files]


def noisy(name: str, sigma: float, count: int | None = None,
          seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Pairs (noisy, clean) of 1 x H x W; Gaussian noise of `sigma` grey levels of 255."""
    generator = torch.Generator().manual_seed(seed)
    return [(clean + torch.randn(clean.shape, generator=generator) * sigma / 255, clean)
            for clean in pictures(name, count)]


def patches(name: str, sigma: float, count: int, size: int = 40,
            seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noisy and clean squares cut at random places: each count x 1 x size x size."""
    generator = torch.Generator().manual_seed(seed)
    whole = [picture for picture in pictures(name) if min(picture.shape[1:]) >= size]
    if not whole:
        raise DataError(f"{name} has no picture of {size} x {size} or more")
    clean = torch.empty(count, 1, size, size)
    for i in range(count):
        picture = whole[int(torch.randint(len(whole), (), generator=generator))]
        top, left = (int(torch.randint(side - size + 1, (), generator=generator))
                     for side in picture.shape[1:])
        clean[i] = picture[:, top:top + size, left:left + size]
    return clean + torch.randn(clean.shape, generator=generator) * sigma / 255, clean


def stories(count: int, length: int = 128, seed: int = 0, name: str = "stories") -> Tensor:
    """Token sequences, count x length, int64.

    "stories": drawn from the intact stories260K itself (temperature 1, after its start token), so
    that no other network has a lower expected perplexity on them than it has. "synthetic": drawn
    from a made-up Markov chain of 64 tokens.
    """
    if name == "synthetic":
        return madeup.stories(count, length, seed)
    if name != "stories":
        raise DataError(f"no data set of stories is called {name!r}; known are "
                        f"{', '.join(STORIES)}")
    return _told(find("stories"), count, length, seed).clone()


@functools.lru_cache(maxsize=4)
def _told(path: Path, count: int, length: int, seed: int) -> Tensor:
    from lmodel.protect import nets

    module = nets.load(path).module
    generator = torch.Generator().manual_seed(seed)
    past = [[] for _ in module.model.layers]
    tokens = [torch.ones(count, 1, dtype=torch.int64)]
    with torch.no_grad():
        while len(tokens) < length:
            shares = module(tokens[-1], past)[:, -1].softmax(-1)
            tokens.append(torch.multinomial(shares, 1, generator=generator))
    return torch.cat(tokens, 1)


def synthetic(task: str, split: str = "train", count: int = 256,
              seed: int = 0) -> tuple[Tensor, Tensor]:
    """Made-up inputs and targets for a task, so that everything runs without any data set.

    "classify": images N x 1 x 16 x 16 of 10 classes and labels. "denoise": noisy (sigma 25) and
    clean patches N x 1 x 24 x 24. "language": tokens N x 32, twice.
    """
    if task == "classify":
        return images("synthetic", split, count)
    if task == "denoise":
        return patches("synthetic", 25.0, count, 24, seed)
    if task == "language":
        tokens = stories(count, 32, seed, "synthetic")
        return tokens, tokens
    raise DataError(f"no task is called {task!r}")
