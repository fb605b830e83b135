"""The project's own tests: what `armada test` runs, in the sandbox and with real pages.

Tests are written for pytest and read with pytest's own parts: marks, parameters, rewritten assertions, tracebacks. Its runner
stays outside: it cannot wait for the host, and here each test is a job of its own, which may compute for ever and harms no
other. Modules of tests are imported while the component is built, as those of the project are; so what tests there are is
known before anything runs.
"""

from .collecting import Collection, collect
from .running import TestLife

__all__ = ["Collection", "TestLife", "collect"]
