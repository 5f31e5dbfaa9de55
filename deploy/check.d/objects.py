"""Judges rendered Kubernetes objects. Called by deploy/check; prints what is wrong, one line each, and ends with 1."""

import json
import re
import sys
import tomllib

import kubernetes_validate
import yaml

# The oldest that the chart takes, the newest with a schema here, and two between.
VERSIONS = ["1.25", "1.29", "1.33", "1.37"]
KINDS = {"ConfigMap", "DaemonSet", "Namespace", "ResourceQuota", "ServiceAccount"}


class Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML's other readers keep one without a word."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise SystemExit(f"the key {key!r} is there twice{node.start_mark}")
        return super().construct_mapping(node, deep)


def load(path):
    with open(path, encoding="utf-8") as file:
        objects = [item for item in yaml.load_all(file, Loader) if item]
    if not objects:
        raise SystemExit(f"{path} has no objects")
    return objects


def only(objects, kind):
    found = [item for item in objects if item["kind"] == kind]
    if len(found) != 1:
        raise SystemExit(f"{len(found)} objects of the kind {kind}, wanted 1")
    return found[0]


def pod(objects):
    return only(objects, "DaemonSet")["spec"]["template"]["spec"]


def toml(objects):
    return tomllib.loads(only(objects, "ConfigMap")["data"]["auditship.toml"])


def validate(path):
    """Against the strict schemas: no unknown key, no wrong type."""
    for item in load(path):
        name = f"{item['kind']}/{item['metadata']['name']}"
        if item["kind"] not in KINDS:
            yield f"{name}: what is it for? Kinds so far: {', '.join(sorted(KINDS))}"
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(item, version, strict=True)
            except Exception as error:  # What the package raises has no common base.
                where = ".".join(str(part) for part in getattr(error, "path", []))
                yield f"{name}, Kubernetes {version}: {where}: {getattr(error, 'message', error)}"


def rules(path):
    """What no schema knows, and what an object must keep whatever the values are."""
    objects = load(path)
    spec = pod(objects)
    daemonset = only(objects, "DaemonSet")
    (container,) = spec["containers"]
    own = container["securityContext"]
    whole = spec["securityContext"]

    def rule(good, text):
        if not good:
            yield text

    labels = daemonset["spec"]["template"]["metadata"]["labels"]
    selector = daemonset["spec"]["selector"]["matchLabels"]
    yield from rule(selector.items() <= labels.items(), "the selector does not match the pods")
    yield from rule(own == {
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }, f"the container's securityContext is {json.dumps(own)}")
    yield from rule(whole.get("seccompProfile") == {"type": "RuntimeDefault"}, "no seccomp profile")
    is_root = whole["runAsUser"] == 0
    yield from rule(whole["runAsNonRoot"] is not is_root, "runAsNonRoot contradicts runAsUser")
    yield from rule(is_root or whole.get("fsGroup"), "without root the secret needs fsGroup to be readable")
    yield from rule(not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), "shares the host's namespaces")
    yield from rule("initContainers" not in spec, "has init containers")
    account = only(objects, "ServiceAccount")
    yield from rule(account["metadata"]["name"] == spec["serviceAccountName"], "another service account")
    yield from rule(account["automountServiceAccountToken"] is False, "the service account mounts its token")
    yield from rule(spec["automountServiceAccountToken"] is False, "the pod mounts a token")
    yield from rule(spec["enableServiceLinks"] is False, "the environment names the services")

    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    yield from rule(volumes.keys() == mounts.keys(), "volumes and mounts differ")
    for name, mount in mounts.items():
        yield from rule(mount.get("readOnly") is True or name == "state", f"{mount['mountPath']} can be written")
        yield from rule("subPath" not in mount, f"{mount['mountPath']} would never see a new version")
    for name, volume in volumes.items():
        host = volume.get("hostPath")
        if host and name != "state":
            yield from rule(host["path"] == mounts[name]["mountPath"], f"{host['path']} is elsewhere, and links break")
        yield from rule(host is None or host.get("type"), f"{name}: a missing folder is not noticed")
    yield from rule(volumes["secrets"]["secret"]["defaultMode"] == 0o400, "the secret's mode is not 0400")
    config = only(objects, "ConfigMap")["metadata"]["name"]
    yield from rule(volumes["config"]["configMap"]["name"] == config, "the pod mounts another ConfigMap")

    env = {item["name"]: item for item in container["env"]}
    node = env["AUDITSHIP__AGENT__HOST"].get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
    yield from rule(node == "spec.nodeName", "agent.host is not the node's name")
    port = int(env["AUDITSHIP__AGENT__ADMIN"]["value"].rpartition(":")[2])
    yield from rule(container["ports"] == [{"name": "admin", "containerPort": port, "protocol": "TCP"}], "another port")
    for probe, path in {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}.items():
        yield from rule(container[probe]["httpGet"] == {"path": path, "port": "admin"}, f"{probe} asks for something else")

    settings = toml(objects)
    yield from rule(mounts["state"]["mountPath"] == settings["agent"].get("state_dir", "/var/lib/auditship"),
                    "the state is not on the host")
    yield from rule("admin_token_file" in settings["agent"], "the admin address asks for no token")
    grace = spec["terminationGracePeriodSeconds"]
    shutdown = int(re.fullmatch(r"(\d+)s", settings["agent"].get("shutdown_timeout", "10s"))[1])
    yield from rule(grace > shutdown, f"the pod is killed after {grace} s, and the agent may need {shutdown} s")
    memory = int(re.fullmatch(r"(\d+)Mi", container["resources"]["limits"]["memory"])[1])
    limit = int(re.fullmatch(r"(\d+)MiB", settings["agent"].get("memory_limit", "64MiB"))[1])
    yield from rule(memory >= 2 * limit, f"the limit of {memory} MiB is too near to the agent's {limit} MiB")
    update = daemonset["spec"]["updateStrategy"]
    yield from rule(update["type"] == "RollingUpdate" and update["rollingUpdate"]["maxSurge"] == 0,
                    "two agents could share a node's state")
    mounted = [mount["mountPath"] + "/" for mount in mounts.values()]
    for glob in settings["sources"]["pods"]["include"]:
        yield from rule(any(glob.startswith(path) for path in mounted), f"{glob} is not mounted")


