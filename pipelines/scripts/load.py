"""A source: how busy this machine is, as JSON, every second, or every so many seconds (`load.py 0.5`)."""

import json
import os
import sys
import time

import mprun


def main() -> None:
    every = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    while True:
        one, five, fifteen = os.getloadavg()
        mprun.emit(json.dumps({"time": round(time.time(), 3), "load": [one, five, fifteen]}))
        time.sleep(every)


if __name__ == "__main__":
    main()
