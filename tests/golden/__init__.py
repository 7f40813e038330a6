"""Answers of a genuine Orthanc 1.10.1, recorded once and replayed against Wherry.

``orthanc-1.10.1.jsonl``    863 exchanges; their input files are of teaching sets that must not
                            be passed on: the replay asks for them in ``WHERRY_GOLDEN_SAMPLES``
``made-here-1.10.1.jsonl``  516 exchanges with files that anybody has (pydicom's test data and what
                            ``scenario`` makes); always replayed
``differences.json``        where Wherry differs on purpose, and why

``python -m tests.golden.record`` makes the second one again, with Debian's Orthanc.

bodies     the input files, and requests made of them
normalise  what legitimately changes from run to run gets a symbol
describe   an answer as JSON that can be compared
playing    sends one record, or a whole profile
compare    the differences of two answers, and which of them are explained
setups     the configuration that each profile needs
"""
