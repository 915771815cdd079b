import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mmdualhead.apis.estimators.bundle import cache_folder, find_bundle
from mmdualhead.errors import UserError


def bundle():
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w') as archive:
        archive.writestr('pose_detector.tflite', b'x' * 1000)
    return content.getvalue()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    return cache_folder()


@pytest.fixture
def server():
    """A server of files, whose contents are set, and the requests that it got."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content, stated = files[self.path]
            self.send_response(200)
            self.send_header('Content-Length', str(stated))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    asked, files = [], {}
    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{running.server_port}', files, asked
        running.shutdown()


def test_the_bundle_is_fetched_once(cache, server, capsys):
    address, files, asked = server
    files['/full.task'] = bundle(), len(bundle())
    path = find_bundle(address=f'{address}/full.task')
    assert path == cache / 'full.task'
    assert path.read_bytes() == bundle()
    assert f'fetching {address}/full.task' in capsys.readouterr().err
    assert find_bundle(address=f'{address}/full.task') == path
    assert asked == ['/full.task']


def test_an_incomplete_bundle_is_not_kept(cache, server):
    address, files, _ = server
    files['/full.task'] = bundle()[:500], len(bundle())
    with pytest.raises(
        UserError, match=r'could not be fetched .*; fetch it elsewhere and give --pose-model FILE'
    ):
        find_bundle(address=f'{address}/full.task')
    assert not list(cache.iterdir())


def test_without_a_network_the_way_around_is_named(cache):
    with pytest.raises(UserError, match=r'could not be fetched \(.*refused.*--pose-model FILE'):
        find_bundle(address='http://127.0.0.1:9/full.task')
    assert not cache.exists()


def test_a_file_of_ones_own_must_be_a_bundle(tmp_path):
    path = tmp_path / 'full.task'
    with pytest.raises(FileNotFoundError, match='no such file'):
        find_bundle(path)
    path.write_bytes(bundle()[:-40])
    with pytest.raises(UserError, match='not a bundle of MediaPipe'):
        find_bundle(path)
    path.write_bytes(bundle())
    assert find_bundle(path) == path
