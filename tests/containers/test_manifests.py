"""What lies in `deploy/` is what its readers understand: Kubernetes' own schemas, systemd's own parser, and what hangs together.

The schemas come with the package `kubernetes-validate`; nothing is downloaded and no cluster is asked.
"""

import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
# The oldest that its makers still mended when this was written, and the newest of the package.
VERSIONS = ["1.32", "1.35"]


def said(what):
    print(f"     ok      {what}", flush=True)


def manifests():
    documents = []
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        if path.name != "kustomization.yaml":
            documents += [(path.name, document) for document in yaml.safe_load_all(path.read_text()) if document]
    return documents


def of_kind(kind):
    found = [document for _, document in manifests() if document["kind"] == kind]
    assert found, f"there is no {kind}"
    return found


def test_schemas():
    for version in VERSIONS:
        for name, document in manifests():
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                raise AssertionError(f"{name} ({document['kind']}) for Kubernetes {version}: {error.message}") from error
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted({name for name, _ in manifests()}), listed
    said(f"{len(manifests())} manifests fit the schemas of Kubernetes {' and '.join(VERSIONS)}")


def test_schemas_see_a_mistake():
    _, document = next(found for found in manifests() if found[1]["kind"] == "StatefulSet")
    document["spec"]["podManagementPolicy"] = ["Parallel"]
    document["spec"]["replica"] = 5
    try:
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
    except kubernetes_validate.ValidationError:
        return
    raise AssertionError("a misspelt manifest passed")


def test_pods_find_each_other():
    """What one document says of another: names of services, ports, labels, the number of nodes."""
    (stateful,), services = of_kind("StatefulSet"), {service["metadata"]["name"]: service for service in of_kind("Service")}
    spec, pod = stateful["spec"], stateful["spec"]["template"]
    labels = pod["metadata"]["labels"]
    headless = services[spec["serviceName"]]
    assert headless["spec"]["clusterIP"] == "None" and headless["spec"]["publishNotReadyAddresses"] is True
    for service in services.values():
        assert service["spec"]["selector"].items() <= labels.items(), service["metadata"]["name"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    # Nodes wait for each other before they are ready: one after the other they would wait for ever.
    assert spec["podManagementPolicy"] == "Parallel"
    (node,) = pod["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") for entry in node["env"]}
    words = node["args"]
    assert words[words.index("--cluster-of") + 1] == str(spec["replicas"])
    first = words[words.index("--join") + 1].split(",")[0]
    advertised = environment["HOLDFAST_ADVERTISE"].replace("$(POD_NAME)", f"{stateful['metadata']['name']}-0")
    assert first == f"{advertised}:9002", f"no pod would found: {first} is not {advertised}:9002"
    (budget,) = of_kind("PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    secret = pod["spec"]["volumes"][0]["secret"]["secretName"]
    assert secret in {secret["metadata"]["name"] for secret in of_kind("Secret")}
    ports = {port["name"]: port["containerPort"] for port in node["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert node[probe]["httpGet"]["port"] in ports, probe
    for service in services.values():
        assert all(port["targetPort"] in ports for port in service["spec"]["ports"])
    security = {**pod["spec"]["securityContext"], **node["securityContext"]}
    assert security["runAsNonRoot"] and security["readOnlyRootFilesystem"] and security["capabilities"] == {"drop": ["ALL"]}
    said("pods, services, secret and budget name each other as they should")


def test_no_secret_is_shipped():
    for secret in of_kind("Secret"):
        for name, value in secret["stringData"].items():
            assert len(value) < 32, f"{name} could be a secret, and would be everybody's"
    said("the secret in the manifests is one that the server refuses")


def test_unit():
    unit = DEPLOY / "holdfast.service"
    text = unit.read_text()
    if shutil.which("systemd-analyze") is None:
        print("     skipped systemd-analyze is not here: the unit was not looked at", flush=True)
        return
    # The binary need not be installed where this runs.
    copy = Path("/tmp") / "holdfast-unit-test" / unit.name
    copy.parent.mkdir(exist_ok=True)
    copy.write_text(re.sub(r"/usr/local/bin/holdfast", "/bin/true", text))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.splitlines() if "holdfast" in line]
    assert done.returncode == 0 and not ours, done.stderr
    shutil.rmtree(copy.parent)
    said("systemd understands the unit")


for name, test in list(globals().items()):
    if name.startswith("test_"):
        test()
