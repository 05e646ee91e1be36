#!/usr/bin/python3
"""A small language model (stories260K, a Llama) in three tiers: perplexity and samples by tier.

Packs it with the real lmodel and takes it out at each level. Perplexity (1 is certain, the number
of tokens is a guess) is measured on stories drawn from the intact model with a fixed seed, on which
no other model has a lower expected perplexity, and on short stories written for this example.

Then what an attacker makes of each level who knows the hidden positions: fills, prediction by a
matrix of low rank, and training on stories that he has, beside what these give from scratch. To a
language model unlabelled text is all it takes to train; there is no BatchNorm to measure again.

Without stories260K: a small Llama trained on the spot on made-up tokens.
"""

import math
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import report  # noqa: E402  (sets the path to the package)
from locker import Locker  # noqa: E402

import torch  # noqa: E402
from torch.nn import functional  # noqa: E402

from lmodel.protect import attacks, data, nets, panel, samples, tokens, training  # noqa: E402

MODEL, VOCABULARY = "models/stories260K.safetensors", "models/tok512.bin"
TIERS = {"bronze": "6%", "silver": "7.5%", "gold": "8%"}
PROMPTS = ("Once upon a time, there was a little girl", "The dog saw a big red ball")
WRITTEN = (
    "Once upon a time, there was a small boat. The boat was blue. It wanted to see the sea. One "
    "day a boy named Tom came to the boat. \"Do you want to play?\" he said. The boat was happy. "
    "They went out on the water, and the sun was warm. At night they came home.",
    "Anna had a cat named Mimi. Mimi liked to sleep in the garden. One day it started to rain. Anna "
    "looked for Mimi, but she was not there. \"Mimi, where are you?\" Anna said. Then she saw a "
    "little tail under the big tree. Mimi was wet and sad. Anna took her home and gave her milk.",
    "Ben and his mom went to the park. Ben saw a big slide. He was scared to go up. His mom said, "
    "\"I will help you.\" She held his hand, and they went up. Ben went down very fast. He laughed "
    "and said, \"Again!\" Ben was not scared any more.",
    "There was a bird who could not sing. All the other birds sang in the morning. The bird was "
    "sad. One day it saw a frog. The frog said, \"You can dance!\" So the bird danced on the grass. "
    "All the birds came to look. They were happy, and the bird was happy too.",
)


class Text:
    """Stories to measure on, and samples; without the real model, made-up tokens."""

    def __init__(self, net: nets.Net):
        self.tokenizer = tokens.Tokenizer.load(data.find(VOCABULARY)) if net.data == "stories" \
            else None
        self.written = [torch.tensor([self.tokenizer.encode(story)]) for story in WRITTEN] \
            if self.tokenizer else []

    @torch.no_grad()
    def perplexity(self, module: torch.nn.Module) -> float | None:
        """On the written stories; None where there are none."""
        if not self.written:
            return None
        total = sum(functional.cross_entropy(module(story)[0, :-1], story[0, 1:],
                                             reduction="sum").item() for story in self.written)
        mean = total / sum(story.shape[1] - 1 for story in self.written)
        return math.exp(mean) if mean < 700 else math.inf

    @torch.no_grad()
    def go_on(self, module: torch.nn.Module, prompt: str, count: int = 48) -> str:
        """The likeliest continuation, token by token."""
        given = self.tokenizer.encode(prompt) if self.tokenizer else [1]
        past: list[list] = [[] for _ in module.model.layers]
        found, step = list(given), torch.tensor([given])
        for _ in range(count):
            found.append(int(module(step, past)[0, -1].nan_to_num().argmax()))
            step = torch.tensor([found[-1:]])
        return self.tokenizer.decode(found) if self.tokenizer else " ".join(map(str, found))


def main() -> None:
    """Runs it all."""
    arguments = report.options(__doc__).parse_args()
    torch.set_num_threads(1)
    out = report.Report("language_model", arguments)
    with Locker(arguments.seed) as locker:
        path = locker.path("model.safetensors")
        if data.available(MODEL, VOCABULARY):
            path = data.find(MODEL)
        else:
            nets.save(training.small("llama", arguments.seed), path)
        net = nets.load(path)
        setting = setting_of(net, arguments)
        levels = levels_of(path, locker)
        measured(net, levels, setting, Text(net), out)
    out.write()


