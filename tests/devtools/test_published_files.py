"""What the Comfy Registry publishes, and what its scanner and ComfyUI-Manager make of it."""

import fnmatch
import re
import subprocess
import sys

import pytest

from devtools.node_ids import node_ids

PUBLISHED = {
    ".comfyignore",
    "LICENSE",
    "README.md",
    "__init__.py",
    "assets",
    "js",
    "locales",
    "nodes",
    "pusa_core",
    "pyproject.toml",
    "requirements-fleet.txt",
    "requirements-train.txt",
    "requirements.txt",
    "subgraphs",
    "workflows",
}
FLAGGED_IN_PYTHON = re.compile(
    r"\b(eval|exec)\(|\bsubprocess\b|\bos\.(environ|system|popen)\b|\burllib\b|\brequests\b|\bsocket\b|\bsqlite3?\b"
    r"|\bprint\(|\.cuda\(|\.to\([\"']cuda"
)
FLAGGED_IN_SCRIPTS = re.compile(r"\.(bind|connect)\(|\beval\(|innerHTML|https?://")


@pytest.fixture(scope="module")
def tracked(pack_root) -> list[str]:
    """Every file of the checkout that git knows or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=pack_root, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if (pack_root / name).is_file()]


@pytest.fixture(scope="module")
def published(pack_root, tracked) -> list[str]:
    """The files of the published archive: what git tracks, less .comfyignore, which is read as a .gitignore."""
    command = ["git", "-c", "core.excludesFile=.comfyignore", "check-ignore", "--no-index", "--stdin"]
    names = "\n".join(tracked)
    listed = subprocess.run(command, cwd=pack_root, input=names, capture_output=True, text=True, check=False)
    ignored = set(listed.stdout.splitlines())
    assert "dev.py" in ignored
    return [name for name in tracked if name not in ignored]


def sources(names, pack_root, *patterns):
    for name in names:
        if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            yield name, (pack_root / name).read_bytes().decode("utf-8")


def flagged(names, pack_root, expression, *patterns):
    """Lines of the files that the expression finds, without comments."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in sources(names, pack_root, *patterns)
        for number, line in enumerate(text.splitlines(), 1)
        if expression.search(line) and not line.lstrip().startswith(("#", "//", "*"))
    ]


def test_only_what_a_user_needs_is_published(published):
    assert {name.split("/")[0] for name in published} <= PUBLISHED


def test_everything_the_pack_needs_is_published(published):
    assert {"__init__.py", "LICENSE", "pyproject.toml", "requirements.txt", "nodes/__init__.py"} <= set(
        published
    )


def test_every_help_page_and_its_picture_is_published(published, pack_root):
    pages = {path.relative_to(pack_root).as_posix() for path in (pack_root / "js" / "docs").rglob("*.*")}
    assert len(pages) > 3 * len(node_ids(pack_root))
    assert pages <= set(published)


def test_published_python_has_nothing_that_the_registrys_scanner_flags(published, pack_root):
    assert flagged(published, pack_root, FLAGGED_IN_PYTHON, "*.py") == []


def test_published_scripts_have_nothing_that_the_registrys_scanner_flags(published, pack_root):
    assert flagged(published, pack_root, FLAGGED_IN_SCRIPTS, "*.js") == []


def test_published_python_can_be_read_on_windows_in_its_own_encoding(published, pack_root):
    for name, text in sources(published, pack_root, "*.py"):
        try:
            text.encode("cp1252")
        except UnicodeEncodeError as error:
            pytest.fail(f"{name} holds {error.object[error.start]!a}, which cp1252 does not know")


def test_no_file_names_a_folder_of_somebodys_machine(tracked, pack_root):
    machine_path = re.compile(r"(^|[\s\"'(=`])/(work|root|opt|farm)/\w")
    kinds = ("*.py", "*.md", "*.toml", "*.json", "*.js", "*.yml", ".ci/*")
    own = "tests/devtools/test_published_files.py"
    assert flagged([name for name in tracked if name != own], pack_root, machine_path, *kinds) == []


def test_no_published_text_names_a_file_that_the_archive_lacks(published, pack_root):
    """Installed, a text can point at a help page or at the repository's address; README.md is the repository's own front page."""
    lines = (pack_root / ".comfyignore").read_text("utf-8").splitlines()
    ignored = [line.removeprefix("/") for line in lines if line and not line.startswith("#")]
    named = "|".join(re.escape(line) + (r"[\w.-]" if line.endswith("/") else r"\b") for line in ignored)
    lacking = re.compile(rf"(?<![\w/.-])(?:{named})")
    assert lacking.search("see docs/PERFORMANCE.md")
    assert lacking.search("python dev.py bench")
    assert not lacking.search("js/docs/A.md, https://github.com/a/b/blob/main/docs/A.md, mydev.py")
    texts = [name for name in published if name not in {"README.md", "pyproject.toml", ".comfyignore"}]
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text in sources(texts, pack_root, "*.py", "*.js", "*.json", "*.md", "*.css", "*.txt")
        for number, line in enumerate(text.splitlines(), 1)
        if lacking.search(line)
    ]
    assert found == []


def test_no_lock_file_is_kept(tracked):
    assert not [name for name in tracked if re.search(r"(package-lock\.json|uv\.lock|yarn\.lock)$", name)]


def test_every_node_id_begins_with_the_packs_name(pack_root):
    assert node_ids(pack_root)
    assert all(re.fullmatch(r"Pusa[A-Za-z0-9]+", name) for name in node_ids(pack_root))


def test_every_node_class_can_be_seen_by_managers_static_scanner(pack_root):
    """A direct base io.ComfyNode, and one literal node_id in each class."""
    for name, text in sources(
        ["nodes/" + path.name for path in (pack_root / "nodes").glob("*.py")], pack_root, "*.py"
    ):
        classes = re.findall(r"^class (\w+)\((?:io\.)?ComfyNode\):", text, re.MULTILINE)
        ids = re.findall(r"Schema\(\s*node_id=\"(\w+)\"", text)
        assert sorted(classes) == sorted(ids), name


def test_the_core_never_imports_comfyui(pack_root):
    for name, text in sources(
        [str(path.relative_to(pack_root).as_posix()) for path in (pack_root / "pusa_core").rglob("*.py")],
        pack_root,
        "*.py",
    ):
        assert not re.search(
            r"^\s*(from|import) (comfy|folder_paths|nodes|latent_preview)", text, re.MULTILINE
        ), name


def test_the_fleet_is_a_command_line_tool_that_no_node_and_no_other_part_imports(pack_root, tracked):
    """It starts ComfyUIs and needs Ray; the archive has it, and nothing of it runs unless somebody types its name."""
    names = [
        name
        for name in tracked
        if name == "__init__.py"
        or (name.startswith(("nodes/", "pusa_core/")) and not name.startswith("pusa_core/fleet/"))
    ]
    assert flagged(names, pack_root, re.compile(r"import.*\bfleet\b|\bfleet\b.*import|\bray\b"), "*.py") == []


def test_the_requirements_add_nothing_to_comfyuis(pack_root):
    lines = (pack_root / "requirements.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if line.strip() and not line.startswith("#")] == []


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib")
def test_the_project_file_says_what_the_registry_asks_for(pack_root):
    import tomllib

    project = tomllib.loads((pack_root / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["name"] == "pusa"
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["project"]["version"])
    assert project["project"]["urls"]["Repository"].startswith("https://github.com/")
    assert project["tool"]["comfy"]["requires-comfyui"] == ">=0.3.64"
    assert "web" not in project["tool"]["comfy"], "WEB_DIRECTORY is set; both would load each script twice"
