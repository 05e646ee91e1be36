"""Why goals are missed, as far as it is known: one line each, for those that a run finds missed."""
from __future__ import annotations

import re

# A pattern of a goal's name, and the reason. The first that matches is told.
_REASONS = (
    (r"size of .*gguf, default",
     "a small file, or values that are coded already: the manifest stands twice in the archive"),
    (r"size of .*default",
     "the weights alone are smaller than that; names, places and digests of each tensor stand in "
     "the archive, twice, and peers that are ahead write none of them"),
    (r"unpack .*, memory: speed against zstd",
     "half of the time is the kernel's, new pages for the output: cp takes as long"),
    (r"pack .*, memory: speed",
     "a SHA-256 of all that is stored takes a third of the time; the best peer has none"),
    (r"unpack .*, disk",
     "the kernel takes twice the processor time for the output that it takes in memory, from zstd it "
     "does not; why is not known"),
    (r"pack .*, disk", "the disk: writing takes longer than coding"),
    (r"of what its stages allow, 2 workers",
     "the kernel lets in one writer a file, and processors share the memory"),
    (r"with two tiers, 8 %, against packing plain",
     "the model is read and scored before it is written, stand-ins are fitted and drawn, and 8 % of "
     "it is written twice, once encrypted"),
    (r"^verify: two jobs", "within what runs differ by"),
    (r"two jobs against one",
     "the kernel lets in one writer a file; new pages of the output are a third of the time"),
    (r"Python load",
     "checking a SHA-256 and decoding take longer than reading what they save, from a disk as fast "
     "as this one"),
    (r": 20,000 tensors of 1 kB",
     "each row is read and checked by SQLite before anything is believed, and some 20 MB are hashed: "
     "in proportion to the manifest"),
    (r"^selection over",
     "reading is one pass of it; scores and keys of all weights cost more than a second reading "
     "from a disk as fast as this one"),
    (r"^peak memory", "stand-ins of tensors that wait for their turn"),
)


def of(goal: str) -> str:
    """The reason for a goal's being missed; empty when none is known."""
    return next((reason for pattern, reason in _REASONS if re.search(pattern, goal)), "")
