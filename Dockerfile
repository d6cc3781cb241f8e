# The worker, cx serve and the command line; `docker build -t cx-pulse .`
FROM python:3.11.11-slim-bookworm AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/cx-pulse
RUN pip install --no-cache-dir "uv>=0.5" && python -m venv /opt/cx-pulse
# Dependencies first: they change less often than the code.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-default-groups --extra otel --no-install-project
COPY schemas schemas
COPY stream stream
COPY agents agents
# The page's libraries, by their pinned digests: nothing is fetched at run time.
RUN /opt/cx-pulse/bin/python -m stream.api.vendor
RUN uv sync --frozen --no-default-groups --extra otel --no-editable

FROM python:3.11.11-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home cx
COPY --from=build /opt/cx-pulse /opt/cx-pulse
ENV PATH=/opt/cx-pulse/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /tmp
USER 10001
EXPOSE 9464 8080
# Of the worker; other commands bring their own. Ready: assigned, recovered and connected.
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=24 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ.get('CX_HTTP_PORT', '9464') + '/health/ready', timeout=3)"]
ENTRYPOINT ["cx"]
CMD ["worker"]
