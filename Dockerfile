# syntax=docker/dockerfile:1
# Two images: `web` (the default: pages, default worker, reconciler) and `gpu` (adds the training
# stack). One data folder, /data, shared by all containers through a volume.

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    FTF_DATA_DIR=/data \
    HF_HOME=/data/huggingface
RUN groupadd --gid 10001 ftf \
    && useradd --uid 10001 --gid 10001 --create-home ftf \
    && install --directory --owner=ftf --group=ftf /data
WORKDIR /app

FROM base AS gpu
# Triton, which torch uses on NVIDIA cards, compiles small C files while a training runs.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY requirements-web.txt requirements.txt ./
RUN pip install -r requirements.txt
COPY . .
RUN chmod -R a+rX . && python -m compileall -q .
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 \
    CMD ["python", "manage.py", "health", "--queue", "gpu"]
CMD ["python", "manage.py", "worker", "--queue", "gpu"]

FROM base AS web
COPY requirements-web.txt ./
RUN pip install -r requirements-web.txt
COPY . .
RUN chmod -R a+rX . && python -m compileall -q .
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 8000, timeout=8); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
# Static files need no step of their own: WhiteNoise serves them from the source folders.
CMD ["gunicorn", "finetuneflow.wsgi", "--bind", "0.0.0.0:8000", "--workers", "2", "--threads", "4", "--no-control-socket", "--worker-tmp-dir", "/dev/shm"]
