# Who may include what: layers look down, each foreign library is behind one folder.
. "${srcdir:-.}/tests/lib/tap.sh"

cat >layers.py <<'P'
import glob, os, re, sys
root = sys.argv[1]
ABOVE = {  # folder: what it may include besides itself
    "base": [],
    "crypto": ["base"],
    "net": ["base", "crypto"],
    "codec": ["base"],
    "container": ["base", "crypto", "codec"],
    "manifest": ["base", "crypto", "codec", "container", "schema"],
    "import": ["base", "crypto", "codec", "container", "manifest"],
    "export": ["base", "crypto", "codec", "container", "manifest"],
    "keys": ["base", "crypto", "container", "manifest"],
    "protect": ["base", "crypto", "import"],
    "transform": ["base", "crypto", "import", "export"],
    "archive": ["base", "crypto", "codec", "container", "manifest", "import", "export", "keys",
                "protect", "transform", "net"],
    "registry": ["base", "crypto", "codec", "container", "manifest", "import", "export", "keys",
                 "protect", "transform", "net", "archive"],
}
OWNERS = {  # header: the only folders
    "sqlite3.h": ["libfmt/manifest"],
    "archive.h": ["libfmt/container"], "archive_entry.h": ["libfmt/container"],
    "gcrypt.h": ["libfmt/crypto"],
    "zstd.h": ["libfmt/codec"], "zstd_errors.h": ["libfmt/codec"], "zdict.h": [],
    "png.h": ["libfmt/transform"],
    "jansson.h": ["libfmt/base", "libfmt/import", "libfmt/export", "libfmt/registry", "bin"],
    "curl/curl.h": ["libfmt/net"],
}
BANNED = ["sprintf", "vsprintf", "strcpy", "stpcpy", "strcat", "gets", "system", "popen", "tmpnam",
          "tempnam", "mktemp", "strtok", "alloca", "atoi", "atol", "atof", "sscanf"]
LIBRARY_BANNED = ["printf", "puts", "putchar", "perror", "exit", "_exit", "abort", "assert"]
faults = []
def code(text):
    """Without comments and the insides of strings."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: "" if m[0][0] == "/" else m[0][0] * 2, text, flags=re.S)
files = [f for d in ("libfmt", "bin") for f in glob.glob(root + "/" + d + "/**/*.[ch]", recursive=True)]
seen = set()
for path in sorted(files):
    name = os.path.relpath(path, root)
    folder = os.path.dirname(name)
    text = open(path).read()
    seen.add(folder)
    for kind, header in re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', text, flags=re.M):
        if kind == "<" and header in OWNERS and folder not in OWNERS[header]:
            faults.append("%s: <%s> belongs to %s" % (name, header, OWNERS[header]))
        if folder == "bin":
            own = os.path.exists(os.path.join(root, "bin", header))
            if kind == '"' and not own or kind == "<" and header.startswith("lmodel/") and \
                    header not in ("lmodel/error.h", "lmodel/run.h"):
                faults.append("%s: includes %s; the program uses <lmodel.h> alone" % (name, header))
        elif folder.startswith("libfmt/include"):
            if kind == '"' or "/" in header and not header.startswith("lmodel/"):
                faults.append("%s: a public header includes %s" % (name, header))
        else:
            layer = folder.split("/")[1]
            if layer not in ABOVE:
                faults.append("%s: folder %s is in no layer" % (name, layer))
            elif kind == '"':
                target = header.split("/")[0]
                if "/" not in header or target != layer and target not in ABOVE[layer]:
                    faults.append("%s: %s may not include %s" % (name, layer, header))
            elif header == "lmodel.h":
                faults.append("%s: includes all of <lmodel.h>" % name)
    plain = code(text)
    for word in BANNED:
        count = len(re.findall(r"(?<![\w.>])%s\s*\(" % word, plain))
        if count > (word == "strcat" and name == "libfmt/base/text.c"):
            faults.append("%s: %s()" % (name, word))
    if folder.startswith("libfmt"):
        for word in LIBRARY_BANNED:
            if re.search(r"(?<![\w.>])%s\s*\(" % word, plain):
                faults.append("%s: the library calls %s()" % (name, word))
        if re.search(r"\b(stdout|stderr)\b", plain):
            faults.append("%s: the library has to do with stdout or stderr" % name)
    lines = text.split("\n")
    if len(lines) > 501:
        faults.append("%s: %d lines" % (name, len(lines) - 1))
missing = [f for f in ABOVE if "libfmt/" + f not in seen]
if missing or "bin" not in seen or len(files) < 50:
    faults.append("looked at too little: %d files, no %s" % (len(files), missing))
print("\n".join(faults))
P
run 0 python3 layers.py "$srcdir"
is "$out" "" "every include looks down, every foreign library is behind its folder"

# the check itself: each rule broken once, in a copy
mkdir copy && cp -r "$srcdir/libfmt" "$srcdir/bin" copy/ && chmod -R u+w copy
broken() {
	cp "copy/$1" kept
	printf '%s\n' "$2" >>"copy/$1"
	like "$(python3 layers.py copy)" "^$1.*$3" "the check sees: $4"
	cp kept "copy/$1"
}
broken libfmt/base/error.c '#include "crypto/crypto.h"' "base may not include" "an include that looks up"
broken libfmt/export/npy.c '#include "archive/archive.h"' "export may not include" "export above archive"
broken libfmt/codec/codec.c '#include <sqlite3.h>' "belongs to" "a foreign header"
broken libfmt/net/http.c '#include "container/slot.h"' "net may not include" "the network knows no format"
broken libfmt/archive/pack.c '#include <curl/curl.h>' "belongs to" "libcurl in archive/"
broken libfmt/archive/pack.c '#include <archive.h>' "belongs to" "libarchive in archive/"
broken bin/main.c '#include "base/base.h"' "the program uses" "a private header in the program"
broken libfmt/base/text.c 'static void x(char *p) { strcpy(p, "x"); }' "strcpy" "strcpy"
broken libfmt/base/text.c 'static void x(char *p) { strcat(p, "x"); }' "strcat" "a second strcat"
broken bin/text.c 'static int x(void) { return system("x"); }' "system" "system"
broken libfmt/base/error.c 'static void x(void) { printf("x"); }' "the library calls printf" "a library that prints"
broken libfmt/base/error.c 'static void x(void) { abort(); }' "the library calls abort" "a library that aborts"
broken libfmt/base/error.c '/* strcpy(a, b) */ static const char x[] = "gets(";
static void y(void) { sprintf(0, ""); }' "sprintf" "a call beside comments and strings"
is "$(python3 layers.py copy)" "" "and nothing in the copy as it was"
done_testing
