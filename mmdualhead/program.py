"""Where the files are that are not modules: configs, tools and examples."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def shipped(kind: str) -> Path:
    """The folder of the shipped ``configs``, ``tools`` or ``docs/examples``.

    It is beside the package in a clone, else inside it.
    """
    inside = PACKAGE / '.mim' / kind
    return (inside if inside.is_dir() else PACKAGE.parent / kind).resolve()


def config_files(folder: Path) -> list[Path]:
    """The configs in a folder that can be run: all but base configs."""
    return sorted(path for path in folder.rglob('*.py') if '_base_' not in path.relative_to(folder).parts)


def find_configs() -> dict[str, Path]:
    """The packaged configs by name."""
    paths = sorted(config_files(shipped('configs')), key=lambda path: len(path.parts))
    return {path.stem: path for path in paths}


def find_config(name: str) -> Path | None:
    """The packaged config with a name or a path in a clone, with or without ``.py``; or None.

    A file of the same name in another folder is a different config.
    """
    path = Path(name)
    config = find_configs().get(path.name.removesuffix('.py'))
    if config is None:
        return None
    in_clone = Path('configs', config.parent.relative_to(shipped('configs')))
    return config if path.parent in (Path(), in_clone) else None
