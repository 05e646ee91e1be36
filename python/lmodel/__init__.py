"""lmodel: archives of model weights, some of them behind keys.

    import lmodel

    weights = lmodel.load("model.lmodel", identity="me.key")      # name -> NumPy array
    with lmodel.open("model.lmodel", identity="me.key") as archive:
        rows = archive.get_slice("embed.weight")[100:200]         # reads just these

A binding of liblmodel, which does all the work: no format is known here. Functions may be called
from several threads at once; they release the interpreter's lock. What the library would have a
user know ("skipped notes.txt") goes to the logger "lmodel".

``lmodel.torch``, ``lmodel.numpy`` and ``lmodel.safe_open`` stand in for the safetensors package.
"""

import importlib
from types import ModuleType as _Module

from ._files import safe_open
from ._library import version
from ._protect import Protection
from .archive import Archive
from .errors import (CorruptError, DegradedWarning, LimitError, LmodelError, NoKeyError,
                     ObfuscationWarning, UnsupportedError, UsageError)
from .loading import load, load_torch
from .managing import extract, grant, keygen, rekey, revoke, sign
from .opening import open
from .packing import pack, save
from .registry import Pulled, Pushed, pull, push
from .reports import audit, inspect, positions, verify
from .slices import TensorSlice
from .views import (OBFUSCATION, AttachmentInfo, Info, ShardInfo, SlotInfo, TensorInfo, TierInfo)

__all__ = [
    "OBFUSCATION", "Archive", "AttachmentInfo", "CorruptError", "DegradedWarning", "Info",
    "LimitError", "LmodelError", "NoKeyError", "ObfuscationWarning", "Protection", "Pulled",
    "Pushed", "ShardInfo", "SlotInfo", "TensorInfo", "TensorSlice", "TierInfo",
    "UnsupportedError", "UsageError", "audit", "extract", "grant", "inspect", "keygen", "load",
    "load_torch", "open", "pack", "positions", "pull", "push", "rekey", "revoke", "safe_open",
    "save", "sign", "verify", "version",
]


def __getattr__(name: str) -> _Module:
    """``lmodel.torch`` and the like, imported when they are first used."""
    if name in ("dtypes", "numpy", "safetensors", "torch"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
