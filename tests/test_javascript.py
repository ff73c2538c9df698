"""The AWS SDK for JavaScript, unmodified: `javascript/flow.js` asserts by itself and prints nothing when all is well.

FORNADA_JAVASCRIPT is the folder with its node_modules; `make test` installs it.
"""

import os
import pathlib
import shutil
import subprocess

import pytest

from server import REGION


def test_main_flow(server):
    folder = os.environ.get("FORNADA_JAVASCRIPT")
    if not folder or not shutil.which("node"):
        pytest.skip("needs node, and FORNADA_JAVASCRIPT: run it with `make test`")
    flow = pathlib.Path(__file__).parent / "javascript" / "flow.js"
    environment = server.aws_environment() | {
        "AWS_REGION": REGION,
        "NODE_PATH": os.path.join(folder, "node_modules"),
        # The SDK warns of each node release that it will not be supported for ever.
        "AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED": "true",
    }
    done = subprocess.run(
        ["node", flow], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
