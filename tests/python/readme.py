"""What README.md shows of Python, run as it stands."""

import os
import re

import torch

import lmodel
from lib.pytap import done, equal, ok

text = open(os.path.join(os.environ["srcdir"], "README.md"), encoding="utf-8").read()
blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)
ok(len(blocks) >= 1, f"README.md has {len(blocks)} piece of Python")


class Net(torch.nn.Module):
    """Something with the names that the text uses."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.conv1 = torch.nn.Conv2d(3, 32, 3)
        self.conv2 = torch.nn.Conv2d(32, 32, 3)
        self.fc = torch.nn.Linear(200, 10)


names = {"net": Net()}
before = {n: t.clone() for n, t in names["net"].state_dict().items()}
for i, block in enumerate(blocks):
    exec(compile(block, f"README.md, piece {i + 1}", "exec"), names)  # pylint: disable=exec-used
    ok(True, f"piece {i + 1} runs")
after = names["net"].state_dict()
ok(all(torch.equal(before[n], after[n]) for n in before), "the net is what it was")
ok(not (names["weights"]["conv1.weight"] == before["conv1.weight"].numpy()).all(),
   "the base is not")
equal(names["part"].shape, (8, 3, 3, 3), "a part is as large as it says")
ok(names["safe_open"] is lmodel.safe_open, "safe_open")
done()
