"""A real Prometheus server scrapes the daemon and answers queries."""

import contextlib
import json
import re
import subprocess
import urllib.parse
import urllib.request

from conftest import PATIENCE, PLAN, wait_until

CONFIG = """
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: bwrt
    static_configs:
      - targets: ["{target}"]
"""


@contextlib.contextmanager
def prometheus(directory, target):
    """Yields the address of a server that scrapes `target` every second."""
    (directory / "prometheus.yml").write_text(CONFIG.format(target=target))
    log = directory / "prometheus.log"
    command = [
        "prometheus",
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/data",
        "--web.listen-address=127.0.0.1:0",
    ]
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:

        def address():
            assert server.poll() is None, log.read_text()
            return re.search(r'msg="Listening on" address=(127\.0\.0\.1:\d+)', log.read_text())

        yield wait_until(address, "Prometheus listens")[1]
        server.terminate()
        assert server.wait(PATIENCE) == 0, log.read_text()
    finally:
        server.kill()
        server.wait(PATIENCE)


def query(address, expression):
    """The values of an instant query, by their labels."""
    url = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=PATIENCE) as response:
            answer = json.load(response)
    except OSError:  # It may not be ready yet.
        return []
    assert answer["status"] == "success", answer
    return [(series["metric"], float(series["value"][1])) for series in answer["data"]["result"]]


def test_prometheus_counts_the_waves(serving, tmp_path):
    with serving("--metrics=127.0.0.1:0") as daemon:
        replay = daemon.bwrtctl("--json", "replay", PLAN, "--k", 64)
        assert replay.returncode == 0, replay.stderr
        waves = json.loads(replay.stdout)["waves"]
        with prometheus(tmp_path, daemon.metrics_address) as address:
            ((labels, value),) = wait_until(lambda: query(address, "bwrt_waves_total"), "a scrape")
            assert value == waves
            assert labels["model"] == "default"
            assert labels["device"] == "cpu"
            assert labels["outcome"] == "ok"
            assert labels["job"] == "bwrt"
            ((_, up),) = query(address, "up")
            assert up == 1
            ((_, version),) = query(address, "bwrt_model_version")
            assert version == 0
            assert query(address, "histogram_quantile(0.5, bwrt_wave_phase_seconds_bucket{phase='compute'})")
            assert not query(address, "bwrt_tma_occupancy_ratio")
