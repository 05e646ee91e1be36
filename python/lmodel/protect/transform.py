"""Keyed input transforms: a network that is fine-tuned on transformed images works for those who
can transform theirs in the same way.

M. AprilPyone and H. Kiya, "Transfer Learning-Based Model Protection With Secret Key", ICIP 2021,
and "A Protection Method of Trained CNN Model with a Secret Key from Unauthorized Access", APSIPA
Transactions 2021: block-wise pixel shuffling ("shf"), negative/positive ("np") and encryption of
the samples that keeps their format ("ffx"). What comes out is equal, bit by bit, to that of
`lmodel transform`.
"""
import argparse
import json
import os
import secrets
import stat
from collections.abc import Sequence
from typing import Optional, TypeVar, Union

import numpy as np

from lmodel.errors import CorruptError, LmodelError, UnsupportedError, UsageError
from lmodel.protect import keyed

NAME = "transform"
SUMMARY = "transform arrays of images with a key, or fold the transform into a network"
TEXT_LIMIT = 4096  # bytes of a key file

Images = TypeVar("Images")  # numpy.ndarray or torch.Tensor


class TransformError(UsageError):
    """Images or a network that the transform cannot do with."""


class KeyFileError(CorruptError):
    """What should be the key of an input transform is none."""


def _parse(text: Union[str, bytes]) -> dict:
    if len(text) > TEXT_LIMIT:
        raise KeyFileError("too long for the key file of an input transform")

    def unique(pairs: list) -> dict:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=unique)
        if found.keys() != {"lmodel", "version", "method", "block", "channels", "key"} or \
                found["lmodel"] != "input-transform":
            raise ValueError
        if len(found["key"]) != 64 or found["key"].strip("0123456789abcdef"):
            raise ValueError
    except (ValueError, TypeError, AttributeError, RecursionError):
        # no "from": the text has the key in it
        raise KeyFileError("is not the key file of an input transform") from None
    if found["version"] != 1:
        raise UnsupportedError("a key file of another version")
    return found


