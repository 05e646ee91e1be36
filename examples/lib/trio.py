"""The three nets that the examples on AdvParams and Deep-Lock are about, with their data.

Where a net or its data set is missing, small nets trained on the spot on made-up images stand in.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import report  # noqa: F401  (sets the path to the package)

from lmodel.protect import attacks, data, nets, panel, samples, training

NETS = {"fmnist": "models/vgg_fmnist.safetensors",
        "cifar10": "models/resnet20-12fca82f.safetensors",
        "gtsrb": "models/vgg_gtsrb.safetensors"}
CHANCE = {"fmnist": 100 / 10, "cifar10": 100 / 10, "gtsrb": 100 / 43, "synthetic": 100 / 10}


@dataclass
class Bench:
    """A net, its file, and what attackers and measurements take of its data."""

    label: str
    path: Path
    net: nets.Net
    setting: panel.Setting

    def measure(self, module) -> float:
        """Accuracy in % of the net with this module in its place."""
        return panel.measure(self.net, module, self.setting.measured)

    def quality_of(self, path: Path) -> float:
        """Accuracy in % of the weights in a file."""
        return self.measure(nets.load(path).module)

    @property
    def chance(self) -> float:
        """What guessing gets, in %."""
        return CHANCE[self.net.data]


def benches(small: bool, seed: int, folder: Path) -> list[Bench]:
    """All three, or those that are there; made-up ones go to folder. Small: few samples."""
    found = []
    for label, name in NETS.items():
        if not data.available(label, name):
            continue
        path = data.find(name)
        found.append(Bench(label, path, nets.load(path), None))
    if not found:
        path = folder / "synthetic.safetensors"
        net = training.small("vgg", seed)
        nets.save(net, path)
        found.append(Bench("synthetic", path, net, None))
    for bench in found:
        bench.setting = panel.Setting(
            samples.of(bench.net, 200 if small else 500, seed + 1),
            samples.of(bench.net, 80 if small else 300, seed + 2),
            (80,) if small else (300,),
            replace(attacks.STRENGTHS["normal"], steps=10 if small else 45, epochs=2), seed,
            100 if small else 500)
    return found


def panel_rows(bench: Bench, net: nets.Net, positions, note: Callable[[str], None]) -> list:
    """The panel of attacks on net, told as it goes."""
    return panel.run(net, positions, bench.setting,
                     lambda row: note(f"{bench.label}: {row.attack}"
                                      f"{f', {row.labels} labels' if row.labels else ''}: "
                                      f"{row.quality:.2f} %"))
