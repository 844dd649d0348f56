"""The local hub against the library that knows the real one."""

import json
import os
import subprocess
import sys

from local_hub import Repo

SCRIPT = """
import json, sys
from huggingface_hub import HfApi, hf_hub_download
api = HfApi()
digest = lambda f: f.lfs.sha256 if f.lfs else f.blob_id
info = api.model_info("org/sample", files_metadata=True)
tree = list(api.list_repo_tree("org/sample"))
found = list(api.list_models(search="samp", sort="downloads", limit=3))
expanded = list(api.list_models(search="big", expand=["safetensors", "gated", "lastModified"]))
path = hf_hub_download("org/sample", "model.safetensors")
config = hf_hub_download("org/sample", "config.json")
errors = []
for repo, name in (("org/none", "x"), ("org/sample", "none"), ("org/gated", "config.json")):
    try:
        hf_hub_download(repo, name)
    except Exception as error:
        errors.append(type(error).__name__)
print(json.dumps({
    "sha": info.sha, "licence": info.card_data.license,
    "siblings": {f.rfilename: [f.size, digest(f)] for f in info.siblings},
    "tree": {f.path: [f.size, digest(f)] for f in tree},
    "found": [m.id for m in found], "total": expanded[0].safetensors.total,
    "same": open(path, "rb").read() == open(sys.argv[1], "rb").read(),
    "config": len(open(config).read()), "errors": errors,
}))
"""


def test_that_the_hubs_own_library_finds_all_it_expects(hub, tmp_path):
    from app.core.places import sample_model

    repo = hub.repos["org/sample"]
    hub.repos["org/gated"] = Repo("org/gated", {"config.json": b"{}"}, gated="manual")
    hub.repos["org/big"] = Repo("org/big", {}, parameters={"BF16": 7})
    hub.page = 3
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(sample_model() / "model.safetensors")],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    files = {
        name: [len(body), repo.sha256(name) if repo.is_large(name) else repo.git_sha1(name)]
        for name, body in repo.files.items()
    }
    assert said["siblings"] == said["tree"] == files
    assert said["sha"] == repo.commit
    assert said["found"] == ["org/sample"]
    assert said["total"] == 7
    assert said["same"]
    assert said["config"] == len(repo.files["config.json"])
    assert said["errors"] == [
        "RepositoryNotFoundError",
        "RemoteEntryNotFoundError",
        "GatedRepoError",
    ]