class InputTransform:
    """A keyed transform of images, N x C x H x W or C x H x W.

    uint8 images (0 to 255) stay what they are, but "ffx" makes uint16 of them (int16 in PyTorch),
    0 to 999. float32 images are from 0 to 1, before any normalisation, and stay so; "shf" takes any
    values. NumPy arrays and PyTorch tensors give what they are; the input is never changed.
    """

    def __init__(self, method: str, block: int, channels: int, key: bytes):
        """`block`: pixels a side; `channels`: samples a pixel; `key`: 32 bytes."""
        if method not in keyed.METHODS:
            raise TransformError(f"no method {method!r}: one of {', '.join(keyed.METHODS)}")
        if len(key) != 32:
            raise TransformError("a key is 32 bytes")
        if type(block) is not int or type(channels) is not int or \
                not 1 <= block <= keyed.BLOCK_MAX or not 1 <= channels <= keyed.CHANNELS_MAX or \
                not 2 <= block * block * channels <= keyed.POSITIONS_MAX:
            raise TransformError(f"no blocks of {block} pixels a side with {channels} channels")
        self.method, self.block, self.channels = method, block, channels
        self._key = key
        self.order = np.array(keyed.permutation(key, method, block, channels))
        self.picks = 2 * self.order >= len(self.order)  # the half that np and ffx change
        self._cipher = np.array(keyed.table(key, block, channels) if method == "ffx" else [0])

    @classmethod
    def new(cls, method: str, block: int, channels: int = 3) -> "InputTransform":
        """With a fresh key."""
        return cls(method, block, channels, secrets.token_bytes(32))

    @classmethod
    def parse(cls, text: Union[str, bytes]) -> "InputTransform":
        """From the text of a key file. Raises KeyFileError, UnsupportedError (a newer one)."""
        found = _parse(text)
        return cls(found["method"], found["block"], found["channels"], bytes.fromhex(found["key"]))

    @classmethod
    def from_file(cls, path: Union[str, os.PathLike]) -> "InputTransform":
        """From a key file (`lmodel keygen --transform`)."""
        with open(path, "rb") as file:
            return cls.parse(file.read(TEXT_LIMIT + 1))

    @classmethod
    def from_archive(cls, archive: "Union[lmodel.Archive, str, os.PathLike]", identity=None,
                     name: str = "input-transform.json") -> "InputTransform":
        """From the attachment `name` of an archive, open or by its path; `identity` as
        lmodel.open() takes it. NoKeyError when the keys do not open its tier."""
        import lmodel
        if isinstance(archive, lmodel.Archive):
            return cls.parse(archive.read_attachment(name))
        with lmodel.open(archive, identity) as opened:
            return cls.parse(opened.read_attachment(name))

    def save(self, path: Union[str, os.PathLike]) -> None:
        """Writes the key file: mode 0600, never over a file that exists."""
        text = json.dumps({"lmodel": "input-transform", "version": 1, "method": self.method,
                           "block": self.block, "channels": self.channels, "key": self._key.hex()})
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
        with open(fd, "w", encoding="ascii") as file:
            file.write(text + "\n")

    def __call__(self, images: Images) -> Images:
        """The transformed images."""
        return self._apply(images, inverse=False)

    def inverse(self, images: Images) -> Images:
        """The images again: exactly, but for the rounding of "np" on floats."""
        return self._apply(images, inverse=True)

    # ---- images as blocks: ... x rows of blocks x columns of blocks x positions ----

    def _apply(self, images: Images, inverse: bool) -> Images:
        if not isinstance(images, np.ndarray):
            return _through_numpy(images, lambda array: self._apply(array, inverse))
        if images.ndim == 3:
            return self._apply(images[None], inverse)[0]
        n, c, h, w = images.shape if images.ndim == 4 else (0, 0, 0, 0)
        m = self.block
        if c != self.channels or h % m or w % m or h * w == 0:
            raise TransformError(f"images of shape {tuple(images.shape)} cannot be cut into blocks "
                                 f"of {m} x {m} pixels with {self.channels} channels")
        blocks = images.reshape(n, c, h // m, m, w // m, m).transpose(0, 2, 4, 3, 5, 1)
        blocks = self._blocks(blocks.reshape(n, h // m, w // m, -1), inverse)
        blocks = blocks.reshape(n, h // m, w // m, m, m, c).transpose(0, 5, 1, 3, 2, 4)
        return np.ascontiguousarray(blocks).reshape(n, c, h, w)

    def _blocks(self, x: np.ndarray, inverse: bool) -> np.ndarray:
        if self.method == "shf":
            return x[..., np.argsort(self.order) if inverse else self.order]
        is_float = x.dtype == np.float32
        if is_float and not bool(((x >= 0) & (x <= 1)).all()):
            raise TransformError("a sample is not from 0 to 1; images are transformed before they "
                                 "are normalised")
        if self.method == "np":
            if not is_float and x.dtype not in (np.uint8, np.uint16):
                raise TransformError(f"samples of type {x.dtype}")
            white = np.float32(1) if is_float else np.iinfo(x.dtype).max
            return np.where(self.picks, white - x, x)
        return self._decrypt(x) if inverse else self._encrypt(x)

    def _encrypt(self, x: np.ndarray) -> np.ndarray:
        if x.dtype == np.uint8:
            return np.where(self.picks, self._cipher[x], x).astype(np.uint16)
        if x.dtype != np.float32:
            raise TransformError(f"samples of type {x.dtype}")
        plain = np.rint(x * np.float32(255)).astype(np.int64)
        made = np.where(self.picks, self._cipher[plain], plain)
        return made.astype(np.float32) / np.float32(self._cipher.max())

    def _decrypt(self, x: np.ndarray) -> np.ndarray:
        is_float = x.dtype == np.float32
        if not is_float and x.dtype not in (np.uint16, np.int16):
            raise TransformError(f"samples of type {x.dtype}")
        made = np.rint(x * np.float32(self._cipher.max())) if is_float else x
        made = np.clip(made.astype(np.int64), -1, 1000)
        table = np.full(1002, -1)  # the last for -1
        table[self._cipher] = np.arange(256)
        plain = np.where(self.picks, table[made], np.where(made < 256, made, -1))
        if bool((plain < 0).any()):
            raise TransformError("a sample is no value that this key makes")
        return plain.astype(np.float32) / np.float32(255) if is_float else plain.astype(np.uint8)

    # ---- folding ----

    def fold(self, weight: Images, bias: Optional[Images] = None,
             mean: Union[float, Sequence[float]] = 0.0,
             std: Union[float, Sequence[float]] = 1.0) -> tuple[Images, Optional[Images]]:
        """The weight (O x C x K x K) and bias (O) of a first layer that does on transformed images
        what the given one does on plain ones: a convolution whose stride is its kernel size K, a
        multiple of the block, as in ViT and ConvMixer (arXiv 2207.11939). Nothing is trained.

        `mean` and `std` (numbers, or one a channel): images are normalised by them behind the
        transform, as (x - mean) / std. Without a bias "np" makes one. "ffx" is not linear.
        """
        if not isinstance(weight, np.ndarray):
            import torch
            made = self.fold(weight.detach().cpu().numpy(),
                             None if bias is None else bias.detach().cpu().numpy(), mean, std)
            return tuple(None if x is None else torch.from_numpy(x).to(weight) for x in made)
        if self.method == "ffx":
            raise TransformError("ffx is not linear: no weights undo it")
        if weight.ndim != 4 or weight.shape[2] != weight.shape[3]:
            raise TransformError(f"a weight of shape {tuple(weight.shape)} is no patch embedding")
        shift, scale = (np.broadcast_to(np.asarray(x, np.float64), self.channels)[:, None, None]
                        for x in (mean, std))
        raw = weight.astype(np.float64) / scale  # on images that are not normalised
        zero = -(raw * shift).sum((1, 2, 3)) + (0 if bias is None else bias.astype(np.float64))
        if self.method == "shf":
            raw = self(raw)
        else:
            at = self._picked(raw.shape)
            zero = zero + (raw * at).sum((1, 2, 3))
            raw = np.where(at, -raw, raw)
        zero = zero + (raw * shift).sum((1, 2, 3))
        plain = bias is None and bool((zero == 0).all())
        return ((raw * scale).astype(weight.dtype), None if plain else zero.astype(weight.dtype))

    def _picked(self, shape: tuple) -> np.ndarray:
        """1 where np changes an image of this shape, else 0."""
        white = np.ones((1,) + tuple(shape[1:]), np.float32)
        return 1 - self(white)


def _through_numpy(images: Images, work) -> Images:
    """For PyTorch: the same function, so the same bits."""
    import torch
    made = work(images.detach().cpu().numpy())
    if made.dtype == np.uint16:  # which PyTorch lacks; 999 is the largest
        made = made.astype(np.int16)
    return torch.from_numpy(np.ascontiguousarray(made)).to(images.device)


# ---- the tool ----


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("input", metavar="IN", help="a .npy file of images, N x C x H x W or "
                        "C x H x W; with --fold a safetensors file")
    parser.add_argument("output", metavar="OUT", help="the file to write, of the same kind")
    parser.add_argument("-k", "--key", metavar="FILE", help="the key file of the transform")
    parser.add_argument("--archive", metavar="ARCHIVE", help="the archive that carries the key")
    parser.add_argument("-i", "--identity", metavar="FILE", help="a key file for ARCHIVE")
    parser.add_argument("--inverse", action="store_true", help="back to the images")
    parser.add_argument("--fold", metavar="LAYER", help="fold the transform into the weight and "
                        "bias of this patch embedding, a convolution, instead")
    parser.add_argument("--mean", type=float, nargs="+", default=[0.0], metavar="X",
                        help="with --fold: images are normalised behind the transform")
    parser.add_argument("--std", type=float, nargs="+", default=[1.0], metavar="X",
                        help="the same: (x - mean) / std, one number or one a channel")
    parser.add_argument("-f", "--force", action="store_true", help="replace OUT when it exists")


def run(args: argparse.Namespace) -> int:
    """Transforms an array, or folds; writes OUT whole."""
    if (args.key is None) == (args.archive is None):
        raise UsageError("the key is given by one of --key and --archive")
    if os.path.exists(args.output) and not args.force:
        raise LmodelError(f"{args.output}: exists; -f replaces it")
    transform = InputTransform.from_file(args.key) if args.archive is None else \
        InputTransform.from_archive(args.archive, args.identity)
    if args.fold is not None:
        _fold_file(transform, args)
        return 0
    try:
        images = np.load(args.input, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise CorruptError(f"{args.input}: is no .npy file: {error}") from None
    made = transform.inverse(images) if args.inverse else transform(images)
    temporary = f"{args.output}.{os.getpid()}.tmp"
    try:
        with open(temporary, "xb") as file:
            np.save(file, made)
        os.replace(temporary, args.output)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    return 0


def _fold_file(transform: InputTransform, args: argparse.Namespace) -> None:
    from lmodel import safetensors
    tensors, metadata = safetensors.load_torch(args.input)
    weight, bias = f"{args.fold}.weight", f"{args.fold}.bias"
    if weight not in tensors:
        raise UsageError(f"{args.input}: has no tensor {weight!r}")
    tensors[weight], folded = transform.fold(tensors[weight], tensors.get(bias), args.mean,
                                             args.std)
    if folded is not None:
        tensors[bias] = folded
    safetensors.save_torch(args.output, tensors, metadata)
