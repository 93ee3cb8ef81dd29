"""Every exception that a user can meet: what happened, where, what to type next, and the exit code.

    RlvrBenchError            70  internal error (a bug of ours)
    ├── RefusedError           1  the answer is no: a fall, a verdict that is not taken, a submission that is not valid
    ├── UsageError             2  wrong name, wrong file, wrong option: nothing was started
    │   ├── NotFoundError      2  unknown suite, model, method, reward or run, with did-you-mean
    │   ├── FileFormatError    2  a YAML or JSON slip, with file and line
    │   └── InputsChangedError 2  a run folder that belongs to another plan
    ├── IncompleteError        3  finished, but some stages failed
    ├── EnvironmentFaultError  4  the machine lacks something, or a file is missing or damaged
    ├── NothingMeasuredError   5  no measurement: never a pass
    ├── BudgetError            6  the budget is reached; the same command with a larger one goes on
    └── InterruptedRunError  130  stopped by the user; the same command goes on

The codes are public (README, "Exit codes") and tested.
"""


class RlvrBenchError(Exception):
    """Base of all errors shown to users as `error:` / `where:` / `hint:` lines."""

    exit_code = 70

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint


class RefusedError(RlvrBenchError):
    """The answer is no: a check found a change for the worse, a verdict is not taken, a submission is not valid."""

    exit_code = 1


class UsageError(RlvrBenchError):
    """A usage or configuration error; nothing was started."""

    exit_code = 2


class NotFoundError(UsageError):
    """A name that is not in the catalog."""


class FileFormatError(UsageError):
    """A file that does not say what it must, with its line."""


class RewardError(UsageError):
    """A reward raised, or returned something that is not one finite number, or None, per completion."""


class InputsChangedError(UsageError):
    """Scientific inputs differ from those of the run folder."""


class IncompleteError(RlvrBenchError):
    """Some stages failed; the report says which."""

    exit_code = 3


class EnvironmentFaultError(RlvrBenchError):
    """The machine lacks something, or an installed file is missing or damaged."""

    exit_code = 4


class NothingMeasuredError(RlvrBenchError):
    """There is no measurement to judge."""

    exit_code = 5


class BudgetError(RlvrBenchError):
    """The hours that a run may take are spent; it can be resumed."""

    exit_code = 6


class InterruptedRunError(RlvrBenchError):
    """The user stopped the run; it can be resumed."""

    exit_code = 130
