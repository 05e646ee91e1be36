"""Tiers and keys: what opens, what warns, letting in and taking out, signatures."""

import os
import pathlib
import shutil
import subprocess

import numpy as np

import lmodel
from lib.pytap import done, equal, lmodel as run, ok, raises, same, warned

rng = np.random.default_rng(1)
model = {"conv": rng.normal(size=(16, 8, 3, 3)).astype("f4"),
         "fc": rng.normal(size=(60, 80)).astype("f4"),
         "half": rng.normal(size=(40, 50)).astype("f2"), "ids": np.arange(100)}
keys = {n: lmodel.keygen(f"{n}.key") for n in ("owner", "silver", "gold", "auditor", "nobody")}
lmodel.save("m.lmodel", model, tiers={"silver": .05, "gold": "20%"}, owner=keys["owner"],
            recipients={"silver": keys["silver"], "gold": [keys["gold"]]},
            auditors=keys["auditor"], passphrases={"silver": "open sesame"})


def differing(weights):
    return sum(int((weights[n] != model[n]).sum()) for n in model)


def degraded(what):
    """(result, whether it warned)."""
    result, warnings = warned(what, lmodel.DegradedWarning)
    for w in warnings:
        equal(os.path.basename(w.filename), "keys.py", "the warning is at the caller's line")
    return result, bool(warnings)


# ---- levels ----

base, told = degraded(lambda: lmodel.load("m.lmodel"))
ok(told and differing(base) > 500, "no key: stand-ins, and a warning")
same(base["ids"], model["ids"], "... what is not protected is as it was")
silver, told = degraded(lambda: lmodel.load("m.lmodel", "silver.key"))
ok(told and 0 < differing(silver) < differing(base), "a lower tier: fewer, and a warning")
gold, told = degraded(lambda: lmodel.load("m.lmodel", "gold.key"))
ok(not told and differing(gold) == 0, "the top tier: none, and no warning")
owners, told = degraded(lambda: lmodel.load("m.lmodel", pathlib.Path("owner.key")))
ok(not told and differing(owners) == 0, "an owner's key: none")
for name, (weights, told) in {
        "base=True": degraded(lambda: lmodel.load("m.lmodel", base=True)),
        "base=True with a key": degraded(lambda: lmodel.load("m.lmodel", "gold.key",
                                                             base=True))}.items():
    ok(not told, f"{name}: no warning")
    for tensor in model:
        same(weights[tensor], base[tensor], f"{name}: {tensor} of the base")
lower, told = degraded(lambda: lmodel.load("m.lmodel", "gold.key", tier="silver"))
ok(not told, "tier='silver': no warning")
for tensor in model:
    same(lower[tensor], silver[tensor], f"tier='silver': {tensor} as its holder reads it")
_, told = degraded(lambda: lmodel.load("m.lmodel", names=["ids"]))
ok(told, "a part of a degraded model warns, too")


def only_look():
    with lmodel.open("m.lmodel") as a:
        return a.keys(), a.tiers, a.info, a.slots, a.level, a.degraded


(_, tiers, _, slots, level, is_degraded), told = degraded(only_look)
ok(not told, "looking does not warn")
equal((level, is_degraded), (None, True), "... and says that it is the base")
equal([t.name for t in tiers], ["silver", "gold"], "tiers, lowest first")
equal([(t.amount, t.select, t.mask, t.open, t.absent, t.obfuscation) for t in tiers],
      [("0.05", "pss", "dprm", False, False, None), ("20%", "pss", "dprm", False, False, None)],
      "what is said of them")
equal([(s.kind, s.known, s.role, s.recipient) for s in slots],
      [("X25519", False, None, None)] * 4 + [("passphrase", False, None, None)], "slots, unknown")
with lmodel.open("m.lmodel", "owner.key") as archive:
    equal([(s.role, s.tier, s.recipient) for s in archive.slots],
          [("owner", None, keys["owner"]), ("holder", "silver", keys["silver"]),
           ("holder", "gold", keys["gold"]), ("audit", None, keys["auditor"]),
           ("holder", "silver", None)], "slots, for their owner")
    equal((archive.level, archive.degraded), ("gold", False), "the level")
    fc = archive.tensors["fc"]
    equal(fc.tiers, ("silver", "gold"), "which tiers hide something of a tensor")
    ok(0 < fc.protected_share < 1, "... at most how much")
    equal(archive.tensors["ids"].protected_share, 0.0, "... or nothing")
    same(archive.get_slice("fc")[3:7, ::3], model["fc"][3:7, ::3], "parts are true, too")
with lmodel.open("m.lmodel", "silver.key", tier="silver") as archive:
    for key in (slice(5, 9), (slice(None), 3), (slice(None, None, 7), slice(10, 20))):
        same(archive.get_slice("fc")[key], silver["fc"][key], f"parts at a lower tier: {key}")

