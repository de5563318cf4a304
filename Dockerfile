# syntax=docker/dockerfile:1
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

FROM python:3.13-slim
LABEL org.opencontainers.image.title="depthgauge" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/depthgauge /opt/depthgauge
ENV PATH=/opt/depthgauge/bin:$PATH PYTHONUNBUFFERED=1
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/depthgauge
VOLUME /var/lib/depthgauge
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 10139 10140
ENTRYPOINT ["depthgauge"]
CMD ["exporter"]
