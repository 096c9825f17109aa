"""Containers for a challenge: write the build folder of a bundle, and try one."""

from __future__ import annotations

from pathlib import Path

from mitotype.deploy.challenge import build_folder, check
from mitotype.deploy.challenge.check import ChallengeCheck


def challenge(bundle: str | Path, out: str | Path, *, wheels: str | Path | None = None) -> Path:
    """Write the build folder of a container for MIDOG 2025, Track 2.

    Parameters
    ----------
    bundle : str or Path
        Folder of a bundle, or name of one that ships with the package.
    out : str or Path
        Folder to write: Dockerfile, entry point, the bundle, a stack of figures for a test run, and the scripts do_build.sh,
        do_test_run.sh and do_save.sh.
    wheels : str or Path, optional
        Folder of wheels that the image installs from; one of them is that of this version of mitotype. Default: pip's own
        index.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UserError
        For a run in place of a bundle, a folder that holds something else, weights under adapters that are not on this
        machine, and wheels without that of mitotype.

    See Also
    --------
    check_challenge : Try the folder without Docker.
    bundle : Make a bundle of a run.

    Examples
    --------
    >>> import mitotype
    >>> folder = mitotype.challenge("default", "container")
    >>> sorted(path.name for path in folder.glob("*.sh"))
    ['do_build.sh', 'do_save.sh', 'do_test_run.sh']
    """
    return build_folder.write_build_folder(str(bundle), Path(out), Path(wheels) if wheels else None)


def check_challenge(folder: str | Path, input_dir: str | Path | None = None) -> ChallengeCheck:
    """Try a build folder as the platform does, without Docker: one process per stack, and no network.

    Parameters
    ----------
    folder : str or Path
        What `challenge` wrote.
    input_dir : str or Path, optional
        An input folder with ``inputs.json`` and a stack. Default: the test stack of the folder.

    Returns
    -------
    ChallengeCheck
        Seconds, memory and size.

    Raises
    ------
    UserError
        For a run that fails, an output that the platform refuses, predictions that `classify` does not give, and an input
        that was changed.

    See Also
    --------
    challenge : Write the folder.

    Examples
    --------
    >>> import mitotype
    >>> folder = mitotype.challenge("default", "container")
    >>> print(str(mitotype.check_challenge(folder)).splitlines()[0])
    output      accepted; 16 figures as classify decides them
    """
    return check.check_folder(Path(folder), Path(input_dir) if input_dir else None)
