#!/usr/bin/env bash
# Renders every kustomization and holds it to Kubernetes' own schemas and to checkov's rules. Needs no cluster.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/target/deploy
PATH=$work/python/bin:$PATH:$work/bin
mkdir -p "$work/manifests"

# The newest, and the oldest that has all we use (preStop sleep).
versions=(1.37 1.30)
files=()
for kustomization in k8s/base k8s/overlays/*/; do
    name=$(basename "$kustomization")
    rendered=$work/manifests/$name.yaml
    kubectl kustomize "$kustomization" >"$rendered"
    for version in "${versions[@]}"; do
        kubernetes-validate --strict --quiet --kubernetes-version "$version" "$rendered"
    done
    files+=(--file "$rendered")
done
checkov --config-file tests/deploy/checkov.yaml --framework kubernetes "${files[@]}"
checkov --config-file tests/deploy/checkov.yaml --framework dockerfile --file Dockerfile
