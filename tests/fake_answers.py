"""Made-up answers of commands that print one JSON document; see fake_worker.py.

The documents are built from the application's own types, so that they cannot drift from them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.core.events import Progress, encode
from app.core.fit import Fit, FitOptions, FitWord, Need
from app.core.hub import (
    Convertibility,
    Convertible,
    HubFile,
    HubModel,
    HubModelDetails,
    SearchPage,
)
from app.core.job import Job
from app.core.machine import Cpu, Gpu, Machine, Space
from app.core.needs import JobNeeds, TimeSpan, in_turn
from app.core.recipe import AUTOMATIC

GB = 10**9
GIB = 2**30
OFFLINE = {
    "title": "huggingface.co cannot be reached.",
    "hint": "Check the internet connection, then try again.",
    "details": "ConnectError",
}


def answer(mode: str, words: list[str]) -> None:
    """Print what the command would; `mode` "offline" has no network."""
    name = words[0]
    subject = words[1] if len(words) > 1 else ""
    if name in {"search", "inspect"} and mode == "offline":
        _put({"error": OFFLINE})
        sys.exit(1)
    if name == "probe" and mode == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "download" and "--events" in words:
        at = Progress("download", 1_800_000_000, 5_000_000_000, overall=0.36, speed=41e6)
        sys.stderr.write(encode(at) + "\n")
        sys.stderr.flush()
        time.sleep(0.3)
    if name == "hardware" and mode == "leave":
        sys.exit(3)
    if name == "search" and "slow" in subject:
        time.sleep(60)
    documents = {
        "inspect": lambda: hub_inspection(subject),
        "hardware": lambda: _computer(_option(words, "--on") or mode).to_json(),
        "fit": lambda: fits(words),
        "quantize": lambda: planned(words),
        "needs": lambda: needs(subject),
        "search": lambda: search(words).to_json(),
        "probe": lambda: PROBES.get(mode, PROBES[""]),
        "download": lambda: {
            "model": subject, "commit": "0" * 40, "folder": "/models/x", "files": [], "nbytes": 1,
        },
    }  # fmt: skip
    _put(documents[name]())


def _put(document: object) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def _option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1] if name in words else ""


# Computers


def _nvidia(name: str, gib: int, place: int = 0, capability: tuple[int, int] = (8, 9)) -> Gpu:
    total = gib * GIB
    return Gpu(
        name, "nvidia", f"cuda:{place}", total, int(total * 0.74),
        capability=capability, bandwidth=504e9, driver="580.82",
    )  # fmt: skip


def _pc(*gpus: Gpu, memory: int = 32, **rest: Any) -> Machine:
    return Machine(
        cpu=Cpu("AMD Ryzen 7 7700", 8, 16, ("AVX2", "AVX-512")),
        memory=Space("Memory", memory * GIB, memory * GIB * 2 // 3),
        gpus=gpus,
        disks=(Space("/", 1000 * GB, 212 * GB), Space("/home", 4000 * GB, 1800 * GB)),
        **rest,
    )


def _computer(name: str) -> Machine:
    card = _nvidia("NVIDIA GeForce RTX 4070", 12)
    match name:
        case "no-gpu":
            return _pc(problems=("The NVIDIA driver does not answer: restart the computer.",))
        case "three-gpus":
            cards = [_nvidia("NVIDIA GeForce RTX 3090", 24, place, (8, 6)) for place in range(2)]
            onboard = Gpu("AMD Radeon Graphics", "amd", "", 16 * GIB, 12 * GIB, shared=True)
            return _pc(*cards, onboard, memory=64)
        case "mac":
            memory = Space("Memory", 36 * GIB, 22 * GIB)
            chip = Gpu(
                "Apple M3 Pro", "apple", "mps:0", 24 * GIB, 15 * GIB, shared=True, bandwidth=150e9
            )
            disk = Space("/", 994 * GB, 310 * GB)
            return Machine(Cpu("Apple M3 Pro", 11, 11, ("NEON",)), memory, (chip,), (disk,))
        case "RTX 4090":
            return _pc(_nvidia("RTX 4090", 24), simulated="RTX 4090")
        case "nonsense":
            hint = 'Say for example "RTX 4090".'
            _put({"error": {"title": "nonsense is not in the list of hardware.", "hint": hint}})
            sys.exit(2)
    return _pc(card)


PROBES: dict[str, dict[str, Any]] = {
    "": {
        "version": "2.13.0+cu130", "build": "cuda", "problems": [],
        "devices": [
            {"device": "cpu", "name": "Processor", "works": True, "problem": ""},
            {"device": "cuda:0", "name": "NVIDIA GeForce RTX 4070", "works": True, "problem": ""},
        ],
    },
    "no-gpu": {
        "version": "2.13.0+cpu", "build": "cpu",
        "problems": ["PyTorch here was built for the processor only."],
        "devices": [{"device": "cpu", "name": "Processor", "works": True, "problem": ""}],
    },
}  # fmt: skip


# Fits


def fits(words: list[str]) -> dict[str, object]:
    """Q4_K_M fits well, larger ones less; everything fits an RTX 4090, and no PC is a Mac."""
    context = int(_option(words, "--context") or 8192)
    roomy = _option(words, "--on") == "RTX 4090"
    options = FitOptions(
        context=context, reserve=round(float(_option(words, "--reserve") or 0) * GIB)
    )
    found = {}
    if _option(words, "--for") == "mlx":
        why = "Needs a Mac with Apple silicon: MLX."
        elsewhere = Fit(FitWord.ELSEWHERE, options, reason=why).to_json()
        return {"model": words[1], "fits": dict.fromkeys(SIZES, elsewhere)}
    for preset, nbytes in SIZES.items():
        cache = context * 147_456
        word = _word(nbytes + cache, 24 * GIB if roomy else 8 * GB)
        found[preset] = Fit(
            word=word,
            options=options,
            needs=(Need("Weights", nbytes), Need("Context", cache), Need("Computing", 300_000_000)),
            low=nbytes + cache,
            high=nbytes + cache + 400_000_000,
            budget=24 * GIB if roomy else 9_500_000_000,
            layers=36,
            layers_on_gpu=36 if word in {FitWord.FITS, FitWord.TIGHT} else 18,
            largest_context=24_576,
            tokens_per_second=(38.0, 61.0),
            reason="" if word is FitWord.FITS else "A smaller format would fit.",
        ).to_json()
    return {"model": words[1], "fits": found}


def needs(request: str) -> dict[str, Any]:
    """What a job takes; what has to see the model takes hours."""
    recipes = [output.recipe for output in Job.from_request(request).outputs]
    weighs = any(recipe.importance == AUTOMATIC for recipe in recipes)
    fits = any("gptq" in recipe.method for recipe in recipes)
    span = TimeSpan(5400, 14_400, guessed=True) if fits else TimeSpan(200, 320)
    matrix = TimeSpan(1500, 3300) if weighs else None
    found = JobNeeds(
        disk=sum(SIZES.get(recipe.preset, GB) for recipe in recipes),
        disk_free=212 * GB,
        memory=9_300_000_000 if fits else 1_100_000_000,
        memory_least=600_000_000,
        memory_free=21 * GB,
        seconds=in_turn([span, matrix]) if matrix else span,
        importance=matrix,
    )
    return asdict(found)


def _word(nbytes: int, room: int) -> FitWord:
    if nbytes < 0.85 * room:
        return FitWord.FITS
    if nbytes < room:
        return FitWord.TIGHT
    return FitWord.PARTLY if nbytes < 2 * room else FitWord.NOT


SIZES = {
    "BF16": 16_388_000_000, "Q8_0": 8_709_000_000, "Q6_K": 6_726_000_000,
    "Q5_K_M": 5_851_000_000, "Q5_K_S": 5_720_000_000, "Q4_K_M": 5_027_000_000,
    "Q4_K_S": 4_802_000_000, "Q4_0": 4_655_000_000, "IQ3_M": 3_740_000_000,
    "IQ2_M": 2_930_000_000,
}  # fmt: skip


# The hub

MODELS = tuple(
    HubModel(
        id=name, author=name.partition("/")[0], downloads=downloads, likes=downloads // 900,
        updated="2026-10-02T09:30:00.000Z", tags=("safetensors",), licence=licence, gated=gated,
        task="text-generation", parameters=parameters, nbytes=2 * parameters,
        kind="gguf" if quantized == "GGUF" else "safetensors", quantized=quantized,
    )
    for name, parameters, downloads, licence, gated, quantized in (
        ("Qwen/Qwen3-8B", 8_190_735_360, 4_812_345, "apache-2.0", "", ""),
        ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248, 6_120_000, "llama3.1", "manual", ""),
        ("Qwen/Qwen3-4B-Instruct-2507", 4_022_468_096, 2_200_100, "apache-2.0", "", ""),
        ("bartowski/Qwen_Qwen3-8B-GGUF", 8_190_735_360, 91_400, "apache-2.0", "", "GGUF"),
        ("mistralai/Mistral-Small-24B", 23_572_403_200, 410_000, "apache-2.0", "", ""),
        ("HuggingFaceTB/SmolLM2-135M", 134_515_008, 830_000, "apache-2.0", "", ""),
        ("someone/unsized-experiment", 0, 12, "", "", ""),
    )
)  # fmt: skip


def search(words: list[str]) -> SearchPage:
    """Models whose name has all the words, in two pages."""
    wanted = "" if words[1].startswith("--") else words[1].lower()
    found = [model for model in MODELS if all(word in model.id.lower() for word in wanted.split())]
    if "--gguf" in words:
        found = [model for model in found if model.quantized == "GGUF"]
    if "--original" in words:
        found = [model for model in found if not model.quantized]
    if _option(words, "--page"):
        return SearchPage(tuple(found[5:]))
    return SearchPage(tuple(found[:5]), "second" if len(found) > 5 else "")


CARD = """---
license: apache-2.0
---
# Qwen3-8B

