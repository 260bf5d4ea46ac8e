"""What a person sets once in napari's Preferences is where every dock begins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hsi_napari
import pytest
from hsi_napari import settings
from hsi_napari.batch_request import HOW
from hsi_napari.links import Links
from hsi_napari.run_settings import SETTINGS, settings_of
from npe2 import PluginManifest

MANIFEST = PluginManifest.from_file(Path(hsi_napari.__file__).with_name("napari.yaml"))
read_page = settings._page  # before the fixture of all tests takes it away


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The plugin's page of the Preferences as napari keeps it, in a folder of its own."""
    napari_settings = pytest.importorskip("napari.settings")
    if not hasattr(napari_settings, "get_plugin_settings"):
        pytest.skip("this napari has no settings of plugins (0.9 and later have)")
    monkeypatch.setattr(napari_settings, "_CFG_PATH", str(tmp_path / "settings.yaml"))
    monkeypatch.setattr(settings, "_page", read_page)
    napari_settings._clear_plugin_settings_cache()
    found = read_page()
    if found is None:
        pytest.skip("the plugin is not installed: napari does not know its settings")
    yield found
    napari_settings._clear_plugin_settings_cache()


# ---- the page ------------------------------------------------------------------------------------------------------


def test_the_page_offers_what_the_module_reads() -> None:
    offered = MANIFEST.contributions.configurations[settings.PAGE].properties
    assert set(offered) == {"device", "memory", "threads", "seed", "folder"}


def test_the_defaults_of_the_page_are_those_of_the_options() -> None:
    offered = MANIFEST.contributions.configurations[settings.PAGE].properties
    options = {option.name: option.default for option in SETTINGS}
    for name in settings._OPTIONS:
        assert (offered[name].default or None) == (options[name] or None), name


def test_a_seed_of_the_page_is_one_that_a_run_takes() -> None:
    offered = MANIFEST.contributions.configurations[settings.PAGE].properties["seed"]
    (seed,) = (option for option in SETTINGS if option.name == "seed")
    assert (offered.minimum, offered.maximum) == (seed.lower, seed.upper)


# ---- as napari keeps them ------------------------------------------------------------------------------------------


def test_an_untouched_page_changes_no_option(page: Any) -> None:
    assert settings.with_defaults(SETTINGS) == SETTINGS
    assert settings.threads() == 0
    assert settings.results_folder() is None


def test_what_is_set_is_where_the_forms_of_all_kinds_begin(page: Any) -> None:
    page.device, page.memory, page.seed = "cpu", " 6G ", 11
    for kind in ("restore", "unmix", "fuse"):
        begins = {option.name: option.default for option in settings_of(kind)}  # type: ignore[arg-type]
        assert (begins["device"], begins["memory"], begins["seed"]) == ("cpu", "6G", 11)
    assert {o.name: o.default for o in settings.with_defaults(HOW)}["memory"] == "6G"


def test_what_is_set_outlasts_the_session(page: Any, tmp_path: Path) -> None:
    import napari.settings

    page.memory = "3G"
    assert "3G" in (tmp_path / "hsi-app.yaml").read_text(encoding="utf-8")
    napari.settings._clear_plugin_settings_cache()
    assert settings.defaults()["memory"] == "3G"


def test_a_device_that_is_none_is_refused_by_the_page(page: Any) -> None:
    with pytest.raises(ValueError, match="tpu"):
        page.device = "tpu"


def test_without_pages_of_plugins_the_program_keeps_its_own_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    napari_settings = pytest.importorskip("napari.settings")
    monkeypatch.setattr(settings, "_page", read_page)
    monkeypatch.delattr(napari_settings, "get_plugin_settings", raising=False)
    assert settings.defaults() == {}
    assert settings.with_defaults(SETTINGS) == SETTINGS


