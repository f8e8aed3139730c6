"""Are the members of a bundle what its manifest says, and data that opening cannot turn into a program?"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from hounsfield.core.digest import digest_file
from hounsfield.core.manifest import AGAIN, CORE, PLAN, WEIGHTS, Manifest
from hounsfield.errors import BundleError

# How files begin that may hold a pickle, whatever they are called: protocols 2 to 5; torch and npz are zips; npy; HDF5.
_PROGRAMS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY", b"\x89HDF")

# What is read as text at once. Plans have some kB, reference statistics a few MB; a YAML file of 1 MB takes seconds.
_MOST = {**{name: 2**26 for name in CORE if name != WEIGHTS}, PLAN: 2**20}


def verify(folder: Path, manifest: Manifest) -> None:
    """Check every member of a bundle's folder; files that the manifest does not name are not looked at.

    Raises
    ------
    BundleError
        If a member is missing, a link, changed or far too large; or a pickle, or weights that are no safetensors file. The member is named.
    """
    for name, wanted in manifest.members.items():
        path = folder / name
        if path.is_symlink():
            raise BundleError("a member of the bundle is a link, which may lead anywhere", where=path, fix=AGAIN)
        if not path.is_file():
            raise BundleError("a member of the bundle is missing", where=path, fix=AGAIN)
        if digest_file(path) != wanted:
            raise BundleError("a member of the bundle was changed after it was sealed", where=path, fix=AGAIN)
        if name in _MOST and path.stat().st_size > _MOST[name]:
            raise BundleError(f"a member of the bundle is larger than {_MOST[name]} bytes", where=path, fix=AGAIN)
        refuse_programs(path)
    try:
        with safe_open(folder / WEIGHTS, framework="np"):  # reads the header alone, and holds it against the size
            pass
    except (SafetensorError, OSError) as error:
        raise BundleError("the weights are no safetensors file", where=folder / WEIGHTS, fix=AGAIN) from error


def refuse_programs(path: Path) -> None:
    """Refuse a file that begins as a pickle, or as what may hold one.

    Raises
    ------
    BundleError
        If it does.
    """
    with path.open("rb") as file:
        if file.read(8).startswith(_PROGRAMS):
            raise BundleError(
                "this is a pickle, or an archive that may hold one (as torch and numpy write them): opening it could run anything",
                where=path,
                fix="Weights must be safetensors; attach data in another form.",
            )
