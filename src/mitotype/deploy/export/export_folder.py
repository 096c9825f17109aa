"""What the folders of all formats have: a test image with its expected numbers, a README, the bundle's card, and a record of these.

Shapes: N patches, 2 classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta

from mitotype.core import files, images, outputs, records
from mitotype.core.errors import UserError
from mitotype.core.examples import EXAMPLES
from mitotype.core.folder_lock import remove_lock
from mitotype.core.records import Name, Record, Share, Text
from mitotype.core.run_layout import names, read_member
from mitotype.core.schema import ATYPICAL, MPP_UM, NOTICE, NOTICE_LONG
from mitotype.core.text_tables import escape_markdown
from mitotype.deploy.licenses import license_terms
from mitotype.deploy.predictor import Predictor
from mitotype.scores.calibrate import logit_of, sigmoid

RECORD, README, TEST_IMAGE = "mitotype.json", "README.md", "test_image.png"
SHARED_FILES = (README, names.CARD, TEST_IMAGE, RECORD)
CLASS_TITLES = (
    "Normal mitosis",
    "Atypical mitosis",
)  # as CLASS_NAMES, for programs in which they stand among other classes
TOLERANCE = 1e-3  # between the logits of the bundle and of what is written
N_CHECKED = 8  # random images
RunNet = Callable[[np.ndarray], np.ndarray]  # image_N3HW uint8 → logit_N2


class ExportRecord(Record, frozen=True, kw_only=True):
    """mitotype.json. Images are `side_px` wide at `mpp_um`, with the figure in the middle.

    `atypical` is the softmax of the second class for the test image, 0.5 at `threshold`; `probability` is that of the bundle.
    """

    format: Name
    bundle: Name
    digest: Text
    class_names: Sequence[Name]
    side_px: Annotated[int, Meta(ge=1, le=10_000)]
    threshold: Share
    test_image: Name = TEST_IMAGE
    atypical: Share
    probability: Share
    test_class: Name
    mpp_um: float = MPP_UM
    notice: Text = NOTICE


@contextmanager
def created(out: Path, contents: Sequence[str], predictor: Predictor) -> Iterator[None]:
    """Hold the output folder while the block writes `contents` and what all formats have.

    An earlier export of the same format is replaced, and has no record until the block ends. Raises a UserError for a folder
    with anything else in it.
    """
    own = (*contents, *SHARED_FILES)
    with outputs.claimed(out, own, marker=RECORD, inputs=[predictor.dir]):
        foreign = sorted(path.name for path in out.iterdir() if path.name not in own and path.name[0] != ".")
        if foreign:
            what = f"'{out}' contains '{foreign[0]}', which this export does not write."
            raise UserError(what, fix=outputs.OTHER_FOLDER)
        (out / RECORD).unlink(missing_ok=True)
        yield
        remove_lock(out)


def check(format: str, predictor: Predictor, side_px: int, run: RunNet, class_names: Sequence[str]) -> ExportRecord:
    """Compare a net with its bundle on random images and on the test image, and return the record of its folder."""
    image_13SS = example_image(side_px)[None]
    image_N3SS = np.random.default_rng(0).integers(0, 256, (N_CHECKED, 3, side_px, side_px), dtype=np.uint8)
    margin_N, expected = np.diff(run(image_13SS))[:, 0], predictor_margin(predictor, image_13SS)
    difference = np.abs(np.diff(run(image_N3SS))[:, 0] - predictor_margin(predictor, image_N3SS)).max()
    difference = max(float(difference), float(np.abs(margin_N - expected).max()))
    if not difference <= TOLERANCE:
        what = f"The logits of '{format}' differ from those of the bundle by {difference:.2g}."
        raise UserError(what, allowed=f"at most {TOLERANCE:g}", fix="report this, with the bundle")
    threshold = predictor.decision.threshold.value
    return ExportRecord(
        format=format,
        bundle=predictor.record.name,
        digest=predictor.record.digest,
        class_names=tuple(class_names),
        side_px=side_px,
        threshold=threshold,
        atypical=round(float(sigmoid(margin_N[0])), 6),
        probability=round(float(sigmoid(expected[0] + logit_of(threshold))), 6),
        test_class=class_names[int(margin_N[0] >= 0)],
    )


def predictor_margin(predictor: Predictor, image_N3HW: np.ndarray) -> np.ndarray:
    """Return the calibrated logits of a bundle less that of its threshold."""
    outputs, _ = predictor.predict(image_N3HW)
    decided = predictor.decision.decide(predictor.combiner.combine_views({o.name: o.logit for o in outputs}))
    return decided.calibrated_logit_N - logit_of(predictor.decision.threshold.value)


def example_image(side_px: int) -> np.ndarray:
    """Return a synthetic figure that ships with the package as `image_3SS`, reflected at its edges where it is smaller."""
    image_HW3 = images.read(EXAMPLES / "4.png")
    missing_px = max(0, side_px - min(image_HW3.shape[:2]))
    image_HW3 = np.pad(image_HW3, ((missing_px, missing_px), (missing_px, missing_px), (0, 0)), "symmetric")
    return np.ascontiguousarray(images.center_crop(image_HW3, side_px).transpose(2, 0, 1))


def write_shared(out: Path, record: ExportRecord, predictor: Predictor, how_to: str) -> None:
    """Write the files of SHARED_FILES; `how_to` is Markdown for the README."""
    from PIL import Image

    with files.atomic(out / TEST_IMAGE) as part:
        Image.fromarray(example_image(record.side_px).transpose(1, 2, 0)).save(part, "PNG")
    card = predictor.dir / names.CARD
    if card.is_file():
        files.copy(card, out / names.CARD)
    files.write_text(out / README, _readme(record, predictor, how_to))
    records.write(out / RECORD, record)  # last: it makes it an export


def _readme(record: ExportRecord, predictor: Predictor, how_to: str) -> str:
    atypical = record.class_names[ATYPICAL]
    name, t = escape_markdown(record.bundle), record.threshold
    terms = license_terms(read_member(names.member_dir(predictor.dir, member)) for member in predictor.members)
    sections = [
        f"# {name}: atypical or normal mitotic figures",
        f"> {NOTICE_LONG}",
        how_to,
        "## Input and output\n\n"
        f"* An RGB image of {record.side_px} × {record.side_px} px at {record.mpp_um:g} µm/px with one mitotic figure in the middle."
        " It classifies figures and does not detect them.\n"
        f"* Two logits, of *{record.class_names[0]}* and *{atypical}*. The larger one is the class that `mitotype classify` gives:"
        f" the threshold of the bundle, P(atypical) = {t:.4f}, is in them.\n"
        f"* The softmax of *{atypical}* is therefore 0.5 at the threshold. It is not the calibrated probability, which is"
        f" σ(logit(softmax) {float(logit_of(t)):+.4f}).",
        "## Test\n\n"
        f"`{record.test_image}` (synthetic) is *{record.test_class}*; the softmax of *{atypical}* is {record.atypical:.4f},"
        f" the calibrated probability {record.probability:.4f}. `{RECORD}` has these numbers for programs.",
    ]
    if terms.backbones:
        lines = "\n".join(f"* {line}" for line in terms.lines())
        sections.append(f"## Licenses of the weights under it\n\n{lines}")
    if record.digest:  # a run has neither
        sections.append(
            f"Training data, test sets, calibration and limits are in [{names.CARD}]({names.CARD})."
            f" Digest of the bundle: `{record.digest}`."
        )
    return "\n\n".join(sections) + "\n"
