from loguru_stdbridge import install_bridge

install_bridge()
accesslog = "-"
