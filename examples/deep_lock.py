#!/usr/bin/python3
"""Deep-Lock (Alam et al. 2020) on three nets: exact with its key, noise with another, and open to
whoever knows 32 bytes of each block. Beside it the sealed equivalent, everything encrypted.

Packs VGGs (Fashion-MNIST, GTSRB) and ResNet20 (CIFAR-10) with `lmodel pack --mask deep-lock` and
with `--select all --mask zero`, and takes each archive out with the key, bit for bit, and without.

EXPERIMENT, not a reader: what a wrong lock key gives is computed here from the public bytes, by
lmodel.protect.deeplock (spec 7.8), with block keys that a known-plaintext attack found, one bit of
each flipped. The library never does that: its digests answer a wrong key with an error. Such
weights are mostly not finite, and outputs that are not count as wrong: so accuracy is below that
of guessing, and "filtered" says what it is with weights zeroed that are above 12 times the median.

Without these nets: a small one, trained on the spot on made-up images.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import report  # noqa: E402  (sets the path to the package)
import trio  # noqa: E402
from locker import Locker  # noqa: E402

import torch  # noqa: E402

from lmodel.protect import attacks, deeplock, nets, wrongkey  # noqa: E402


def main() -> None:
    """Runs it all."""
    arguments = report.options(__doc__).parse_args()
    torch.set_num_threads(1)
    out = report.Report("deep_lock", arguments)
    rows, known, bars = [], [], {}
    with Locker(arguments.seed) as locker:
        for bench in trio.benches(arguments.small, arguments.seed, locker.folder):
            rows += one(bench, locker, out, known, bars)
    out.table("locks", "Accuracy in %",
              ["net", "mask", "intact", "with the key", "bit-exact", "without", "filtered",
               "one bit flipped", "filtered", "other key", "filtered", "guessing"], rows)
    out.table("known_plaintext", "Attack on deep-lock with known bytes, and no key",
              ["net", "known bytes", "of", "blocks", "recovered exactly", "accuracy in %",
               "32 bytes of one block give"], known)
    out.put(wrong_key="an error with either mask, exit status 3: no key slot opens. The columns "
                      "'one bit flipped' and 'other key' are an experiment beside the reader.")
    out.lines([{"title": label, "x": "", "y": "accuracy in %", "ticks": dict(enumerate(names)),
                "ylim": (0, 100), "lines": {"deep-lock": (list(range(len(names))), values)},
                "levels": {"guessing": chance}}
               for label, (names, values, chance) in bars.items()], columns=3)
    out.write()


def one(bench: trio.Bench, locker: Locker, out: report.Report, known: list,
        bars: dict) -> list:
    """Rows of the table of locks, for one net; its attack and its bars go to the others."""
    intact, rows = bench.measure(bench.net.module), []
    for mask in ("deep-lock", "zero"):
        archive = locker.path(f"{mask}.lmodel")
        locker.run("pack", "-q", "-f", "-o", str(archive), "--owner", locker.owner, "--tier",
                   "full", "--select", "all", "--mask", mask, "--include", "*", str(bench.path))
        full = locker.path("full.safetensors")
        locker.run("extract", "-q", "-f", "--format", "native", "-o", str(full), "-i",
                   str(locker.identity), str(archive))
        exact = full.read_bytes() == bench.path.read_bytes()
        base = nets.load(locker.extract(archive))
        without, opened = bench.measure(base.module), bench.quality_of(full)
        out.note(f"{bench.label}: {mask}: with the key {opened:.2f} %, without {without:.2f} %")
        row = [bench.label, mask, intact, opened, "yes" if exact else "NO", without,
               bench.measure(attacks.zero_outliers(base.module))]
        if mask == "deep-lock":
            found = wrongkey.locked(base, bench.net, bench.setting.measured)
            rows.append(row + [found["flipped_bit"], found["flipped_bit_filtered"],
                               found["other_key"], found["other_key_filtered"], bench.chance])
            known.append(attack(bench, base, found))
            bars[bench.label] = (
                ["key", "none", "bit flipped", "other key", "32 known\nbytes a block"],
                [opened, *(max(pair) for pair in
                           ((row[5], row[6]), (found["flipped_bit"], found["flipped_bit_filtered"]),
                            (found["other_key"], found["other_key_filtered"]))),
                 found["known_plaintext"]["quality"]], bench.chance)
        else:
            rows.append(row + [None] * 4 + [bench.chance])
    return rows


def attack(bench: trio.Bench, base: nets.Net, found: dict) -> list:
    """The row of the attack: all that 32 known bytes of each block give, and what 32 of the
    largest tensor do by themselves."""
    shown, true = base.state(), bench.net.state()
    largest = max(true, key=lambda name: len(wrongkey.to_bytes(true[name])))
    data, truth = wrongkey.to_bytes(shown[largest]), wrongkey.to_bytes(true[largest])
    block = data[:deeplock.BLOCK]
    # Known bytes from the middle of the block: the schedule runs both ways.
    middle = len(block) // 2 // deeplock.KEY * deeplock.KEY
    key = deeplock.recover(block, truth[middle:middle + deeplock.KEY], middle)
    opened = deeplock.unlock_block(key, block)
    if opened != truth[:len(block)]:
        sys.exit(f"{bench.label}: the attack did not recover the block of {largest}")
    known = found["known_plaintext"]
    return [bench.label, known["known_bytes"], known["of_bytes"], known["blocks"],
            "yes" if known["exact"] else "NO", known["quality"],
            f"{len(opened)} bytes of {largest}"]


if __name__ == "__main__":
    main()
