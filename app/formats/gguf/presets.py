"""The qualities that GGUF files are offered in: names, base encodings, and words about them."""

from __future__ import annotations

from app.formats.base import Preset
from app.formats.size_classes import EXPERIMENTS, NEAR, SMALL, TINY, USUAL

PRESETS = (
    Preset(
        "F32", "F32", "Every number as exactly as a computer keeps it.",
        "the original", group=NEAR,
    ),
    Preset(
        "BF16", "BF16", "The way most models are published.",
        "the original", group=NEAR,
    ),
    Preset(
        "F16", "F16", "As large as BF16, and faster on older graphics cards.",
        "practically the original", group=NEAR,
    ),
    Preset(
        "Q8_0", "Q8_0", "Half the size of the original, and the difference is hard to measure.",
        "practically the original", group=NEAR, featured=True,
    ),
    Preset(
        "Q6_K", "Q6_K", "When there is memory to spare.",
        "practically the original", group=NEAR, importance_helps=True,
    ),
    Preset(
        "Q5_1", "Q5_1", "An older kind, simple to compute; Q5_K_M is smaller and as good.",
        "very small loss", group=USUAL, importance_helps=True,
    ),
    Preset(
        "Q5_K_M", "Q5_K", "A little better than the usual choice.",
        "very small loss", group=USUAL, importance_helps=True,
    ),
    Preset(
        "Q5_K_S", "Q5_K", "A little smaller than Q5_K_M.",
        "very small loss", group=USUAL, importance_helps=True,
    ),
    Preset(
        "Q5_0", "Q5_0", "An older kind, simple to compute; Q5_K_S is as large and better.",
        "small loss", group=USUAL, importance_helps=True,
    ),
    Preset(
        "Q4_1", "Q4_1", "An older kind, simple to compute; Q4_K_M is smaller and better.",
        "small loss", group=USUAL, importance_helps=True,
    ),
    Preset(
        "Q4_K_M", "Q4_K", "The best balance of size and quality for most computers.",
        "small loss, the usual choice", group=USUAL, recommended=True, featured=True,
        importance_helps=True,
    ),
    Preset(
        "Q4_K_S", "Q4_K", "A little smaller than Q4_K_M.",
        "small loss", group=USUAL, importance_helps=True,
    ),
    Preset(
        "IQ4_NL", "IQ4_NL", "As large as Q4_0 and better, also where rows are odd.",
        "small loss", group=SMALL, importance_helps=True,
    ),
    Preset(
        "Q4_0", "Q4_0", "The simplest 4 bits: fast to make and fast on weak processors.",
        "visible loss", group=SMALL, importance_helps=True,
    ),
    Preset(
        "IQ4_XS", "IQ4_XS", "Smaller than Q4_K_S and nearly as good; slower on processors.",
        "small loss", group=SMALL, importance_helps=True,
    ),
    Preset(
        "Q3_K_L", "Q3_K", "The largest of the 3-bit kinds; IQ4_XS is as large and better.",
        "visible loss", group=SMALL, importance_helps=True,
    ),
    Preset(
        "Q3_K_M", "Q3_K", "When Q4_K_M is just too large.",
        "visible loss", group=SMALL, importance_helps=True,
    ),
    Preset(
        "IQ3_M", "IQ3_S", "With an importance matrix the best of the 3-bit kinds.",
        "visible loss", group=SMALL, featured=True, importance_helps=True,
    ),
    Preset(
        "IQ3_S", "IQ3_S", "As large as Q3_K_S and better; slower on processors.",
        "visible loss", group=SMALL, importance_helps=True,
    ),
    Preset(
        "Q3_K_S", "Q3_K", "The smallest kind that is fast on every processor and fair to use.",
        "clear loss", group=SMALL, importance_helps=True,
    ),
    Preset(
        "IQ3_XS", "IQ3_S", "Smaller than Q3_K_M, and better with its matrix.",
        "visible loss", group=TINY, importance_helps=True, needs_importance=True,
    ),
    Preset(
        "IQ3_XXS", "IQ3_XXS", "About 3 bits: large models on small cards.",
        "visible loss", group=TINY, importance_helps=True, needs_importance=True,
    ),
    Preset(
        "Q2_K", "Q2_K", "The smallest kind that needs no importance matrix; far better with one.",
        "very large loss", group=TINY, importance_helps=True,
    ),
    Preset(
        "Q2_K_S", "Q2_K", "A little smaller than Q2_K.",
        "clear loss", group=TINY, importance_helps=True, needs_importance=True,
    ),
    Preset(
        "IQ2_M", "IQ2_S", "Under 3 bits, and better than Q2_K is without a matrix.",
        "clear loss", group=TINY, featured=True, importance_helps=True, needs_importance=True,
    ),
    Preset(
        "IQ2_S", "IQ2_XS", "A little smaller than IQ2_M.",
        "large loss", group=TINY, importance_helps=True, needs_importance=True,
    ),
    Preset(
        "IQ2_XS", "IQ2_XS", "For the largest models, which bear it best.",
        "large loss", group=TINY, importance_helps=True, needs_importance=True,
    ),
    Preset(
        "IQ2_XXS", "IQ2_XXS", "About 2 bits, for the largest models.",
        "very large loss", group=TINY, importance_helps=True, needs_importance=True,
    ),
    Preset(
        "IQ1_M", "IQ1_M", "Less than 2 bits: only where nothing else fits.",
        "very large loss", group=TINY, importance_helps=True, needs_importance=True,
    ),
    Preset(
        "IQ1_S", "IQ1_S", "The smallest of all: texts often make no sense any more.",
        "very large loss", group=TINY, importance_helps=True, needs_importance=True,
    ),
    Preset(
        "NVFP4", "NVFP4", "4-bit floats of NVIDIA's newest cards; others compute it slowly.",
        "small loss", group=EXPERIMENTS,
    ),
    Preset(
        "MXFP4_MOE", "MXFP4", "4-bit floats for mixtures of experts, 8 bits for the rest.",
        "visible loss", group=EXPERIMENTS,
    ),
    Preset(
        "Q2_0", "Q2_0", "For models that were trained to have only four values a weight.",
        "unusable for other models", group=EXPERIMENTS,
    ),
    Preset(
        "TQ2_0", "TQ2_0", "For models that were trained to be ternary, such as BitNet.",
        "unusable for other models", group=EXPERIMENTS,
    ),
    Preset(
        "TQ1_0", "TQ1_0", "The same, packed more tightly; slower.",
        "unusable for other models", group=EXPERIMENTS,
    ),
    Preset(
        "Q1_0", "Q1_0", "For models that were trained to have two values a weight.",
        "unusable for other models", group=EXPERIMENTS,
    ),
)  # fmt: skip
"""By size class; in each, from the largest to the smallest."""
