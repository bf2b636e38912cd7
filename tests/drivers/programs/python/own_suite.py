"""Runs unittest modules, and prints a line for each test: `pass`, `fail` or `skip`, and its id. Tracebacks go to standard error."""

import sys
import unittest


class Lines(unittest.TestResult):
    """A test has passed if nothing was said against it, by itself or by one of its subtests, until it stopped."""

    def startTest(self, test):
        super().startTest(test)
        self.said = "pass"

    def stopTest(self, test):
        super().stopTest(test)
        print(self.said, test.id(), flush=True)

    def addSkip(self, test, reason):
        self.said = "skip"

    def addError(self, test, err):
        self.fail(test, err)

    def addFailure(self, test, err):
        self.fail(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.fail(subtest, err)

    def addUnexpectedSuccess(self, test):
        self.said = "fail"

    def fail(self, test, err):
        self.said = "fail"
        print("====", test.id(), file=sys.stderr)
        print(self._exc_info_to_string(err, test), file=sys.stderr, flush=True)


sys.path.insert(0, "")
unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:]).run(Lines())
