import pytest

from devtools import browser, checks, commands, environment
from devtools.environment import SetupError


@pytest.fixture
def steps(monkeypatch):
    """run(*steps) with a table of steps of our own; nothing is set up."""
    monkeypatch.setattr(environment, "ensure", environment.current)
    monkeypatch.setenv("COMFYUI_PATH", "comfyui")

    def run(**table):
        monkeypatch.setattr(checks, "STEPS", table)
        return checks.run(list(table))

    return run


def passing(found, pytest_arguments):
    yield "something", 0


def failing(found, pytest_arguments):
    yield "first", 0
    yield "second", 3


def without_a_browser(found, pytest_arguments):
    raise checks.NotRunError("No browser was found.")
    yield


def test_all_steps_run_and_one_failure_fails_the_whole(steps, capsys):
    assert steps(one=failing, two=passing) == 1
    shown = capsys.readouterr().out
    assert "failed: second" in shown
    assert "two      passed" in shown


def test_passing_steps_pass(steps):
    assert steps(one=passing, two=passing) == 0


@pytest.mark.parametrize(("in_ci", "code"), [(True, 1), (False, 0)])
def test_a_step_that_cannot_run_fails_in_ci_only_and_says_why(steps, capsys, monkeypatch, in_ci, code):
    monkeypatch.setattr(checks, "IN_CI", in_ci)
    assert steps(one=without_a_browser) == code
    shown = capsys.readouterr().out
    assert "No browser was found." in shown
    assert "not run" in shown


def test_what_cannot_be_set_up_is_a_sentence_not_a_traceback(monkeypatch, capsys):
    def refuse():
        raise SetupError("Tried to download, which failed.")

    monkeypatch.setattr(environment, "ensure", refuse)
    assert commands.main(["setup"]) == 1
    assert capsys.readouterr().out.strip() == "Tried to download, which failed."


def test_an_unknown_option_is_refused(capsys):
    with pytest.raises(SystemExit):
        commands.main(["setup", "--quickly"])


def test_a_browser_named_by_hand_is_the_one_used(monkeypatch, tmp_path):
    (tmp_path / "chrome").write_text("")
    monkeypatch.setenv("PUSA_BROWSER", str(tmp_path / "chrome"))
    assert browser.ensure_browser() == tmp_path / "chrome"


def test_a_browser_named_by_hand_that_is_not_there_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PUSA_BROWSER", str(tmp_path / "chrome"))
    with pytest.raises(SetupError, match="PUSA_BROWSER"):
        browser.ensure_browser()


def test_without_a_browser_and_rights_to_install_one_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(browser, "find_browser", lambda: None)
    monkeypatch.setattr(browser, "can_install_packages", lambda: False)
    with pytest.raises(SetupError, match="Install one of them"):
        browser.ensure_browser()


def test_on_debian_as_root_chromium_is_installed(monkeypatch, tmp_path):
    ran = []
    found = iter([None, tmp_path / "chromium"])
    monkeypatch.setattr(browser, "find_browser", lambda: next(found))
    monkeypatch.setattr(browser, "can_install_packages", lambda: True)
    monkeypatch.setattr(browser, "run_quietly", lambda command, *rest: ran.append(command[:2]))
    assert browser.ensure_browser() == tmp_path / "chromium"
    assert ran == [["apt-get", "update"], ["apt-get", "install"]]


def test_without_nodejs_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(browser.shutil, "which", lambda name: None)
    with pytest.raises(SetupError, match=r"Install Node\.js"):
        browser.ensure_node_packages()
