"""Builds the sample model's tokenizer and network, and writes them as a Hugging Face folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BEGIN, END = "<|begin|>", "<|end|>"
BEGIN_ID, END_ID = 0, 1
VOCABULARY_SIZE = 4096
CONTEXT = 1024
ROPE_THETA = 10000.0


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Trains a byte-level BPE tokenizer that splits text the way GPT-2's does.

    Args:
        texts: The documents to learn merges from.

    Returns:
        A tokenizer that puts the begin token in front of what it encodes.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[BEGIN, END],
        # All 256 bytes, so that text far from the training text can be encoded as well.
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{BEGIN} $A",
                pair=f"{BEGIN} $A {BEGIN}:1 $B:1",
                special_tokens=[(BEGIN, BEGIN_ID)],
            ),
        ]
    )
    return tokenizer


def build_model() -> LlamaForCausalLM:
    """Creates the untrained network; every row length is a multiple of 256."""
    config = LlamaConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        hidden_act="silu",
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        tie_word_embeddings=True,
        bos_token_id=BEGIN_ID,
        eos_token_id=END_ID,
        pad_token_id=END_ID,
    )
    return LlamaForCausalLM(config)


def _update_json(path: Path, **values: object) -> None:
    """Sets keys of a JSON file, keeping the other ones."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content.update(values)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", newline="\n")


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes the tokenizer's files.

    Args:
        tokenizer: What :func:`train_tokenizer` returned.
        folder: The Hugging Face folder.
    """
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=END,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    wrapped.save_pretrained(folder)
    # Loaders older than transformers 5 only know the tokenizer class by this name.
    _update_json(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    special = {"bos_token": BEGIN, "eos_token": END, "pad_token": END}
    (folder / "special_tokens_map.json").write_text("{}\n", encoding="utf-8")
    _update_json(folder / "special_tokens_map.json", **special)
    # Indentation makes up half of the file as transformers writes it.
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    compact = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    path.write_text(compact + "\n", encoding="utf-8", newline="\n")


def save_model(model: LlamaForCausalLM, folder: Path) -> None:
    """Writes the configuration and the weights, rounded to bfloat16.

    Args:
        model: The trained network; it is left as it is.
        folder: The Hugging Face folder.
    """
    rounded = build_model().to(torch.bfloat16)
    rounded.load_state_dict(model.state_dict())
    rounded.generation_config = GenerationConfig(
        bos_token_id=BEGIN_ID,
        eos_token_id=END_ID,
        pad_token_id=END_ID,
        do_sample=True,
        temperature=0.8,
        top_k=40,
    )
    rounded.save_pretrained(folder)
    # The weights are written for the owner alone, which would go into an installed package.
    (folder / "model.safetensors").chmod(0o644)
    # transformers 5 writes newer spellings of these two; older loaders look for the classic ones.
    _update_json(folder / "config.json", rope_theta=ROPE_THETA, torch_dtype="bfloat16")