def test_a_plugin_that_napari_does_not_know_keeps_its_own_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    napari_settings = pytest.importorskip("napari.settings")

    def unknown(plugin: str) -> Any:
        raise KeyError(plugin)

    monkeypatch.setattr(settings, "_page", read_page)
    monkeypatch.setattr(napari_settings, "get_plugin_settings", unknown, raising=False)
    assert settings.defaults() == {}


# ---- folder of results ---------------------------------------------------------------------------------------------


def test_dialogs_begin_in_the_folder_of_results(page: Any, tmp_path: Path) -> None:
    assert settings.suggested("scene.hdr") == "scene.hdr"
    page.folder = str(tmp_path)
    assert settings.suggested("scene.hdr") == str(tmp_path / "scene.hdr")


def test_a_folder_that_is_gone_is_not_suggested(page: Any, tmp_path: Path) -> None:
    page.folder = str(tmp_path / "gone")
    assert settings.results_folder() is None
    assert settings.suggested("scene.hdr") == "scene.hdr"


def test_a_batch_goes_to_the_folder_of_results(page: Any, toolkit: Any, tmp_path: Path) -> None:
    from hsi_napari.batch_form import BatchForm

    (tmp_path / "flight").mkdir()
    page.folder = str(tmp_path)
    form = BatchForm()
    toolkit.addWidget(form)
    form.inputs.add([str(tmp_path / "flight")])
    assert form.folder.text() == str(tmp_path / "flight_restored")


# ---- docks that are open -------------------------------------------------------------------------------------------


@pytest.fixture
def dock(page: Any, viewer: Any, toolkit: Any) -> Any:
    from hsi_napari.unmix_dock import UnmixDock

    dock = UnmixDock(viewer)
    toolkit.addWidget(dock)
    return dock


def test_an_open_dock_follows_the_preferences(page: Any, dock: Any) -> None:
    page.memory, page.seed = "2G", 5
    assert dock.form.settings.values()["memory"] == "2G"
    assert dock.form.chosen()[2].seed == 5


def test_what_was_entered_in_a_dock_is_kept(page: Any, dock: Any) -> None:
    dock.form.settings.put({"seed": 3})
    page.seed, page.device = 5, "cpu"
    assert dock.form.settings.values()["seed"] == 3
    assert dock.form.settings.values()["device"] == "cpu"


def test_a_memory_that_is_none_is_told_when_a_run_is_asked_for(page: Any, dock: Any, layer: Any) -> None:
    page.memory = "plenty"
    dock.run()
    assert dock.run_panel.message.is_error
    assert "plenty" in dock.run_panel.message.text()


def test_a_closed_dock_no_longer_listens(page: Any, dock: Any) -> None:
    dock.links.cut()
    page.seed = 9
    assert dock.form.settings.values()["seed"] == 0


def test_links_that_are_cut_say_so() -> None:
    links = Links()
    assert not links.is_cut
    links.cut()
    assert links.is_cut


# ---- threads -------------------------------------------------------------------------------------------------------


def in_a_thread(call: Callable[[], Any]) -> Any:
    given: list[Any] = []
    thread = threading.Thread(target=lambda: given.append(call()))
    thread.start()
    thread.join()
    return given[0]


def test_a_run_has_the_threads_that_were_set_and_nothing_else_has() -> None:
    import torch

    before = torch.get_num_threads()

    def run() -> int:
        with settings.torch_threads(before + 2):
            return torch.get_num_threads()

    assert in_a_thread(run) == before + 2
    assert torch.get_num_threads() == before
    assert in_a_thread(torch.get_num_threads) == before


def test_a_run_that_fails_gives_the_threads_back() -> None:
    import torch

    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), settings.torch_threads(before + 1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_the_worker_of_a_run_takes_the_threads_of_the_preferences(page: Any, toolkit: Any) -> None:
    import torch
    from hsi_napari.worker import JobWorker

    page.threads = torch.get_num_threads() + 3
    worker = JobWorker(lambda job: torch.get_num_threads())
    with toolkit.waitSignal(worker.returned, timeout=10_000) as returned:
        worker.start()
    assert returned.args == [page.threads]
