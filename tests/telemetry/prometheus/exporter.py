"""Exporters on loopback that a real Prometheus scrapes: dcgm-exporter's text, and a trainer's gauges."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"


def line(metric: str, labels: Mapping[str, str], value: object) -> str:
    """One line of the text format: https://prometheus.io/docs/instrumenting/exposition_formats/."""
    pairs = ",".join(f'{name}="{text}"' for name, text in labels.items())
    return f"{metric}{{{pairs}}} {value}\n"


def gpu_labels(number: int, pod: str = "", namespace: str = "", container: str = "", **more: str) -> dict[str, str]:
    """The labels of dcgm-exporter, in its order; those of a pod only where the GPU is in use."""
    labels = {
        "gpu": str(number),
        "UUID": f"GPU-{number:08d}",
        "pci_bus_id": f"00000000:{number:02X}:00.0",
        "device": f"nvidia{number}",
        "modelName": "NVIDIA H100 80GB HBM3",
        "Hostname": "node-a",
    }
    if pod:
        labels |= {"container": container or "main", "namespace": namespace, "pod": pod}
    return labels | more


class Exporter:
    """A server of pages that a test may change at any time; a page that is ``None`` answers 500."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self.pages: dict[str, str | None] = {}

    @property
    def target(self) -> str:
        return f"{HOST}:{self._server.server_address[1]}"


@contextmanager
def running_exporter() -> Iterator[Exporter]:
    """A running exporter without pages."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = exporter.pages.get(self.path)
            self.send_response(200 if page is not None else 500)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write((page or "").encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    exporter = Exporter(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield exporter
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
