"""Parses the spec of a frame or an augment into steps and checks names, arguments and order; errors are raised together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mitotype.core import spec
from mitotype.core.arguments import Argument, arguments_of, spec_of, values
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.schema import PATCH_PX
from mitotype.core.spec import Step
from mitotype.transforms.transform import CropOp, TorchvisionOp, Transform, WarpOp, transforms

ORDER = ("torchvision", "frame", "warp", "pixel", "crop")
ORDER_TEXT = "torchvision's steps (tv_resize …) | frame steps (macenko, reinhard) | warps | pixel steps | crop"
PROBABILITY = Argument("p", 1.0, low=0.0, high=1.0, meaning="probability with which the step is applied to a patch")


@dataclass(frozen=True)
class PipelineStep:
    """A transform with its arguments, and the probability with which it is applied to a patch."""

    name: str
    op: Transform
    p: float = 1.0

    def __str__(self) -> str:
        return spec_of(self.name, self.op, **({"p": self.p} if self.p < 1 else {}))


class Pipeline:
    """The steps of a spec: the base class of Frame and Augment."""

    def __init__(self, text: str, *, random: bool) -> None:
        self.steps = parse(text, random=random)
        self.spec = spec.canonical(self.steps)
        self.has_torchvision = any(isinstance(step.op, TorchvisionOp) for step in self.steps)
        self._crop_px = next((step.op.px for step in self.steps if isinstance(step.op, CropOp)), None)
        self._resized_px = _resized_px(self.steps)

    @property
    def needs_px(self) -> int:
        """Smallest allowed side of an input image: torchvision's steps take the published patch.

        What a warp reads past the edge is the image's reflection.
        """
        return PATCH_PX if self.has_torchvision else self._crop_px or 1

    def output_px(self, input_px: int) -> int:
        """Return the side of the output for images whose shorter side is `input_px`."""
        return self._crop_px or self._resized_px or input_px

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec!r})"


def _resized_px(steps: Sequence[PipelineStep]) -> int | None:
    """Return the side of the image after torchvision's steps, None without any."""
    ops = [step.op for step in steps if isinstance(step.op, TorchvisionOp)]
    return next((op.resized_px for op in reversed(ops) if op.resized_px), PATCH_PX) if ops else None


def parse(text: str, *, random: bool) -> tuple[PipelineStep, ...]:
    """Return the steps of a frame (`random=False`: it is deterministic) or of an augment.

    Raises one UserError for all of: an unknown transform, an argument that is unknown, given twice or out of its range,
    a step out of order, more than one crop, a random step in a frame.
    """
    errors = ErrorCollector()
    steps: list[PipelineStep] = []
    for step in spec.pipeline(text):
        with errors.capture():
            steps.append(_build(step, random))
    if not errors.errors:
        _check_order(steps, errors)
    errors.raise_if_any()
    full = spec.canonical(steps)  # hashed in cache keys
    if len(full) > spec.MAX_CHARS:
        raise UserError(
            f"The spec with every argument written out has {len(full)} characters; at most {spec.MAX_CHARS} are read.",
            fix="remove steps",
        )
    return tuple(steps)


def _build(step: Step, random: bool) -> PipelineStep:
    op = transforms.get(step.name)
    if not random and not _allowed_in_frame(op):
        raise UserError(
            f"'{step.name}' is random; a frame is the same for every patch.",
            allowed=", ".join(name for name in transforms if _allowed_in_frame(transforms.get(name))),
            fix="move it to the augment spec",
        )
    by_name = (PROBABILITY,) if random and op.kind in ("warp", "pixel") else ()
    given = values(step, arguments_of(op), by_name)
    p = given.pop("p", 1.0)
    return PipelineStep(transforms.canonical(step.name), op(**given), p)


def _allowed_in_frame(op: type[Transform]) -> bool:
    """Return whether a transform is deterministic, or a warp with fixed parameters."""
    if issubclass(op, TorchvisionOp):
        return not op.random
    has_fixed_params = issubclass(op, WarpOp) and op.fixed_params is not WarpOp.fixed_params
    return op.kind in ("frame", "crop") or has_fixed_params


def _check_order(steps: list[PipelineStep], errors: ErrorCollector) -> None:
    rank = [ORDER.index(step.op.kind) for step in steps]
    n_crops = rank.count(ORDER.index("crop"))
    if n_crops > 1:
        errors.add(UserError(f"The spec has {n_crops} crops; only one is allowed.", allowed=ORDER_TEXT))
    elif rank != sorted(rank):
        first = next(i for i in range(1, len(rank)) if rank[i] < rank[i - 1])
        ordered = " | ".join(step.name for step in sorted(steps, key=lambda step: ORDER.index(step.op.kind)))
        errors.add(
            UserError(
                f"'{steps[first].name}' cannot come after '{steps[first - 1].name}'.",
                allowed=ORDER_TEXT,
                fix=f"put them in this order: {ordered}",
            )
        )
    resized_px, crop = _resized_px(steps), steps[-1] if steps else None
    if resized_px and crop and isinstance(crop.op, CropOp) and crop.op.px > resized_px:
        errors.add(UserError(f"'{crop}' is larger than the {resized_px} px of torchvision's steps."))