# ---- keys ----

read = lambda name: open(name, "rb").read()
raises(lmodel.NoKeyError, lambda: lmodel.open("m.lmodel", "nobody.key"), "none of the keys",
       "a stranger's key")
raises(lmodel.NoKeyError, lambda: lmodel.open("m.lmodel", "nobody.key", base=True),
       "none of the keys", "... beside base=True, too")
raises(lmodel.NoKeyError, lambda: lmodel.open("m.lmodel", "silver.key", tier="gold"), "gold",
       "a tier that is not open")
raises(lmodel.NoKeyError, lambda: lmodel.open("m.lmodel", "auditor.key"), "open no weights",
       "an auditor's key reads no weights")
for name, identity in {"bytes": read("gold.key"), "a list": ["silver.key", "gold.key"],
                       "a tuple": ("nobody.key", read("gold.key")),
                       "paths": [pathlib.Path("gold.key")]}.items():
    equal(differing(lmodel.load("m.lmodel", identity)), 0, f"keys as {name}")
same(degraded(lambda: lmodel.load("m.lmodel", passphrase="open sesame"))[0]["fc"], silver["fc"],
     "a passphrase")
same(degraded(lambda: lmodel.load("m.lmodel", passphrase=b"open sesame"))[0]["fc"], silver["fc"],
     "... as bytes")
raises(lmodel.NoKeyError, lambda: lmodel.open("m.lmodel", passphrase="open cereal"),
       "none of the keys", "a wrong passphrase")
os.environ["LMODEL_IDENTITY"] = "gold.key"
equal(differing(lmodel.load("m.lmodel")), 0, "$LMODEL_IDENTITY")
same(lmodel.load("m.lmodel", base=True)["fc"], base["fc"], "... does not count with base=True")
same(lmodel.load("m.lmodel", "silver.key", tier="silver")["fc"], silver["fc"],
     "... nor beside a key")
del os.environ["LMODEL_IDENTITY"]
lmodel.save("plain.lmodel", model)
raises(lmodel.NoKeyError, lambda: lmodel.open("plain.lmodel", "gold.key"), "nothing in it",
       "a key for an archive without tiers: it may be a forgery")
_, told = degraded(lambda: lmodel.load("plain.lmodel"))
ok(not told, "without tiers there is nothing to warn of")
equal([f for f in os.listdir("/proc/self/fd")
       if "memfd" in os.path.realpath(f"/proc/self/fd/{f}")], [], "no key is left in memory files")
maps = open("/proc/self/maps", encoding="utf-8").read()
ok("memfd" not in maps, "... nor mapped")

# ---- absent tiers ----

run("strip", "--tier", "silver", "-o", "stripped.lmodel", "m.lmodel")
raises(lmodel.CorruptError, lambda: lmodel.open("stripped.lmodel", "gold.key"), "not in this file",
       "a tier that was stripped")
got, told = degraded(lambda: lmodel.load("stripped.lmodel", "gold.key", allow_absent=True))
ok(told, "... allow_absent=True takes less, and warns")
same(got["fc"], silver["fc"], "... the tier below")

# ---- who may ----

new = lmodel.keygen("new.key")
shutil.copy("m.lmodel", "g.lmodel")
slot = lmodel.grant("g.lmodel", new, "gold", identity="owner.key", label="Ann")
equal(slot, 6, "grant gives the slot's number")
equal(differing(lmodel.load("g.lmodel", "new.key")), 0, "... and lets in")
with lmodel.open("g.lmodel", "owner.key") as archive:
    equal(archive.slots[-1].label, "Ann", "... under a label")
equal(lmodel.revoke("g.lmodel", label="Ann", identity="owner.key"), 1, "revoke")
raises(lmodel.NoKeyError, lambda: lmodel.open("g.lmodel", "new.key"), "none of the keys",
       "... takes out")
lmodel.rekey("g.lmodel", identity="owner.key")
equal(differing(lmodel.load("g.lmodel", "gold.key")), 0, "rekey: who stays is still in")
equal([t.generation for t in lmodel.open("g.lmodel").tiers], [2, 2], "... with new keys")
raises(lmodel.CorruptError, lambda: lmodel.open("m.lmodel", "gold.key"), "older than what was read",
       "an archive that is older than what was seen")
equal(differing(lmodel.load("m.lmodel", "gold.key", remember=False)), 0,
      "... is taken with remember=False")
equal(differing(lmodel.load("m.lmodel", "gold.key", allow_rollback=True)), 0,
      "... and with allow_rollback=True")
raises(lmodel.UsageError, lambda: lmodel.rekey("g.lmodel", identity="owner.key"), "",
       "nothing to rekey")
lmodel.grant("g.lmodel", identity="owner.key", tier="silver", new_passphrase="a b c")
with lmodel.open("g.lmodel", passphrase="a b c", tier="silver") as archive:
    equal(archive.level, "silver", "a grant by passphrase")
