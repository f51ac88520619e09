"""Runs pip, out of a wheel from the package index, for a Python that has none: Debian's without python3-venv.

Which index that is says pip's own configuration: PIP_INDEX_URL, or index-url in pip.conf.
"""

import configparser
import hashlib
import html.parser
import os
import pathlib
import runpy
import ssl
import sys
import tempfile
import urllib.parse
import urllib.request

WHEEL = "pip-25.3-py3-none-any.whl"
SHA256 = "9655943313a94722b7774661c21049070f6bbb0a1516bf02f7c8d5d9201514cd"
TIMEOUT = 60


def setting(name):
    """Returns a setting of pip's, which the environment or its files may have."""
    if given := os.environ.get("PIP_" + name.upper().replace("-", "_")):
        return given
    home = pathlib.Path.home()
    files = configparser.RawConfigParser()
    files.read(["/etc/pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf", os.environ.get("PIP_CONFIG_FILE", os.devnull)])
    return files.get("global", name, fallback=None)


class Links(html.parser.HTMLParser):
    """The links of a page of the index."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def fetch(url):
    context = ssl.create_default_context(cafile=setting("cert"))
    with urllib.request.urlopen(url, timeout=TIMEOUT, context=context) as answer:
        return answer.read()


def wheel():
    """Returns the wheel's bytes, which are those of its hash."""
    index = setting("index-url")
    if not index:
        sys.exit("this Python has neither venv nor pip: install python3-venv, or name a package index with PIP_INDEX_URL")
    page = index.rstrip("/") + "/pip/"
    links = Links()
    links.feed(fetch(page).decode())
    for link in links.found:
        path = urllib.parse.urlsplit(link).path
        if path.rsplit("/", 1)[-1] == WHEEL:
            content = fetch(urllib.parse.urljoin(page, link.split("#")[0]))
            if hashlib.sha256(content).hexdigest() != SHA256:
                sys.exit(f"{WHEEL} of the package index is not the one whose SHA-256 is known: it is not run")
            return content
    sys.exit(f"the package index has no {WHEEL}: set PIP_INDEX_URL, or install python3-venv")


with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder, WHEEL)
    file.write_bytes(wheel())
    sys.path.insert(0, str(file))
    sys.argv[0] = "pip"
    runpy.run_module("pip", run_name="__main__")
