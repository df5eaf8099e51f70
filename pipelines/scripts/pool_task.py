"""The task of the tutorial's third program (`multiprocessing.Pool`): a message in, a second of work, a line out."""

import os
import time

import mprun


@mprun.stage
def task(message: str) -> str:
    time.sleep(1)
    return f" Sub-process(es) {os.getpid()} said {message}."
