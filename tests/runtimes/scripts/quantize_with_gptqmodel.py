"""Quantize a folder with GPTQModel, calibrated with given tokens; tells how long it took."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from asked import answer
from gptqmodel import GPTQModel
from gptqmodel.quantization.config import FORMAT, METHOD, QuantizeConfig


def run(request: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(request["threads"])
    awq = request["method"] == "awq"
    config = QuantizeConfig(
        method=METHOD.AWQ if awq else METHOD.GPTQ,
        format=FORMAT.GEMM if awq else FORMAT.GPTQ,
        bits=request["bits"],
        group_size=request["group"],
        sym=request["symmetric"],
        **request["options"],
    )
    dtype = torch.bfloat16 if awq else torch.float32  # its layers for AWQ refuse float32
    model = GPTQModel.load(request["folder"], config, device="cpu", dtype=dtype)
    texts = [
        {"input_ids": row, "attention_mask": torch.ones_like(row)}
        for row in torch.from_numpy(np.load(request["tokens"]))
    ]
    started = time.perf_counter(), time.process_time()
    model.quantize(texts, batch_size=1)
    model.save(request["target"])
    ended = time.perf_counter(), time.process_time()
    return {"seconds": ended[0] - started[0], "processor": ended[1] - started[1]}


answer(run)
