"""Write the list of configs, configs/metafile.yml, and the pages that quote costs, results and weights.

The pages are docs/model_zoo.md and, in README.md and the other pages of docs/, the marked tables. Measured
results are in configs/results.yml.

python tools/metafile.py
python tools/metafile.py --release release --url https://github.com/OWNER/mmdualhead/releases/download/v1.0.0
"""

from __future__ import annotations

from pathlib import Path

import yaml

from mmdualhead.utils.command import make_parser, run_main
from mmdualhead.utils.files import write_text
from model_zoo.entries import describe_all, enter_files
from model_zoo.pages import metafile, zoo_page
from model_zoo.results import REGION, fill_tables, make_tables, zoo_accuracies
from pack import read_sums

ROOT = Path(__file__).resolve().parents[1]


def render(
    root: Path, recount: bool = False, release: Path | None = None, url: str = ''
) -> tuple[int, dict[Path, str]]:
    """Return the contents of the files.

    Args:
        root: the folder of the repository.
        recount: count all networks, which takes minutes; otherwise only those of new configs.
        release: a folder of tools/pack.py, whose files are entered.
        url: the address that these files will have, without their names.

    Returns:
        The number of configs, and the text of each file. Without a clone there are no pages.
    """
    configs, docs = root / 'configs', root / 'docs'
    results = yaml.safe_load((configs / 'results.yml').read_text(encoding='utf-8'))
    list_of_configs = configs / 'metafile.yml'
    earlier = yaml.safe_load(list_of_configs.read_text(encoding='utf-8')) if list_of_configs.exists() else {}
    known = {entry['Name']: entry for entry in earlier.get('Models', ())}
    entries = describe_all(configs, zoo_accuracies(results), known, recount)
    if release is not None:
        enter_files(entries, read_sums(release), url.rstrip('/'))
    texts = {list_of_configs: metafile(entries)}
    if docs.is_dir():
        texts[docs / 'model_zoo.md'] = zoo_page(entries)
    tables = make_tables(results)
    for page in filter(Path.is_file, (*docs.glob('*.md'), root / 'README.md')):
        text = page.read_text(encoding='utf-8')
        if REGION.search(text):
            texts[page] = fill_tables(text, tables)
    return len(entries), texts


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('--recount', action='store_true', help='count all networks again (minutes)')
    parser.add_argument('--release', type=Path, help='a folder of tools/pack.py, whose files are entered')
    parser.add_argument('--url', help='the address of the files of --release, without their names')
    args = parser.parse_args()
    if bool(args.release) != bool(args.url):
        parser.error('--release and --url go together')
    number, texts = render(ROOT, args.recount, args.release, args.url or '')
    for path, text in texts.items():
        write_text(path, text)
    print(f'{number} configs')


if __name__ == '__main__':
    run_main(main)
