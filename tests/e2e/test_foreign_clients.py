"""Clients that nobody here wrote: tritonclient, curl, axios."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from documented_pages import read_blocks  # noqa: E402

TRITON = """
import json, sys
import numpy as np
import tritonclient.http as http

address, token = sys.argv[1:]
client = http.InferenceServerClient(address)
x = np.array([[1, 2], [3, 4]], np.float32)
tensor = http.InferInput("x", x.shape, "FP32")
tensor.set_data_from_numpy(x, binary_data=True)
result = client.infer(
    "model",
    [tensor],
    outputs=[http.InferRequestedOutput("y", binary_data=True)],
    headers={"Authorization": f"Bearer {token}"},
    request_id="seven",
)
y = result.as_numpy("y")
reply = result.get_response()
raw = "binary_data_size" in reply["outputs"][0]["parameters"]
print(json.dumps([y.tolist(), str(y.dtype), raw, reply["id"], reply["model_name"]]))

bad = http.InferInput("x", [1, 3], "FP32")
bad.set_data_from_numpy(np.ones((1, 3), np.float32))
try:
    client.infer("model", [bad], headers={"Authorization": f"Bearer {token}"})
except http.InferenceServerException as error:
    print(json.dumps(str(error)))
"""

TRITON_HEALTH = """
import json, sys
import tritonclient.http as http

address, token = sys.argv[1:]
client = http.InferenceServerClient(address)
headers = {"Authorization": f"Bearer {token}"}
asked = [client.is_server_live(), client.is_server_ready(), client.is_model_ready("model")]
asked.append(client.is_model_ready("model", "1.0"))
asked.append(client.is_model_ready("other"))
print(json.dumps([asked, client.get_model_metadata("model", headers=headers)]))
print(json.dumps(client.get_server_metadata(headers=headers)["extensions"]))
"""

AXIOS = """
const axios = require("axios");
const [url, token] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${token}` };
axios.post(url, { x: [[1, 2.5]] }, { headers }).then(async (good) => {
  const bad = await axios.post(url, { x: [[1]] }, { headers, validateStatus: () => true });
  console.log(JSON.stringify([good.data, bad.status, bad.data]));
});
"""


@pytest.fixture(scope="module")
def server(engine, serve_on, model_zoo):
    return serve_on(engine, model_zoo / "model.mar", token_auth=True)


@pytest.fixture
def url(server):
    return server.url("model")


@pytest.fixture
def curl(server, url):
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")

    def _curl(*arguments):
        token = f"Authorization: Bearer {server.key()}"
        command = ["curl", "--silent", "--show-error", "--header", token, *arguments, url]
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout

    return _curl


def test_unmodified_tritonclient_infers_binary_in_and_out(server, make_environment):
    python = make_environment("triton", "numpy", "tritonclient[http]==2.73.0")
    address = server.address("model").removeprefix("http://")
    found = subprocess.run(
        [python, "-c", TRITON, address, server.key()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    good, bad = map(json.loads, found.stdout.splitlines())
    assert good == [[[3, 5], [7, 9]], "float32", True, "seven", "model"]
    assert "[422] x: expected shape [-1, 2], got [1, 3]" in bad


def test_unmodified_tritonclient_asks_for_health_and_metadata(server, engine, make_environment):
    if engine == "torchserve":
        pytest.skip("it has no such addresses")
    python = make_environment("triton", "numpy", "tritonclient[http]==2.73.0")
    address = server.address("model").removeprefix("http://")
    command = [python, "-c", TRITON_HEALTH, address, server.key()]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    (asked, metadata), extensions = map(json.loads, found.splitlines())
    assert asked == [True, True, True, True, False]
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
    assert metadata["versions"] == ["1.0"]
    assert "binary_tensor_data" in extensions


def on_the_page(text):
    """Return the block of the page *Other languages* that has a text in it."""
    (block,) = (each for each in read_blocks("other-languages") if text in each.text)
    return block.text


def test_tritonclient_as_on_the_page(server, make_environment):
    python = make_environment("triton", "numpy", "tritonclient[http]==2.73.0")
    address = server.address("model").removeprefix("http://")
    code = on_the_page("tritonclient").replace("localhost:8080", address)
    program = f"key = {server.key()!r}\n{code}\nprint(y.tolist())"
    found = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "[[3.0, 5.0], [7.0, 9.0]]\n"


def test_axios_as_on_the_page(server, url, node_modules):
    code = on_the_page("axios.post").replace("answer.data.y;", "console.log(answer.data.y);")
    program = f"const url = '{url}', key = '{server.key()}', axios = require('axios');"
    program += f"(async () => {{\n{code}\n}})();"
    place = node_modules.parent
    command = ["node", "-e", program]
    found = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True).stdout
    assert found == "[ [ 3, 6 ] ]\n"


def test_curl_with_json(curl):
    answer = curl("--json", '{"x": [[1, 2], [3, 4]]}')
    assert json.loads(answer)["y"] == [[3, 5], [7, 9]]


def test_curl_with_a_npy_file(curl, tmp_path):
    np.save(tmp_path / "x.npy", np.float32([[1, 2], [3, 4]]))
    data = f"@{tmp_path / 'x.npy'}"
    media = "Content-Type: application/x-npy"
    answer = curl("--data-binary", data, "--header", media, "--header", "Accept: application/json")
    assert json.loads(answer)["y"] == [[3, 5], [7, 9]]


def test_curl_with_a_npy_file_as_a_form(curl, tmp_path):
    np.save(tmp_path / "x.npy", np.float32([[1, 2], [3, 4]]))
    answer = curl("--form", f"x=@{tmp_path / 'x.npy'}")
    assert json.loads(answer)["y"] == [[3, 5], [7, 9]]


def test_curl_with_nothing_gets_the_metadata(curl):
    assert json.loads(curl("--request", "POST"))["model_input_list"] == ["x"]


def test_curl_without_a_content_type_gets_a_hint_what_to_send(curl):
    answer = json.loads(curl("--data", '{"x": [[1, 2]]}'))
    assert (answer["code"], answer["type"]) == (415, "UnsupportedMediaType")
    assert "send application/octet-stream or application/json" in answer["message"]


@pytest.fixture(scope="session")
def node_modules():
    """A folder with axios, made once."""
    if shutil.which("npm") is None:
        pytest.skip("no Node.js on this machine")
    folder = ROOT / ".cache" / "environments" / "axios-1.21.1"
    if not (folder / "node_modules" / "axios").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--prefix", folder, "axios@1.21.1"]
        subprocess.run(command, check=True, timeout=300)
    return folder / "node_modules"


def test_axios_with_json(server, url, node_modules, tmp_path):
    script = tmp_path / "post.cjs"
    script.write_text(AXIOS)
    (tmp_path / "node_modules").symlink_to(node_modules)
    found = subprocess.run(
        ["node", script, url, server.key()], capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 0, found.stderr
    good, status, bad = json.loads(found.stdout)
    assert good["y"] == [[3, 6]]
    assert (status, bad["type"]) == (422, "InvalidInput")
