"""Files beside the package: the workflow, the forms, CITATION.cff and CONTRIBUTING.md are valid and current."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from paths import ROOT
from test_rooms import ROOMS
from test_versions import PYTHONS

from m2f2bench.version import __version__

GITHUB = ROOT / ".github"
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
CFF_REQUIRED = {"authors", "cff-version", "message", "title"}
"""The keys that the schema of the Citation File Format 1.2.0 requires."""
CFF_KEYS = CFF_REQUIRED | {"abstract", "date-released", "doi", "keywords", "license", "type", "url", "version"}
ELEMENTS = {
    "markdown": {"value"},
    "input": {"label"},
    "textarea": {"label"},
    "dropdown": {"label", "options"},
    "checkboxes": {"label", "options"},
}
"""The elements of an issue form, with the attributes that GitHub requires."""
OPTIONAL = {"description", "placeholder", "value", "render", "multiple", "default"}


def read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # all texts: `on` and 3.10 stay what they are


def test_the_workflow_tests_each_python_and_the_lowest_versions() -> None:
    workflow = read(GITHUB / "workflows" / "ci.yml")
    assert set(workflow["on"]) == {"push", "pull_request"} and workflow["permissions"] == {"contents": "read"}
    jobs = workflow["jobs"]
    assert tuple(jobs["test"]["strategy"]["matrix"]["python-version"]) == PYTHONS
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert commands["lint"] == ["make lint types"] and "make test-all" in commands["test"]
    (lowest,) = commands["lowest"]
    assert lowest.startswith("make test-lowest ")
    (python,) = (step["with"]["python-version"] for step in jobs["lowest"]["steps"] if "python" in step.get("uses", ""))
    assert python == PYTHONS[0]


def test_the_workflow_only_makes_what_the_makefile_can() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for job in read(GITHUB / "workflows" / "ci.yml")["jobs"].values():
        assert job["runs-on"] and int(job["timeout-minutes"]) > 0
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert "run" not in step or {w for w in step["run"].split()[1:] if "=" not in w} <= targets
            assert "uses" not in step or re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])


def test_there_is_a_form_for_each_subject() -> None:
    assert {path.stem for path in FORMS} == {"bug", "new-dataset", "new-detector", "result"}
    assert (GITHUB / "pull_request_template.md").is_file()
    assert read(GITHUB / "ISSUE_TEMPLATE" / "config.yml") == {"blank_issues_enabled": "true"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one_that_github_takes(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= set(form) <= {"name", "description", "body", "labels", "title"}
    asked = [element for element in form["body"] if element["type"] != "markdown"]
    ids = [element["id"] for element in asked]
    assert asked and len(set(ids)) == len(ids) and all(re.fullmatch(r"[\w-]+", one) for one in ids)
    for element in form["body"]:
        needed, given = ELEMENTS[element["type"]], set(element["attributes"])
        assert needed <= given <= needed | OPTIONAL
        assert set(element) <= {"type", "id", "attributes", "validations"}
        assert set(element.get("validations", {})) <= {"required"}
        options = element["attributes"].get("options", [])
        assert all(isinstance(one, str if element["type"] == "dropdown" else dict) for one in options)


def test_the_citation_has_what_its_schema_requires() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert CFF_REQUIRED <= set(citation) <= CFF_KEYS and citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software" and citation["license"] == "MIT"
    assert citation["authors"] and all(set(one) == {"name"} for one in citation["authors"])
    holder = re.search(r"Copyright \(c\) \d+ (.+)", (ROOT / "LICENSE").read_text(encoding="utf-8"))
    assert holder and [one["name"] for one in citation["authors"]] == [holder[1]]


def test_contributing_lists_the_rooms_in_their_order() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == ROOMS


def test_contributing_sets_up_in_three_commands_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    (.+)$", text.partition("## Set-up")[2].partition("## ")[0], re.MULTILINE)
    assert len(lines) == 3 and lines[1] == "pip install -c constraints.txt -e '.[test,dev]'"


def test_every_page_on_adding_something_is_linked() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [page.name for page in (ROOT / "docs").glob("add-*.md") if f"(docs/{page.name})" not in text] == []


def test_a_release_is_tried_on_each_python_before_it_is_published() -> None:
    workflow = read(GITHUB / "workflows" / "publish.yml")
    jobs = workflow["jobs"]
    assert workflow["on"] == {"release": {"types": ["published"]}} and workflow["permissions"] == {"contents": "read"}
    assert jobs["publish"]["needs"] == "try" and jobs["try"]["needs"] == "build"
    assert jobs["try"]["strategy"]["matrix"]["python-version"] == ["3.10", "3.11", "3.12", "3.13"]
    assert [name for name, job in jobs.items() if job.get("permissions", {}).get("id-token") == "write"] == ["publish"]


def test_the_changelog_has_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d[^\]]*)\] - \d{4}-\d\d-\d\d$", text, re.MULTILINE)
    assert released[0] == __version__ and len(set(released)) == len(released)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
