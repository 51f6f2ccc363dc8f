"""Refusals as exceptions."""

from __future__ import annotations

import pickle

from stemedb import Problem, Unreachable


def test_a_problem_says_everything() -> None:
    body = (
        b'{"status":413,"code":"line_too_long","detail":"long","path":"$","limit":1048576,"next_step":"split it","id":"x"}'
    )
    problem = Problem.read(413, body, "http://a:1", "trace")
    assert (problem.status, problem.code, problem.path, problem.limit) == (413, "line_too_long", "$", 1048576)
    assert (problem.next_step, problem.trace_id, problem.members["id"]) == ("split it", "trace", "x")
    assert str(problem) == "413 line_too_long at $: long → split it"


def test_what_is_no_problem_json_is_one_all_the_same() -> None:
    problem = Problem.read(502, b"<html>Bad Gateway</html>")
    assert problem.code == "http_502"
    assert "Bad Gateway" in problem.detail


def test_they_travel_between_processes() -> None:
    problem = pickle.loads(pickle.dumps(Problem(422, {"code": "empty", "path": "subject"}, "http://a:1")))
    assert (problem.code, problem.path, problem.url) == ("empty", "subject", "http://a:1")
    nobody = pickle.loads(pickle.dumps(Unreachable([("http://a:1", "refused")])))
    assert nobody.attempts == (("http://a:1", "refused"),)
