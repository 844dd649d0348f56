"""From a Hugging Face folder to a GGUF file."""

from __future__ import annotations

from app.formats.gguf.conversion import GgufConversion, Target
from app.formats.gguf.metadata import model_metadata
from app.models.base import Checkpoint
from app.models.description import describe_folder
from app.models.quantized import plain
from app.models.vocabulary import read_vocabulary


class FolderConversion(GgufConversion):
    """Renames tensors, reorders rows of heads, and writes config and tokenizer as metadata."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Look at the config, the tokenizer and the tensors' shapes.

        Raises:
            BadModelFile: One of them is damaged.
            Unsupported: llama.cpp cannot run such a model, or it is quantized in a way that is
                not read.
        """
        checkpoint = plain(checkpoint)
        description = describe_folder(checkpoint)
        architecture, dimensions = description.architecture, description.dimensions
        config = description.config
        vocabulary = read_vocabulary(checkpoint.path, config, dimensions.vocabulary)
        targets = [
            Target(
                weight.gguf,
                weight.shape,
                tuple(description.stored[source.name] for source in weight.sources),
                weight.change,
            )
            for weight in description.weights
        ]
        for name, values in architecture.computed(description.config).items():
            targets.append(Target(name, (len(values),), (), values=values))
        super().__init__(
            checkpoint,
            targets,
            model_metadata(checkpoint, description, vocabulary),
            (*checkpoint.notes, *architecture.notes(config), *vocabulary.notes),
        )
