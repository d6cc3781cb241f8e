"""Grafana's dashboards, and what writes them."""