def setting_of(net: nets.Net, arguments) -> panel.Setting:
    """What the attacker has: stories, and some patience."""
    count = 16 if arguments.small else 48
    strength = replace(attacks.STRENGTHS["normal"], batch=8, steps=4 if arguments.small else 24,
                       epochs=1, rounds=6)
    given = samples.of(net, count, arguments.seed + 2)
    return panel.Setting(given, given, (count,), strength, arguments.seed,
                         2 if arguments.small else 8)


def levels_of(path: Path, locker: Locker) -> dict[str, nets.Net]:
    """The net at each level, packed and taken out again; the highest has to be bit-exact."""
    archive = locker.pack(path, TIERS)
    found = {"(base)": nets.load(locker.extract(archive))}
    for tier in TIERS:
        found[tier] = nets.load(locker.extract(archive, tier))
    full = locker.path("full.safetensors")
    locker.run("extract", "-q", "-f", "--format", "native", "-o", str(full), "-i",
               str(locker.identity), str(archive))
    if full.read_bytes() != path.read_bytes():
        sys.exit("the highest tier is not what was packed")
    return found


def measured(net: nets.Net, levels: dict[str, nets.Net], setting: panel.Setting, text: Text,
             out: report.Report) -> None:
    """Tables, samples, and the picture."""
    true, (count,) = net.module.state_dict(), setting.counts
    by_level, tried, said = [], [], {}
    floor = panel.floor(net, setting)[0].quality
    out.note(f"from scratch on {count} stories: {floor:.2f}")
    for name, at in levels.items():
        shown = at.module.state_dict()
        hidden = {inner: shown[inner] != true[inner] for inner in true
                  if not torch.equal(shown[inner], true[inner])}
        rows = panel.run(at, hidden, setting) if hidden else \
            [panel.Row("none", 0, False, False, panel.measure(at, at.module, setting.measured))]
        by_level.append([name, sum(int(mask.sum()) for mask in hidden.values()), rows[0].quality,
                         text.perplexity(at.module), panel.best(at, rows, 0).quality,
                         panel.best(at, rows, count).quality, floor])
        tried += [[name, row.attack, row.labels or None, row.quality] for row in rows]
        said[name] = {"as it is": [text.go_on(at.module, prompt) for prompt in PROMPTS]}
        if hidden:
            repaired = attacks.complete(at.module, hidden, setting.strength)
            said[name]["low rank"] = [text.go_on(repaired, prompt) for prompt in PROMPTS]
        out.note(f"{name}: {rows[0].quality:.2f}, without text "
                 f"{by_level[-1][4]:.2f}, with {count} stories {by_level[-1][5]:.2f}")
    out.table("levels", f"Perplexity by level; attacks know the positions, and have {count} "
              "stories of 128 tokens",
              ["level", "hidden", "drawn stories", "written stories", "best repair", "best trained",
               "from scratch"], by_level)
    out.table("attacks", "Perplexity on drawn stories, by attack",
              ["level", "attack", "stories", "perplexity"], tried)
    out.put(samples=said, prompts=PROMPTS, tiers=TIERS,
            text="drawn: from the intact model, temperature 1, fixed seed; written: for this "
                 "example")
    for name, texts in said.items():
        print(f"{name}: {texts['as it is'][0]!r}")
    ticks = dict(enumerate(row[0] for row in by_level))
    out.lines([{"title": f"{net.data}: perplexity by tier", "x": "level", "y": "perplexity",
                "ticks": ticks, "lines": {label: (list(ticks), [row[i] for row in by_level])
                                          for label, i in (("as it is", 2), ("best repair", 4),
                                                           ("best trained", 5))},
                "levels": {"from scratch": floor}}], columns=1,
              finish=lambda figure, axes: axes[0][0].set_yscale("log"))


if __name__ == "__main__":
    main()
