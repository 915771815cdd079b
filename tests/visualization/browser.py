"""A headless Chromium that keeps what a page asks for and complains about."""

import json
import shutil
from contextlib import contextmanager

import pytest

FLAGS = (
    *(
        '--headless=new',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-sync',
    ),
    *('--disable-background-networking', '--disable-component-update', '--enable-unsafe-swiftshader'),
)


@contextmanager
def chromium(profile, width=1600, height=1000, dark=False):
    """Yield a driver; skips where Chromium, its driver or selenium is missing."""
    selenium = pytest.importorskip('selenium.webdriver')
    program, driver_program = shutil.which('chromium'), shutil.which('chromedriver')
    if not program or not driver_program:
        pytest.skip('needs chromium and chromedriver')
    options = selenium.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f'--user-data-dir={profile}', f'--window-size={width},{height}'):
        options.add_argument(flag)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
    driver = selenium.Chrome(options, selenium.ChromeService(driver_program))
    try:
        size = dict(width=width, height=height, deviceScaleFactor=1, mobile=False)
        driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
        scheme = [dict(name='prefers-color-scheme', value='dark' if dark else 'light')]
        driver.execute_cdp_cmd('Emulation.setEmulatedMedia', dict(features=scheme))
        yield driver
    finally:
        driver.quit()


def requested(driver):
    """The addresses that were asked for since the last call."""
    events = [json.loads(entry['message'])['message'] for entry in driver.get_log('performance')]
    return [
        event['params']['request']['url']
        for event in events
        if event['method'] == 'Network.requestWillBeSent'
    ]


def complaints(driver):
    """Errors on the console since the last call."""
    return [entry['message'] for entry in driver.get_log('browser') if entry['level'] == 'SEVERE']
