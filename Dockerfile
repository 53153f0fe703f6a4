# Two images from one file: `--target operator` (the controller) and `--target runner` (backup and migration Jobs).
#
# PACKAGES=locked    installs the packages of uv.lock while building; PACKAGES=context takes them, laid out the same way,
#                    compiled, from the build context `packages` (--build-context packages=FOLDER)
# CLIENTS=pgdg       takes PostgreSQL's client programs from the PostgreSQL project's Debian repository; CLIENTS=context
#                    from the build context `clients`, with MAJOR/bin and MAJOR/lib inside
ARG BASE_IMAGE=docker.io/library/python:3.13-slim-trixie
ARG PACKAGES=locked
ARG CLIENTS=pgdg

FROM ${BASE_IMAGE} AS uv
RUN python3 -m pip install --no-cache-dir --root-user-action=ignore uv==0.9.11
WORKDIR /src
COPY pyproject.toml uv.lock ./

FROM uv AS packages-operator-locked
RUN uv export --frozen --no-dev --no-emit-project --extra controller --output-file /tmp/requirements.txt \
 && uv pip install --target /opt/locktender/site --require-hashes --only-binary :all: --requirements /tmp/requirements.txt \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/locktender/site

FROM uv AS packages-runner-locked
RUN uv export --frozen --no-dev --no-emit-project --extra runner --output-file /tmp/requirements.txt \
 && uv pip install --target /opt/locktender/site --require-hashes --only-binary :all: --requirements /tmp/requirements.txt \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/locktender/site

# `packages` and `clients` are build contexts, not stages.
FROM ${BASE_IMAGE} AS packages-operator-context
# hadolint ignore=DL3022
COPY --from=packages site /opt/locktender/site

FROM ${BASE_IMAGE} AS packages-runner-context
# hadolint ignore=DL3022
COPY --from=packages site /opt/locktender/site

# The package is pure Python: copied beside its dependencies, compiled once, never written again.
# hadolint ignore=DL3006
FROM packages-operator-${PACKAGES} AS site-operator
COPY operator/locktender /opt/locktender/site/locktender
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/locktender/site/locktender

# hadolint ignore=DL3006
FROM packages-runner-${PACKAGES} AS site-runner
COPY operator/locktender /opt/locktender/site/locktender
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/locktender/site/locktender

FROM ${BASE_IMAGE} AS clients-pgdg
ARG POSTGRES_MAJORS="14 15 16 17 18"
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Each major's programs with the libraries that they load, made to find them beside themselves. No version is pinned
# below the major: a rebuild takes the newest minor release.
# hadolint ignore=DL3008
RUN set -eu; \
    apt-get update; \
    apt-get install -y --no-install-recommends ca-certificates patchelf postgresql-common; \
    sh /usr/share/postgresql-common/pgdg/apt.*.sh -y; \
    for major in ${POSTGRES_MAJORS}; do \
      apt-get install -y --no-install-recommends "postgresql-client-${major}"; \
      mkdir -p "/opt/postgresql/${major}/bin" "/opt/postgresql/${major}/lib"; \
      for program in pg_dump pg_restore psql; do \
        file="/usr/lib/postgresql/${major}/bin/${program}"; \
        cp "${file}" "/opt/postgresql/${major}/bin/"; \
        ldd "${file}" | awk '$3 ~ /^\// && $1 !~ /^(libc|libm|libdl|libpthread|librt|libresolv)\.so/ {print $3}' \
          | xargs -I '{}' cp -Ln '{}' "/opt/postgresql/${major}/lib/"; \
      done; \
      patchelf --set-rpath "\$ORIGIN/../lib" "/opt/postgresql/${major}/bin/"*; \
      patchelf --set-rpath "\$ORIGIN" "/opt/postgresql/${major}/lib/"*; \
    done; \
    rm -rf /var/lib/apt/lists/*

FROM ${BASE_IMAGE} AS clients-context
# hadolint ignore=DL3022
COPY --from=clients . /opt/postgresql

# hadolint ignore=DL3006
FROM clients-${CLIENTS} AS clients-chosen

# The standard library's bytecode, valid whatever the times of its files: public images carry none or a stale one, nothing may be
# written at run time, and each container of each pod would compile all that it imports (0.1 to 0.2 s of its start).
FROM ${BASE_IMAGE} AS python
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(test|idlelib|lib2to3|tkinter|turtledemo|ensurepip|site-packages|dist-packages)/' \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

FROM python AS operator
COPY --from=site-operator /opt/locktender/site /opt/locktender/site
# Nothing is written at run time: the root file system may be read-only.
ENV PYTHONPATH=/opt/locktender/site PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A kubelet takes the group from here; without the line it would be root's.
RUN echo 'locktender:x:65532:65532::/:/usr/sbin/nologin' >> /etc/passwd
WORKDIR /
USER 65532:65532
ENTRYPOINT ["python3", "-m", "locktender"]

FROM python AS runner
COPY --from=clients-chosen /opt/postgresql /opt/postgresql
COPY --from=site-runner /opt/locktender/site /opt/locktender/site
ENV PYTHONPATH=/opt/locktender/site PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A kubelet takes the group from here; without the line it would be root's.
RUN echo 'locktender:x:65532:65532::/:/usr/sbin/nologin' >> /etc/passwd
WORKDIR /
USER 65532:65532
ENTRYPOINT ["python3", "-m", "locktender"]
