"""The ways of cutting text into words that llama.cpp has, as facts.

llama.cpp's file llama-vocab.cpp holds the expressions that belong to each name. Here stand
the expressions as the models' own tokenizer.json files have them: llama.cpp has to spell
some of them otherwise, because its regular expressions know less. Each expression cuts the
pieces that the one before it left; both its matches and the text between them stay.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Way:
    """One way of cutting text, with its names in llama.cpp."""

    names: tuple[str, ...]
    """The first one is written; files of others may have any."""
    expressions: tuple[str, ...]
    whole_words: bool = False
    """Whether a word that is a token is taken as it is, whatever the merges say."""


CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
DIGIT = r"\p{N}"
DIGITS = r"\p{N}+"
PUNCTUATION = r"[\p{P}$+<=>^`|~]"

_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_REST = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_THREE = r"\p{N}{1,3}"
_FROM_THE_RIGHT = r"\d{1,3}(?=(?:\d{3})*\b)"
_ALL_FROM_THE_RIGHT = r"\p{N}{1,3}(?=(?:\p{N}{3})*(?:\P{N}|$))"
_LINE_ENDS = r"[\r\n]"

_LLAMA3 = rf"{CONTRACTION}|{_WORD}|{_THREE}|{_REST}"
_LLAMA3_LONG_NUMBERS = rf"{CONTRACTION}|{_WORD}|{DIGITS}|{_REST}"
_LLAMA3_MARKS = (
    rf"{CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}\u200c\u200d]+|{_THREE}|{_REST}"
)
_SPACES_BY_POWERS = "".join(rf"\s{{{n}}}(?!\S)|" for n in (512, 256, 128, 64, 32, 16, 8, 4))
_JAIS2 = (
    rf"{CONTRACTION}|{_WORD}|{_THREE}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+"
    rf"|{_SPACES_BY_POWERS}\s{{1,2}}(?!\S)|\s"
)
_QWEN2 = rf"{CONTRACTION}|{_WORD}|{DIGIT}|{_REST}"
_QWEN2_NO_CONTRACTIONS = rf"{_WORD}|{DIGIT}|{_REST}"
_QWEN35 = (
    rf"{CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|{DIGIT}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACES}"
)
_SEED_CODER = rf"{CONTRACTION}|{_WORD}|{DIGIT}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_SPACES}"
_BAILING = (
    rf"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{{L}}\p{{N}}]?+\p{{L}}+|{DIGIT}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
_EXAONE_MOE = (
    rf"{CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|{DIGIT}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
)

# words in which capitals come first
_LOWER = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
)
_CASED_REST = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
_CASED = rf"{_LOWER[0]}{CONTRACTION}?|{_LOWER[1]}{CONTRACTION}?"
_TEKKEN = rf"{_LOWER[0]}|{_LOWER[1]}|{DIGIT}|{_CASED_REST}"
_GPT4O = rf"{_CASED}|{_THREE}|{_CASED_REST}"
_YOUTU = rf"{_CASED}|{DIGIT}|{_CASED_REST}"
_NOT_HAN = tuple(part.replace(r"\p{M}]", r"\p{M}&&[^\p{Han}]]") for part in _LOWER)
_KIMI = rf"[\p{{Han}}]+|{_NOT_HAN[0]}{CONTRACTION}?|{_NOT_HAN[1]}{CONTRACTION}?|{_THREE}|{_REST}"

_EAST_ASIAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_HAN_AND_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_ASIAN_SCRIPTS = (
    "[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f"
    "\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f"
    "\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+"
)
_SCRIPTS_OF_YOUTU = (
    "[\uac00-\ud7a3\u3131-\u318e]+"
    "|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+"
    "|[\u3105-\u312f]+|[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
)
_DEEPSEEK_WORDS = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
)
_DEEPSEEK3 = rf"{_DEEPSEEK_WORDS}| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_SPACES}"
_SPARK = rf"{_DEEPSEEK_WORDS}| ?[\p{{P}}\p{{S}}]+|[\r\n]|\s+(?!\S)|\s+"
_BLOOM = r" ?[^(\s|[.,!?" + "\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c" + r"])]+"
# letters with capital and small forms, as the model's authors listed them
_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293"
    "\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c"
    "\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5"
    "\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59"
    "\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc"
    "\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107"
    "\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee"
    "\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e"
    "\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f"
    "\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    "\U000118a0-\U000118df\U0001e900-\U0001e943"
)
_DEEPSEEK_LLM = (
    _LINE_ENDS,
    rf"\s?[{_LETTERS}]+",
    "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
    r"\s+$",
    _EAST_ASIAN,
)

WAYS = (
    Way(
        ("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "gigachat",
         "a.x-4.0", "mellum", "modern-bert", "exaone4", "jina-es", "jina-de", "jina-v2-es",
         "jina-v2-de", "roberta-bpe", "jina-v1-en", "jina-v2-code"),
        (GPT2,),
    ),
    Way(
        ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b",
         "mellum2"),
        (DIGIT, GPT2),
    ),
    Way(
        ("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
         "lfm2", "jina-v5-nano", "glm4", "glm5"),
        (_LLAMA3,),
        whole_words=True,
    ),
    Way(("smaug-bpe", "dbrx", "chatglm-bpe"), (_LLAMA3,)),
    Way(
        ("qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan", "grok-2", "solar-open",
         "kormo", "f2llmv2"),
        (_QWEN2,),
    ),
    Way(("qwen35",), (_QWEN35,)),
    Way(("tekken",), (_TEKKEN,), whole_words=True),
    Way(("gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"), (_GPT4O,)),
    Way(("deepseek-coder",), (_LINE_ENDS, r"\s?\p{L}+", r"\s?\p{P}+", _EAST_ASIAN, DIGIT)),
    Way(("deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"),
        (_THREE, _HAN_AND_KANA, _DEEPSEEK3)),
    Way(("deepseek-llm",), (*_DEEPSEEK_LLM, DIGITS)),
    Way(("falcon",), (rf"{PUNCTUATION}+", GPT2, "[0-9][0-9][0-9]")),
    Way(("default",), (r"[\p{P}$+<=>^|~]+", GPT2, DIGITS, "[0-9][0-9][0-9]")),
    Way(("bloom", "poro-chat", "gpt3-finnish"), (_BLOOM,)),
    Way(("viking",), (_BLOOM, DIGIT)),
    Way(("tiny_aya", "cohere2moe"), (_FROM_THE_RIGHT, _GPT4O)),
    Way(("seed-coder",), (_SEED_CODER,)),
    Way(("kimi-k2",), (_KIMI,)),
    Way(("bailingmoe", "bailingmoe2", "llada-moe"), (_BAILING,)),
    Way(("exaone-moe",), (_EXAONE_MOE,)),
    Way(("minicpm5",), (_THREE, _LLAMA3_LONG_NUMBERS), whole_words=True),
    Way(("jais-2",), (_JAIS2,)),
    Way(("youtu",), (_SCRIPTS_OF_YOUTU, _YOUTU), whole_words=True),
    Way(("spark2_5",), (_THREE, _HAN_AND_KANA, _SPARK, DIGIT)),
    Way(("afmoe",), (_ALL_FROM_THE_RIGHT, _ASIAN_SCRIPTS, _DEEPSEEK3)),
    Way(("superbpe",), (DIGITS, r"(?=(\d{3})+(?!\d))")),
    Way(("laguna",), (r"[^\n]+|[\n]+", _QWEN2)),
    Way(("ufakzeka",), (_QWEN2_NO_CONTRACTIONS,)),
    Way(("k2-horizon",), (_LLAMA3_MARKS,)),
)  # fmt: skip

#: Ways that are only read. llama.cpp has this one only since 2026, so that files for models
#: like this are written as "gpt-4o", which runs everywhere.
READ_ONLY = (Way(("granite-embed-multi-97m",), (_GPT4O,), whole_words=True),)

#: Steps of well-known models, with llama.cpp's name for them, where the two agree only because
#: no token reaches over the difference: digits of DeepSeek, spaces before digits of Falcon.
AGREEING = {
    (*_DEEPSEEK_LLM, DIGIT): "deepseek-llm",
    (rf"{PUNCTUATION}+", GPT2, "[0-9][0-9][0-9]", "<over bytes>"): "falcon",
    (rf"{PUNCTUATION}+", GPT2, DIGITS, "[0-9][0-9][0-9]", "<over bytes>"): "falcon",
}


def way_named(name: str) -> Way | None:
    """The way with one of llama.cpp's names."""
    return next((way for way in (*WAYS, *READ_ONLY) if name in way.names), None)
