from gunicorn.glogging import Logger

from loguru_stdbridge import install_bridge


class BridgeLogger(Logger):
    def setup(self, cfg):
        super().setup(cfg)
        install_bridge(level="INFO")
        for log in (self.error_log, self.access_log):  # these do not propagate by default
            log.handlers.clear()
            log.propagate = True


logger_class = BridgeLogger
accesslog = "-"
