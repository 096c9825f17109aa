"""Optional libraries: the extra of `pip install "mitotype[EXTRA]"` that each belongs to, and the error where one is absent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from mitotype.core.errors import UserError

EXTRAS = {
    "evaluate": ("sklearn", "pyarrow", "matplotlib", "jinja2"),
    "train": ("torch", "torchvision", "timm", "peft", "accelerate", "safetensors", "psutil", "onnx", "onnxscript"),
    "hub": ("huggingface_hub",),
    "ray": ("ray",),
    "serve": ("fastapi", "uvicorn", "python_multipart", "prometheus_client"),
    "opencv": ("cv2",),
}  # by the names that are imported
_EXTRA_OF = {library: extra for extra, libraries in EXTRAS.items() for library in libraries}


@contextmanager
def translated() -> Iterator[None]:
    """Raise a UserError with the line to type where the block imports an optional library that is absent."""
    try:
        yield
    except ModuleNotFoundError as error:
        extra = extra_of(error)
        if extra is None:
            raise
        library = str(error.name).partition(".")[0]
        raise UserError(f"{library} is not installed.", fix=f'install it: pip install "mitotype[{extra}]"') from error


def require(library: str) -> None:
    """Raise a UserError with the line to type where an optional library is absent, such as pyarrow, which pandas loads."""
    with translated():
        import_module(library)


def extra_of(error: ModuleNotFoundError) -> str | None:
    """Return the extra that has the absent module, None for a module of no extra."""
    return _EXTRA_OF.get((error.name or "").partition(".")[0])
