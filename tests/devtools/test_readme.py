import re


def test_everything_the_documents_link_to_is_there(pack_root):
    missing = []
    for document in [
        pack_root / "README.md",
        *(pack_root / "docs").glob("*.md"),
        pack_root / "demo" / "models" / "README.md",
    ]:
        text = document.read_text("utf-8")
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text) + re.findall(r"src=\"([^\"]+)\"", text):
            if not target.startswith("https://") and not (document.parent / target).exists():
                missing.append(f"{document.name}: {target}")
    assert missing == []


def test_the_commands_of_the_readme_are_commands(pack_root):
    from devtools.commands import parser

    named = set(re.findall(r"python dev\.py (\w+)", (pack_root / "README.md").read_text("utf-8")))
    assert {"demo", "test"} <= named
    for command in named:
        assert parser().parse_args([command]).command


def test_ci_runs_the_readmes_test_command(pack_root):
    assert "python3 dev.py test" in (pack_root / ".ci" / "run").read_text("utf-8")
