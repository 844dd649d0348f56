"""From a GGUF file to a smaller one."""

from __future__ import annotations

from app.core.errors import Unsupported
from app.formats.gguf.conversion import GgufConversion, Target
from app.formats.gguf.metadata import kept_metadata
from app.formats.gguf.recipes import is_quantizable
from app.models.description import describe_gguf
from app.models.gguf_file import GgufFile

_FLOATS = {"F32", "F16", "BF16"}
_ENOUGH_BITS = _FLOATS | {"Q8_0"}


class RequantizeConversion(GgufConversion):
    """Keeps names, shapes and metadata, and encodes the matrices anew."""

    def __init__(self, checkpoint: GgufFile) -> None:
        """Look at the header.

        Raises:
            BadModelFile: It contradicts itself.
            Unsupported: The model is of no known family, or has too few bits already.
        """
        tensors = checkpoint.tensors
        dtypes = {info.dtype for info in tensors.values() if is_quantizable(info.name, info.shape)}
        _refuse_few_bits(dtypes)
        _refuse_odd_vectors({info.dtype for info in tensors.values()} - dtypes)
        super().__init__(
            checkpoint,
            describe_gguf(checkpoint),
            [Target(name, info.shape, (name,), kept=info.dtype) for name, info in tensors.items()],
            kept_metadata(checkpoint.header.metadata),
            _notes(dtypes),
        )


def _refuse_few_bits(dtypes: set[str]) -> None:
    few = sorted(dtypes - _ENOUGH_BITS)
    if few:
        raise Unsupported(
            f"This file is already quantized ({', '.join(few)}).",
            "Quantizing it again would lose accuracy twice. Choose the original model, or a "
            "GGUF file in BF16, F16 or Q8_0.",
        )


def _refuse_odd_vectors(dtypes: set[str]) -> None:
    odd = sorted(dtypes - _FLOATS)
    if odd:
        raise Unsupported(
            f"This file has numbers of the kind {', '.join(odd)}, which cannot be handled yet.",
            "Choose the original model.",
        )


def _notes(dtypes: set[str]) -> tuple[str, ...]:
    if "Q8_0" not in dtypes:
        return ()
    text = "The file is in Q8_0 already: starting from the original would be a little more exact."
    return (text,)
