"""Makes the wheel: a zip file of the package, which is Python alone (PEP 427, 517, 660).

The version is the library's: libfmt/include/lmodel/version.h, or what a source package says.
"""

from __future__ import annotations

import base64
import hashlib
import io
import pathlib
import re
import tarfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
HEADER = HERE.parent / "libfmt/include/lmodel/version.h"
SUMMARY = "Archives of model weights, some of them behind keys"


def _version() -> str:
    if HEADER.exists():
        return re.search(r'VERSION_STRING "([0-9.]+)"', HEADER.read_text())[1]
    return re.search(r"^Version: (.*)$", (HERE / "PKG-INFO").read_text(), re.M)[1]


def _metadata() -> str:
    return (f"Metadata-Version: 2.1\nName: lmodel\nVersion: {_version()}\nSummary: {SUMMARY}\n"
            "License: MIT\nRequires-Python: >=3.9\nRequires-Dist: numpy\n")


def _package() -> list[pathlib.Path]:
    return sorted(p for p in (HERE / "lmodel").rglob("*")
                  if p.suffix == ".py" or p.name == "py.typed")


def _write(directory: str, files: dict[str, bytes]) -> str:
    """The wheel of these files, with its metadata and record."""
    info = f"lmodel-{_version()}.dist-info"
    files[f"{info}/METADATA"] = _metadata().encode()
    files[f"{info}/WHEEL"] = (b"Wheel-Version: 1.0\nGenerator: lmodel\nRoot-Is-Purelib: true\n"
                              b"Tag: py3-none-any\n")
    record = f"{info}/RECORD,,\n"
    name = f"lmodel-{_version()}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(directory) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record = f"{path},sha256={digest},{len(data)}\n" + record
            wheel.writestr(path, data)
        wheel.writestr(f"{info}/RECORD", record)
    return name


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """PEP 517."""
    return _write(wheel_directory, {str(p.relative_to(HERE)): p.read_bytes() for p in _package()})


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """PEP 660: the package stays where it is."""
    return _write(wheel_directory, {"lmodel.pth": f"{HERE}\n".encode()})


def build_sdist(sdist_directory, config_settings=None):
    """PEP 517."""
    name = f"lmodel-{_version()}"
    with tarfile.open(pathlib.Path(sdist_directory) / f"{name}.tar.gz", "w:gz") as tar:
        for path in [HERE / "pyproject.toml", HERE / "build_backend.py", *_package()]:
            tar.add(path, f"{name}/{path.relative_to(HERE)}")
        member = tarfile.TarInfo(f"{name}/PKG-INFO")
        data = _metadata().encode()
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return f"{name}.tar.gz"
