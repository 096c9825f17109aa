"""The kinds of mutated inputs, and how many of each the long run reads."""

from tests.robustness import downloads, image_files, models
from tests.robustness.trial import Kind

KINDS: dict[str, Kind] = {
    "image": image_files.image,
    "bundle": models.bundle,
    "recipe": models.recipe,
    "run": models.run,
    "labels": image_files.labels,
    "scores": image_files.scores,
    "arguments": models.arguments,
    "bomb": image_files.bomb,
    "archive": downloads.archive,
    "weights": models.weights,
    "list": image_files.image_list,
    "server": downloads.server,
}
LONG = {
    "image": 2300, "bundle": 1500, "recipe": 1200, "run": 950, "labels": 700, "scores": 700, "arguments": 600, "bomb": 550, "archive": 550,
    "weights": 450, "list": 300, "server": 200,
}  # fmt: skip
