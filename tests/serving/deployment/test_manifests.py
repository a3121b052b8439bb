"""The manifests, by the schemas of Kubernetes and of Ray, and what they ask for."""

from __future__ import annotations

import pytest
import yaml

MODEL_KEYS = ("model", "minReplicas", "timeout")


def read(path):
    return list(yaml.safe_load_all(path.read_text()))


def by_kind(path):
    found = {}
    for each in read(path):
        found.setdefault(each["kind"], each)
    return found


def make_pod(spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}


def list_pods(folder):
    """Return the pods that KServe and KubeRay make of what their objects hold of one."""
    for each in read(folder / "inferenceservice.yaml"):
        spec = each["spec"]
        if each["kind"] == "ServingRuntime":
            yield make_pod({key: spec[key] for key in ("containers", "volumes")})
        else:
            pod = {key: each for key, each in spec["predictor"].items() if key not in MODEL_KEYS}
            yield make_pod({**pod, "containers": [{"name": "kserve-container"}]})
    (service,) = read(folder / "rayservice.yaml")
    cluster = service["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        yield make_pod(group["template"]["spec"])


def test_the_schemas_of_kubernetes_find_nothing(exported, find_schema_problems):
    objects = []
    for folder in exported.values():
        objects += [*read(folder / "deployment.yaml"), *list_pods(folder)]
    assert len(objects) == 6 * 2 + 6 * 2 + 5 * 2
    assert find_schema_problems(objects) == []


def test_the_schemas_find_a_field_that_does_not_exist(exported, find_schema_problems):
    (deployment, *_), pods = read(exported["plain"] / "deployment.yaml"), []
    deployment["spec"]["template"]["spec"]["containers"][0]["startupProb"] = {}
    for pod in list_pods(exported["plain"]):
        pod["spec"]["containers"][0]["resources"] = {"limits": ["7Gi"]}
        pods.append(pod)
    problems = find_schema_problems([deployment, *pods])
    assert len(problems) == 1 + len(pods)
    assert "'startupProb' was unexpected" in problems[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own use of pydantic
def test_ray_reads_the_configurations(exported):
    schema = pytest.importorskip("ray.serve.schema")
    for folder in exported.values():
        (service,) = read(folder / "rayservice.yaml")
        config = yaml.safe_load(service["spec"]["serveConfigV2"])
        (application,) = schema.ServeDeploySchema.model_validate(config).applications
        assert application.import_path == "eisen_deploy.serving.ray:build"
        archives = [each["url"] for each in application.args["archives"]]
        assert {f"/mnt/models/{path.name}" for path in folder.glob("*.mar")} == set(archives)


def test_a_model_gets_what_its_archive_asks_for(exported):
    spec = by_kind(exported["plain"] / "deployment.yaml")["Deployment"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["cpu"] == "6"  # two workers with three threads each
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert spec["terminationGracePeriodSeconds"] > 40  # its response timeout
    arguments = " ".join(container["args"])
    assert "/mnt/models/seg.mar --workers 2 --max-body 536870912" in arguments
    assert "--response-timeout 40 --startup-timeout 300 --insecure" in arguments

    spec = by_kind(exported["cpu"] / "deployment.yaml")["Deployment"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    limits = container["resources"]["limits"]
    assert limits == {"cpu": "3", "memory": "16Gi"}  # a body of 1 GiB for each of three workers
    assert "--workers 3 --max-body 1073741824" in " ".join(container["args"])


def test_probes_leave_the_time_to_load_and_to_replace_a_worker(exported):
    deployment = by_kind(exported["plain"] / "deployment.yaml")["Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    seconds = {
        name: container[f"{name}Probe"]["periodSeconds"]
        * container[f"{name}Probe"].get("failureThreshold", 3)
        for name in ("startup", "liveness")
    }
    assert seconds == {"startup": 300, "liveness": 360}
    assert container["startupProbe"]["httpGet"]["path"] == "/v2/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"


def test_a_token_is_a_file_of_a_secret_that_is_not_in_the_manifests(exported):
    for name in ("deployment.yaml", "inferenceservice.yaml", "rayservice.yaml"):
        text = (exported["token"] / name).read_text()
        assert "create secret generic seg-token --from-file=token" in text
        assert "--insecure" not in text
        assert "/run/secrets/eisen-deploy/token" in text
        assert "kind: Secret" not in text
    spec = by_kind(exported["token"] / "deployment.yaml")["Deployment"]["spec"]["template"]["spec"]
    (mount,) = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] == "token"]
    assert mount["mountPath"] == "/run/secrets/eisen-deploy"
    (volume,) = [each for each in spec["volumes"] if each["name"] == "token"]
    assert volume["secret"]["secretName"] == "seg-token"


def test_kserve_fetches_the_archive_into_the_folder_that_is_served(exported):
    objects = by_kind(exported["fetched"] / "inferenceservice.yaml")
    model = objects["InferenceService"]["spec"]["predictor"]["model"]
    assert model["storageUri"] == "s3://models/seg.mar"
    assert model["protocolVersion"] == "v2"
    assert model["runtime"] == objects["ServingRuntime"]["metadata"]["name"] == "lesions-runtime"
    (container,) = objects["ServingRuntime"]["spec"]["containers"]
    assert container["name"] == "kserve-container"
    assert container["args"][0] == "/mnt/models"


def test_two_models_share_an_image_and_have_names_of_their_own(exported):
    folder = exported["two"]
    objects = read(folder / "deployment.yaml")
    assert [each["metadata"]["name"] for each in objects] == ["seg", "seg", "on-cpu", "on-cpu"]
    images = {
        container["image"]
        for each in objects
        if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    assert images == {"eisen-deploy/seg:1.2"}
    units = {path.name for path in folder.glob("*.service")}
    assert units == {"eisen-serve-seg.service", "eisen-serve-on-cpu.service"}
    ports = {
        line for path in folder.glob("*.service") for line in path.read_text().split("--port ")
    }
    assert sum(port.startswith(("8080 ", "8081 ")) for port in ports) == 2
