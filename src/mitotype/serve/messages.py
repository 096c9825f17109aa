"""Messages: the JSON that the service reads and writes. A prediction is that of `mitotype classify --json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi.responses import Response
from msgspec import Meta, Struct

from mitotype.core import records
from mitotype.core.images import MPP_RANGE_UM
from mitotype.core.schema import NOTICE
from mitotype.deploy.predictions import Prediction

Name = Annotated[str, Meta(max_length=255, description="of the file, for `path` of its predictions")]
Mpp = Annotated[
    float, Meta(ge=MPP_RANGE_UM[0], le=MPP_RANGE_UM[1], description="µm/px of the images where it is not 0.25")
]


class Upload(Struct, frozen=True, forbid_unknown_fields=True):
    """An image file: PNG, JPEG, TIFF, WebP or BMP, 8-bit RGB, one mitotic figure in the middle of each page."""

    data: Annotated[bytes, Meta(description="the file in Base64")]
    name: Name = ""


class ClassifyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Image files to classify."""

    images: Annotated[list[Upload], Meta(min_length=1)]
    mpp_um: Mpp | None = None


class ClassifyResponse(Struct, frozen=True, kw_only=True):
    """One prediction for every figure, in the order of the images; one with an `error` for an image that cannot be read."""

    notice: str = NOTICE
    bundle: str
    digest: Annotated[str, Meta(description="of the bundle")]
    threshold: Annotated[float, Meta(description="probability from which the class is atypical")]
    predictions: list[Prediction]


class ErrorResponse(Struct, frozen=True, omit_defaults=True):
    """Why a request was refused or failed; `predictions` have the error of each image if none could be classified."""

    error: str
    predictions: list[Prediction] = []


class Status(Struct, frozen=True):
    """The state of the service."""

    status: str


def to_response(
    message: ClassifyResponse | ErrorResponse | Status, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a message as the response with a status."""
    return Response(records.encode(message), status, headers, media_type="application/json")
