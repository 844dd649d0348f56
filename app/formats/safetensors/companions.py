"""The small files of a folder: config, tokenizer, templates, and the model card."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from app import __version__
from app.core.recipe import ALL_VALUES
from app.core.words import size
from app.formats.base import Preset
from app.formats.safetensors.layout import INDEX, SINGLE
from app.models.base import Checkpoint
from app.models.facts import model_facts
from app.models.safetensors_folder import CONFIG, SMALL, inside

CARD = "README.md"
_MADE = {CONFIG, INDEX, CARD}
#: What tokenizers and preprocessors are kept in, besides what Nibble reads itself.
_MORE = (
    "chat_template.json", "merges.txt", "preprocessor_config.json", "processor_config.json",
    "spiece.model", "sentencepiece.bpe.model", "tekken.json", "tokenizer.model.v3",
    "video_preprocessor_config.json", "vocab.txt", "LICENSE", "LICENSE.txt", "LICENSE.md",
    "NOTICE", "USE_POLICY.md",
)  # fmt: skip
_COPIED = tuple(dict.fromkeys(name for name in (*SMALL, *_MORE) if name not in _MADE))
_LARGEST = 64_000_000
_LICENSE = re.compile(r"^license:\s*['\"]?([\w.+-]{1,100})['\"]?\s*$", re.MULTILINE)
_HUB = re.compile(r"(models--)?([\w.-]+?)--([\w.-]+)")
_SHARD = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
_UNFINISHED = (".journal", ".lock")


def is_of_model(name: str) -> bool:
    """Whether a file of that name belongs to a folder like those that Nibble writes."""
    for ending in _UNFINISHED:
        name = name.removesuffix(ending)
    known = {SINGLE, *_MADE, *_COPIED, "quantize_config.json"}
    return name in known or bool(_SHARD.fullmatch(name))


def foreign_files(folder: Path) -> list[str]:
    """Names of what in a folder is not a model's; all that is there where there is no model."""
    names = sorted(path.name for path in folder.iterdir())
    if CONFIG not in names:
        return names
    return [name for name in names if not is_of_model(name) or (folder / name).is_dir()]


def copied_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    """The source's files that describe how text becomes tokens and back, by name."""
    found = {}
    for name in _COPIED:
        path = checkpoint.path / name
        if path.is_file() and path.stat().st_size <= _LARGEST:
            found[name] = inside(checkpoint.path, name).read_bytes()
    return found


def hub_name(checkpoint: Checkpoint) -> str:
    """The source's name on the hub, where its folder tells: "org/name"; else "".

    Hugging Face's cache has models--org--name/snapshots/COMMIT, Nibble's own org--name/COMMIT/name.
    """
    folder = checkpoint.path.resolve()
    match = _HUB.fullmatch(folder.parent.parent.name)
    if match is None:
        return ""
    shared = match[1] and folder.parent.name == "snapshots"
    return f"{match[2]}/{match[3]}" if shared or match[3] == folder.name else ""


@dataclass(frozen=True, slots=True)
class Story:
    """What a model card tells."""

    preset: Preset
    runs_in: str
    method: str
    """With its options."""
    percentile: float | None
    """Of the inputs inside their ranges; None where none are stored."""
    library: str
    quantized: int
    """Matrices."""
    kept: int
    """Tensors."""
    dtype: str
    nbytes: int
    bits: float
    """Of a weight, on average."""


def card(checkpoint: Checkpoint, story: Story) -> bytes:
    """README.md: what the folder holds, where it comes from, and what was done."""
    facts, base = model_facts(checkpoint), hub_name(checkpoint)
    name, licence = facts.name, _licence(checkpoint.path)
    front = {
        "base_model": base,
        "base_model_relation": "quantized" if base and story.quantized else "",
        "library_name": story.library,
        "license": licence,
    }
    lines = ["---", *(f"{key}: {value}" for key, value in front.items() if value)]
    lines += ["tags:", "- nibble", "---", "", f"# {name} in {story.preset.name}", ""]
    lines += [
        f"{story.preset.summary} Made from {base or name} with Nibble {__version__}.",
        "",
        "| | |",
        "|---|---|",
        f"| Format | {story.preset.name} |",
        *([f"| Method | {story.method} |"] if story.quantized else []),
        *([f"| Ranges of inputs | {_held(story.percentile)} |"] if story.percentile else []),
        f"| Weights | {size(story.nbytes)}, {story.bits:.2f} bits each |",
        f"| Source | {size(checkpoint.nbytes)} |",
        *([f"| Quantized | {story.quantized} matrices |"] if story.quantized else []),
        f"| In {story.dtype} | {story.kept} tensors |",
        f"| Runs in | {story.runs_in} |",
        "",
    ]
    return "\n".join(lines).encode()


def _held(percentile: float) -> str:
    """What ranges hold of the values that were seen."""
    return "all values" if percentile == ALL_VALUES else f"{percentile:g} % of all values"


def _licence(folder: Path) -> str:
    """The licence that the source's card names in its front matter; "" where it does not."""
    try:
        text = (folder / CARD).read_bytes()[:65536].decode("utf-8", "replace")
    except OSError:
        return ""
    front = text.split("\n---", 1)[0] if text.startswith("---") else ""
    found = _LICENSE.search(front)
    return found[1] if found else ""