def agree(kustomize, helm):
    """The two ways to deploy are one: all of the pod but its names, and the configuration by its meaning."""
    a, b = load(kustomize), load(helm)
    kinds = [sorted(item["kind"] for item in objects) for objects in (a, b)]
    if kinds[0] != kinds[1]:
        yield f"kinds: {kinds[0]} and {kinds[1]}"
        return
    label = "pod-security.kubernetes.io/enforce"
    pods = [pod(objects) for objects in (a, b)]
    for spec in pods:
        spec["volumes"].sort(key=lambda volume: volume["name"])  # A patch puts its own first.
        for volume in spec["volumes"]:
            if "configMap" in volume:
                volume["configMap"]["name"] = "the ConfigMap"  # Its name has a hash.
    settings = [toml(objects) for objects in (a, b)]
    settings[1]["sources"]["pods"].pop("start_at")  # The default, which only the chart spells out.
    specs = [{k: v for k, v in only(objects, "DaemonSet")["spec"].items() if k not in ("selector", "template")}
             for objects in (a, b)]
    quotas = [only(objects, "ResourceQuota")["spec"] for objects in (a, b)]
    admission = [only(objects, "Namespace")["metadata"]["labels"].get(label) for objects in (a, b)]
    for what, (left, right) in {
        "pod": pods, "configuration": settings, "DaemonSet": specs, "quota": quotas, "namespace": admission,
    }.items():
        yield from differences(what, left, right)


def differences(where, left, right):
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            yield from differences(f"{where}.{key}", left.get(key), right.get(key))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (a, b) in enumerate(zip(left, right)):
            yield from differences(f"{where}[{index}]", a, b)
    elif left != right:
        yield f"{where}: {json.dumps(left)} with kustomize, {json.dumps(right)} with Helm"


def documented(values, schema):
    """Each value is in the schema, each key of the schema has a value, and each value has a comment before it."""
    with open(schema, encoding="utf-8") as file:
        rules = json.load(file)
    with open(values, encoding="utf-8") as file:
        text = file.read()

    def keys(properties, tree, path):
        for key in sorted(properties.keys() | tree.keys()):
            name = f"{path}{key}"
            if name == "global":
                continue
            if key not in tree:
                yield f"{name} is in the schema, but has no default in values.yaml"
            elif key not in properties:
                yield f"{name} is in values.yaml, but not in the schema"
            elif properties[key].get("additionalProperties") is False and "properties" in properties[key]:
                inner = properties[key]
                if name not in ("resources", "seLinuxOptions"):  # Each of whose keys may be absent.
                    yield from keys(inner["properties"], tree[key], f"{name}.")
                    if set(inner.get("required", [])) != inner["properties"].keys():
                        yield f"{name}: the schema lets null remove some of its keys"

    yield from keys(rules["properties"], yaml.load(text, Loader), "")
    before = ""
    for line in text.splitlines():
        key = re.match(r"(\w+):", line)
        if key and not before.startswith("#") and not re.search(r"^(image|secret|loki|log|admin|state|logs|namespace):", line):
            # A group's own values are described one by one; a neighbour may share the comment of the line above.
            if not re.match(r"\w+:", before):
                yield f"{key[1]} has no comment"
        before = line.strip()


def main():
    verb, *paths = sys.argv[1:]
    if verb == "toml":
        print(only(load(paths[0]), "ConfigMap")["data"]["auditship.toml"], end="")
        return
    wrong = list({"validate": validate, "rules": rules, "agree": agree, "documented": documented}[verb](*paths))
    for line in wrong:
        print(line)
    sys.exit(bool(wrong))


main()
