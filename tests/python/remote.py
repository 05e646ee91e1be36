"""Archives behind an address: lmodel.open() and all that goes through it."""

import os
import sys

import numpy as np

import lmodel
from lib.pytap import done, equal, ok, raises, same

FILE, IMAGE = sys.argv[1:]
HERE = "files/m.lmodel"

wanted = lmodel.load(HERE, "key")
for kind, address in (("file", FILE), ("image", IMAGE)):
    with lmodel.open(address, "key") as archive:
        equal(archive.keys(), list(wanted), f"{kind}: keys")
        first = archive.usage
        ok(first.requests > 0 and first.fetched < 400000, f"{kind}: the manifest alone ({first})")
        for name, array in wanted.items():
            same(archive.get_tensor(name), array, f"{kind}: {name}")
        same(archive.get_slice("a")[7:9, 3:5], wanted["a"][7:9, 3:5], f"{kind}: a slice")
        ok(archive.usage.fetched > 3000000, f"{kind}: usage grows")
        equal(archive.level, "gold", f"{kind}: tiers")
    loaded = lmodel.load(address, "key", ["a", "c"])
    same(loaded["a"], wanted["a"], f"{kind}: load()")
    base = lmodel.load(address, base=True)
    same(base["a"], lmodel.load(HERE, base=True)["a"], f"{kind}: the base")
    equal({k: v for k, v in lmodel.inspect(address).items() if k != "file"},
          {k: v for k, v in lmodel.inspect(HERE).items() if k != "file"}, f"{kind}: inspect()")
    with lmodel.safe_open(address, "np", identity="key") as file:
        same(file.get_tensor("c"), wanted["c"], f"{kind}: safe_open()")
    with lmodel.open(address, "key") as archive:
        archive.get_tensor("big")
        ok(archive.usage.cached > 2900000, f"{kind}: from the cache")
    with lmodel.open(address, "key", cache=False) as archive:
        archive.get_tensor("a")
        equal(archive.usage.cached, 0, f"{kind}: cache=False")
    with lmodel.open(address, "key", cache=f"kept.{kind}") as archive:
        archive.get_tensor("a")
    ok(any(n.endswith(".map") for n in os.listdir(f"kept.{kind}")), f"{kind}: cache=DIRECTORY")

with lmodel.open(HERE, "key") as archive:
    equal(archive.usage, lmodel.views.Usage(0, 0, 0), "a file costs nothing")
with lmodel.open(FILE + "?token=secret", "key") as archive:
    ok("secret" not in repr(archive), "the query is not shown")
raises(lmodel.UsageError, lambda: lmodel.verify(FILE), "elsewhere", "verify() takes files")
raises(lmodel.UsageError, lambda: lmodel.open("http://192.0.2.1/m.lmodel"), "plain http",
       "http to other machines")
raises(lmodel.LmodelError, lambda: lmodel.open(FILE + "x?token=secret"), "no such file", "404")
raises(lmodel.LmodelError, lambda: lmodel.open("./" + FILE), "No such file", "./http: is a file")
ok(np.array_equal(wanted["a"], lmodel.load_torch(FILE, "key")["a"].numpy()), "load_torch()")
done()
