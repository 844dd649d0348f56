"""Random transformers models in memory, and their weights as the application asks for them."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

SHAPE = {
    "vocab_size": 160,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
    "pad_token_id": None,
    "initializer_range": 0.3,  # far from uniform predictions
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def random_model(kind, seed=0, **fields):
    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, **{**SHAPE, **fields})
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


class TensorSource:
    """Weights of a transformers model under the names that its files would have."""

    def __init__(self, model):
        self.config = model.config.to_dict()
        self.tensors = dict(model.state_dict())
        if model.config.tie_word_embeddings:
            del self.tensors["lm_head.weight"]

    @property
    def names(self):
        return self.tensors.keys()

    def weight(self, name):
        return self.tensors[name].float()

    def rows(self, name, start, stop):
        return self.weight(name)[start:stop]


def noisy(source, share, seed=1):
    """The same model with its matrices changed by a share of their spread."""
    generator = torch.Generator().manual_seed(seed)
    changed = TensorSource.__new__(TensorSource)
    changed.config = source.config
    changed.tensors = {
        name: tensor + share * tensor.std() * torch.randn(tensor.shape, generator=generator)
        if tensor.ndim > 1
        else tensor
        for name, tensor in source.tensors.items()
    }
    return changed


def full_logits(model, tokens):
    with torch.no_grad():
        return model(tokens).logits


def drain(generator):
    """What a generator yields, and what it returns."""
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as end:
            return events, end.value
