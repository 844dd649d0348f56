"""The recipes of GGUF files, with the rules and numbers of llama.cpp's own quantizer.

Those of llama-quantize, build b11549, so that a file made here is what people know under the
preset's name. NVFP4 is the exception: llama.cpp runs such files, and has no recipe for them.
"""

from __future__ import annotations

from app.formats.gguf.presets import PRESETS
from app.formats.gguf.rules import (
    GgufRecipe,
    Rule,
    eight_experts,
    falcon,
    first_eighth,
    first_four,
    first_sixteenth,
    first_two,
    inner,
    more_bits,
    not_falcon,
    plain,
    shared,
    shared_or_experts,
    stacks_are_experts,
    tiny_values,
    unweighed,
    weighed,
)

_PRESET = {preset.name: preset for preset in PRESETS}

_ATTENTION_IN_FULL = (
    Rule("attn_v", "Q5_K", when=tiny_values, instead_of=("Q3_K", "Q4_K")),
    Rule("attn_v", "Q8_0", when=eight_experts),
    Rule("attn_k", "Q8_0", when=eight_experts),
)
"""The end of nearly every recipe: attention is stored well where that costs next to nothing."""

_OUTPUT_OF_EIGHT = Rule("attn_output", "Q5_K", when=eight_experts)


def _lowest(better: str, attention_output: str = "") -> tuple[Rule, ...]:
    """Rules of the recipes with less than 3 bits: what they give more bits, and how many."""
    kept = (Rule("attn_output", attention_output),) if attention_output else ()
    return (
        Rule("token_embd", better),
        Rule("attn_v", better),
        Rule("attn_v", "Q4_K", when=shared_or_experts),
        Rule("attn_k", "Q4_K", when=eight_experts),
        Rule("ffn_down", better, first_eighth),
        *kept,
        _OUTPUT_OF_EIGHT,
    )


