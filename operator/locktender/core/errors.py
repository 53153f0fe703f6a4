"""What can go wrong on the control side, and what each class means for the queue.

LocktenderError
|-- JobProblem           the Job of a step cannot be made: shown, and tried again
|   |-- NameTaken        a Job of our name is not ours
|   `-- JobRefused       the API server (a quota, an admission policy) does not take it
|-- ReleaseRefused       admission held what we released: we lack the verb `release`
|-- UnreadableStatus     a newer version wrote the status: nothing is done, nothing is overwritten
|-- Stale                the world moved while we acted (a guarded patch failed): look again at once
`-- ApiError             the API server refused or did not answer: retried with growing patience
"""


class LocktenderError(Exception):
    """Base of all errors that we raise ourselves."""


class JobProblem(LocktenderError):
    """The Job of a step cannot be made. `str()` is the sentence to show."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step


class NameTaken(JobProblem):
    """An object of the name that we need exists and does not carry our owner's uid."""


class JobRefused(JobProblem):
    """The API server does not accept the Job."""


class ReleaseRefused(LocktenderError):
    """The gate held a Deployment that we released. `str()` is the sentence to show."""


class UnreadableStatus(LocktenderError):
    """A stored status is not of a form that this version knows."""


class Stale(LocktenderError):
    """A precondition failed: what we decided on is no longer so."""


class ApiError(LocktenderError):
    """The API server refused a request or could not be reached. `status` is the HTTP status, 0 without an answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status = status
        self.reason = reason
