#!/usr/bin/env python3
"""demo_traffic.py URL: about a call a second through the demo's gateway, and now and then a word about an answer.

It ends with the server, or after six hours.
"""

import http.client
import random
import sys
import time

from demo_history import Customers
from seed_dashboard import Api

HOURS = 6


def main():
    api = Api(sys.argv[1], None)
    customers = Customers(random.Random())
    end = time.monotonic() + HOURS * 3600
    missing = 0
    while time.monotonic() < end and missing < 30:
        try:
            customers.traffic(api, 1)
            missing = 0
        except (OSError, http.client.HTTPException):
            missing += 1
        time.sleep(random.expovariate(1.0))


if __name__ == "__main__":
    main()
