"""Train and test every row of a table of the paper, one after another, with seeds, resuming what stopped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarking.candidates import make_network
from benchmarking.counts import count_parameters
from mmdualhead.evaluation.accuracy import accuracies, true_class_ranks
from mmdualhead.evaluation.fusion import fuse, join
from mmdualhead.evaluation.readers import read_scores
from mmdualhead.utils.files import write_text
from mmdualhead.utils.tables import escape_markdown, markdown_table

from .paper_tables import Experiment, Row, get_table

METRICS = {'top1': 'top-1 %', 'top5': 'top-5 %', 'mean_class': 'mean class %'}
Launch = Callable[[Sequence[str], Path], int]


@dataclass(frozen=True)
class Run:
    """One experiment with one seed, in its own work dir."""

    experiment: Experiment
    seed: int
    work_dir: Path

    @property
    def config(self) -> Path:
        """The complete config, beside the work dir, into which the runner writes one of its own."""
        return self.work_dir.with_name(f'{self.work_dir.name}.py')

    @property
    def dumps(self) -> list[Path]:
        """Its scores; none until it has been tested."""
        return list(self.work_dir.rglob('scores.npz'))

    @property
    def checkpoint(self) -> Path | None:
        """The last checkpoint, also where the work dir has been moved."""
        pointer = self.work_dir / 'last_checkpoint'
        if not pointer.is_file():
            return None
        checkpoint = self.work_dir / Path(pointer.read_text().strip()).name
        return checkpoint if checkpoint.is_file() else None


@dataclass(kw_only=True)
class Reproduction:
    """A table on a benchmark.

    Every run trains to the end by ``mmdualhead train``, and tests the last checkpoint
    (the best one would have been chosen on the test data). Runs that several rows or tables need are made
    once, and what is already there is not made again.

    Args:
        table: number or name of the table (:func:`~.paper_tables.get_table`).
        benchmark: such as ``ntu60_xsub``, ``utd_mhad``, or ``quickstart`` for the embedded data.
        configs: the folder of the configs.
        work_dir: where the runs and the table go.
        seeds: each experiment is made once with each.
        options: changes of every config, as ``--cfg-options`` takes them.
        gpus: processes of each training.
        launch: starts a command, writes what it prints to a file, and returns its exit status.
        say: receives the lines that report progress.

    Raises:
        ValueError: the table does not exist.
        FileNotFoundError: none of the table's rows has its configs.
    """

    table: str
    benchmark: str
    configs: Path
    work_dir: Path
    seeds: Sequence[int] = (0,)
    options: Mapping[str, Any] = field(default_factory=dict)
    gpus: int = 1
    launch: Launch = field(default_factory=lambda: launch_logged)
    say: Callable[[str], None] = print

    def __post_init__(self) -> None:
        self.seeds = tuple(dict.fromkeys(self.seeds))
        self.failed: list[str] = []
        self._counted: dict[Path, int] = {}
        self.content = get_table(self.table)
        self.out_file = self.work_dir / f'table{self.table}_{self.benchmark}.md'
        self.rows = [row for row in self.content.rows if not self._missing(row)]
        if not self.rows:
            needed = ', '.join(self._missing(*self.content.rows))
            raise FileNotFoundError(f'{self.configs} has no config for table {self.table}: {needed}')

    def runs(self) -> list[Run]:
        """All runs, each once, seed by seed, so that a table with one seed is whole first."""
        every = [run for seed in self.seeds for row in self.rows for run in self._runs_of(row, seed)]
        return list(dict.fromkeys(every))

    def reproduce(self) -> bool:
        """Make what is missing, and write the table after every run.

        Returns:
            Whether all runs succeeded; the others are missing from the table and are tried again next time.

        Raises:
            ValueError: a run was begun with other settings. Checked for all runs before any starts.
        """
        runs = self.runs()
        for run in runs:
            self._write_config(run)
        for number, run in enumerate(runs, 1):
            name = f'[{number}/{len(runs)}] {run.work_dir}'
            if run.dumps:
                self.say(f'{name}: done before')
            elif not self._make(run, name):
                self.failed.append(str(run.work_dir))
            write_text(self.out_file, self.to_markdown())
        return not self.failed

    def to_markdown(self) -> str:
        """The table: mean ± sample standard deviation over seeds, in %."""
        paper_on = self.content.paper_on or self.benchmark
        with_paper = any(paper_on in row.paper for row in self.rows)
        header = ['row', 'parameters', *METRICS.values(), 'seeds', *([f'paper ({paper_on})'] * with_paper)]
        lines = []
        for row in self.rows:
            results = list(self._results(row))
            figures = [mean_and_deviation([100 * result[key] for result in results]) for key in METRICS]
            paper = [row.paper.get(paper_on, '')] * with_paper
            lines.append([row.label, self._parameters(row), *figures, len(results), *paper])
        title = f'# Table {self.table}: {self.content.title} ({escape_markdown(self.benchmark)})'
        remarks = '\n'.join(map(escape_markdown, self._remarks()))
        return f'{title}\n\n{markdown_table(header, lines)}\n\n{remarks}\n'

    def _remarks(self) -> list[str]:
        seeds = ', '.join(map(str, self.seeds))
        remarks = [
            f'Mean ± sample standard deviation over seeds {seeds}; last checkpoints.',
            'Fused rows: streams of one seed, equal weights; parameters of one stream.',
        ]
        if self.options:
            changes = ', '.join(f'{key}={value}' for key, value in self.options.items())
            remarks.append(f'Every config with {changes}.')
        left_out = [row for row in self.content.rows if self._missing(row)]
        if left_out:
            remarks.append(f'Left out for lack of configs: {", ".join(row.label for row in left_out)}.')
            remarks.append(f'Missing in {self.configs.name}/: {", ".join(self._missing(*left_out))}.')
        return remarks

    def _missing(self, *rows: Row) -> list[str]:
        experiments = [one for row in rows for one in row.experiments(self.benchmark, self.configs)]
        return list(dict.fromkeys(name for one in experiments for name in one.missing(self.configs)))

    def _runs_of(self, row: Row, seed: int) -> list[Run]:
        experiments = row.experiments(self.benchmark, self.configs)
        return [Run(one, seed, self.work_dir / one.name / f'seed{seed}') for one in experiments]

    def _results(self, row: Row) -> Iterator[dict[str, float]]:
        """The metrics of each seed whose runs are all there."""
        for seed in self.seeds:
            runs = self._runs_of(row, seed)
            if all(run.dumps for run in runs):
                streams = join([read_scores(max(run.dumps)) for run in runs])
                fused = fuse(streams, [1.0] * len(streams))
                yield accuracies(true_class_ranks(fused.fused, fused.labels), fused.labels)

    def _parameters(self, row: Row) -> str:
        """The parameters of one stream's model, in millions; of a run that has been configured."""
        config = self._runs_of(row, self.seeds[0])[0].config
        if not config.is_file():
            return ''
        if config not in self._counted:
            self._counted[config] = count_parameters(make_network(str(config), {}))
        return f'{self._counted[config] / 1e6:.2f}M'

    def _write_config(self, run: Run) -> None:
        """Complete the config of a run, or make sure that the run was begun with the same."""
        config = run.experiment.load()
        config.merge_from_dict(dict(self.options))
        config.randomness = dict(config.get('randomness') or {}, seed=run.seed)
        evaluators = config.test_evaluator
        evaluators = list(evaluators) if isinstance(evaluators, Sequence) else [evaluators]
        kept = [one for one in evaluators if one['type'] != 'DumpScores']
        config.test_evaluator = [*kept, dict(type='DumpScores')]  # beside the log
        if not run.config.exists():
            run.work_dir.mkdir(parents=True, exist_ok=True)
            write_text(run.config, config.pretty_text)
        elif run.config.read_text(encoding='utf-8') != config.pretty_text:
            raise ValueError(
                f'{run.config} differs from what is asked for now, so its results would not belong together; '
                f'choose another --work-dir or remove {run.work_dir}'
            )

    def _make(self, run: Run, name: str) -> bool:
        """Train to the end, from where it stopped, and test."""
        self.say(f'{name}: training{", resumed" if run.checkpoint else ""}')
        resume = ['--resume'] if run.checkpoint else []
        if not self._step(run, 'train', [*resume]):
            return False
        self.say(f'{name}: testing {run.checkpoint}')
        return self._step(run, 'test', [str(run.checkpoint)])

    def _step(self, run: Run, tool: str, arguments: list[str]) -> bool:
        log = run.work_dir / f'{tool}.log'
        command = [sys.executable, '-m', 'mmdualhead', tool, str(run.config), *arguments]
        command += ['--work-dir', str(run.work_dir)]
        if self.gpus > 1:
            command[1:1] = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={self.gpus}']
            command += ['--launcher', 'pytorch']
        status = self.launch(command, log)
        made = run.checkpoint if tool == 'train' else run.dumps
        if status or not made:
            self.say(f'failed with exit status {status}: {_last_line(log)} (all of it: {log})')
        return not status and bool(made)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors='replace').strip().splitlines() if log.is_file() else []
    return lines[-1] if lines else 'it printed nothing'


def mean_and_deviation(values: Sequence[float], digits: int = 2) -> str:
    """``91.40 ± 0.32``; without a deviation of a single value, and a dash of none."""
    if not values:
        return '-'
    deviation = f' ± {np.std(values, ddof=1):.{digits}f}' if len(values) > 1 else ''
    return f'{np.mean(values):.{digits}f}{deviation}'


def launch_logged(command: Sequence[str], log: Path) -> int:
    """Run a command, adding all it prints to a file.

    Where this is interrupted, the command is given the time to save its state: on Ctrl-C it hears the signal
    itself, else it is terminated.

    Returns:
        Its exit status.
    """
    with log.open('ab') as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise
        except BaseException:
            process.terminate()
            process.wait()
            raise
