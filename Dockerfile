# One image for every container: the four services of a node and the `stemedb` command. Whoever runs it names the binary.
# They are one file under five names, which is each service's own binary when called by that name.
#
# The bases are arguments, so that the image also builds where no registry is reached: tests/deploy/bases.sh makes
# stand-ins under these names. BUILDER has cargo of the version in rust-toolchain.toml and a C compiler; RUNTIME has
# glibc, libgcc and CA certificates, and needs no shell.
ARG BUILDER=rust:1.95-slim-bookworm
ARG RUNTIME=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILDER} AS build
WORKDIR /src
COPY . .
# The two caches outlive the layer: a change compiles the workspace anew and no dependency. Cargo judges its own files by
# their time, and a checkout may be older than the cache, so they are made new first.
RUN --mount=type=cache,id=stemedb-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=stemedb-target,target=/src/target \
    find . -path ./target -prune -o -type f -exec touch {} + \
    && cargo build --release --locked --package stemedb \
    && install -D -t /image/bin target/release/stemedb \
    && for service in gateway store membership antientropy; do ln -s stemedb /image/bin/stemedb-$service; done \
    && install -d /image/data

FROM ${RUNTIME}
LABEL org.opencontainers.image.title="StemeDB" \
    org.opencontainers.image.description="A store of claims: gateway, store, membership, antientropy and the stemedb command" \
    org.opencontainers.image.licenses="MIT"
COPY --from=build /image/bin/ /usr/local/bin/
# An empty volume takes over its owner.
COPY --from=build --chown=65532:65532 /image/data/ /data/
ENV STEMEDB_DATA_DIR=/data
USER 65532:65532
WORKDIR /data
# Public API, cluster and admin API, gRPC of peers, SWIM.
EXPOSE 18180/tcp 18181/tcp 18182/tcp 18183/tcp 18183/udp
# No HEALTHCHECK: which binary to ask depends on the container. Compose and Kubernetes run `stemedb-store health` and
# its like; every service answers it.
CMD ["stemedb", "--help"]
