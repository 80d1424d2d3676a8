"""The commands verify, export-lake and import-lake: exit codes, last lines, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from nanolake.cli.ending import STRICT_EXIT
from nanolake.storage import Lake

Run = Callable[..., tuple[int, str, str]]


def test_a_lake_is_verified_exported_and_imported(
    run: Run, lake_copy: Lake, tmp_path: Path
) -> None:
    lake = lake_copy.root
    code, out, said = run("verify", "--lake", lake)
    assert (code, out.splitlines()[-1].partition(" in ")[0][-6:]) == (0, "intact")
    assert said.startswith("verify: up to ")
    code, out, said = run("export-lake", lake, tmp_path / "backup")
    assert code == 0
    assert out.startswith("export: ")
    assert "GB free; up to 0.6 GB of memory" in said
    assert run("verify", tmp_path / "backup")[0] == 0
    code, out, _ = run("import-lake", tmp_path / "backup", tmp_path / "new", "--json")
    made = json.loads(out)
    assert (code, made["rows"]["particle"]) == (0, lake_copy.query("FROM particle").num_rows)
    assert run("verify", tmp_path / "new", "--quick", "--quiet")[::2] == (0, "")
    code, _, said = run("import-lake", tmp_path / "backup", tmp_path / "new")
    assert (code, said.count("\n")) == (0, 1)  # the same folder once more changes nothing
    code, _, said = run("export-lake", lake, tmp_path / "backup")
    assert (code, said) == (
        1,
        f"nanolake: {tmp_path / 'backup'} is there already: name a new folder\n",
    )
    code, _, said = run("export-lake", lake, tmp_path / "x", "--at", "soon")
    assert (code, said.count("\n")) == (1, 1)
    code, _, said = run("export-lake", lake, tmp_path / "x", "--at", "10000")
    assert (code, said.count("\n")) == (1, 1)
    assert not (tmp_path / "x").exists()


def test_what_is_broken_ends_with_exit_code_3(run: Run, lake_copy: Lake, tmp_path: Path) -> None:
    export = tmp_path / "backup"
    assert run("export-lake", lake_copy.root, export, "--quiet")[0] == 0
    file = lake_copy.tables.root / lake_copy.data_files()[0].path  # type: ignore[attr-defined]
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    code, out, _ = run("verify", "--lake", lake_copy.root)
    assert code == STRICT_EXIT
    assert str(file) in out
    code, out, _ = run("verify", "--lake", lake_copy.root, "--json")
    found = json.loads(out)
    assert (code, found["intact"]) == (STRICT_EXIT, False)
    assert str(file) in [one["where"] for one in found["broken"]]
    (export / "README.txt").write_text("other")
    code, out, _ = run("verify", export)
    assert code == STRICT_EXIT
    assert str(export / "README.txt") in out
    code, _, said = run("import-lake", export, tmp_path / "new")
    assert code == 1
    assert f"{export / 'README.txt'} is changed" in said
