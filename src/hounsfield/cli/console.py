"""Rich on the terminal: bars while a stage works, one clear line when it is done, one clear message when it cannot."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from hounsfield.pipeline.reporter import Progress as Advance
from hounsfield.pipeline.reporter import Reporter
from hounsfield.train import EpochNews


class Bars(Reporter):
    """Shows stages on a console; on a pipe or in a log, lines without bars."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("  {task.description}"), BarColumn(bar_width=28), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[news]}"), console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self.fits: dict[int, TaskID] = {}

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def stage(self, title: str) -> None:
        self.progress.stop()
        for task in list(self.progress.task_ids):
            self.progress.remove_task(task)
        self.fits.clear()
        self.console.print(f"[bold]{title}[/bold]")
        self.progress.start()

    def bar(self, what: str) -> Advance:
        task = self.progress.add_task(what, total=None, news="")
        return lambda done, total: self.progress.update(task, completed=done, total=total)

    def epoch(self, member: int, members: int, news: EpochNews) -> None:
        if member not in self.fits:
            name = f"member {member + 1} of {members}" if members > 1 else "epochs"
            self.fits[member] = self.progress.add_task(name, total=news.epochs, news="")
        told = f"loss {news.loss:.3f}, validation AUC {news.validation_auc:.3f}, {news.images_per_second:.0f} images/s"
        told += f", at most {_spoken(news.seconds_left)} left" if news.seconds_left else ""
        self.progress.update(self.fits[member], completed=news.epoch, news=told)
        if not self.console.is_terminal:
            self.console.print(
                f"  member {member + 1}/{members}, epoch {news.epoch}/{news.epochs}: {told}", highlight=False
            )

    def say(self, text: str) -> None:
        self.console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)


def _spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
