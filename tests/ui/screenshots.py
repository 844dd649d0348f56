"""Renders every page, light and dark, in two window sizes.

PYTHONPATH=.:tests python tests/ui/screenshots.py FOLDER [FONT]

Run by hand after a change to the look. The jobs are made up, and the worker is a fake one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from example_report import example_report, folder_report
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QApplication

from app.core.events import Failed, Finished, Note, ResultDone, Started
from app.core.job import Job, Output, new_id
from app.core.places import jobs_folder, user_data
from app.core.recipe import Recipe
from app.core.store import JobStore
from app.ui.application import make_context
from app.ui.preferences import Preferences
from app.ui.theme import Theme
from app.ui.window import Window

FAKE = Path(__file__).parents[1] / "fake_worker.py"
SIZES = ((1280, 800), (900, 600))
OUT_OF_MEMORY = Failed(
    "memory",
    "The system stopped the conversion, most likely because memory ran out.",
    "Close other programs and try again; it goes on where it stood.",
    "signal 9 SIGKILL",
)


def job(model: str, preset: str) -> Job:
    target = f"/home/ada/Models/{model}-{preset}.gguf"
    return Job(new_id(), f"/home/ada/models/{model}", (Output(target, Recipe(preset)),))


def fill_store() -> None:
    store = JobStore(jobs_folder())
    for preset in ("Q8_0", "Q5_K_M", "Q4_K_M"):
        done = job("Qwen3-8B", preset)
        store.create(done)
        report = store.folder(done.id) / "report-0.json"
        example_report(preset).save(report)
        store.append(done.id, Started(1, "cpu"))
        store.append(done.id, Note("A slice did not fit in memory and was halved."))
        store.append(done.id, ResultDone(0, str(report)))
        store.append(done.id, Finished())
    folder = job("Qwen3-8B", "w4a16-g128")
    store.create(folder)
    report = store.folder(folder.id) / "report-0.json"
    folder_report("w4a16-g128", "vLLM, SGLang, transformers").save(report)
    store.append(folder.id, Started(1, "cpu"))
    store.append(folder.id, ResultDone(0, str(report)))
    store.append(folder.id, Finished())
    failed = job("Mistral-Small-24B", "Q6_K")
    store.create(failed)
    store.append(failed.id, Started(1, "cpu"))
    store.append(failed.id, OUT_OF_MEMORY)
    for model, preset in (
        ("SmolLM3-3B", "Q5_K_M"),
        ("Llama-3.2-1B", "Q8_0"),
        ("gemma-3-4b", "Q4_K_M"),
    ):
        store.create(job(model, preset))


def pause(app: QApplication, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        app.processEvents()
        time.sleep(0.01)


def render(app: QApplication, window: Window, folder: Path, scheme: str) -> None:
    for size in SIZES:
        window.resize(*size)
        name = f"{scheme}-{size[0]}"
        for page in ("convert", "find", "queue", "reports", "computer", "settings"):
            window.open_page(page)
            pause(app, 0.4)
            window.grab().save(str(folder / f"{page}-{name}.png"))
            if page == "convert":
                window.page().more.setChecked(True)
                pause(app, 0.4)
                window.grab().save(str(folder / f"{page}-advanced-{name}.png"))
                window.page().escape()
            if page == "reports":
                bar = window.page().area.verticalScrollBar()
                for part in (1, 2):
                    bar.setValue(part * bar.pageStep())
                    pause(app, 0.2)
                    window.grab().save(str(folder / f"{page}-{part}-{name}.png"))
                bar.setValue(0)


def show_convert(app: QApplication, window: Window, theme: Theme, folder: Path) -> None:
    """The form with all formats, with several chosen, fitted, and with everything unfolded."""
    window.open_page("convert")
    page = window.page("convert")

    def shoot(name: str) -> None:
        for scheme in ("light", "dark"):
            theme.follow(scheme)
            for size in SIZES:
                window.resize(*size)
                pause(app, 0.3)
                pictures = [window.grab()]
                bar = page.area.verticalScrollBar()
                while bar.value() < bar.maximum():
                    bar.setValue(bar.value() + bar.pageStep())
                    pause(app, 0.1)
                    pictures.append(window.grab())
                for place, picture in enumerate(pictures):
                    picture.save(str(folder / f"convert-{name}-{scheme}-{size[0]}-{place}.png"))
                bar.setValue(0)

    page.quality.fitting.click()
    shoot("fitted")
    page.quality.all.click()
    shoot("all")
    page.quality.filter.setText("small")
    shoot("filter")
    page.quality.all.click()
    page.quality.formats.tick("IQ2_M")
    page.more.setChecked(True)
    page.advanced.recipe.overrides.add_rule("ffn_down", "Q6_K")
    page.advanced.recipe.overrides.add_rule("attn_q", "Q8_0")
    page.advanced._tensors.button.click()
    pause(app, 3)
    shoot("several")
    page.advanced.recipe.overrides.add_rule("nowhere", "Q8_0")
    pause(app, 3)
    shoot("refused")


def show_folders(app: QApplication, window: Window, theme: Theme, folder: Path) -> None:
    """Formats for other programs, some of which this computer lacks the hardware for."""
    window.open_page("convert")
    page = window.page("convert")
    page.quality.all.setChecked(True)
    for runtime in ("vllm", "mlx"):
        page.context.preferences.runtime = runtime
        pause(app, 2)
        if runtime == "vllm":
            page.quality.formats.choose("w4a16-g128")
            page.more.setChecked(True)
            page.method.choose("gptq")
            page.advanced.method.options.editors["damping"].value = "0.05"
        pause(app, 1)
        for scheme in ("light", "dark"):
            theme.follow(scheme)
            for size in SIZES:
                window.resize(*size)
                pause(app, 0.3)
                bar = page.area.verticalScrollBar()
                for place in range(3):
                    bar.setValue(place * bar.pageStep())
                    pause(app, 0.1)
                    name = f"convert-{runtime}-{scheme}-{size[0]}-{place}.png"
                    window.grab().save(str(folder / name))
                bar.setValue(0)
        page.more.setChecked(False)
    page.context.preferences.runtime = "llama.cpp"


def show_hub(app: QApplication, window: Window, theme: Theme, folder: Path) -> None:
    """A chosen model on the page Find."""
    window.open_page("find")
    page = window.page("find")
    pause(app, 1)
    page.list.choose("Qwen/Qwen3-8B")
    pause(app, 2)
    for scheme in ("light", "dark"):
        theme.follow(scheme)
        for size in SIZES:
            window.resize(*size)
            pause(app, 0.3)
            window.grab().save(str(folder / f"find-chosen-{scheme}-{size[0]}.png"))


def show_computers(app: QApplication, preferences: Preferences, theme: Theme, folder: Path) -> None:
    """The page Computer on other computers, and on one that is imagined."""
    for mode, imagined in (("no-gpu", ""), ("three-gpus", ""), ("mac", ""), ("ok", "RTX 4090")):
        context = make_context(preferences, [sys.executable, str(FAKE), mode])
        window = Window(context)
        window.show()
        window.open_page("computer")
        context.machine.watch()
        pause(app, 1.5)
        context.machine.imagine(imagined)
        pause(app, 1.5)
        for scheme in ("light", "dark"):
            theme.follow(scheme)
            for size in SIZES:
                window.resize(*size)
                pause(app, 0.3)
                window.grab().save(str(folder / f"computer-{mode}-{scheme}-{size[0]}.png"))
        window.close()


def main(folder: Path, font: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["NIBBLE_HOME"] = tempfile.mkdtemp(prefix="nibble-screenshots-")
    os.environ["HOME"] = "/home/ada"  # paths as a reader would have them
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    app = QApplication([])
    if font:
        app.setFont(QFont(font, 10))
    preferences = Preferences(user_data() / "settings.ini")
    theme = Theme(app, "light")
    empty = Window(make_context(preferences, [sys.executable, str(FAKE), "steady"]))
    empty.resize(*SIZES[0])
    empty.show()
    for page in ("convert", "queue", "reports"):
        empty.open_page(page)
        pause(app, 0.2)
        empty.grab().save(str(folder / f"{page}-empty.png"))
    empty.open_page("convert", "/home/ada/models/broken")
    pause(app, 1.5)
    empty.grab().save(str(folder / "convert-broken.png"))
    empty.close()
    fill_store()
    context = make_context(preferences, [sys.executable, str(FAKE), "steady"])
    window = Window(context)
    window.show()
    context.machine.watch()
    context.queue.begin()
    window.open_page("convert", "/home/ada/models/Qwen3-8B")
    pause(app, 4)
    for scheme in ("light", "dark"):
        theme.follow(scheme)
        render(app, window, folder, scheme)
    show_convert(app, window, theme, folder)
    show_folders(app, window, theme, folder)
    show_hub(app, window, theme, folder)
    window.close()
    show_computers(app, preferences, theme, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
