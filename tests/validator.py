"""What EXtra-data's validator finds in a run, without a pool of processes for each."""

from unittest import mock

from extra_data.validation import RunValidator


class Alone:
    """Stands in for a pool: everything is done here, where threads may run, which do not survive a fork."""

    def __init__(self, initializer=None):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def imap_unordered(self, function, tasks):
        return map(function, tasks)


def problems(path):
    """Return what is wrong with a run."""
    with mock.patch("extra_data.validation.Pool", Alone):
        validator = RunValidator(str(path))
        validator.run_checks()
    return validator.problems
