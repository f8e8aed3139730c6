"""attention.json, and a picture per label of where the maps lie on average."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Picture

from hounsfield.core import files
from hounsfield.explain.attention.attend import Looks
from hounsfield.explain.attention.judge import Attention
from hounsfield.explain.pictures import overlaid, save_picture

DRAWN = 256


def write_attention(folder: Path, bundle: str, looks: Looks, found: Attention) -> Path:
    """Write what was found of a bundle (its core digest) to `folder`/attention.json, and the mean maps on one colour scale."""
    files.make_folder(folder)
    for stale in folder.glob("attention-*.png"):
        stale.unlink()
    scale = max((float(values.max()) for values, _ in looks.mean_maps.values()), default=0.0)
    pictures = []
    for number, (label, (values, image)) in enumerate(sorted(looks.mean_maps.items())):
        name = f"attention-{number}.png"
        grey = np.rint(_enlarged(image) * 255).clip(0, 255).astype(np.uint8)
        save_picture(folder / name, overlaid(np.repeat(grey[..., None], 3, axis=-1), _enlarged(values), scale))
        cases = sum(one.label == label for one in looks.cases)
        pictures.append({"label": label, "picture": name, "cases": cases, "scale": scale})
    files.write_json(folder / "attention.json", found.to_dict() | {"bundle": bundle, "pictures": pictures})
    return folder / "attention.json"


def _enlarged(values: np.ndarray) -> np.ndarray:
    return np.asarray(Picture.fromarray(values.astype(np.float32)).resize((DRAWN, DRAWN), Picture.Resampling.BILINEAR))
