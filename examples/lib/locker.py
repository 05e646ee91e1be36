"""Runs the real `lmodel`: packs a network with tiers, and takes it out with and without a key."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from report import program

_CHARACTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


class Locker:
    """A folder of archives and the key of their owner. Removed at the end of a `with`."""

    def __init__(self, seed: int):
        """`seed` makes keys and choices: fine to compare runs, useless to protect anything."""
        self._folder = tempfile.TemporaryDirectory(prefix="lmodel-example-")
        self.folder = Path(self._folder.name)
        self._program = str(program())
        self._seed = hashlib.sha256(f"lmodel example {seed}".encode()).digest()
        self.identity = self.folder / "owner.txt"
        self.identity.write_text(_age_identity(self._seed) + "\n")
        self.owner = self.run("keygen", "-y", str(self.identity)).strip()

    def __enter__(self) -> "Locker":
        return self

    def __exit__(self, *_error) -> None:
        self._folder.cleanup()

    def path(self, name: str) -> Path:
        """A file of this folder."""
        return self.folder / name

    def run(self, *arguments: str) -> str:
        """Runs lmodel, returns what it prints. Ends the example when it fails."""
        environment = dict(os.environ, XDG_STATE_HOME=str(self.folder / "state"))
        environment.pop("LMODEL_IDENTITY", None)
        done = subprocess.run([self._program, *arguments], capture_output=True, text=True,
                              env=environment)
        if done.returncode != 0:
            sys.exit(f"lmodel {' '.join(arguments)}\n{done.stderr.strip()}")
        return done.stdout

    def pack(self, model: Path, tiers: dict[str, str], *options: str) -> Path:
        """Packs with these tiers (lowest first: name and amount) for the owner alone."""
        archive = self.path("packed.lmodel")
        amounts = [f"--tier={name}={amount}" for name, amount in tiers.items()]
        self.run("pack", "-q", "-f", "-o", str(archive), "--seed", self._seed.hex(), "--test-keys",
                 "--owner", self.owner, *amounts, *options, str(model))
        return archive

    def extract(self, archive: Path, tier: str | None = None) -> Path:
        """The weights of a tier, with the owner's key; without `tier` what everybody can read."""
        out = self.path("extracted.safetensors")
        key = ["--base"] if tier is None else ["--tier", tier, "-i", str(self.identity)]
        self.run("extract", "-q", "-f", "-o", str(out), *key, str(archive))
        return out


def _age_identity(secret: bytes) -> str:
    """32 bytes as an age identity, in Bech32 (BIP 173)."""
    human = "age-secret-key-"
    bits = "".join(f"{byte:08b}" for byte in secret)
    bits += "0" * (-len(bits) % 5)
    values = [int(bits[i:i + 5], 2) for i in range(0, len(bits), 5)]
    head = [ord(c) >> 5 for c in human] + [0] + [ord(c) & 31 for c in human]
    check = _polymod(head + values + [0] * 6) ^ 1
    values += [check >> 5 * (5 - i) & 31 for i in range(6)]
    return f"{human}1{''.join(_CHARACTERS[v] for v in values)}".upper()


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1ffffff) << 5 ^ value
        for i, generator in enumerate((0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
                                       0x2a1462b3)):
            check ^= generator if top >> i & 1 else 0
    return check
