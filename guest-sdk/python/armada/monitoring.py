class MonitoringClient: pass
