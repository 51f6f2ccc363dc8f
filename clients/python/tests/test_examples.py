"""What the README shows, and the agent, as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stemedb.signing import SigningKey

ROOT = Path(__file__).parents[3]
README = Path(__file__).parents[1] / "README.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


def test_the_readme_runs_from_top_to_bottom(
    urls: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {"__name__": "readme"}
    listed = '["http://127.0.0.1:18181", "http://127.0.0.1:18281", "http://127.0.0.1:18381"]'
    shown = blocks()
    assert len(shown) >= 12
    try:
        for number, block in enumerate(shown, 1):
            code = block.replace(listed, repr(urls)).replace('"agent.key"', repr(str(tmp_path / "agent.key")))
            assert "18181" not in code
            exec(compile(code, f"README example {number}", "exec"), names)
    finally:
        names["db"].close()
    printed = capsys.readouterr().out
    assert "out_of_range confidence" in printed
    assert "unanimous" in printed
    assert f"True ['{SigningKey.read(tmp_path / 'agent.key').agent}']" in printed


def test_the_agent_sees_its_claims(urls: list[str]) -> None:
    for wanted in ("stored|present", "present"):
        ran = subprocess.run(
            [sys.executable, ROOT / "examples" / "agent.py", *urls],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert len(re.findall(rf"^({wanted}) +2 copies", ran.stdout, re.MULTILINE)) == 6
        assert "saw 6 of 6 claims" in ran.stdout


def test_the_agent_says_when_nobody_is_there() -> None:
    agent: list[str | Path] = [sys.executable, ROOT / "examples" / "agent.py", "http://127.0.0.1:1"]
    ran = subprocess.run(agent, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1
    assert "no gateway answers" in ran.stderr
