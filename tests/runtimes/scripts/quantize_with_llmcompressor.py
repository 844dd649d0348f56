"""Quantize a folder with llm-compressor, calibrated with given tokens; tells how long it took."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from asked import answer
from compressed_tensors.quantization import QuantizationArgs, preset_name_to_scheme
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform.awq import AWQModifier
from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
from transformers import AutoModelForCausalLM, AutoTokenizer


def recipe(request: dict[str, Any]) -> list[Any]:
    scheme: dict[str, Any] = {"ignore": ["lm_head"]}
    if request.get("static"):  # one scale for all inputs, which has no name for integers
        found = preset_name_to_scheme(request["scheme"], ["Linear"])
        found.input_activations = QuantizationArgs(
            num_bits=8, type=found.weights.type, strategy="tensor", observer="static_minmax"
        )  # of all it sees: its usual observer takes a running mean of windows' extremes
        scheme["config_groups"] = {"group_0": found}
    elif "observer" in request:
        found = preset_name_to_scheme(request["scheme"], ["Linear"])
        found.weights.observer = request["observer"]
        scheme["config_groups"] = {"group_0": found}
    else:
        scheme |= {"targets": "Linear", "scheme": request["scheme"]}
    rounded = QuantizationModifier(**scheme)
    return {
        "nearest": lambda: [rounded],
        "gptq": lambda: [GPTQModifier(**scheme, **request["options"])],
        "awq": lambda: [AWQModifier(**request["options"]), rounded],
        "smoothquant": lambda: [SmoothQuantModifier(**request["options"]), rounded],
    }[request["method"]]()


def run(request: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(request["threads"])
    # Asked for by AWQ wherever it runs, and refused where there is no accelerator.
    torch.Tensor.pin_memory = lambda self, *_: self
    model = AutoModelForCausalLM.from_pretrained(request["folder"], dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(request["folder"])
    tokens = np.load(request["tokens"])
    static = request.get("static", False)
    started = time.perf_counter(), time.process_time()
    oneshot(
        model=model,
        tokenizer=tokenizer,
        dataset=Dataset.from_dict({"input_ids": tokens, "attention_mask": np.ones_like(tokens)}),
        recipe=recipe(request),
        num_calibration_samples=len(tokens),
        max_seq_length=tokens.shape[1],
        shuffle_calibration_samples=False,
        pipeline="datafree" if request["method"] == "nearest" and not static else "sequential",
    )
    model.save_pretrained(request["target"], save_compressed=True)
    ended = time.perf_counter(), time.process_time()
    return {"seconds": ended[0] - started[0], "processor": ended[1] - started[1]}


answer(run)
