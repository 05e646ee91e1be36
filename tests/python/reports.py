"""inspect, verify and audit: the documents that the program prints with --json, and its schemas."""

import json
import os
import shutil

import jsonschema

import lmodel
from lib.pytap import done, equal, lmodel as run, ok, raises, tool

schemas = os.path.join(os.environ["srcdir"], "schema")
os.environ["XDG_STATE_HOME"] = os.path.abspath("state")


def document(command, *arguments, status=0):
    return json.loads(run(command, "--json", *arguments, status=status))


def alike(got, wanted, command, name):
    """Equal but for `obfuscation`, which is text for people; and as the schema says."""
    got = json.loads(json.dumps(got))
    if command == "inspect":  # these two are the program's own
        got.update(licences=wanted["licences"], model_card=wanted["model_card"])
    with open(f"{schemas}/{command}.schema.json", encoding="utf-8") as file:
        jsonschema.validate(got, json.load(file))
    for tier in got.get("tiers", []):
        tier.pop("obfuscation")
    for key in sorted(set(got) | set(wanted)):
        equal(got.get(key, "missing"), wanted.get(key, "missing"), f"{command}, {name}: {key}")


tool("mkmodel.py", "m.safetensors", "conv:F32:32x16x3x3", "fc:F32:80x90", "fc2:F32:80x90:normal:1",
     "tied:F32:80x90:normal:1", "h:BF16:900", "i:I32:9", "--meta", "a=b")
owner, ann, eve = (lmodel.keygen(f"{n}.key") for n in ("owner", "ann", "eve"))
with open("config.json", "w", encoding="utf-8") as file:
    file.write("{}")
lmodel.pack("m.lmodel", "m.safetensors", tiers={"silver": .05, "gold": .1}, owner=owner,
            recipients={"silver": ann}, auditors=eve,
            attach={"config.json": "config.json", "secret.txt": ("config.json", "gold"),
                    "less.txt": ("config.json", "silver")})
lmodel.pack("plain.lmodel", "m.safetensors")
for name, path, keys in (("plain", "plain.lmodel", []), ("no key", "m.lmodel", []),
                         ("holder", "m.lmodel", ["ann.key"]), ("auditor", "m.lmodel", ["eve.key"]),
                         ("owner", "m.lmodel", ["owner.key"])):
    options = [x for k in keys for x in ("-i", k)]
    alike(lmodel.inspect(path, keys), document("inspect", *options, path), "inspect", name)
    alike(lmodel.verify(path, keys), document("verify", *options, path), "verify", name)
    alike(lmodel.audit(path, keys), document("audit", *options, path), "audit", name)
lmodel.keygen("other.key")
raises(lmodel.NoKeyError, lambda: lmodel.inspect("m.lmodel", "other.key"), "none of the keys",
       "inspect: a wrong key")
shallow = lmodel.audit("m.lmodel", "owner.key", detection=False)
equal([t["detection"] for t in shallow["tiers"]], [None, None], "audit: without the detection test")
deep = lmodel.audit("m.lmodel", "owner.key")
ok(0.4 < deep["tiers"][1]["detection"]["mean"] <= 1, "audit: with it")
equal((deep["exact"], lmodel.audit("m.lmodel")["exact"]), (True, False), "audit: exact with a key")

# positions add up to what the audit says
for tier in ("silver", "gold"):
    for shard in deep["shards"]:
        if shard["tier"] == tier:
            about, runs = lmodel.positions("m.lmodel", shard["tensor"], tier, "eve.key")
            equal(sum(n for _, n in runs), shard["units"], f"positions: {shard['tensor']}, {tier}")
            equal((about["unit"], about["unit_count"], about["hidden"]),
                  (shard["unit"], shard["unit_count"], shard["units"]), "... what is said of them")
raises(lmodel.NoKeyError, lambda: lmodel.positions("m.lmodel", "fc", "gold"), "",
       "positions: no key")
raises(lmodel.NoKeyError, lambda: lmodel.positions("m.lmodel", "fc", "gold", "ann.key"), "",
       "positions: of a tier that is not open")
raises(lmodel.UsageError, lambda: lmodel.positions("m.lmodel", "xx", "gold", "eve.key"), "xx",
       "positions: no such tensor")
raises(lmodel.UsageError, lambda: lmodel.positions("m.lmodel", "fc", "iron", "eve.key"), "iron",
       "positions: no such tier")

# two releases
lmodel.pack("v2.lmodel", "m.safetensors", tiers={"silver": .05, "gold": .1}, owner=owner)
for keys in ([], ["owner.key"]):
    options = [x for k in keys for x in ("-i", k)]
    got = lmodel.audit("m.lmodel", keys, against="v2.lmodel")
    alike(got, document("audit", *options, "--against", "v2.lmodel", "m.lmodel"), "audit",
          f"against, {len(keys)} keys")
    ok(got["against"]["differing"] > 0, "... the two differ")
ok(lmodel.audit("m.lmodel", "eve.key", against="v2.lmodel")["against"]["exact"] is False,
   "against: the other may be under another key")

# findings
damaged = bytearray(open("m.lmodel", "rb").read())
with lmodel.open("m.lmodel") as archive:
    end = archive.info.committed_bytes
for at in (end - 700, end - 5000, len(damaged) // 2):
    damaged[at] ^= 1
with open("bad.lmodel", "wb") as file:
    file.write(damaged)
error = raises(lmodel.CorruptError, lambda: lmodel.verify("bad.lmodel"), "", "verify: damage")
equal(list(error.findings), document("verify", "bad.lmodel", status=4)["findings"],
      "... with all that is wrong")
ok(len(error.findings) >= 2, f"... which is {len(error.findings)} faults")
shutil.copy("m.lmodel", "long.lmodel")
with open("long.lmodel", "ab") as file:
    file.write(b"x" * 1024)
alike(lmodel.verify("long.lmodel"), document("verify", "long.lmodel"), "verify", "bytes at the end")
ok(lmodel.verify("long.lmodel")["notes"] > 0, "... are a note, and no failure")
with open("signers", "w", encoding="utf-8"):
    pass
error = raises(lmodel.CorruptError, lambda: lmodel.verify("bad.lmodel", signers="signers"), "sign",
               "verify: damaged and not signed")
equal(list(error.findings),
      document("verify", "--signers", "signers", "bad.lmodel", status=4)["findings"],
      "... tells both")
error = raises(lmodel.CorruptError, lambda: lmodel.verify("m.lmodel", signers="signers"), "sign",
               "verify: not signed")
equal(len(error.findings), 1, "... tells that")
seen = []
lmodel.verify("m.lmodel", progress=lambda *now: seen.append(now), jobs=2)
ok(seen and seen[-1][0] == seen[-1][1], "verify: progress")
seen.clear()
lmodel.audit("m.lmodel", "owner.key", progress=lambda *now: seen.append(now))
ok(seen, "audit: progress")
done()
