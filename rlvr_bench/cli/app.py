"""The entry point: declares the verbs, maps every error to its exit code. Imports nothing heavy."""

import os
import sys
import traceback
from typing import Annotated

import typer

from rlvr_bench import __version__
from rlvr_bench.cli import (
    check,
    compare,
    doctor,
    judge,
    leaderboard,
    listing,
    new,
    output,
    plan,
    report,
    rescore,
    settings,
    status,
    submit,
    validate,
)
from rlvr_bench.errors import EnvironmentFaultError, InterruptedRunError, RlvrBenchError, UsageError

app = typer.Typer(
    name="rlvr-bench",
    help="Tells whether a way to train language models with verifiable rewards works, or only wakes up "
    "what one model family was pretrained with.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("validate")(validate.validate)
app.command("plan")(plan.plan)
app.command("doctor")(doctor.doctor)
app.command("status")(status.status)
app.command("report")(report.report)
app.command("rescore")(rescore.rescore)
app.command("compare")(compare.compare)
app.command("judge")(judge.judge)
app.command("check")(check.check)
app.command("submit")(submit.submit)
app.add_typer(leaderboard.app, name="leaderboard")
app.command("list")(listing.list_)
app.command("show")(listing.show)
app.command("new")(new.new)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rlvr-bench {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    debug: Annotated[bool, typer.Option("--debug", help="Show stack traces.", envvar="RLVR_BENCH_DEBUG")] = False,
    _show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    if debug:
        os.environ["RLVR_BENCH_DEBUG"] = "1"


def main() -> None:
    """Run the command line and exit with the documented code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line on some arguments and return the exit code."""
    try:
        if not {"--help", "-h", "--version"} & set(arguments):
            settings.apply()
        code = app(arguments or ["--help"], prog_name="rlvr-bench", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (Exception, KeyboardInterrupt) as error:
        shown = _shown(error)
        if os.environ.get("RLVR_BENCH_DEBUG") == "1":
            traceback.print_exc()
        output.fail(shown)
        return shown.exit_code


def _shown(error: BaseException) -> RlvrBenchError:
    """Return an error as the user sees it."""
    if isinstance(error, RlvrBenchError):
        return error
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return InterruptedRunError("interrupted", hint="run the same command again to go on")
    if isinstance(error, OSError):
        where = str(error.filename) if error.filename else None
        return EnvironmentFaultError(f"the file system refuses: {error.strerror or error}", where=where)
    if hasattr(error, "format_message"):  # a slip on the command line, whichever click Typer carries
        context = getattr(error, "ctx", None)
        verb = context.command_path if context else "rlvr-bench"
        return UsageError(error.format_message(), hint=f"{verb} --help")
    words = f"internal error: {type(error).__name__}: {error}"
    return RlvrBenchError(words, hint="the same with `rlvr-bench --debug` in front shows where")


if __name__ == "__main__":
    main()
