"""The public headers against lmodel._abi: structs, enumerators, prototypes."""

import ctypes
import glob
import os
import re
import subprocess

from lib.pytap import done, equal, ok
from lmodel import _abi

include = os.path.join(os.environ["srcdir"], "libfmt/include")
text = "".join(open(f).read() for f in sorted(glob.glob(include + "/lmodel/*.h")))
text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
code = re.sub(r"^\s*#(\\\n|[^\n])*", "", text, flags=re.M)


def class_name(c_name):
    return "".join(part.capitalize() for part in c_name.removeprefix("lmodel_").split("_"))


# ---- structs ----

structs = {}
for name, body in re.findall(r"struct (lmodel_\w+) \{(.*?)\n\};", code, flags=re.S):
    fields = []
    for line in body.split(";"):
        pointer = re.search(r"\(\*(\w+)\)\(", line)
        if pointer:
            fields.append(pointer[1])
        elif line.strip():
            fields += [re.search(r"(\w+)\s*(\[\w+\])?\s*$", d)[1] for d in line.split(",")]
    structs[name] = fields
ok(len(structs) > 25, f"structs are found ({len(structs)})")
ours = {n: c for n, c in vars(_abi).items()
        if isinstance(c, type) and issubclass(c, ctypes.Structure) and c is not ctypes.Structure}
equal(sorted(ours), sorted(map(class_name, structs)), "each struct is declared, and no other")

lines = []
for name, fields in structs.items():
    lines.append(f'printf("%zu", sizeof(struct {name}));')
    at = "offsetof(struct {0}, {1}), sizeof(((struct {0} *)0)->{1})"
    lines += [f'printf(" %zu:%zu", {at.format(name, f)});' for f in fields]
    lines.append('printf("\\n");')

# ---- enumerators and numbers ----

names = sorted(set(re.findall(r"^\t(LMODEL_\w+) = ", code, flags=re.M)))
names += ["LMODEL_MESSAGE_SIZE", "LMODEL_RECIPIENT_SIZE", "LMODEL_DIGEST_SIZE"]
ok(len(names) > 30, f"enumerators are found ({len(names)})")
lines += [f'printf("%d\\n", (int){n});' for n in names]

with open("layout.c", "w", encoding="utf-8") as file:
    file.write("#include <lmodel.h>\n#include <stdio.h>\nint main(void)\n{\n" + "\n".join(lines) +
               "\nreturn 0;\n}\n")
environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
subprocess.run(["cc", "-I" + include, "-o", "layout", "layout.c"], check=True, env=environment)
printed = subprocess.run(["./layout"], check=True, capture_output=True, text=True,
                         env=environment).stdout.splitlines()

for (name, fields), line in zip(structs.items(), printed):
    kind = ours.get(class_name(name))
    if kind is None:
        continue
    equal([f for f, *_ in kind._fields_], fields, f"{name}: fields")
    wanted = [str(ctypes.sizeof(kind))] + [f"{getattr(kind, f).offset}:{getattr(kind, f).size}"
                                          for f, *_ in kind._fields_]
    equal(" ".join(wanted), line, f"{name}: sizes and offsets")
equal([str(getattr(_abi, n, None)) for n in names], printed[len(structs):], "enumerators")
equal(sorted(n for n in vars(_abi) if n.startswith("LMODEL_") and n not in names), [],
      "no enumerator that the headers lack")

# ---- prototypes ----

PLAIN = {
    "void": None, "int": ctypes.c_int, "bool": ctypes.c_bool, "size_t": ctypes.c_size_t,
    "long": ctypes.c_long, "uint64_t": ctypes.c_uint64, "unsigned": ctypes.c_uint,
    "void *": ctypes.c_void_p, "char *": ctypes.c_char_p,
    "unsigned *": ctypes.POINTER(ctypes.c_uint),
    "char **": ctypes.POINTER(ctypes.c_char_p), "size_t *": ctypes.POINTER(ctypes.c_size_t),
    "int *": ctypes.POINTER(ctypes.c_int),
}
HANDLES = {"lmodel_model", "lmodel_transform", "lmodel_archive", "lmodel_keyring"}
CALLBACKS = {"lmodel_finding_fn": "finding_fn", "lmodel_passphrase_fn": "passphrase_fn",
             "lmodel_positions_fn": "positions_fn"}


def of(parameter):
    """The ctypes type of a parameter or result."""
    if "(*" in parameter:
        inner = re.search(r"\(\*\w*\)\((.*)\)", parameter)[1]
        result = of(parameter.split("(*")[0])
        return ctypes.CFUNCTYPE(result, *[of(p) for p in split(inner)])
    words = re.sub(r"\bconst\b", " ", parameter)
    words = re.sub(r"\[\w*\]", "*", words) if "[" in parameter else words
    stars = words.count("*")
    words = words.replace("*", " ").split()
    if words[0] == "struct":
        name = words[1]
        if name in HANDLES:
            return ctypes.c_void_p if stars == 1 else ctypes.POINTER(ctypes.c_void_p)
        kind = ours[class_name(name)]
        for _ in range(stars):
            kind = ctypes.POINTER(kind)
        return kind
    if words[0] == "enum":
        return ctypes.POINTER(ctypes.c_int) if stars else ctypes.c_int
    if words[0] in CALLBACKS:
        return getattr(_abi, CALLBACKS[words[0]])
    return PLAIN[words[0] + (" " + "*" * stars if stars else "")]


def split(parameters):
    """At commas that are not in parentheses."""
    found, depth = [""], 0
    for letter in parameters:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [] if found == ["void"] else [f.strip() for f in found]


def alike(a, b):
    """Whether two declarations are the same; function types are compared by what they take."""
    if a is b:
        return True
    if hasattr(a, "_argtypes_") and hasattr(b, "_argtypes_"):
        return a._restype_ == b._restype_ and len(a._argtypes_) == len(b._argtypes_) and \
            all(map(alike, a._argtypes_, b._argtypes_))
    return False


flat = re.sub(r"\s+", " ", re.sub(r"struct \w+ \{.*?\n\};|enum \w+ \{.*?\n\};", ";", code,
                                  flags=re.S))
prototypes = re.findall(r"(?:^|[;}\"] |extern \"C\" \{ )((?:const )?(?:struct \w+|\w+) \**)"
                        r"(lmodel_\w+)\(((?:[^()]|\([^()]*\))*)\) ?(?=;)", flat)
declared = {name: (result, arguments) for result, name, arguments in prototypes
            if "typedef" not in result}
listed = re.findall(r"\t(lmodel_\w+);", open(os.path.join(os.environ["srcdir"],
                                                        "libfmt/lmodel.sym")).read())
equal(sorted(_abi.FUNCTIONS), sorted(listed), "each exported function is declared")
equal(sorted(declared), sorted(listed), "each prototype is found")
for name in sorted(set(declared) & set(_abi.FUNCTIONS)):
    result, arguments = declared[name]
    have = _abi.FUNCTIONS[name]
    want = of(result), [of(a) for a in split(arguments)]
    good = alike(have[0], want[0]) and len(have[1]) == len(want[1]) and \
        all(map(alike, have[1], want[1]))
    if not ok(good, f"{name}()"):
        print("#  ", have, "\n#  ", want)
done()
