"""The documentation: guide and API reference.  pip install -e .[docs] && sphinx-build -W docs docs/_build"""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]

project = 'mmdualhead'
author = 'the mmdualhead developers'
release = version = runpy.run_path(str(ROOT / 'mmdualhead' / 'version.py'))['__version__']

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx.ext.apidoc']
apidoc_modules = [
    dict(
        path=str(ROOT / 'mmdualhead'),
        destination='api',
        separate_modules=True,
        module_first=True,
        automodule_options={'members', 'show-inheritance'},
    )
]
exclude_patterns = ['_build']
myst_heading_anchors = 3
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented_params'
autodoc_default_options = {'members': True, 'ignore-module-all': True}
autodoc_class_signature = 'separated'
napoleon_use_ivar = True
html_theme = 'alabaster'
html_theme_options = dict(
    description='DualHead-Net for MMAction2', page_width='1100px', sidebar_width='240px'
)
