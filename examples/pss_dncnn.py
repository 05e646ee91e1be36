#!/usr/bin/python3
"""A denoiser in five qualities from one archive: DnCNN, sigma 25, on Set12.

Learns on the spot which kernel slices the network needs (gates, on patches of train400), packs it
with five tiers with the real lmodel, takes out each level with the key, and measures the PSNR: from
the public base, through the tiers, to the whole network, which is bit for bit the one packed. Each
tier holds slices of every layer, the most important ones in the lowest, as the ladder of Tian, Zhou
and Duan (CVPR 2021) does. Beside it the same ladder by size and at random; and what somebody
without a key makes of each level: hidden slices at zero or completed from those that stay, and
fine-tuning on pairs that he makes by adding noise to pictures of his own.

Without the network and the pictures: a small one, trained on the spot on made-up pictures.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import report  # noqa: E402  (sets the path to the package)
from locker import Locker  # noqa: E402

import torch  # noqa: E402

from lmodel.protect import attacks, data, nets, pss, quality, scores, training  # noqa: E402
from lmodel.protect.progress import bar  # noqa: E402

MODEL = "models/dncnn_25_kair.safetensors"
HIDDEN = 4.0          # % of all kernel slices
FULLY_HIDDEN = 0.95   # of a layer: nothing can be trained from zeros, so values are drawn
STEPS = {"bronze": .68, "silver": .76, "gold": .84, "platinum": .92, "full": 1.0}
LEVELS = ("base", *STEPS)
SELECTIONS = ("pss", "magnitude", "random")
SIDE = 256    # larger pictures are cut to their middle


class Plan:
    """How much is done: the full run, or --small."""

    def __init__(self, small: bool):
        self.pictures = 3 if small else 12
        self.fewer = 1 if small else 2        # for other ladders and repairs
        self.repaired = ("base", "gold") if small else ("base", "bronze", "gold")
        self.side = 96 if small else SIDE
        self.gate_steps = 12 if small else 80
        self.tune_steps = 8 if small else 40
        self.batch = 8
        self.patches = 64 if small else 512
        self.patch = 24 if small else 32


class Bench:
    """The network, its pictures, and measurements."""

    def __init__(self, plan: Plan, seed: int):
        self.plan, self.seed = plan, seed
        if data.available(MODEL, "set12", "train400"):
            self.net, pictures = nets.load(data.find(MODEL)), "train400"
        else:
            self.net, pictures = training.small("dncnn", seed), "synthetic"
        sigma = nets.sigma(self.net)
        self.noisy, self.clean = data.patches(pictures, sigma, plan.patches, plan.patch, seed)
        self.pairs = [tuple(_middle(part, plan.side) for part in pair)
                      for pair in data.noisy(self.net.data, sigma, plan.pictures, seed)]
        self.names = [name for name, layer in self.net.weights().items()
                      if layer.weight.dim() == 4]
        self.truth = self.net.state()
        self.strength = attacks.Strength(batch=plan.batch, rate=1e-3)

    def psnr(self, net: nets.Net, count: int) -> float:
        return quality.psnr(net, self.pairs[:count])

    def noise(self) -> float:
        """PSNR of the noisy pictures themselves."""
        return quality.psnr(self.net.with_module(torch.nn.Identity()), self.pairs)

    def repaired(self, net: nets.Net) -> dict[str, float]:
        """PSNR on the fewer pictures after each repair; hidden places are told."""
        plan, state = self.plan, net.state()
        hidden = {net.inner(name): state[name] != self.truth[name] for name in self.names
                  if bool((state[name] != self.truth[name]).any())}
        zeros = attacks.zero_fill(net.module, hidden)
        start = attacks.random_fill(zeros, {name: places for name, places in hidden.items()
                                            if places.float().mean() > FULLY_HIDDEN}, self.seed)
        modules = {"zeros": zeros,
                   "completed": attacks.complete(net.module, hidden, attacks.STRENGTHS["quick"]),
                   "fine-tuned": attacks.fine_tune(start, self.noisy.flip(0), self.clean.flip(0),
                                                   plan.tune_steps, self.seed, None,
                                                   self.strength)}
        return {label: self.psnr(net.with_module(module), plan.fewer)
                for label, module in modules.items()}


def _middle(picture: torch.Tensor, side: int) -> torch.Tensor:
    height, width = (min(side, size) for size in picture.shape[1:])
    top, left = (picture.shape[1] - height) // 2, (picture.shape[2] - width) // 2
    return picture[:, top:top + height, left:left + width]


def ladder(bench: Bench, locker: Locker, model: Path, options: list[str]) -> list[nets.Net]:
    """The network at each level of an archive packed with five tiers."""
    tiers = {name: f"{HIDDEN * share:.4g}%" for name, share in STEPS.items()}
    archive = locker.pack(model, tiers, *options,
                          *[f"--include={name}" for name in bench.names])
    return [nets.load(locker.extract(archive, None if level == "base" else level))
            for level in LEVELS]


def figures(bench: Bench, locker: Locker, out: report.Report) -> dict:
    """All measurements."""
    plan = bench.plan
    model = locker.path("model.safetensors")
    nets.save(bench.net, model)
    settings = pss.Settings(steps=plan.gate_steps, batch=plan.batch, seed=bench.seed)
    found = pss.learn(bench.net, bench.names, bench.noisy, bench.clean, settings)
    scores.save(locker.path("scores"), bench.net, "pss", found)
    out.note(f"gates: {plan.gate_steps} steps of {plan.batch} patches")
    options = {"pss": ["--select", "pss", "--scores", str(locker.path("scores"))],
               "magnitude": ["--select", "magnitude"], "random": ["--select", "random"]}
    result = {"ladders": {}, "repaired": {}}
    for selection in SELECTIONS:
        levels = ladder(bench, locker, model, options[selection])
        last = levels[-1].state()
        if not all(torch.equal(last[name], bench.truth[name]) for name in bench.truth):
            sys.exit(f"{selection}: the highest tier is not what was packed")
        result["ladders"][selection] = [bench.psnr(net, plan.fewer)
                                        for net in bar(levels, selection)]
        out.note(f"{selection}: " + ", ".join(f"{v:.2f}" for v in result["ladders"][selection]))
        if selection == "pss":
            result["levels"] = [bench.psnr(net, plan.pictures) for net in bar(levels, "levels")]
            out.note("all pictures: " + ", ".join(f"{v:.2f}" for v in result["levels"]))
            for level in plan.repaired:
                net = levels[LEVELS.index(level)]
                result["repaired"][level] = bench.repaired(net)
                out.note(f"{level}, repaired: {result['repaired'][level]}")
    return result


def show(out: report.Report, bench: Bench, found: dict, noise: float) -> None:
    """The figures as tables, and as a picture."""
    plan = bench.plan
    rows = [[level, found["levels"][i], *[found["ladders"][s][i] for s in SELECTIONS],
             *found["repaired"].get(level, {"zeros": None, "completed": None,
                                            "fine-tuned": None}).values()]
            for i, level in enumerate(LEVELS)]
    out.table("table", f"PSNR in dB, {HIDDEN:g} % of kernel slices in five tiers; noisy pictures: "
              f"{noise:.2f}. Behind the first column: {plan.fewer} of {plan.pictures} pictures",
              ["level", f"{plan.pictures} pictures", *SELECTIONS, "zeros", "completed",
               "fine-tuned"], rows)
    places = list(range(len(LEVELS)))
    ticks = dict(zip(places, LEVELS))
    repaired = {label: ([LEVELS.index(level) for level in plan.repaired],
                        [found["repaired"][level][label] for level in plan.repaired])
                for label in ("zeros", "completed", "fine-tuned")}
    common = {"x": "level opened", "y": "PSNR, dB", "ticks": ticks}
    out.lines([
        {**common, "title": f"five tiers, learnt gates, {plan.pictures} pictures",
         "lines": {"pss": (places, found["levels"])}, "levels": {"noisy pictures": noise}},
        {**common, "title": f"by selection, {plan.fewer} pictures",
         "lines": {s: (places, found["ladders"][s]) for s in SELECTIONS},
         "levels": {"noisy pictures": noise}},
        {**common, "title": f"learnt gates, after repair, {plan.fewer} pictures",
         "lines": {"as it is": (places, found["ladders"]["pss"]), **repaired},
         "levels": {"noisy pictures": noise}}], columns=3)


def main() -> int:
    """Runs the example; fails when the top is not exact, or a tier no better than the one below."""
    args = report.options(__doc__).parse_args()
    out = report.Report("pss_dncnn", args)
    torch.set_num_threads(1)
    bench = Bench(Plan(args.small), args.seed)
    noise = bench.noise()
    with Locker(args.seed) as locker:
        found = figures(bench, locker, out)
    rising = all(a < b for a, b in zip(found["levels"], found["levels"][1:]))
    out.put(data=bench.net.data, noisy=noise, hidden_percent=HIDDEN, tiers=STEPS,
            levels=dict(zip(LEVELS, found["levels"])), ladders=found["ladders"],
            repaired=found["repaired"], rising=rising, exact_with_key=True)
    show(out, bench, found, noise)
    print("with the key: bit for bit; PSNR " + ("rises" if rising else "does NOT rise") +
          " with each tier")
    out.write()
    return 0 if rising else 1


if __name__ == "__main__":
    sys.exit(main())
