"""The page on notebooks is what it says: its cells run one after the other."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "guides" / "notebooks.md"
SMALL = {
    r"total_steps=[\d_]+": "total_steps=2_000, num_envs=8, evaluations=2, eval_episodes=4",
    r"episodes=1000": "episodes=4",
}


def test_the_cells_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names: dict = {}
    for cell in cells:
        if "IPython" in cell:  # what shows the files that the cell before it made
            continue
        for pattern, small in SMALL.items():
            cell = re.sub(pattern, small, cell)
        exec(cell, names)
    assert names["curve"].is_file() and names["replay"].is_file()
    assert len(names["returns"]) >= 2 and len(names["returns"][-1]) == 3
    assert names["distribution"].mode().shape == (3,)
    assert "runs/watched" in names["run"]._repr_html_()
