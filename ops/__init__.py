"""What operators of cx-pulse load into Prometheus and Grafana."""
