"""Builds peers from a folder with their source: one folder each, as their repositories are.

Nothing of theirs is in this tree. A peer whose source is not there, or does not build, is told as
missing with the reason.
"""
from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parents[1] / "peers"


@dataclasses.dataclass
class Built:
    """A program, or why there is none."""
    path: Path
    missing: str = ""


class _Unbuildable(Exception):
    pass


def _run(words: Sequence[str | Path], cwd: Path | None = None) -> str:
    done = subprocess.run([str(w) for w in words], cwd=cwd, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        told = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise _Unbuildable(told[-1][:200] if told else f"{words[0]}: {done.returncode}")
    return done.stdout


def _source(sources: Path | None, *names: str) -> Path:
    if sources is None:
        raise _Unbuildable("no --peers")
    for name in names:
        if (sources / name).is_dir():
            return sources / name
    raise _Unbuildable(f"no {names[0]} in {sources}")


def _objects(cc: str, files: Sequence[Path], flags: Sequence[str | Path], folder: Path) -> list[Path]:
    """Compiles files, as far as that was not done before; their objects."""
    folder.mkdir(parents=True, exist_ok=True)
    objects = []
    for number, file in enumerate(files):
        out = folder / f"{number}-{file.stem}.o"
        if not out.exists():
            _run([*cc.split(), "-O3", "-DNDEBUG", "-w", "-c", file, "-o", out, *flags])
        objects.append(out)
    return objects


def zipnn(sources: Path | None, folder: Path, cc: str) -> Built:
    """ZipNN's C core with FiniteStateEntropy, which is a repository of its own: a module of
    Python, which peers/zipnn.py drives."""
    program = folder / "zipnn"
    try:
        top = _source(sources, "zipnn")
        entropy = _source(sources, "FiniteStateEntropy")
        if not (entropy / "lib/huf_compress.c").exists():
            raise _Unbuildable("no FiniteStateEntropy")
        include = _run(["/usr/bin/python3", "-c",
                        "import sysconfig; print(sysconfig.get_paths()['include'])"]).strip()
        files = [*sorted((top / "csrc").glob("*.c")),
                 *(entropy / "lib" / f"{n}.c" for n in ("fse_compress", "fse_decompress", "hist",
                                                        "huf_compress", "huf_decompress",
                                                        "entropy_common"))]
        objects = _objects(cc, files, ["-fPIC", "-pthread", f"-I{include}", f"-I{entropy}/lib",
                                       f"-I{top}/csrc"], folder / "zipnn.o")
        module = folder / "zipnn_core.so"
        _run([*cc.split(), "-shared", "-pthread", "-o", module, *objects, "-lm"])
        program.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec /usr/bin/python3 -S -E '
                           f'"{HERE}/zipnn.py" "{module}" "$@"\n')
        program.chmod(0o755)
    except (OSError, _Unbuildable) as e:
        return Built(program, f"not here: {e}")
    return Built(program)


def openzl(sources: Path | None, folder: Path, cc: str) -> Built:
    """OpenZL's library, with zstd's and LZ4's as it wants them."""
    program = folder / "openzl"
    try:
        top = _source(sources, "openzl")
        zstd, lz4 = _source(sources, "zstd"), _source(sources, "lz4")
        flags = [f"-I{top}/{d}" for d in ("", "include", "src")]
        flags += [f"-I{zstd}/lib", f"-I{lz4}/lib", "-std=gnu11", "-pthread"]
        files = sorted((top / "src/openzl").rglob("*.c"))
        if not any(f.name == "selector_numeric_model.c" for f in files):
            files.append(HERE / "openzl_model.c")
        files += sorted((top / "src/openzl").rglob("*.S"))
        files += [f for d in ("common", "compress", "decompress")
                  for f in sorted((zstd / "lib" / d).glob("*.[cS]"))]
        files += [lz4 / "lib" / f for f in ("lz4.c", "lz4hc.c")]
        objects = _objects(cc, files, flags, folder / "openzl.o")
        _run([*cc.split(), "-O2", "-D_GNU_SOURCE", "-w", "-o", program, HERE / "openzl.c", HERE / "driver.c",
              f"-I{HERE}", *flags, *objects, "-lm"])
    except (OSError, _Unbuildable) as e:
        return Built(program, f"not here: {e}")
    return Built(program)


def blosc2(sources: Path | None, folder: Path, cc: str) -> Built:
    """c-blosc2's library with zstd's and LZ4's sources."""
    program = folder / "blosc2"
    try:
        top = _source(sources, "c-blosc2")
        tree = folder / "blosc2.o"
        tree.mkdir(parents=True, exist_ok=True)
        options = ["-DCMAKE_BUILD_TYPE=Release", "-DBUILD_PLUGINS=OFF", "-DWITH_ZFP=OFF",
                   "-DBUILD_TESTS=OFF", "-DBUILD_BENCHMARKS=OFF", "-DBUILD_EXAMPLES=OFF",
                   "-DBUILD_FUZZERS=OFF", "-DBUILD_SHARED=OFF", "-DDEACTIVATE_ZLIB=ON",
                   "-DFETCHCONTENT_FULLY_DISCONNECTED=ON",
                   f"-DBLOSC_ZSTD_SOURCE_DIR={_source(sources, 'zstd')}",
                   f"-DBLOSC_LZ4_SOURCE_DIR={_source(sources, 'lz4')}"]
        if not (tree / "blosc/libblosc2.a").exists():
            _run(["cmake", "-S", top, "-B", tree, f"-DCMAKE_C_COMPILER={cc.split()[-1]}", *options])
            _run(["cmake", "--build", tree, "--target", "blosc2_static", "-j", "2"])
        _run([*cc.split(), "-O2", "-D_GNU_SOURCE", "-w", "-pthread", "-o", program, HERE / "blosc2.c",
              HERE / "driver.c", f"-I{HERE}", f"-I{top}/include", tree / "blosc/libblosc2.a",
              "-lm", "-ldl"])
    except (OSError, _Unbuildable) as e:
        return Built(program, f"not here: {e}")
    return Built(program)
