"""Build mmdualhead.

Full ``mmcv`` and ``mmcv-lite`` provide the same module, and installing one over the other breaks both.
Whoever has mmcv keeps it; everybody else gets mmcv-lite. That is decided here, where the package is built,
so releases are published as source. MMDUALHEAD_MMCV=mmcv (or mmcv-lite) decides by hand, for wheels that are
meant for elsewhere.
"""

import os
import re
import runpy
import shutil
import site
import subprocess
import sysconfig
from importlib import metadata
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
README = ROOT / 'README.md'
PLACEHOLDER = 'OWNER/mmdualhead'
"""What the README has for the repository on GitHub, whose name a clone does not know."""
VERSIONS = runpy.run_path(str(ROOT / 'mmdualhead' / 'version.py'))
MIM_PARTS = ('configs', 'tools', 'docs/examples', 'model-index.yml')
EXTRAS = {
    'mim': ['openmim>=0.3.9', VERSIONS['SETUPTOOLS']],
    'plot': ['matplotlib'],
    'view': ['plotly'],
    'mat': ['scipy'],
    'video': ['mediapipe>=0.10.14', 'Pillow>=10.1'],
    'docs': ['sphinx', 'myst-parser'],
    'export': ['onnx', 'onnxruntime'],
    'hf': ['huggingface_hub'],
    'tensorboard': ['tensorboard'],
    'browser': ['selenium'],
    'notebook': ['nbclient', 'nbformat', 'ipykernel', 'matplotlib', 'plotly'],
    'tests': ['pytest', 'pytest-xdist', 'hypothesis', 'ruff', 'mypy'],
}
TESTED = ('tests', 'docs', 'plot', 'view', 'mat', 'export', 'hf', 'tensorboard')


def choose_mmcv() -> str:
    """The distribution that provides mmcv in the environment this package is being installed into.

    pip builds in isolation, where installed packages are hidden, but by the interpreter of that environment.
    """
    chosen = os.environ.get('MMDUALHEAD_MMCV')
    if chosen:
        return chosen
    folders = {sysconfig.get_path('purelib'), sysconfig.get_path('platlib'), site.getusersitepackages()}
    has_mmcv = any(metadata.distributions(name='mmcv', path=sorted(folders)))
    return 'mmcv' if has_mmcv else 'mmcv-lite'


def requirements() -> list[str]:
    """The supported ranges of version.py, with the name of the mmcv that was chosen."""
    names = {'mmcv': choose_mmcv()}
    return [f'{names.get(name, name)}{supported}' for name, supported in VERSIONS['SUPPORTED'].items()]


def repository() -> str:
    """OWNER/NAME on GitHub of the clone that this is; the README's placeholder elsewhere."""
    if not (ROOT / '.git').exists() or not shutil.which('git'):
        return PLACEHOLDER
    command = ['git', '-C', str(ROOT), 'remote', 'get-url', 'origin']
    origin = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    found = re.search(r'github\.com[:/](.+?/.+?)(\.git)?/?$', origin)
    return found[1] if found else PLACEHOLDER


def described(name: str, version: str) -> str:
    """The README for other places, such as PyPI: its links and images are those of a release on GitHub."""
    release = {kind: f'https://github.com/{name}/{kind}/v{version}' for kind in ('blob', 'raw')}

    def address(link: re.Match) -> str:
        target = f'README.md{link[2]}' if link[2].startswith('#') else link[2]
        return f'{link[1]}({release["raw" if link[1].startswith("!") else "blob"]}/{target})'

    text = re.sub(r'(!?\[[^\]]*\])\((?!https?:)([^)]+)\)', address, README.read_text(encoding='utf-8'))
    if name != PLACEHOLDER:
        text = re.sub(' +# OWNER: .*', '', text)
    return text.replace(PLACEHOLDER, name)


class BuildWithMim(build_py):
    """Adds ``mmdualhead/.mim``, where OpenMMLab's mim looks: copies in wheels, links when editable."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return self._link(ROOT / 'mmdualhead' / '.mim')
        return self._copy(Path(self.build_lib) / 'mmdualhead' / '.mim')

    def _link(self, mim: Path) -> None:
        for part in MIM_PARTS:
            link = mim / part
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(ROOT / part, link.parent))

    def _copy(self, mim: Path) -> None:
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for part in MIM_PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, mim / part, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy(source, mim / part)


if __name__ == '__main__':
    setup(
        name='mmdualhead',
        version=VERSIONS['__version__'],
        description='DualHead-Net for MMAction2: skeleton-based action recognition with two heads',
        long_description=described(repository(), VERSIONS['__version__']) if README.exists() else '',
        long_description_content_type='text/markdown',
        author='The mmdualhead contributors',
        license='Apache-2.0',
        license_files=['LICENSE'],
        keywords=[
            'skeleton-based action recognition',
            'graph convolution',
            'MMAction2',
            'OpenMMLab',
            'NTU RGB+D',
        ],
        python_requires='>=3.10',
        packages=find_packages(include=['mmdualhead', 'mmdualhead.*']),
        package_data={
            'mmdualhead': [
                'py.typed',
                'weights/*',
                'datasets/classes/*.txt',
                'visualization/assets/*',
            ]
        },
        py_modules=['mmdualhead_cli'],
        entry_points={'console_scripts': ['mmdualhead = mmdualhead_cli:main']},
        install_requires=requirements(),
        extras_require={**EXTRAS, 'tests': [part for name in TESTED for part in EXTRAS[name]]},
        cmdclass={'build_py': BuildWithMim},
        zip_safe=False,
        classifiers=[
            'Development Status :: 4 - Beta',
            'Intended Audience :: Science/Research',
            'Programming Language :: Python :: 3',
            *(f'Programming Language :: Python :: 3.{minor}' for minor in range(10, 14)),
            'Topic :: Scientific/Engineering :: Artificial Intelligence',
            'Typing :: Typed',
        ],
    )
