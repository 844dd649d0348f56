"""What showing a model a text takes: memory, and multiplications; arithmetic over shapes.

An importance matrix reads the text once. A method that sees the model at work reads it once or
twice, a layer at a time: through the original weights, and through the quantized ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.advisor.conversion import FLOAT, fitting_memory
from app.advisor.decoder import Decoder, DecoderLayer, decoder_of
from app.advisor.memory import Span
from app.advisor.speeds import MeasuredSpeeds
from app.calibration.text import DEFAULT_CHUNKS, most_tokens
from app.calibration.treatment import CASTS, Treatment
from app.core.job import Job
from app.core.machine import Machine
from app.core.needs import TimeSpan, in_turn
from app.core.plan import Plan
from app.evaluation.text import window_length
from app.models.base import Checkpoint

_ONCE = "importance"
"""What is read once, to sum up what each column is multiplied with, or to see how large it gets."""

#: Multiplications and additions of float32 a second that one core does in products of matrices.
_CORE = 12e9, 60e9
_STARTING = TimeSpan(3.0, 12.0)  # for loading transformers and cutting the text
#: Multiplications in whose time a weight is dealt with. Measured on an AVX-512 processor of which a
#: core multiplies 60e9 times a second.
_CHOSEN = {"gptq": 12e3, "clipped": 20e3, "awq": 30e3, "smoothquant": 30e3}
_OTHERS = 20e3
_TOKENS_AT_ONCE = 512
_ACTIVATIONS = 4  # numbers that wait for each that a matrix is multiplied with
_SAMPLES = 1024  # tokens of which a method sees what each matrix is multiplied with
_DOUBLE = 8
#: Matrices as large as the widest second moment, beside what is known: while it is factored, the
#: factor and its inverse, which alone stays; and the moment scaled by a smoothing, or reordered.
_LEAST_MOMENTS, _MOMENTS = 2, 3
_SHARE_OF_MEMORY = 4  # a fourth of what is free; layers, statistics and others take the rest
_MOST_IN_MEMORY = 2_000_000_000


def states_in_memory(free: int) -> int:
    """Bytes of hidden states that wait in memory, of which `free` are free; more go to the disk."""
    return min(_MOST_IN_MEMORY, free // _SHARE_OF_MEMORY)


@dataclass(frozen=True, slots=True)
class Reading:
    """A text that a model is shown, for one purpose."""

    kind: str
    """What takes about the same time a multiplication: the name of a method, or `_ONCE`."""
    tokens: int
    decoder: Decoder
    plan: Plan
    treatment: Treatment | None = None
    """Of the plan, where the text is shown for a method."""

    @classmethod
    def for_importance(
        cls, plan: Plan, source: Checkpoint, chunks: int = DEFAULT_CHUNKS
    ) -> Reading:
        """To compute an importance matrix of so many windows of a text."""
        return cls(_ONCE, chunks * window_length(source.config), decoder_of(plan, source), plan)

    @classmethod
    def for_ranges(cls, job: Job, plan: Plan, source: Checkpoint) -> Reading:
        """To see how large inputs get."""
        return cls(_ONCE, _tokens(job, source), decoder_of(plan, source), plan)

    @classmethod
    def for_method(cls, job: Job, treatment: Treatment, plan: Plan, source: Checkpoint) -> Reading:
        """To let a method see the model at work."""
        names = [one.name for one in (treatment.smoothing, treatment.main) if one is not None]
        return cls("+".join(names), _tokens(job, source), decoder_of(plan, source), plan, treatment)

    @property
    def needs(self) -> frozenset[str]:
        """Fields of `Statistics` that are gathered."""
        return self.treatment.needs if self.treatment else frozenset()

    @property
    def multiplications(self) -> float:
        """In whose time all of it is done."""
        passes = 2 if self.treatment and self.treatment.main.sees_quantized else 1
        count = passes * self.tokens * self.decoder.busy
        if "second_moment" in self.needs:
            count += self.tokens * self.decoder.busy_moments
        if self.treatment:
            chosen = sum(one.weights for one in self.plan.tensors if one.encoding not in CASTS)
            count += chosen * sum(_CHOSEN.get(one, _OTHERS) for one in self.kind.split("+"))
        return count

    @property
    def states(self) -> int:
        """Bytes of the hidden states of all of the text."""
        return FLOAT * self.tokens * self.decoder.hidden

    def time(self, machine: Machine, device: str, speeds: MeasuredSpeeds) -> TimeSpan | None:
        """How long it takes; None for a device of which nothing was measured.

        Args:
            machine: The computer.
            device: Where the model is run.
            speeds: Multiplications a second of earlier jobs, by `kind`.
        """
        timed = speeds.seconds(device, self.kind, self.multiplications)
        if timed is None and device == "cpu":
            threads = machine.cpu.threads
            cores = max(1, min(threads, machine.cpu.cores or threads // 2))
            slow, fast = (self.multiplications / (cores * core) for core in _CORE)
            timed = TimeSpan(fast, slow, guessed=True)
        return in_turn([_STARTING, timed])

    def memory(self, machine: Machine) -> Span:
        """Beside the program: hidden states, and what is worked with."""
        waiting = 0 if self.on_disk(machine) else self.states
        return self.working(machine.cpu.threads) + Span(waiting, waiting)

    def working(self, threads: int) -> Span:
        """What the largest of the layers takes where it is computed."""
        filling = fitting_memory(self.plan, threads) if self.treatment else Span(0, 0)
        found = Span(0, 0)
        for layer in set(self.decoder.layers):
            known = self._known(layer)
            found |= self._seen(layer, known)
            found |= Span(known, known) + self._fitting(layer, filling)
        return found

    def on_disk(self, machine: Machine) -> int:
        """Bytes of hidden states that wait on the disk."""
        return self.states if self.states > states_in_memory(machine.memory.free) else 0

    def _seen(self, layer: DecoderLayer, known: int) -> Span:
        """While a layer runs: its weights, and statistics; those of some tokens come on top."""
        weights = FLOAT * layer.weights
        most = weights + 2 * known + self._activations(layer)
        smoothed = weights if self.treatment and self.treatment.smoothing else 0
        return Span(weights + known, most + smoothed)

    def _known(self, layer: DecoderLayer) -> int:
        """Bytes of what is known of all inputs of a layer."""
        numbers = 0
        if "second_moment" in self.needs:
            numbers += layer.moments
        if "samples" in self.needs:
            numbers += _SAMPLES * layer.columns
        each = FLOAT if "second_moment" in self.needs else _DOUBLE  # as `Collector.is_large` says
        return each * (numbers + layer.columns)

    def _fitting(self, layer: DecoderLayer, filling: Span) -> Span:
        """While codes are chosen, and before, when threads wait for a second moment's factor."""
        moment = FLOAT * layer.widest**2 if "second_moment" in self.needs else 0
        choosing = Span(moment, _MOMENTS * moment) + filling
        return choosing | Span(_LEAST_MOMENTS * moment, 0)

    def _activations(self, layer: DecoderLayer) -> int:
        return FLOAT * _ACTIVATIONS * _TOKENS_AT_ONCE * layer.columns


def _tokens(job: Job, source: Checkpoint) -> int:
    return most_tokens(job, job.length or window_length(source.config))
