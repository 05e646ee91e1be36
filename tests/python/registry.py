"""lmodel.push() and pull() against the stand-in registry."""

import filecmp
import os
import subprocess
import sys

import lmodel
from lib.pytap import done, equal, ok

src = os.environ["srcdir"]
subprocess.run([sys.executable, src + "/tests/lib/mkmodel.py", "m.safetensors", "w:F32:64x80"],
               check=True)
owner, ann = lmodel.keygen("owner.key"), lmodel.keygen("ann.key")
lmodel.pack("x.lmodel", "m.safetensors", tiers={"silver": "4%", "gold": "9%"}, owner=owner,
            select="random")
os.makedirs("root")
server = subprocess.Popen([sys.executable, src + "/tests/lib/registry.py", "--root", "root"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
host = "127.0.0.1:" + server.stdout.readline().split()[0]
ref = host + "/models/bert:v1"

seen = []
pushed = lmodel.push("x.lmodel", ref, progress=lambda done, total: seen.append((done, total)))
ok(pushed.changed and pushed.digest.startswith("sha256:"), "pushed")
ok(pushed.sent >= os.path.getsize("x.lmodel"), "all of it was sent")
ok(seen and seen[-1][0] <= seen[-1][1], "progress")
again = lmodel.push("x.lmodel", ref)
equal((again.digest, again.sent, again.changed), (pushed.digest, 0, False), "and never again")

pulled = lmodel.pull(ref)
equal((pulled.path, pulled.tier, pulled.absent), ("bert.lmodel", "gold", 0), "pulled")
ok(filecmp.cmp("x.lmodel", "bert.lmodel", shallow=False), "to the byte")
part = lmodel.pull(ref, "part.lmodel", tier="silver")
equal((part.tier, part.absent), ("silver", 1), "a part")
whole = lmodel.pull(ref, "part.lmodel")
ok(whole.copied > 0 and filecmp.cmp("x.lmodel", "part.lmodel", shallow=False), "and the rest")
equal(lmodel.pull(ref, "part.lmodel").changed, False, "nothing to do")

subprocess.run(["lmodel", "grant", "-q", "-i", "owner.key", "--tier",
                "silver", "-r", ann, "--push", ref, "x.lmodel"], check=True)
mine = lmodel.pull(ref, "ann.lmodel", "ann.key")
equal((mine.tier, mine.grant), ("silver", "ann.lmodel.grant"), "a key finds its grant")
for kind, what in ((lmodel.UsageError, lambda: lmodel.pull(ref, tier="a", base=True)),
                   (lmodel.UsageError, lambda: lmodel.push("x.lmodel", "no reference")),
                   (lmodel.NoKeyError, lambda: lmodel.pull(ref, "n.lmodel", "owner2.key")),
                   (lmodel.LmodelError, lambda: lmodel.pull(host + "/models/none"))):
    lmodel.keygen("owner2.key") if not os.path.exists("owner2.key") else None
    try:
        what()
        ok(False, f"{kind.__name__} is raised")
    except kind as e:
        ok(str(e), f"{kind.__name__}: {e}")
server.stdin.close()
server.wait()
done()