lmodel.grant("g.lmodel", new, role="audit", identity="owner.key")
equal(lmodel.audit("g.lmodel", "new.key", detection=False)["exact"], True, "a grant to audit")
equal(lmodel.revoke("g.lmodel", recipient=new, identity="owner.key"), 1, "revoke by recipient")
with lmodel.open("g.lmodel", "owner.key") as archive:
    last = archive.slots[-1].id
equal(lmodel.revoke("g.lmodel", slot=last, identity="owner.key"), 1, "revoke by slot")
equal(lmodel.grant("g.lmodel", new, "gold", identity="owner.key", detached="new.grant"), None,
      "a detached grant")
equal(differing(lmodel.load("g.lmodel", ["new.key", "new.grant"])), 0, "... lets in")
raises(lmodel.LmodelError, lambda: lmodel.grant("g.lmodel", new, "gold", identity="owner.key",
                                               detached="new.grant"), "exists", "... again")
for name, what, part in (
        ("no tier", lambda: lmodel.grant("g.lmodel", new, identity="owner.key"), ""),
        ("no such tier", lambda: lmodel.grant("g.lmodel", new, "iron", identity="owner.key"),
         "iron"),
        ("nobody", lambda: lmodel.grant("g.lmodel", tier="gold", identity="owner.key"),
         "recipient"),
        ("no such role", lambda: lmodel.grant("g.lmodel", new, role="king", identity="owner.key"),
         "king"),
        ("no recipient", lambda: lmodel.grant("g.lmodel", "bob", "gold", identity="owner.key"),
         "not a recipient"),
        ("no key", lambda: lmodel.grant("g.lmodel", new, "gold"), "owner's key is missing"),
        ("two ways", lambda: lmodel.revoke("g.lmodel", slot=1, label="x", identity="owner.key"),
         "one of"),
        ("slot 0", lambda: lmodel.revoke("g.lmodel", slot=0, identity="owner.key"), "from 1"),
        ("the last owner", lambda: lmodel.revoke("g.lmodel", slot=1, identity="owner.key"), "last"),
        ("nobody of that label", lambda: lmodel.revoke("g.lmodel", label="Z", identity="owner.key"),
         "'Z'")):
    raises(lmodel.UsageError, what, part, f"grant and revoke: {name}")
raises(lmodel.NoKeyError, lambda: lmodel.grant("g.lmodel", new, "gold", identity="gold.key"),
       "owner",
       "a holder cannot grant")

# ---- signatures ----

subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "id"], check=True)
with open("signers", "w", encoding="utf-8") as file:
    file.write('me@example.org namespaces="lmodel" ' + open("id.pub", encoding="utf-8").read())
raises(lmodel.CorruptError, lambda: lmodel.load("g.lmodel", "gold.key", signers="signers"), "sign",
       "not signed")
lmodel.sign("g.lmodel", "id")
equal(differing(lmodel.load("g.lmodel", "gold.key", signers="signers", require_signature=True)), 0,
      "signed")
equal(lmodel.verify("g.lmodel", signers="signers")["signed_by"], "me@example.org", "... by whom")
os.environ["LMODEL_SIGNERS"] = "signers"
raises(lmodel.CorruptError, lambda: lmodel.load("plain.lmodel"), "sign", "$LMODEL_SIGNERS")
del os.environ["LMODEL_SIGNERS"]
slot = lmodel.grant("g.lmodel", open("id.pub", encoding="utf-8").read().strip(), "gold",
                    identity="owner.key")
equal(differing(lmodel.load("g.lmodel", "id")), 0, "an SSH key opens")

# ---- tiers that only obfuscate ----

public = dict(model, fc=np.round(model["fc"], 1))
lmodel.save("ref.lmodel", model, tiers={"all": None}, reference=public, owner=keys["owner"])
opened, warnings = warned(lambda: lmodel.open("ref.lmodel", "owner.key"), lmodel.ObfuscationWarning)
ok(warnings and lmodel.OBFUSCATION in str(warnings[0].message), "a reference: opening warns")
equal([t.obfuscation for t in opened.tiers], [lmodel.OBFUSCATION], "... and its tier says so")
equal(lmodel.OBFUSCATION, "obfuscation: recoverable without a key", "... in these words")
same(opened.get_tensor("fc"), model["fc"], "... the true weights")
with warned(lambda: lmodel.open("ref.lmodel", base=True))[0] as opened:
    same(opened.get_tensor("fc"), public["fc"], "... what all see")
tier = lmodel.audit("ref.lmodel")["tiers"][0]
equal(tier["obfuscation"], lmodel.OBFUSCATION, "... and the audit")
equal(lmodel.audit("m.lmodel")["tiers"][0]["obfuscation"], None, "decoys are no obfuscation")
done()
