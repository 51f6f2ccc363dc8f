#!/usr/bin/env bash
# Installs what the other scripts here use and this machine lacks. Debian, as root; where all is there it does nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/target/deploy
mkdir -p "$work"

declare -A package=([dockerd]=docker.io [docker]=docker.io [debootstrap]=debootstrap [iptables]=iptables [jq]=jq [curl]=curl)
missing=()
for command in "${!package[@]}"; do
    command -v "$command" >/dev/null || missing+=("${package[$command]}")
done
if ((${#missing[@]})); then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# Newer than Debian bookworm has them, unpacked beside the system: Compose v2, BuildKit's client, kubectl with kustomize.
trixie() {
    local lists=$work/apt
    mkdir -p "$lists"/{lists,cache/archives}/partial
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" >"$lists/sources"
    local options=(-o "Dir::Etc::sourcelist=$lists/sources" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$lists/lists"
        -o "Dir::Cache=$lists/cache" -o APT::Sandbox::User=root)
    [[ -e $lists/updated ]] || apt-get -qq "${options[@]}" update
    touch "$lists/updated"
    (cd "$lists" && apt-get -qq "${options[@]}" download "$1" && dpkg-deb -x "$1"_*.deb unpacked && rm "$1"_*.deb)
}

export DOCKER_CONFIG=$work/docker
mkdir -p "$DOCKER_CONFIG/cli-plugins" "$work/bin"
for plugin in compose buildx; do
    docker "$plugin" version >/dev/null 2>&1 && continue
    trixie "docker-$plugin"
    cp "$work/apt/unpacked/usr/libexec/docker/cli-plugins/docker-$plugin" "$DOCKER_CONFIG/cli-plugins/"
done
if ! command -v kubectl >/dev/null && [[ ! -x $work/bin/kubectl ]]; then
    trixie kubernetes-client
    cp "$work/apt/unpacked/usr/bin/kubectl" "$work/bin/"
fi

# Unpacked, not installed: the package would start a server.
if [[ ! -x $work/prometheus/usr/bin/prometheus ]]; then
    apt-cache show prometheus >/dev/null 2>&1 || apt-get update -qq
    mkdir -p "$work/apt"
    (cd "$work/apt" && apt-get -qq -o APT::Sandbox::User=root download prometheus && dpkg-deb -x prometheus_*.deb "$work/prometheus" &&
        rm prometheus_*.deb)
fi

if ! cmp -s tests/deploy/requirements.txt "$work/python/requirements.txt"; then
    rm -rf "$work/python"
    python3 -m venv "$work/python"
    "$work/python/bin/pip" install --quiet --requirement tests/deploy/requirements.txt
    cp tests/deploy/requirements.txt "$work/python/"
fi