RECIPES = (
    GgufRecipe(
        _PRESET["F32"],
        0,
    ),
    GgufRecipe(
        _PRESET["BF16"],
        32,
    ),
    GgufRecipe(
        _PRESET["F16"],
        1,
    ),
    GgufRecipe(
        _PRESET["Q8_0"],
        7,
        _ATTENTION_IN_FULL,
        output="Q8_0",
    ),
    GgufRecipe(
        _PRESET["Q6_K"],
        18,
        _ATTENTION_IN_FULL,
    ),
    GgufRecipe(
        _PRESET["Q5_1"],
        9,
        _ATTENTION_IN_FULL,
    ),
    GgufRecipe(
        _PRESET["Q5_K_M"],
        17,
        (
            Rule("attn_v", "Q6_K", more_bits),
            Rule("ffn_down", "Q6_K", more_bits),
            *_ATTENTION_IN_FULL,
        ),
    ),
    GgufRecipe(
        _PRESET["Q5_K_S"],
        16,
        _ATTENTION_IN_FULL,
    ),
    GgufRecipe(
        _PRESET["Q5_0"],
        8,
        (Rule("ffn_down", "Q5_1", first_eighth, weighed), *_ATTENTION_IN_FULL),
    ),
    GgufRecipe(
        _PRESET["Q4_1"],
        3,
        _ATTENTION_IN_FULL,
    ),
    GgufRecipe(
        _PRESET["Q4_K_M"],
        15,
        (
            Rule("attn_v", "Q6_K", more_bits),
            Rule("ffn_down", "Q6_K", more_bits, not_falcon),
            Rule("ffn_down", "Q5_K", more_bits, falcon),
            Rule("ffn_down", "Q6_K", first_sixteenth, falcon),
            _OUTPUT_OF_EIGHT,
            *_ATTENTION_IN_FULL,
        ),
    ),
    GgufRecipe(
        _PRESET["Q4_K_S"],
        14,
        (
            Rule("attn_v", "Q5_K", first_four),
            Rule("ffn_down", "Q5_K", first_eighth, not_falcon),
            _OUTPUT_OF_EIGHT,
            *_ATTENTION_IN_FULL,
        ),
    ),
    GgufRecipe(
        _PRESET["IQ4_NL"],
        25,
        (
            Rule("attn_v", "Q5_K", when=shared),
            Rule("ffn_down", "Q5_K", first_eighth, unweighed),
            _OUTPUT_OF_EIGHT,
            *_ATTENTION_IN_FULL,
        ),
    ),
    GgufRecipe(
        _PRESET["Q4_0"],
        2,
        (Rule("ffn_down", "Q4_1", first_eighth, weighed), *_ATTENTION_IN_FULL),
    ),
    GgufRecipe(
        _PRESET["IQ4_XS"],
        30,
        (
            Rule("attn_v", "Q5_K", when=shared),
            Rule("ffn_down", "Q5_K", first_eighth, unweighed),
            _OUTPUT_OF_EIGHT,
            *_ATTENTION_IN_FULL,
        ),
    ),
    GgufRecipe(
        _PRESET["Q3_K_L"],
        13,
        (
            Rule("attn_v", "Q5_K"),
            Rule("ffn_down", "Q5_K", when=not_falcon),
            Rule("ffn_down", "Q4_K", when=falcon),
            Rule("attn_output", "Q5_K", when=plain),
            Rule("attn_output", "Q4_K", when=falcon),
            *_ATTENTION_IN_FULL,
        ),
    ),
    GgufRecipe(
        _PRESET["Q3_K_M"],
        12,
        (
            Rule("attn_v", "Q4_K"),
            Rule("attn_v", "Q5_K", first_two),
            Rule("ffn_down", "Q4_K", when=not_falcon),
            Rule("ffn_down", "Q4_K", more_bits, falcon),
            Rule("ffn_down", "Q5_K", first_sixteenth),
            Rule("attn_output", "Q4_K", when=plain),
            _OUTPUT_OF_EIGHT,
            *_ATTENTION_IN_FULL,
        ),
    ),
    GgufRecipe(
        _PRESET["IQ3_M"],
        27,
        (
            Rule("attn_v", "Q4_K"),
            Rule("ffn_down", "Q4_K", first_eighth),
            Rule("ffn_down", "Q4_K", more_bits, eight_experts),
            Rule("attn_output", "Q4_K", when=plain),
            _OUTPUT_OF_EIGHT,
            *_ATTENTION_IN_FULL,
        ),
    ),
    GgufRecipe(
        _PRESET["IQ3_S"],
        26,
        (Rule("attn_v", "Q4_K", when=shared), _OUTPUT_OF_EIGHT, *_ATTENTION_IN_FULL),
    ),
    GgufRecipe(
        _PRESET["Q3_K_S"],
        11,
        (_OUTPUT_OF_EIGHT, *_ATTENTION_IN_FULL),
    ),
    GgufRecipe(
        _PRESET["IQ3_XS"],
        22,
        (
            Rule("attn_v", "Q4_K", when=shared),
            Rule("attn_q", "IQ3_XXS"),
            Rule("attn_k", "IQ3_XXS"),
            Rule("ffn_gate", "IQ3_XXS", inner),
            Rule("ffn_up", "IQ3_XXS", inner),
            _OUTPUT_OF_EIGHT,
            *_ATTENTION_IN_FULL,
        ),
    ),
    GgufRecipe(
        _PRESET["IQ3_XXS"],
        23,
        (
            Rule("token_embd", "IQ3_S"),
            Rule("attn_v", "IQ3_S", when=unweighed),
            Rule("attn_v", "Q4_K", when=shared),
            Rule("attn_q", "IQ2_S"),
            Rule("attn_k", "IQ2_S"),
            Rule("ffn_down", "Q3_K", when=unweighed),
            Rule("ffn_down", "Q4_K", first_eighth, unweighed),
            Rule("attn_output", "IQ3_S", when=plain),
            _OUTPUT_OF_EIGHT,
            *_ATTENTION_IN_FULL,
        ),
        output="Q5_K",
    ),
    GgufRecipe(
        _PRESET["Q2_K"],
        10,
        (
            Rule("attn_v", "Q3_K"),
            Rule("attn_v", "Q4_K", when=shared),
            Rule("ffn_down", "Q3_K"),
            Rule("attn_output", "Q3_K", when=plain),
            _OUTPUT_OF_EIGHT,
            *_ATTENTION_IN_FULL,
        ),
    ),
    GgufRecipe(
        _PRESET["Q2_K_S"],
        21,
        (
            Rule("attn_v", "Q4_K", when=shared),
            Rule("ffn_down", "Q4_K", first_eighth),
            *_ATTENTION_IN_FULL,
        ),
    ),
    GgufRecipe(
        _PRESET["IQ2_M"],
        29,
        _lowest("IQ3_S", "IQ3_S"),
        output="Q5_K",
        counted=True,
    ),
    GgufRecipe(
        _PRESET["IQ2_S"],
        28,
        _lowest("IQ3_S", "IQ3_S"),
        output="Q5_K",
        counted=True,
    ),
    GgufRecipe(
        _PRESET["IQ2_XS"],
        20,
        _lowest("Q2_K"),
        output="Q5_K",
        counted=True,
    ),
    GgufRecipe(
        _PRESET["IQ2_XXS"],
        19,
        _lowest("Q2_K"),
        output="Q5_K",
        counted=True,
    ),
    GgufRecipe(
        _PRESET["IQ1_M"],
        31,
        _lowest("Q2_K", "IQ2_XXS"),
        output="Q5_K",
        counted=True,
    ),
    GgufRecipe(
        _PRESET["IQ1_S"],
        24,
        _lowest("Q2_K", "IQ2_XXS"),
        output="Q5_K",
        counted=True,
    ),
    GgufRecipe(
        _PRESET["NVFP4"],
        39,
        (Rule("token_embd", "Q6_K"), *_ATTENTION_IN_FULL),
    ),
    GgufRecipe(
        _PRESET["MXFP4_MOE"],
        38,
        (
            Rule("", "Q8_0"),
            Rule("", "MXFP4", when=stacks_are_experts, stacked=True),
            Rule("ffn_up", "MXFP4", stacked=True),
            Rule("ffn_gate", "MXFP4", stacked=True),
            Rule("ffn_down", "MXFP4", stacked=True),
        ),
        output="Q8_0",
    ),
    GgufRecipe(
        _PRESET["Q2_0"],
        41,
        (Rule("token_embd", "Q4_K"), *_ATTENTION_IN_FULL),
    ),
    GgufRecipe(
        _PRESET["TQ2_0"],
        37,
        (Rule("token_embd", "Q4_K"), *_ATTENTION_IN_FULL),
    ),
    GgufRecipe(
        _PRESET["TQ1_0"],
        36,
        (Rule("token_embd", "Q4_K"), *_ATTENTION_IN_FULL),
    ),
    GgufRecipe(
        _PRESET["Q1_0"],
        40,
        _ATTENTION_IN_FULL,
    ),
)
"""In the order of the presets."""
