"""The door: one function per verb, a few lines each. Bare nouns list, a noun with a name shows its card."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mitotype import __version__
from mitotype.core.mistakes import Mistake
from mitotype.core.words import NOTICE

app = typer.Typer(
    name="mitotype",
    help=f"Tells atypical from normal mitotic figures in H&E pathology.\n\n{NOTICE}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# options that take several words: --data A B
SEVERAL = ("--data", "--on", "--hold-out", "--set", "--test", "--backbones", "--adapt", "--init-from")

Data = Annotated[list[str], typer.Option("--data", help="folder or csv of patches, or NAME=PATH; several are joined")]
HoldOut = Annotated[
    list[str] | None,
    typer.Option("--hold-out", help="test sets whose slides and pictures stay out: amibr-test,atnorm-md"),
]
Set = Annotated[list[str] | None, typer.Option("--set", help="change a field of the recipe: epochs=5")]
Out = Annotated[Path | None, typer.Option("--out", help="folder or file to write")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")]
Json = Annotated[bool, typer.Option("--json", help="answer in JSON on standard output")]
Mpp = Annotated[float | None, typer.Option(help="µm/px of the pictures, where they are not at 0.25")]
Draws = Annotated[int, typer.Option(help="bootstrap draws over cases")]


@app.command()
def demo(out: Annotated[Path, typer.Option(help="folder to write")] = Path("demo")) -> None:
    """A synthetic cohort: made, trained on, scored, evaluated, reported; then classified by the shipped bundle.

    Example: mitotype demo
    """
    from mitotype.cli import synthetic

    synthetic.demo(out)


@app.command()
def classify(
    pictures: Annotated[list[str], typer.Argument(help="pictures, folders, csv lists, multi-page TIFFs")],
    bundle: Annotated[str, typer.Option(help="shipped bundle's name, or a folder of a bundle or run")] = "default",
    mpp: Mpp = None,
    out: Annotated[Path | None, typer.Option("--out", help=".csv, .json or .parquet to write")] = None,
    words: Annotated[
        bool, typer.Option("--words", help="what the shape descriptors say, in sentences; with --bundle morphology")
    ] = False,
    json: Json = False,
    device: Device = "cpu",
) -> None:
    """Probability, class, decision, spread and flags for every picture.

    Example: mitotype classify patches/ --out answers.csv
    """
    from mitotype.cli import show
    from mitotype.deploy import classify as deployed
    from mitotype.deploy import scorer

    show.notice()
    asked = deployed.gather(pictures, mpp)
    opened = scorer.open_scorer(bundle, device=show.device(device))
    with show.progress("classify", len(asked)) as step:
        answers = deployed.classify(opened, asked, words=words, done=step)
    show.answers(answers, out, as_json=json)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="a recipe's name; see: mitotype recipes")] = "default",
    data: Data = [],  # noqa: B006 (typer reads the default, nobody writes to it)
    hold_out: HoldOut = None,
    setting: Set = None,
    again: Annotated[Path | None, typer.Option("--from", help="repeat the recipe of a run's run.json")] = None,
    out: Out = None,
    mpp: Mpp = None,
    device: Device = "auto",
) -> None:
    """Train a recipe into a new run folder; out-of-fold rows only, no test set is opened.

    Example: mitotype train default --data AMi-Br_Benchmark --out runs/default
    """
    from mitotype.cli import work

    held, settings = tuple(hold_out or ()), tuple(setting or ())
    work.train(
        recipe, work.Asked(data=data, hold_out=held, settings=settings, again=again, out=out, mpp=mpp, device=device)
    )


@app.command()
def resume(run: Annotated[Path, typer.Argument(help="folder of a run")]) -> None:
    """Bring a run that was stopped to its end, to the same numbers.

    Example: mitotype resume runs/default
    """
    from mitotype.cli import work

    work.resume(run)


@app.command()
def score(
    what: Annotated[str, typer.Argument(help="folder of a run or bundle, or a shipped bundle's name")],
    on: Annotated[list[str], typer.Option("--on", help="test data: folder, csv or NAME=PATH")],
    out: Annotated[Path | None, typer.Option("--out", help="folder for the rows; a run keeps its own")] = None,
    mpp: Mpp = None,
    device: Device = "cpu",
) -> None:
    """Score test data: adds rows to the score table and writes the opening into the ledger.

    Example: mitotype score runs/default --on AMi-Br_Benchmark
    """
    from mitotype.cli import work

    work.score(what, on, out, mpp, device)


@app.command()
def evaluate(
    what: Annotated[str, typer.Argument(help="folder of a run or of scores, or a csv with patch_id,score")],
    on: Annotated[list[str] | None, typer.Option("--on", help="data that a csv's patch_id speak of")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="report.html to write")] = None,
    part: Annotated[str, typer.Option(help="test or out-of-fold")] = "test",
    json: Json = False,
    draws: Draws = 2000,
) -> None:
    """Metrics with intervals over cases, per domain, and report.html in one file.

    Example: mitotype evaluate runs/default
    """
    from mitotype.cli import work

    work.evaluate(what, on or [], out, part, json, draws)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="a run, or a csv with patch_id,score")],
    b: Annotated[str, typer.Argument(help="another")],
    on: Annotated[list[str] | None, typer.Option("--on", help="data that the csv's patch_id speak of")] = None,
    json: Json = False,
    draws: Draws = 2000,
) -> None:
    """Paired comparison of two sets of scores on the same patches.

    Example: mitotype compare runs/default theirs.csv --on AMi-Br_Benchmark
    """
    from mitotype.cli import work

    work.compare(a, b, on or [], json, draws)


@app.command()
def benchmark(
    out: Annotated[Path, typer.Option("--out", help="folder of the benchmark; one that was stopped goes on")],
    data: Data = [],  # noqa: B006
    test: Annotated[
        list[str] | None, typer.Option("--test", help="test data; default: the test parts of --data")
    ] = None,
    hold_out: HoldOut = None,
    backbones: Annotated[
        list[str] | None, typer.Option("--backbones", help="nets and features; default: the nets of the study")
    ] = None,
    adapt: Annotated[
        list[str] | None, typer.Option("--adapt", help='what is trained: probe "lora(8, 16)" "prompts(8)" full')
    ] = None,
    setting: Set = None,
    init_from: Annotated[
        list[str] | None,
        typer.Option(
            "--init-from", help="base weights: published, a run of our own, or BACKBONE=PATH (file or folder)"
        ),
    ] = None,
    like: Annotated[
        str, typer.Option(help="shared: one policy for all; study: the study's own recipe for each")
    ] = "shared",
    on: Annotated[
        str, typer.Option(help="where jobs run: here, ray (this machine), or the address of a Ray cluster")
    ] = "here",
    title: Annotated[str, typer.Option(help="a line under the table's heading")] = "",
    mpp: Mpp = None,
    device: Device = "auto",
    workers: Annotated[int, typer.Option(help="jobs at once on processors; 0: as many as there are cores for")] = 0,
    json: Json = False,
    draws: Draws = 2000,
) -> None:
    """Train backbone × adaptation × fold, score every test set, and write one table beside the published numbers.

    Example: mitotype benchmark --data AMi-Br_Benchmark --backbones uni2-h virchow2 --adapt probe "lora(8, 16)" --out runs/bench
    """
    from mitotype.cli import bench

    asked = bench.Asked(
        out=out, data=data, test=test or [], hold_out=hold_out or [], backbones=backbones or [], adapt=adapt or [],
        settings=setting or [], init_from=init_from or [], like=like, on=on, title=title, mpp=mpp, device=device,
        workers=workers, draws=draws,
    )  # fmt: skip
    bench.benchmark(asked, as_json=json)


@app.command()
def audit(
    data: Annotated[list[str], typer.Argument(help="folders or csvs of patches, or NAME=PATH")], json: Json = False
) -> None:
    """Duplicates, conflicting labels, cases across parts, known overlaps, the experts' agreement.

    Example: mitotype audit AMi-Br_Benchmark
    """
    from mitotype.cli import work

    work.audit(data, json)


@app.command()
def fetch(
    dataset: Annotated[str, typer.Argument(help="a dataset's name; see: mitotype datasets")],
    folder: Annotated[Path, typer.Argument(help="where to put it")],
) -> None:
    """Get a public dataset from its published address; resumes, checks digests.

    Example: mitotype fetch amibr data/
    """
    from mitotype.cli import work

    work.fetch(dataset, folder)


@app.command()
def bundle(
    run: Annotated[Path, typer.Argument(help="folder of a finished run")],
    out: Annotated[Path, typer.Option("--out", help="folder of the bundle")],
    name: Annotated[str, typer.Option(help="what the bundle is called")] = "mine",
    notes: Annotated[Path | None, typer.Option(help="Markdown that the card takes up: how choices were made")] = None,
    with_base: Annotated[
        bool,
        typer.Option("--with-base", help="put published weights under adapters into it, where their licence allows"),
    ] = False,
) -> None:
    """Make a bundle of a run: what classify needs, nothing else.

    Example: mitotype bundle runs/default --out my-bundle
    """
    from mitotype.cli import work

    work.bundle(run, out, name, notes, with_base)


@app.command()
def weights(
    backbone: Annotated[list[str], typer.Argument(help="backbones; see: mitotype backbones")],
    source: Annotated[
        Path | None, typer.Option("--from", help="a file, or a folder that holds one, instead of the hub")
    ] = None,
    json: Json = False,
) -> None:
    """Get the weights of backbones for later work without a network, check them, and say their digest.

    Example: mitotype weights h-optimus-0
    """
    from mitotype.cli import bases

    bases.weights(backbone, source, json)


@app.command()
def embed(
    backbone: Annotated[str, typer.Argument(help="a backbone or a feature; see: mitotype backbones, features")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help=".parquet or .csv to write: one row per patch")],
    init_from: Annotated[str, typer.Option(help="published, a file or folder of weights, or a run")] = "published",
    frame: Annotated[str, typer.Option(help="how pictures are framed")] = "crop(64)",
    pooling: Annotated[str, typer.Option(help="variant of pooling; the backbone's default without it")] = "",
    mpp: Mpp = None,
    device: Device = "auto",
) -> None:
    """Embeddings of every patch by a frozen backbone, or a feature's numbers; kept in the cache that probes use.

    Example: mitotype embed h-optimus-0 --data AMi-Br_Benchmark --out embeddings.parquet
    """
    from mitotype.cli import bases

    bases.embed(bases.Asked(backbone, data, out, init_from, frame, pooling, mpp, device))


@app.command()
def push(
    bundle: Annotated[str, typer.Argument(help="folder of a bundle, or a shipped bundle's name")],
    repository: Annotated[str, typer.Argument(help="OWNER/NAME on the hub")],
    private: Annotated[bool, typer.Option("--private", help="make the repository private")] = False,
    adapters_of_no_derivatives: Annotated[
        bool,
        typer.Option(
            "--adapters-of-no-derivatives",
            help="the publisher lets you share adapters of weights whose licence bars derivatives",
        ),
    ] = False,
) -> None:
    """Publish a bundle on the hub, where the licences of the weights under it allow that.

    Example: mitotype push my-bundle me/my-bundle --private
    """
    from mitotype.cli import bases

    bases.push(bundle, repository, private, adapters_of_no_derivatives)


@app.command()
def doctor(
    backbone: Annotated[str | None, typer.Argument(help="a backbone to look at; without it the machine")] = None,
    weights: Annotated[
        str | None, typer.Option(help="a file or folder of its weights, or 'published': loaded, run, compared")
    ] = None,
    json: Json = False,
) -> None:
    """What works on this machine, what a backbone needs, whether its weights load; and what to do about what does not.

    Example: mitotype doctor h-optimus-0 --weights model.safetensors
    """
    from mitotype.cli import show

    show.doctor(backbone, weights, as_json=json)


def _noun(plural: str, singular: str) -> None:
    def listing(
        name: Annotated[str | None, typer.Argument(help=f"the {singular} to show")] = None, json: Json = False
    ) -> None:
        from mitotype.cli import show

        show.shelf(plural, name, as_json=json)

    listing.__doc__ = f"List the {plural}, or show one.\n\nExample: mitotype {plural}"
    app.command(plural)(listing)


for _plural, _singular in (
    ("datasets", "dataset"), ("views", "view"), ("features", "feature"), ("backbones", "backbone"),
    ("losses", "loss"), ("recipes", "recipe"), ("bundles", "bundle"),
):  # fmt: skip
    _noun(_plural, _singular)


@app.callback(invoke_without_command=True)
def version(asked: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if asked:
        typer.echo(f"mitotype {__version__}")
        raise typer.Exit


def spread(words: list[str]) -> list[str]:
    """`--data A B` as `--data A --data B`, for the options in SEVERAL."""
    found: list[str] = []
    option, taken = "", 0
    for word in words:
        if word.startswith("-"):
            option, taken = (word, 0) if word in SEVERAL else ("", 0)
            found.append(word)
        elif option and taken:
            found += [option, word]
        else:
            taken += bool(option)
            found.append(word)
    return found


def main(words: list[str] | None = None) -> Any:
    """Run the door. A Mistake is printed without a traceback and exits with 2; everything else is our bug."""
    try:
        return app(args=spread(sys.argv[1:] if words is None else words))
    except Mistake as mistake:
        print(mistake, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped. What is whole is kept; `mitotype resume RUN` goes on.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