A model that **thinks** before it answers. <script>alert(1)</script>

![picture](https://tracker.example/pixel.png) <img src="file:///etc/passwd">

* reasoning, mathematics and code
* more than 100 languages

See [the report](https://example.org/report) or [not this](javascript:alert(1)).
"""


def hub_inspection(name: str) -> dict[str, object]:
    """What is known of a model of the hub."""
    known = {model.id: model for model in MODELS}
    repo = name.partition("@")[0]
    if repo not in known:
        title = f"There is no {repo} on huggingface.co."
        _put({"error": {"title": title, "hint": "Check the spelling.", "details": ""}})
        sys.exit(2)
    model = known[repo]
    files = (
        HubFile("config.json", 728), HubFile("tokenizer.json", 11_422_654),
        HubFile("model-00001-of-00002.safetensors", model.parameters, "a" * 64),
        HubFile("model-00002-of-00002.safetensors", model.parameters, "b" * 64),
    )  # fmt: skip
    if model.quantized:
        files = (HubFile("Qwen3-8B-Q4_K_M.gguf", 5_027_783_488, "c" * 64),
                 HubFile("Qwen3-8B-Q8_0.gguf", 8_709_518_112, "d" * 64))  # fmt: skip
    answer = Convertible(Convertibility.YES)
    if model.quantized:
        reason = "It has been made smaller already: converting again loses more."
        answer = Convertible(Convertibility.LIMITS, (reason,))
    if not model.parameters:
        answer = Convertible(Convertibility.NO, ("It has no weights in a format that is safe.",))
    details = HubModelDetails(model, "0" * 40, files, CARD, ("Qwen/Qwen3-8B-Base",))
    hub = {"details": details.to_json(), "convertible": answer.to_json()}
    if answer.word is Convertibility.NO:
        return {"model": None, "choices": [], "hub": hub}
    found = inspection(Path(name))
    return {**found, "model": {**found["model"], "path": name}, "hub": hub}


def _group(group: str, **rest: object) -> dict[str, object]:
    return {"group": group, "importance_helps": True, "needs_importance": False, **rest}


def _folder(group: str, *runtimes: str, **rest: object) -> dict[str, object]:
    programs = {"vllm": "vLLM, SGLang", "transformers": "transformers", "mlx": "MLX on a Mac"}
    return {
        "format": "safetensors", "extension": "", "group": group, "runtimes": runtimes,
        "runs_in": ", ".join(programs[runtime] for runtime in runtimes), **rest,
    }  # fmt: skip


FOLDERS: dict[str, tuple[int, float, str, str, dict[str, object]]] = {
    "bf16-folder": (16_381_000_000, 16.0, "the original", "As most models are published.",
        _folder("near the original", "vllm", "transformers", "mlx", methods=["nearest"])),
    "fp8": (8_800_000_000, 8.6, "practically the original", "8-bit floats for weights and inputs.",
        _folder("near the original", "vllm", "transformers", featured=True,
                methods=["nearest", "awq", "smoothquant"])),
    "fp8-static": (8_800_000_000, 8.6, "practically the original", "With ranges of the inputs.",
        _folder("near the original", "vllm", is_shown_text=True,
                methods=["nearest", "awq", "smoothquant"])),
    "w8a8-int8": (8_800_000_000, 8.6, "very small loss", "8-bit integers.",
        _folder("near the original", "vllm", methods=["nearest", "gptq", "smoothquant"])),
    "w4a16-g128": (6_200_000_000, 6.0, "small loss", "4-bit integers; layers compute in 16 bits.",
        _folder("the usual choice", "vllm", "transformers", featured=True,
                methods=["nearest", "clipped", "gptq", "awq", "awq+gptq"])),
    "gptq-4bit-g128": (6_220_000_000, 6.1, "small loss", "4-bit integers of AutoGPTQ.",
        _folder("the usual choice", "vllm", "transformers", method="gptq",
                methods=["nearest", "clipped", "gptq", "awq", "awq+gptq"])),
    "gptq-4bit-asym-v2-g128": (6_250_000_000, 6.1, "small loss", "4-bit integers of GPTQModel.",
        _folder("the usual choice", "vllm", "transformers", method="gptq",
                methods=["nearest", "gptq"])),
    "bnb-nf4-dq": (6_100_000_000, 5.9, "small loss", "16 values of the normal distribution.",
        _folder("the usual choice", "transformers", featured=True, methods=["nearest"])),
    "mlx-4bit": (4_600_000_000, 4.5, "small loss", "4-bit integers for Macs.",
        _folder("the usual choice", "mlx", featured=True,
                methods=["nearest", "clipped", "gptq", "hqq"])),
}  # fmt: skip
"""Folders that the model can become, as the list shows them."""
SIZES |= {preset: row[0] for preset, row in FOLDERS.items()}
NO_FOLDER = {"title": "A folder cannot be made from a GGUF file yet.", "hint": "Choose another."}
METHODS = [
    {"name": "nearest", "summary": "Fast and without data; good from 5 bits up.",
     "is_calibrated": False, "options": []},
    {"name": "clipped", "summary": "Better than the nearest at 4 bits and below.",
     "is_calibrated": False, "options": []},
    {"name": "gptq", "summary": "The least error at 2 to 4 bits; needs to see the model at work.",
     "is_calibrated": True, "options": [
        {"name": "damping", "sentence": "What is added to the diagonal of the second moment.",
         "kind": "number", "default": "0.01", "least": 1e-6, "most": 10, "values": "a number"},
        {"name": "refit", "sentence": "Whether the grids of a span are found when its turn comes.",
         "kind": "switch", "default": "auto", "optional": True, "values": "yes or no, or auto"},
        {"name": "quantized_inputs", "sentence": "Whether a layer sees the quantized ones.",
         "kind": "switch", "default": "yes", "values": "yes or no"}]},
    {"name": "awq", "summary": "Protects the weights that matter, at 3 and 4 bits.",
     "is_calibrated": True, "options": [
        {"name": "powers", "sentence": "Powers from 0 up to 1 that are tried.",
         "kind": "whole", "default": "20", "least": 2, "most": 1000, "values": "a whole number"}]},
    {"name": "awq+gptq", "summary": "Both.", "is_calibrated": True, "options": []},
    {"name": "smoothquant", "summary": "For weights and inputs of 8 bits both.",
     "is_calibrated": True, "options": []},
    {"name": "hqq", "summary": "Without data, in seconds.", "is_calibrated": False, "options": []},
]  # fmt: skip
"""All methods of `FormatChoice.methods`, with their options."""
GROUPS = {
    "BF16": _group("near the original", importance_helps=False, methods=["nearest"]),
    "Q8_0": _group("near the original", importance_helps=False, featured=True, loss=0.0010),
    "Q6_K": _group("near the original", loss=0.0041),
    "Q5_K_M": _group("the usual choice", loss=0.0120),
    "Q5_K_S": _group("the usual choice", loss=0.0140),
    "Q4_K_M": _group("the usual choice", featured=True, loss=0.041, loss_with_importance=0.033),
    "Q4_K_S": _group("the usual choice", loss=0.045),
    "Q4_0": _group("small", loss=0.26),
    "IQ3_M": _group("small", featured=True, loss=0.21, methods=["nearest"]),
    "IQ2_M": _group("very small", featured=True, needs_importance=True, methods=["nearest"]),
    "TQ1_0": _group("for experiments", importance_helps=False),
}


def planned(words: list[str]) -> dict[str, object]:
    """A model of three tensors a layer, of which rules change the types."""
    rules = [text.rpartition("=") for at, text in enumerate(words) if words[at - 1] == "--tensor"]
    kinds = {"attn_q": 10_000_000, "ffn_down": 60_000_000, "ffn_up": 60_000_000}
    tensors = []
    for layer in range(36):
        for kind, nbytes in kinds.items():
            name = f"blk.{layer}.{kind}.weight"
            encoding = next((rule[2] for rule in rules if rule[0] in name), "")
            tensors.append(
                {
                    "name": name,
                    "encoding": encoding or "Q4_K",
                    "wanted": "",
                    "nbytes": nbytes * (1 + bool(encoding)),
                }
            )
    for rule in rules:
        if not any(rule[0] in tensor["name"] for tensor in tensors):
            title = f"No tensor of this model has a name like '{rule[0]}'."
            _put({"error": {"title": title, "hint": "Its names are like blk.0.ffn_up.weight."}})
            sys.exit(2)
    split = int(_option(words, "--split") or 0)
    nbytes = SIZES[_option(words, "--format")]
    nbytes += sum(tensor["nbytes"] // 2 for tensor in tensors if tensor["encoding"] != "Q4_K")
    return {
        "preset": words[1], "bytes_before": 16_381_470_720, "bytes_after": nbytes,
        "bits_per_weight": 8 * nbytes / 8_190_735_360, "tensors": tensors, "notes": [],
        "files": [{}] * (-(-nbytes // split) if split else 1),
    }  # fmt: skip


def inspection(path: Path) -> dict[str, Any]:
    """A model of eight billion weights."""

    def choice(
        preset: str, nbytes: int, bits: float, quality: str, summary: str, **rest: Any
    ) -> dict[str, Any]:
        return {
            "preset": preset, "format": "gguf", "runs_in": "llama.cpp, Ollama, LM Studio",
            "extension": ".gguf", "summary": summary, "quality": quality,
            "recommended": preset == "Q4_K_M", "nbytes": nbytes, "bits_per_weight": bits,
            "fallbacks": [], "notes": [], "problem": None, "runtimes": ["llama.cpp"],
            "methods": ["nearest", "gptq"], **GROUPS.get(preset, {}), **rest,
        }  # fmt: skip

    folders = [choice(preset, *row[:4], **row[4]) for preset, row in FOLDERS.items()]
    small = choice(
        "Q4_K_M", 5_027_000_000, 4.91, "small loss, the usual choice", "The usual choice."
    )
    small["notes"] = [
        "3 of 399 tensors have rows that do not divide by 256: Q5_0 instead of Q4_K, 3.9 MB more."
    ]
    small["fallbacks"] = [
        {"tensor": f"blk.{layer}.ffn_down.weight", "wanted": "Q4_K", "encoding": "Q5_0",
         "extra_bytes": 1_300_000} for layer in range(3)
    ]  # fmt: skip
    ternary = choice("TQ1_0", 0, 0.0, "broken", "Three values a weight.")
    if path.suffix == ".gguf":
        small["requantize"] = True
        folders = [{**row, "problem": NO_FOLDER} for row in folders]
        small["notes"] = ["The file is quantized already (Q6_K), so accuracy is lost twice."]
    ternary["problem"] = {"title": "This model was not trained for it.", "hint": "Choose Q2_K."}
    return {
        "model": {
            "path": str(path), "name": path.name, "kind": "safetensors", "architecture": "Qwen3",
            "weights": 8_190_735_360, "nbytes": 16_381_470_720, "dtype": "BF16",
            "context": 40_960, "layers": 36, "hidden": 4096, "vocabulary": 151_936,
        },
        "choices": [
            choice("BF16", 16_388_000_000, 16.0, "the original", "The weights as they are."),
            choice("Q8_0", 8_709_000_000, 8.5, "practically the original", "For plenty of memory."),
            choice("Q6_K", 6_726_000_000, 6.56, "practically the original", "Hard to tell apart."),
            choice("Q5_K_M", 5_851_000_000, 5.7, "very small loss", "A little better than usual."),
            choice("Q5_K_S", 5_720_000_000, 5.6, "very small loss", "A little smaller."),
            small,
            choice("Q4_K_S", 4_802_000_000, 4.7, "small loss", "A little smaller than usual."),
            choice("Q4_0", 4_655_000_000, 4.5, "visible loss", "For old or small processors."),
            choice("IQ3_M", 3_740_000_000, 3.7, "visible loss", "The best of 3 bits."),
            choice("IQ2_M", 2_930_000_000, 2.9, "large loss", "Under 3 bits."),
            ternary,
            *folders,
        ],
        "methods": METHODS,
        "types": ["F16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K"],
    }  # fmt: skip
