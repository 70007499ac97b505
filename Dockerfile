# The production image: the package and its locked dependencies, without an embedded PostgreSQL and without build tools.
#
#   docker build -t kasparro .
#   docker run --rm kasparro --help
#
# compose.yaml runs it beside a database. Every setting comes from the environment: docs/configuration.md.

# The version the tests run on.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1
WORKDIR /build
RUN python -m venv /opt/kasparro
# Wheels only: nothing that is downloaded runs while it is installed.
COPY requirements/production.lock requirements/
RUN /opt/kasparro/bin/pip install --require-hashes --only-binary :all: -r requirements/production.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/kasparro/bin/pip install --no-deps --no-build-isolation . \
 && /opt/kasparro/bin/pip uninstall --yes hatchling editables pathspec pluggy trove-classifiers \
 && /opt/kasparro/bin/pip check \
 && /opt/kasparro/bin/pip uninstall --yes pip

FROM python:${PYTHON_VERSION}-slim-trixie
LABEL org.opencontainers.image.title="Kasparro" \
      org.opencontainers.image.description="REST APIs and CSV files in; one validated, traceable dataset in PostgreSQL out, served live over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 kasparro \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin kasparro
COPY --from=build /opt/kasparro /opt/kasparro
ENV PATH=/opt/kasparro/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ENVIRONMENT=production \
    KASPARRO_CONFIG=/etc/kasparro/kasparro.yaml
WORKDIR /etc/kasparro
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
EXPOSE 8000
# For `serve`; the other commands have nothing to ask, and compose.yaml turns it off for them.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ.get('PORT', '8000') + '/health/live', timeout=4)"]
ENTRYPOINT ["kasparro"]
CMD ["serve"]
