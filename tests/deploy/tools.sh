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
# One answer of a mirror that does not come is no reason to give up.
retries=(-o Acquire::Retries=3)
if ((${#missing[@]})); then
    apt-get "${retries[@]}" update -qq
    DEBIAN_FRONTEND=noninteractive apt-get "${retries[@]}" install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# download DIRECTORY PACKAGE OPTION…: a package as a file, by those lists. They are fetched anew when what they name is there no
# more.
download() {
    local apt=(apt-get -qq "${retries[@]}" -o APT::Sandbox::User=root "${@:3}")
    rm -f "$1/$2"_*.deb
    (cd "$1" && "${apt[@]}" download "$2" 2>/dev/null) || { "${apt[@]}" update && (cd "$1" && "${apt[@]}" download "$2"); }
}

# Newer than Debian bookworm has them, unpacked beside the system: Compose v2, BuildKit's client, kubectl with kustomize.
trixie() {
    local lists=$work/apt
    mkdir -p "$lists"/{lists,cache/archives}/partial
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" >"$lists/sources"
    local options=(-o "Dir::Etc::sourcelist=$lists/sources" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$lists/lists"
        -o "Dir::Cache=$lists/cache")
    download "$lists" "$1" "${options[@]}"
    dpkg-deb -x "$lists/$1"_*.deb "$lists/unpacked"
    rm "$lists/$1"_*.deb
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
    mkdir -p "$work/apt"
    download "$work/apt" prometheus
    dpkg-deb -x "$work/apt"/prometheus_*.deb "$work/prometheus"
    rm "$work/apt"/prometheus_*.deb
fi

if ! cmp -s tests/deploy/requirements.txt "$work/python/requirements.txt"; then
    rm -rf "$work/python"
    python3 -m venv "$work/python"
    "$work/python/bin/pip" install --quiet --requirement tests/deploy/requirements.txt
    cp tests/deploy/requirements.txt "$work/python/"
fi
