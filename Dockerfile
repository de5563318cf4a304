# syntax=docker/dockerfile:1
# Two images: `depthgauge` (the last stage, so what `docker build .` makes) and `workers`, the sample of docker-compose.yml.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/depthgauge
COPY requirements/runtime.txt requirements/
RUN /opt/depthgauge/bin/pip install --no-cache-dir --require-virtualenv -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY depthgauge depthgauge
COPY exporter exporter
COPY sink sink
COPY sql sql
COPY cli cli
RUN /opt/depthgauge/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM build AS build-workers
COPY requirements/demo.txt requirements/
# supervisord is there already: the exporter uses its library.
RUN /opt/depthgauge/bin/pip install --no-cache-dir --require-virtualenv --constraint requirements/demo.txt rq

FROM python:3.13-slim AS workers
LABEL org.opencontainers.image.title="depthgauge-workers" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-workers /opt/depthgauge /opt/depthgauge
ENV PATH=/opt/depthgauge/bin:$PATH PYTHONUNBUFFERED=1
# supervisord's socket is in here; the exporter comes to it by the group.
RUN install --directory --owner=10002 --group=10001 --mode=0750 /run/supervisor
USER 10002:10001
CMD ["supervisord", "--nodaemon", "--configuration", "/etc/supervisor/supervisord.conf"]

FROM python:3.13-slim AS depthgauge
LABEL org.opencontainers.image.title="depthgauge" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/depthgauge /opt/depthgauge
ENV PATH=/opt/depthgauge/bin:$PATH PYTHONUNBUFFERED=1
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/depthgauge
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 10139 10140
ENTRYPOINT ["depthgauge"]
CMD ["exporter"]
