#!/usr/bin/env python3
"""Tests of the sandbox: all the *_cases.py beside it. Options are unittest's: -v, -k."""

import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def load_tests(loader, _tests, _pattern):
    names = sorted(path.stem for path in HERE.glob("*_cases.py"))
    return unittest.TestSuite(loader.loadTestsFromName(name) for name in names)


if __name__ == "__main__":
    unittest.main()
