"""lmodel: archives of model weights, some of them behind keys.

    import lmodel

    weights = lmodel.load("model.lmodel", identity="me.key")      # name -> NumPy array
    with lmodel.open("model.lmodel", identity="me.key") as archive:
        rows = archive.get_slice("embed.weight")[100:200]         # reads just these

A binding of liblmodel, which does all the work: no format is known here. Functions may be called
from several threads at once; they release the interpreter's lock. What the library would have a
user know ("skipped notes.txt") goes to the logger "lmodel".
"""

from ._library import version
from .archive import Archive, open
from .errors import (CorruptError, DegradedWarning, LimitError, LmodelError, NoKeyError,
                     ObfuscationWarning, UnsupportedError, UsageError)
from .loading import load, load_torch
from .slices import TensorSlice
from .views import (OBFUSCATION, AttachmentInfo, Info, ShardInfo, SlotInfo, TensorInfo, TierInfo)

__all__ = [
    "OBFUSCATION", "Archive", "AttachmentInfo", "CorruptError", "DegradedWarning", "Info",
    "LimitError", "LmodelError", "NoKeyError", "ObfuscationWarning", "ShardInfo", "SlotInfo",
    "TensorInfo", "TensorSlice", "TierInfo", "UnsupportedError", "UsageError", "load",
    "load_torch", "open", "version",
]
