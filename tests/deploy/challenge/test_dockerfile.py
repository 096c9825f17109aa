"""Every step of the Dockerfile, without Docker and without a network: in a Debian root, from a folder of wheels, as its user.

Run by name, as root, with debootstrap and a wheel of mitotype: `MITOTYPE_WHEEL=dist/…whl pytest -m long FILE`. Only its first
step, the image of Python, is replaced: by Debian's own Python of the same version.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mitotype
from mitotype.deploy.challenge import interface
from tests.deploy.challenge import organizers

SUITE = "bookworm"
PACKAGES = "python3,python3-pip"
# As docker does: a namespace without a network, a read-only mount of what is bound, and a root of its own.
MOUNT = """
set -eu
root=$1; shift
mount -t proc proc "$root/proc"
while [ "$1" != -- ]; do
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
    shift 3
done
shift
exec chroot "$@"
"""


class DebianRoot:
    """Runs the instructions of a Dockerfile in a root folder."""

    def __init__(self, root: Path, context: Path) -> None:
        self.root, self.context = root, context
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.directory, self.user = "/", "0"
        self.entry_point: list[str] = []
        self.log: list[str] = []

    def build(self, arguments: dict[str, str]) -> None:
        text = (self.context / "Dockerfile").read_text().replace("\\\n", " ")
        for line in (line for line in text.splitlines() if line and not line.startswith("#")):
            instruction, _, rest = line.partition(" ")
            self.log.append(line)
            if instruction == "FROM":
                assert rest == f"python:3.11-slim-{SUITE}"
            elif instruction == "ENV":
                self.environment |= dict(item.split("=", 1) for item in shlex.split(rest))
            elif instruction == "ARG":
                name, default = shlex.split(rest)[0].split("=", 1)
                self.environment[name] = arguments.get(name, default)
            elif instruction == "WORKDIR":
                self.directory = rest
                (self.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif instruction == "COPY":
                source, target = rest.split()
                self._copy(self.context / source, self.root / self.directory.lstrip("/") / target)
            elif instruction == "RUN":
                mounts = []
                while rest.startswith("--mount="):
                    mount, _, rest = rest.removeprefix("--mount=").partition(" ")
                    options = dict(item.split("=") for item in mount.split(","))
                    assert options.pop("type") == "bind"
                    mounts += [str(self.context / options["source"]), options["target"], "ro"]
                    rest = rest.lstrip()
                self.run(["/bin/sh", "-c", rest], mounts)
            elif instruction == "USER":
                self.user = rest
            elif instruction == "ENTRYPOINT":
                self.entry_point = json.loads(rest)
            else:
                pytest.fail(f"{instruction} has no equivalent here")

    def run(self, command: list[str], mounts: list[str]) -> subprocess.CompletedProcess[str]:
        environment = [f"{key}={value}" for key, value in self.environment.items()]
        inside = [f"--userspec={self.user}:{self.user}", str(self.root), "/usr/bin/env", "-i", *environment]
        inside += ["/bin/sh", "-c", 'cd "$0" && exec "$@"', self.directory, *command]
        isolated = ["unshare", "--mount", "--net", "sh", "-c", MOUNT, "sh", str(self.root), *mounts, "--", *inside]
        result = subprocess.run(isolated, capture_output=True, text=True, timeout=500)
        assert result.returncode == 0, f"{command}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
        return result

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target / source.name if target.is_dir() else target)


def size_mb(folder: Path) -> float:
    files = (path.lstat() for path in folder.rglob("*") if not path.is_symlink() and path.is_file())
    return sum(stat.st_size for stat in files) / 1e6


@pytest.mark.long
def test_every_step_runs_offline_in_a_debian_root_as_a_user_who_is_not_root(tmp_path: Path) -> None:
    wheel = os.environ.get("MITOTYPE_WHEEL", "")
    if not wheel or not shutil.which("debootstrap") or os.geteuid():
        pytest.skip("needs MITOTYPE_WHEEL, debootstrap, and root")
    root = tmp_path / "root"
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "-w", tmp_path / "wheels", wheel], check=True)
    next(root.glob("usr/lib/python3.*/EXTERNALLY-MANAGED")).unlink()  # the image's pip installs into the system
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    before_mb = size_mb(root)

    folder = mitotype.challenge("default", tmp_path / "container", wheels=tmp_path / "wheels")
    image = DebianRoot(root, folder)
    image.build({"PIP_NO_INDEX": "1"})
    assert image.user == "1000"

    output_dir = tmp_path / "output"
    output_dir.mkdir()
    output_dir.chmod(0o777)
    (tmp_path / "tmp").mkdir(mode=0o777)
    mounts = [
        str(folder / "test/input"),
        "/input",
        "ro",
        str(output_dir),
        "/output",
        "rw",
        str(tmp_path / "tmp"),
        "/tmp",
        "rw",
    ]
    for attempt in ("touch /input/x", "touch /opt/app/x", "touch /opt/app/model/x"):
        refused = image.run(["/bin/sh", "-c", f"! {attempt}"], mounts)
        assert "Permission denied" in refused.stderr or "Read-only" in refused.stderr
    offline = "import socket\ntry: socket.create_connection(('192.0.2.1', 80), 2)\nexcept OSError as e: print(e)"
    assert "unreachable" in image.run(["python", "-c", offline], mounts).stdout
    start = time.perf_counter()
    result = image.run(image.entry_point, mounts)
    seconds = time.perf_counter() - start

    items = organizers.accept((output_dir / interface.OUTPUT).read_bytes(), 16)
    assert (output_dir / interface.OUTPUT).stat().st_uid == 1000
    expected = mitotype.classify(folder / "test/input" / interface.STACKS / "stack.tiff")
    assert [item["class"] for item in items] == [p.label_name for p in expected]
    assert [item["confidence"] for item in items] == pytest.approx([p.probability for p in expected], abs=1e-6)
    print(
        *image.log, result.stderr, f"{seconds:.2f} s for 16 pages; {size_mb(root) - before_mb:.0f} MB added", sep="\n"
    )
